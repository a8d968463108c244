//! BARs switched off and on and moved, as a kernel does half a dozen times while it boots.

use crate::hardware::{PVINFO, PVINFO_MAGIC};
use crate::machine::{Bar, Machine, Trouble, Width};
use crate::report::{Outcome, Report, equal};

/// How often.
const TIMES: u32 = 6;
/// Lower half of the magic.
const MAGIC: u32 = PVINFO_MAGIC as u32;
/// Size of BAR0.
const SIZE: u64 = 16 << 20;
/// COMMAND bit 1.
const MEMORY: u32 = 1 << 1;

/// All of them.
pub fn checks(machine: &mut dyn Machine, report: &mut Report) {
    report.check("bar-off-and-on", off_and_on(machine));
    report.check("bar-moved", moved(machine));
    report.check("bar-over-ram", over_ram(machine));
    report.check("bar-misplaced", misplaced(machine));
}

fn magic(machine: &mut dyn Machine) -> u32 {
    machine.load(Bar::Registers, PVINFO, Width::Dword) as u32
}

fn decode(machine: &mut dyn Machine, on: bool) {
    let command = machine.config(0x04, Width::Word) & !MEMORY;
    machine.set_config(0x04, Width::Word, command | if on { MEMORY } else { 0 });
}

fn place(machine: &mut dyn Machine, address: u64) {
    machine.set_config(0x10, Width::Dword, address as u32);
    machine.set_config(0x14, Width::Dword, (address >> 32) as u32);
}

fn placed(machine: &mut dyn Machine) -> u64 {
    let low = machine.config(0x10, Width::Dword) & !0xf;
    u64::from(low) | u64::from(machine.config(0x14, Width::Dword)) << 32
}

fn off_and_on(machine: &mut dyn Machine) -> Outcome {
    for _ in 0..TIMES {
        decode(machine, false);
        let off = magic(machine);
        decode(machine, true);
        equal("PVINFO with decoding off", off, !0)?;
        equal("PVINFO with decoding on again", magic(machine), MAGIC)?;
    }
    // Switching on what is on must change nothing.
    decode(machine, true);
    equal("PVINFO with decoding on twice", magic(machine), MAGIC)
}

fn moved(machine: &mut dyn Machine) -> Outcome {
    let home = placed(machine);
    let outcome = free(machine).and_then(|away| {
        for _ in 0..TIMES {
            decode(machine, false);
            place(machine, away);
            decode(machine, true);
            let there = machine.load_physical(away + PVINFO).map_err(text)?;
            equal("PVINFO at the new place", there, MAGIC)?;
            equal("PVINFO at the old place", magic(machine), !0)?;
            decode(machine, false);
            place(machine, home);
            decode(machine, true);
            equal("PVINFO back at home", magic(machine), MAGIC)?;
        }
        Ok(())
    });
    // Whatever happened, the next check finds the device where it was.
    decode(machine, false);
    place(machine, home);
    decode(machine, true);
    outcome
}

fn free(machine: &mut dyn Machine) -> Result<u64, String> {
    machine.free_range(SIZE).map_err(text)
}

fn text(trouble: Trouble) -> String {
    trouble.0
}

/// RAM wins over a BAR laid on top of it; what counts is that the device survives it.
fn over_ram(machine: &mut dyn Machine) -> Outcome {
    let home = placed(machine);
    let ram = machine.ram_address(SIZE).map_err(text)?;
    decode(machine, false);
    place(machine, ram);
    decode(machine, true);
    let gone = magic(machine);
    decode(machine, false);
    place(machine, home);
    decode(machine, true);
    equal(
        "PVINFO at the old place while the BAR lay over RAM",
        gone,
        !0,
    )?;
    equal("PVINFO back at home", magic(machine), MAGIC)
}

/// Addresses where no BAR can be: zero, below the top of the address space, above Xen's limit.
fn misplaced(machine: &mut dyn Machine) -> Outcome {
    let home = placed(machine);
    for address in [0, 0xff00_0000, 1 << 52, !0xf] {
        decode(machine, false);
        place(machine, address);
        decode(machine, true);
        let _survived = machine.config(0x00, Width::Dword);
    }
    decode(machine, false);
    place(machine, home);
    decode(machine, true);
    equal("PVINFO back at home", magic(machine), MAGIC)
}
