//! What /sys and /proc tell about processors and the physical address space.

use std::fs;

use crate::machine::Trouble;

/// A small file without its line end.
pub fn text(path: &str) -> Result<String, Trouble> {
    let text = fs::read_to_string(path);
    text.map(|text| text.trim_end().to_owned())
        .map_err(|error| Trouble(format!("{path}: {error}")))
}

/// APIC id of the first processor, for a message's destination.
pub fn first_processor() -> Result<u32, Trouble> {
    let text = text("/proc/cpuinfo")?;
    let id = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "apicid").then(|| value.trim().parse().ok())?
    });
    Ok(id.unwrap_or(0))
}

/// One line of /proc/iomem.
struct Area {
    depth: usize,
    first: u64,
    last: u64,
    name: String,
}

fn areas() -> Result<Vec<Area>, Trouble> {
    let parse = |line: &str| {
        let depth = line.len() - line.trim_start().len();
        let (range, name) = line.trim_start().split_once(" : ")?;
        let (first, last) = range.split_once('-')?;
        Some(Area {
            depth,
            first: u64::from_str_radix(first, 16).ok()?,
            last: u64::from_str_radix(last, 16).ok()?,
            name: name.to_owned(),
        })
    };
    Ok(text("/proc/iomem")?.lines().filter_map(parse).collect())
}

/// An aligned range below 4 GiB inside the PCI bus's windows that nothing occupies.
pub fn free_range(size: u64) -> Result<u64, Trouble> {
    let areas = areas()?;
    let busy: Vec<&Area> = areas
        .iter()
        .filter(|area| !area.name.starts_with("PCI Bus"))
        .collect();
    for window in areas.iter().filter(|area| area.name.starts_with("PCI Bus")) {
        let mut at = window.first.next_multiple_of(size).max(1 << 20);
        while at + size - 1 <= window.last && at < 1 << 32 {
            match busy
                .iter()
                .find(|area| area.first < at + size && area.last >= at)
            {
                None => return Ok(at),
                Some(_) => at += size,
            }
        }
    }
    Err(Trouble(format!(
        "no free range of {size:#x} bytes in the PCI windows of /proc/iomem"
    )))
}

/// An aligned address inside RAM, above the first mebibytes.
pub fn ram_address(size: u64) -> Result<u64, Trouble> {
    let areas = areas()?;
    areas
        .iter()
        .filter(|area| area.depth == 0 && area.name == "System RAM")
        .map(|area| (area.first.max(16 << 20).next_multiple_of(size), area.last))
        .find(|(at, last)| at + size - 1 <= *last && *at < 1 << 32)
        .map(|(at, _)| at)
        .ok_or_else(|| Trouble("no RAM below 4 GiB in /proc/iomem".into()))
}
