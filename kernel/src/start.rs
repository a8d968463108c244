//! From the loader's structures to a console that can say what is wrong with them.
#![expect(
    unsafe_code,
    reason = "reading the loader's tables, which lie anywhere below 4 GiB"
)]

use core::fmt;

use boot::{BootError, BootInfo, Config, MemoryMap, PhysicalMemory};
use log::{error, info, warn};

use crate::frames::Frame;
use crate::power::{self, ExitReason};
use crate::{frames, layout, paging, time};

/// Memory as the page tables of pvh.S show it.
struct BelowFourGib;

impl PhysicalMemory for BelowFourGib {
    fn read(&self, address: u64, into: &mut [u8]) -> bool {
        let end = address.checked_add(into.len() as u64);
        if address == 0 || end.is_none_or(|end| end > 1 << 32) {
            return false;
        }
        // SAFETY: pvh.S identity-maps the first 4 GiB, where no read faults or has a side effect
        // but on device registers, and a loader that names those has no memory of its own.
        unsafe {
            core::ptr::copy_nonoverlapping(address as *const u8, into.as_mut_ptr(), into.len());
        }
        true
    }
}

/// Reads the loader's information, opens the console it asks for, and says both.
pub fn boot_info(address: u64, on_xen: bool) -> (BootInfo, Config) {
    let info = BootInfo::read(&BelowFourGib, address);
    let config = info
        .as_ref()
        .map(|info| Config::parse(&info.command_line))
        .unwrap_or_default();
    console::set_clock(time::now);
    console::init(
        config.sinks.serial,
        config.sinks.port_e9,
        on_xen,
        config.log,
    );
    let version = env!("CARGO_PKG_VERSION");
    info!(
        "gpu-service-domain {version}, {}",
        if on_xen { "on Xen" } else { "without Xen" }
    );
    info!("console: {}", List(&console::sink_names()));
    let info = info.unwrap_or_else(|error| refuse(ExitReason::BadBootInformation, error));
    info!(
        "start_info version {} at {address:#x}, {} modules",
        info.version, info.modules
    );
    info!("command line \"{}\"", info.command_line.escape_ascii());
    for complaint in &config.complaints {
        warn!("command line: {complaint}");
    }
    if config.more_complaints > 0 {
        warn!(
            "command line: {} more words ignored",
            config.more_complaints
        );
    }
    (info, config)
}

/// The memory map: the loader's, else `ask` Xen for it.
pub fn memory_map(info: &BootInfo, ask: Option<fn() -> Result<MemoryMap, BootError>>) -> MemoryMap {
    let map = match (&info.memory, ask) {
        (Some(map), _) => Ok(map.clone()),
        (None, Some(ask)) => ask(),
        (None, None) => Err(BootError::NoMemoryMap),
    };
    let map = map.unwrap_or_else(|error| refuse(ExitReason::BadBootInformation, error));
    for region in map.regions() {
        info!(
            "memory {:#012x}..{:#012x} {}",
            region.start, region.end, region.kind
        );
    }
    map
}

/// Page frames and final page tables, which also show the pages `shared` by a hypervisor.
pub fn memory(map: &MemoryMap, shared: impl Iterator<Item = Frame>) {
    const FOUR_GIB: u64 = 4 << 30;
    let usable = || map.usable(layout::image());
    let below = usable().filter(|range| range.start < FOUR_GIB);
    // SAFETY: usable RAM, which pvh.S maps writable up to 4 GiB and which nobody has: everything
    // the loader left there has been copied.
    unsafe { frames::add(below.map(|range| range.start..range.end.min(FOUR_GIB))) };
    if let Err(error) = paging::init(map) {
        error!("page tables: {error}");
        refuse(ExitReason::OutOfMemory, "too little memory for page tables");
    }
    for frame in shared {
        if let Err(error) = paging::map_window(frame, 1) {
            refuse(ExitReason::OutOfMemory, error);
        }
    }
    let above = usable().filter(|range| range.end > FOUR_GIB);
    // SAFETY: the rest of usable RAM, which the final tables map writable.
    unsafe { frames::add(above.map(|range| range.start.max(FOUR_GIB)..range.end)) };
    let counts = frames::counts();
    info!(
        "memory: {} KiB RAM, image {} KiB, {} of {} page frames free, windows from {:#x}",
        map.total_ram() / 1024,
        (layout::image().end - layout::image().start) / 1024,
        counts.free,
        counts.total,
        paging::window_base().address()
    );
}

/// Says why there is no going on, and leaves.
pub fn refuse(reason: ExitReason, why: impl fmt::Display) -> ! {
    error!("cannot start: {why}");
    power::exit(reason)
}

struct List<'a>(&'a [&'static str]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{name}")?;
        }
        Ok(())
    }
}
