//! Every way in which the CPU reaches an object, and that all of them see the same bytes.

use crate::abi::object::{
    CACHING_NONE, DOMAIN_CPU, DOMAIN_WC, MAP_WRITE_COMBINING, OFFSET_UC, OFFSET_WB, OFFSET_WC,
};
use crate::commands::Commands;
use crate::device::Device;
use crate::engine::Engine;
use crate::object::{Object, PAGE};
use crate::picture::{Depth, Layout, Rectangle, Tiling};
use crate::report::{Outcome, Report, ensure, equal};
use crate::submission::run as execute;
use crate::system::Mapping;

/// All of them.
pub fn run(report: &mut Report) {
    report.check("read-and-write-calls-agree-at-odd-offsets", calls);
    for (name, kind) in [
        ("write-back", OFFSET_WB),
        ("write-combining", OFFSET_WC),
        ("uncached", OFFSET_UC),
    ] {
        report.check(
            format_args!("cpu-and-gpu-agree-through-a-{name}-mapping"),
            move |device| {
                let object = Object::new(device, 3 * PAGE)?;
                let map = object.map(kind)?;
                coherent(&object, &map, &[Engine::Render, Engine::Blt])
            },
        );
    }
    report.check("cpu-and-gpu-agree-through-the-old-mappings", |device| {
        for flags in [0, MAP_WRITE_COMBINING] {
            let object = Object::new(device, 3 * PAGE)?;
            coherent(
                &object,
                &object.map_at_once(flags)?,
                &[Engine::Render, Engine::Blt],
            )?;
        }
        Ok(())
    });
    report.check("an-uncached-object-is-coherent-after-set-domain", uncached);
    report.check("the-gpu-writes-pages-of-the-program", own_pages);
}

fn calls(device: &Device) -> Outcome {
    let object = Object::new(device, 3 * PAGE)?;
    let data: Vec<u8> = (0..2 * PAGE as u32 + 1)
        .map(|byte| ((byte * 7) >> 2) as u8)
        .collect();
    object.write(0xffd, &data)?;
    let mut middle = vec![0; 0x1003];
    object.read(0xffd + 0x7ff, &mut middle)?;
    ensure(data.get(0x7ff..0x7ff + 0x1003) == Some(&middle[..]), || {
        "the middle of what was written differs".to_owned()
    })?;
    let all = object.contents()?;
    let (before, after) = (all.get(..0xffd), all.get(0xffd..0xffd + data.len()));
    ensure(
        before.is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0)),
        || "bytes before it are not zero".to_owned(),
    )?;
    ensure(after == Some(&data[..]), || {
        "what was written differs".to_owned()
    })
}

/// The CPU writes, the engines copy it page by page, the CPU reads in both ways.
pub fn coherent(object: &Object, map: &Mapping, engines: &[Engine]) -> Outcome {
    for (round, engine) in (1..).zip(engines) {
        for (at, value) in copied(object, map, *engine, round)? {
            let what = format!("the dword at {at:#x} after {engine}, as read");
            equal(what, object.dword(at)?, value)?;
        }
    }
    Ok(())
}

/// One engine's turn; where it copied what to, as the mapping shows.
fn copied(
    object: &Object,
    map: &Mapping,
    engine: Engine,
    round: u32,
) -> Result<Vec<(u64, u32)>, String> {
    let mut commands = Commands::new();
    let mut copies = Vec::new();
    for at in (0..PAGE).step_by(4 * 61) {
        let value = 0x0101_0101 * round + at as u32;
        map.write(at as usize, value);
        let from = object.address + at;
        commands = commands
            .copy(from, from + PAGE)
            .copy(from + PAGE, from + 2 * PAGE);
        copies.push((at + 2 * PAGE, value));
    }
    execute(engine, &commands.end(), &[object])?;
    for (at, value) in &copies {
        let what = format!("the dword at {at:#x} after {engine}, in the mapping");
        equal(what, map.read(*at as usize), *value)?;
    }
    Ok(copies)
}

/// Without snooping: mapping, GPU and CPU take turns, each told to the kernel.
fn uncached(device: &Device) -> Outcome {
    let layout = Layout::new((64, 32), Depth::Bits32, Tiling::Linear);
    let object = Object::new(device, layout.size() as u64)?;
    object.set_caching(CACHING_NONE)?;
    let (cached, combining) = (object.map(OFFSET_WB)?, object.map(OFFSET_WC)?);
    for (round, color) in (0..).zip([0x1111_2222, 0x3333_4444]) {
        let at = Rectangle {
            left: 0,
            top: round,
            width: 64,
            height: 30,
        };
        let commands = Commands::new()
            .fill(object.address, &layout, at, color)
            .end();
        execute(Engine::Blt, &commands, &[&object])?;
        let offset = layout.offset(0, 10);
        object.set_domain(DOMAIN_WC, 0)?;
        equal(
            "a pixel through write-combining",
            combining.read(offset),
            color,
        )?;
        object.set_domain(DOMAIN_CPU, DOMAIN_CPU)?;
        equal("a pixel through the cache", cached.read(offset), color)?;
        cached.write(offset, !color);
        object.set_domain(DOMAIN_WC, DOMAIN_WC)?;
        equal("what the CPU cached", combining.read(offset), !color)?;
        combining.write(offset + 4, color ^ 5);
        let copy = Commands::new().copy(
            object.address + offset as u64 + 4,
            object.address + offset as u64 + 8,
        );
        execute(Engine::Render, &copy.end(), &[&object])?;
        equal(
            "what the CPU combined, copied",
            object.dword(offset as u64 + 8)?,
            color ^ 5,
        )?;
    }
    Ok(())
}

/// The kernel has no read call for them: the pages are the program's anyway.
fn own_pages(device: &Device) -> Outcome {
    let size = 3 * PAGE;
    let pages = Mapping::anonymous(size as usize)?;
    let object = Object::of_mapping(device, &pages, 0, size)?;
    for (round, engine) in (1..).zip(Engine::ALL) {
        copied(&object, &pages, engine, round)?;
    }
    Ok(())
}
