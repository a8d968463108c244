//! Register accesses of every width, alignment and address.

use crate::ggtt::Partition;
use crate::hardware::*;
use crate::machine::{Bar, Machine, Width};
use crate::report::{Outcome, Report, ensure, equal};

/// All of them.
pub fn checks(machine: &mut dyn Machine, report: &mut Report) {
    report.check("pvinfo", pvinfo(machine));
    report.check("mmio-widths", widths(machine));
    report.check("mmio-partial-writes", partial_writes(machine));
    report.check("mmio-pvinfo-read-only", read_only(machine));
    report.check("mmio-nowhere", nowhere(machine));
    report.check("mmio-privileged-slot", privileged_slot(machine));
}

fn load(machine: &mut dyn Machine, offset: u64, width: Width) -> u64 {
    machine.load(Bar::Registers, offset, width)
}

fn pvinfo(machine: &mut dyn Machine) -> Outcome {
    equal("magic", load(machine, PVINFO, Width::Qword), PVINFO_MAGIC)?;
    equal(
        "version_major",
        load(machine, PVINFO_VERSION, Width::Word),
        1,
    )?;
    equal(
        "version_minor",
        load(machine, PVINFO_VERSION + 2, Width::Word),
        0,
    )?;
    let caps = load(machine, PVINFO_CAPS, Width::Dword) as u32;
    equal(
        "caps that i915 insists on",
        caps & PVINFO_CAPS_NEEDED,
        PVINFO_CAPS_NEEDED,
    )?;
    let Partition {
        mappable,
        nonmappable,
        fences,
    } = Partition::read(machine)?;
    let page = 4096;
    for span in [mappable, nonmappable] {
        ensure(
            span.size > 0 && span.first % page == 0 && span.size % page == 0,
            || format!("span {span:x?} is empty or not of pages"),
        )?;
    }
    ensure(
        mappable.end() <= nonmappable.first && nonmappable.end() <= 1 << 32,
        || format!("low {mappable:x?} and high {nonmappable:x?} are not apart and below 4 GiB"),
    )?;
    ensure((1..=32).contains(&fences), || format!("{fences} fences"))
}

/// The magic's eight bytes and what follows, read in every way there is.
fn widths(machine: &mut dyn Machine) -> Outcome {
    let mut bytes = Vec::new();
    for offset in 0..24 {
        bytes.push(load(machine, PVINFO + offset, Width::Byte) as u8);
    }
    ensure(bytes.starts_with(&PVINFO_MAGIC.to_le_bytes()), || {
        format!("the magic, byte by byte, is {bytes:02x?}")
    })?;
    for width in [Width::Word, Width::Dword, Width::Qword] {
        // Every alignment, across dwords and qwords.
        for offset in 0..16 {
            let parts = bytes.iter().skip(offset).take(width.bytes() as usize);
            let want = parts
                .rev()
                .fold(0, |value, byte| value << 8 | u64::from(*byte));
            let got = load(machine, PVINFO + offset as u64, width);
            equal(
                &format!("{} bytes at {offset:#x} of PVINFO", width.bytes()),
                got,
                want,
            )?;
        }
    }
    Ok(())
}

/// A narrow write changes its bytes and no others; one across two registers changes both.
fn partial_writes(machine: &mut dyn Machine) -> Outcome {
    let register = RCS.base + RING_HWSTAM;
    let before = load(machine, register, Width::Dword);
    let outcome = (|| {
        machine.store(Bar::Registers, register, Width::Dword, 0x1122_3344);
        machine.store(Bar::Registers, register + 1, Width::Byte, 0xaa);
        equal(
            "after a byte",
            load(machine, register, Width::Dword),
            0x1122_aa44,
        )?;
        machine.store(Bar::Registers, register + 2, Width::Word, 0xbbcc);
        equal(
            "after a word",
            load(machine, register, Width::Dword),
            0xbbcc_aa44,
        )
    })();
    machine.store(Bar::Registers, register, Width::Dword, before);
    outcome
}

/// What PVINFO says cannot be written away.
fn read_only(machine: &mut dyn Machine) -> Outcome {
    for offset in [0x00, 0x04, 0x08, 0x10, 0x40, 0x44, 0x48, 0x4c, 0x50] {
        let before = load(machine, PVINFO + offset, Width::Dword);
        machine.store(
            Bar::Registers,
            PVINFO + offset,
            Width::Dword,
            !before & 0xffff_ffff,
        );
        let after = load(machine, PVINFO + offset, Width::Dword);
        equal(&format!("PVINFO {offset:#x}"), after, before)?;
    }
    Ok(())
}

/// Offsets where no register is: a defined answer, twice the same, whatever was written.
fn nowhere(machine: &mut dyn Machine) -> Outcome {
    // The register space's last bytes, the reserved gap up to the entries, an unused block.
    for offset in [0x1f_fffc, 0x20_0000, 0x40_0003, 0x7f_fff8, 0x17_0001] {
        for width in Width::ALL {
            let first = load(machine, offset, width);
            machine.store(
                Bar::Registers,
                offset,
                width,
                0x5a5a_5a5a_5a5a_5a5a & width.mask(),
            );
            let again = load(machine, offset, width);
            equal(
                &format!("{} bytes at {offset:#x}", width.bytes()),
                again,
                first,
            )?;
            ensure(first == 0 || first == width.mask(), || {
                format!("{} bytes at {offset:#x} read {first:#x}", width.bytes())
            })?;
        }
    }
    Ok(())
}

/// A FORCE_TO_NONPRIV slot must not open a register that guests may not have.
fn privileged_slot(machine: &mut dyn Machine) -> Outcome {
    let slot = RCS.base + FORCE_TO_NONPRIV + 4 * 11;
    for register in [RCS.base + RING_MODE, RCS.base + RING_HWS_PGA, GDRST] {
        machine.store(Bar::Registers, slot, Width::Dword, register);
        let held = load(machine, slot, Width::Dword);
        ensure(held & 0x03ff_fffc != register, || {
            format!("a slot holds {held:#x}, a privileged register")
        })?;
    }
    Ok(())
}
