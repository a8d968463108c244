//! Configuration space: who the device is, and that it stays so whatever is written.

use crate::driver::find_capability;
use crate::machine::{Machine, Width};
use crate::report::{Outcome, Report, ensure, equal};

const MEMORY_AND_MASTER: u32 = 0x6;

/// All of them.
pub fn checks(machine: &mut dyn Machine, report: &mut Report) {
    report.check("pci-identity", identity(machine));
    report.check("pci-message-capability", message_capability(machine));
    report.check("pci-read-only", read_only(machine));
    report.check("pci-bar-sizes", bar_sizes(machine));
    report.check("pci-partial-accesses", partial(machine));
    report.check("pci-no-stolen-memory", graphics_control(machine));
}

fn identity(machine: &mut dyn Machine) -> Outcome {
    equal(
        "vendor and device",
        machine.config(0x00, Width::Dword),
        0x5916_8086,
    )?;
    // VGA or another display controller: i915 takes both.
    equal(
        "base class (display)",
        machine.config(0x0b, Width::Byte),
        0x03,
    )?;
    equal("header type", machine.config(0x0e, Width::Byte), 0)?;
    equal(
        "BAR0's kind (64-bit memory)",
        machine.config(0x10, Width::Dword) & 0xf,
        0x4,
    )?;
    equal(
        "BAR2's kind (64-bit prefetchable)",
        machine.config(0x18, Width::Dword) & 0xf,
        0xc,
    )
}

fn message_capability(machine: &mut dyn Machine) -> Outcome {
    let at = find_capability(machine, 0x05).ok_or("no MSI capability in the list")?;
    let control = machine.config(at + 2, Width::Word);
    equal("vectors offered (bits 3:1)", control >> 1 & 7, 0)?;
    // Runtime power management would follow from this one.
    ensure(find_capability(machine, 0x01).is_none(), || {
        "there is a PM capability".into()
    })
}

/// Writes all ones and all zeros to what must not change.
fn read_only(machine: &mut dyn Machine) -> Outcome {
    let offsets = [0x00, 0x08, 0x0c, 0x28, 0x2c, 0x34, 0x50, 0x5c];
    for offset in offsets {
        let before = machine.config(offset, Width::Dword);
        // Cache line size (0x0c) is writable in hardware; its value is nobody's business.
        let fixed = if offset == 0x0c { 0x00ff_0000 } else { !0 };
        for value in [!0, 0] {
            machine.set_config(offset, Width::Dword, value);
            let after = machine.config(offset, Width::Dword);
            let outcome = equal(
                &format!("config {offset:#x}"),
                after & fixed,
                before & fixed,
            );
            machine.set_config(offset, Width::Dword, before);
            outcome?;
        }
    }
    Ok(())
}

/// The sizing protocol: decoding off, all ones, read back, restore.
fn bar_sizes(machine: &mut dyn Machine) -> Outcome {
    let command = machine.config(0x04, Width::Word);
    machine.set_config(0x04, Width::Word, command & !MEMORY_AND_MASTER);
    let mut size = |offset: u64| {
        let before = machine.config(offset, Width::Dword);
        machine.set_config(offset, Width::Dword, !0);
        let answer = machine.config(offset, Width::Dword) & !0xf;
        machine.set_config(offset, Width::Dword, before);
        let upper = machine.config(offset + 4, Width::Dword);
        machine.set_config(offset + 4, Width::Dword, !0);
        let upper_answer = machine.config(offset + 4, Width::Dword);
        machine.set_config(offset + 4, Width::Dword, upper);
        (answer, upper_answer)
    };
    let (registers, aperture) = (size(0x10), size(0x18));
    machine.set_config(0x04, Width::Word, command);
    equal("BAR0's size mask (16 MiB)", registers.0, 0xff00_0000)?;
    equal("BAR0's upper half", registers.1, !0)?;
    equal("BAR2's upper half", aperture.1, !0)?;
    ensure(
        aperture.0 != 0 && aperture.0.leading_ones() + aperture.0.trailing_zeros() == 32,
        || format!("BAR2's size mask is {:#x}", aperture.0),
    )
}

/// Bytes and words of a dword are its parts, and a byte written leaves its neighbours alone.
fn partial(machine: &mut dyn Machine) -> Outcome {
    let whole = machine.config(0x00, Width::Dword);
    for offset in 0..4 {
        let byte = machine.config(offset, Width::Byte);
        equal(
            &format!("config byte {offset}"),
            byte,
            whole >> (8 * offset) & 0xff,
        )?;
    }
    for offset in [0, 2] {
        let word = machine.config(offset, Width::Word);
        equal(
            &format!("config word {offset}"),
            word,
            whole >> (8 * offset) & 0xffff,
        )?;
    }
    // Interrupt line: eight bits of scratch in every PCI device.
    let line = machine.config(0x3c, Width::Dword);
    machine.set_config(0x3c, Width::Byte, 0x5a);
    let changed = machine.config(0x3c, Width::Dword);
    machine.set_config(0x3c, Width::Byte, line & 0xff);
    equal(
        "interrupt line and its neighbours",
        changed,
        line & !0xff | 0x5a,
    )
}

/// GMCH_CTL: GGMS tells the GGTT's size, GMS (stolen memory) must be none.
fn graphics_control(machine: &mut dyn Machine) -> Outcome {
    let control = machine.config(0x50, Width::Word);
    equal("GMS, bits 15:8 of 0x50", control >> 8, 0)?;
    ensure(control >> 6 & 3 != 0, || {
        format!("GGMS, bits 7:6 of 0x50, says no GGTT: {control:#x}")
    })
}
