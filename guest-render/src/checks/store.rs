//! The simplest thing every engine can do: store a number where the CPU sees it.

use crate::abi::object::OFFSET_WB;
use crate::commands::Commands;
use crate::device::Device;
use crate::engine::Engine;
use crate::object::{Object, PAGE};
use crate::report::{Outcome, Report, equal};
use crate::submission::run as execute;

/// All of them, on every engine.
pub fn run(report: &mut Report) {
    for engine in Engine::ALL {
        report.check(
            format_args!("a-store-on-{engine}-reaches-memory"),
            move |device| store(device, engine),
        );
        report.check(
            format_args!("a-flush-on-{engine}-stores-behind-it"),
            move |device| flush(device, engine),
        );
        report.check(
            format_args!("a-store-by-index-on-{engine}-is-done"),
            move |device| by_index(device, engine),
        );
        report.check(
            format_args!("an-empty-batch-on-{engine}-is-done"),
            move |device| {
                let page = Object::new(device, PAGE)?;
                execute(engine, &Commands::new().end(), &[&page])
            },
        );
    }
}

/// Two pages, so that the last dword of one and the first of the other are told apart.
fn store(device: &Device, engine: Engine) -> Outcome {
    let pages = Object::new(device, 2 * PAGE)?;
    let map = pages.map(OFFSET_WB)?;
    let places = [0, 0x44, PAGE - 4, PAGE, 2 * PAGE - 4];
    let value = |at: u64| 0xc0de_0000 | at as u32;
    let mut commands = Commands::new();
    for at in places {
        commands = commands.store(pages.address + at, value(at));
    }
    let wide = 0x1122_3344_5566_7788;
    commands = commands.store_wide(pages.address + 0x800, wide);
    execute(engine, &commands.end(), &[&pages])?;
    for at in (0..2 * PAGE).step_by(4) {
        let want = match at {
            0x800 => wide as u32,
            0x804 => (wide >> 32) as u32,
            _ if places.contains(&at) => value(at),
            _ => 0,
        };
        equal(
            format_args!("the dword at {at:#x}"),
            map.read(at as usize),
            want,
        )?;
    }
    Ok(())
}

/// Into the context's own status page, which no program sees; gem_wsim does it, to pass time.
fn by_index(device: &Device, engine: Engine) -> Outcome {
    let page = Object::new(device, PAGE)?;
    let commands = Commands::new()
        .store_by_index(0x800, 0x1d)
        .store(page.address, 0x5708);
    execute(engine, &commands.end(), &[&page])?;
    equal("the store behind it", page.dword(0)?, 0x5708)
}

fn flush(device: &Device, engine: Engine) -> Outcome {
    let page = Object::new(device, PAGE)?;
    let value = 0x0123_4567_89ab_cdef;
    let commands = Commands::new()
        .store(page.address + 0x10, 0x1111)
        .flush_and_store(engine, page.address + 0x18, value);
    execute(engine, &commands.end(), &[&page])?;
    equal("the store before the flush", page.dword(0x10)?, 0x1111)?;
    equal("the lower half", page.dword(0x18)?, value as u32)?;
    equal("the upper half", page.dword(0x1c)?, (value >> 32) as u32)?;
    equal("the dword behind it", page.dword(0x20)?, 0)
}
