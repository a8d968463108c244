//! Page tables that the device may trust after a while: changed late, in odd ways, and reused.
//!
//! A mediator may write-protect tables that have not changed for some submissions. Whatever it does,
//! a store into a table counts from the next submission on, and a page that is no table any more is
//! ordinary memory at once. Nobody is told of either, as i915 tells nobody.

use crate::checks::Workshop;
use crate::commands::Commands;
use crate::context::Context;
use crate::driver::Driver;
use crate::hardware::{BCS, Engine, RCS};
use crate::machine::{Machine, PAGE, Page, Width};
use crate::ppgtt::Ppgtt;
use crate::report::{Outcome, Report, equal};

/// Submissions after which tables are trusted by any that trusts them.
const QUIET: u32 = 12;

/// A way to write an entry.
type Write = fn(&mut dyn Machine, Page, u64, u64);

/// All of them.
pub fn checks(workshop: &mut Workshop, report: &mut Report) {
    let ways: [(&str, Engine, Write); 4] = [
        ("qword", RCS, qword),
        ("dwords", BCS, dwords),
        ("bytes", RCS, bytes),
        ("string", BCS, string),
    ];
    for (name, engine, write) in ways {
        report.check(
            &format!("trusted-table-{name}"),
            changed(&mut workshop.driver, engine, write),
        );
    }
    report.check("trusted-table-reused", reused(&mut workshop.driver));
}

fn qword(machine: &mut dyn Machine, table: Page, index: u64, entry: u64) {
    machine.store_own(table, index * 8, Width::Qword, entry);
}

fn dwords(machine: &mut dyn Machine, table: Page, index: u64, entry: u64) {
    machine.store_own(table, index * 8 + 4, Width::Dword, entry >> 32);
    machine.store_own(table, index * 8, Width::Dword, entry & 0xffff_ffff);
}

/// Unaligned words and bytes, over both ends of the entry, which is empty on either side.
fn bytes(machine: &mut dyn Machine, table: Page, index: u64, entry: u64) {
    machine.store_own(table, index * 8 - 1, Width::Word, entry << 8 & 0xff00);
    machine.store_own(table, index * 8 + 1, Width::Qword, entry >> 8);
}

/// The same entry everywhere, with one string instruction.
fn string(machine: &mut dyn Machine, table: Page, _: u64, entry: u64) {
    machine.fill_own(table, entry);
}

/// An address space of our own with one page mapped, and tables that are trusted by now.
fn quiet<'m>(
    driver: &mut Driver<'m>,
    engine: Engine,
) -> Result<(Ppgtt, Context, u64, Page), String> {
    let text = |trouble: crate::machine::Trouble| trouble.0;
    let mut space = Ppgtt::new(driver.machine).map_err(text)?;
    let mut context = driver.context(engine, space.root())?;
    // Entry 3, so that its neighbours are empty.
    let page = driver.machine.page().map_err(text)?;
    space.skip(3);
    let address = space.map(driver.machine, &[page])?;
    for round in 0..QUIET {
        let value = 0x100 + round;
        driver.run(
            &mut context,
            Commands::new().store_dword(false, address, value),
        )?;
        equal(
            "stored while nothing changes",
            driver.machine.read(page, 0),
            value,
        )?;
    }
    Ok((space, context, address, page))
}

/// An entry of a trusted table leads to another page: the next request stores there.
fn changed(driver: &mut Driver, engine: Engine, write: Write) -> Outcome {
    let (space, mut context, address, first) = quiet(driver, engine)?;
    let mut value = driver.machine.read(first, 0);
    let mut last = first;
    // A second time at once, and then with the table quiet again.
    for rounds in [1, QUIET, 1] {
        let page = driver.machine.page().map_err(|trouble| trouble.0)?;
        write(
            driver.machine,
            space.table(),
            space.index(address),
            space.entry(page),
        );
        let before = value;
        for _ in 0..rounds {
            value += 1;
            let store = Commands::new().store_dword(false, address, value);
            driver.run(&mut context, store)?;
            equal("in the new page", driver.machine.read(page, 0), value)?;
        }
        equal("in the old page", driver.machine.read(last, 0), before)?;
        last = page;
    }
    Ok(())
}

/// A table is replaced, and its page becomes data of CPU and GPU.
fn reused(driver: &mut Driver) -> Outcome {
    let (mut space, mut context, address, page) = quiet(driver, BCS)?;
    let old = space
        .replace_table(driver.machine)
        .map_err(|trouble| trouble.0)?;
    driver.machine.fill_own(old, 0x1111_2222_3333_4444);
    for width in Width::ALL {
        // One at the end of each, aligned to nothing.
        driver
            .machine
            .store_own(old, PAGE - 21 - width.bytes(), width, 0);
    }
    equal("filled", driver.machine.read(old, 0), 0x3333_4444)?;
    equal("filled", driver.machine.read(old, 5), 0x1111_2222)?;
    equal("cleared", driver.machine.read(old, 0x3f9), 0)?;
    let data = space.map(driver.machine, &[old])?;
    let stores = Commands::new()
        .store_dword(false, data + 8, 0x5555_6666)
        .store_dword(false, address, 0x7777);
    driver.run(&mut context, stores)?;
    equal("the GPU's", driver.machine.read(old, 2), 0x5555_6666)?;
    equal("the CPU's", driver.machine.read(old, 3), 0x1111_2222)?;
    equal("elsewhere", driver.machine.read(page, 0), 0x7777)
}
