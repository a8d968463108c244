//! GGTT entries: our own take effect, foreign ones do not exist for us; BAR2 goes through them.

use crate::ggtt::{self, Ggtt, Partition};
use crate::hardware::GGTT_ENTRIES;
use crate::machine::{Bar, Machine, PAGE, Width};
use crate::report::{Outcome, Report, ensure, equal};

/// All of them.
pub fn checks(machine: &mut dyn Machine, report: &mut Report) {
    report.check("ggtt-own-entry", own(machine));
    report.check("ggtt-half-entries", halves(machine));
    report.check("ggtt-foreign-entry", foreign(machine));
    report.check("ggtt-foreign-frame", foreign_frame(machine));
    report.check("aperture", aperture(machine));
    report.check("aperture-foreign", aperture_foreign(machine));
}

/// The last entry of our low part, which nothing else here uses.
fn last(machine: &mut dyn Machine) -> Result<u64, String> {
    Ok(Partition::read(machine)?.mappable.end() / PAGE - 1)
}

fn own(machine: &mut dyn Machine) -> Outcome {
    let index = last(machine)?;
    let page = machine.page().map_err(|trouble| trouble.0)?;
    ggtt::write_entry(machine, index, ggtt::entry(page.frame));
    let read = ggtt::read_entry(machine, index);
    equal("entry read back", read & !0xffe, ggtt::entry(page.frame))?;
    ggtt::write_entry(machine, index, 0);
    equal(
        "present bit after clearing",
        ggtt::read_entry(machine, index) & 1,
        0,
    )
}

/// Two accesses of four bytes do what one of eight does.
fn halves(machine: &mut dyn Machine) -> Outcome {
    let index = last(machine)?;
    let at = GGTT_ENTRIES + 8 * index;
    let entry = ggtt::entry(machine.page().map_err(|trouble| trouble.0)?.frame);
    machine.store(Bar::Registers, at, Width::Dword, entry & 0xffff_ffff);
    machine.store(Bar::Registers, at + 4, Width::Dword, entry >> 32);
    let halves = [
        machine.load(Bar::Registers, at, Width::Dword),
        machine.load(Bar::Registers, at + 4, Width::Dword),
    ];
    equal(
        "entry read in halves",
        (halves[0] | halves[1] << 32) & !0xffe,
        entry,
    )?;
    equal(
        "entry read whole",
        ggtt::read_entry(machine, index) & !0xffe,
        entry,
    )?;
    ggtt::write_entry(machine, index, 0);
    Ok(())
}

/// Just outside both spans, at the ends of the whole: writes are ignored, reads are zero.
fn foreign(machine: &mut dyn Machine) -> Outcome {
    let Partition {
        mappable,
        nonmappable,
        ..
    } = Partition::read(machine)?;
    let ours = |index: u64| {
        [mappable, nonmappable]
            .iter()
            .any(|span| (span.first..span.end()).contains(&(index * PAGE)))
    };
    let entry = ggtt::entry(machine.page().map_err(|trouble| trouble.0)?.frame);
    let mut tried = 0;
    let around = [
        mappable.first,
        mappable.end(),
        nonmappable.first,
        nonmappable.end(),
    ];
    let candidates = around
        .into_iter()
        .flat_map(|edge| [edge / PAGE, (edge / PAGE).wrapping_sub(1)]);
    for index in candidates.chain([0, (8 << 20) / 8 - 1]) {
        if index >= (8 << 20) / 8 || ours(index) {
            continue;
        }
        tried += 1;
        ggtt::write_entry(machine, index, entry);
        let read = ggtt::read_entry(machine, index);
        equal(&format!("foreign entry {index:#x}"), read, 0)?;
    }
    ensure(tried > 0, || {
        "no entry is foreign: the whole GGTT is ours".into()
    })
}

/// An entry of ours that names no RAM of ours must not take the vGPU down.
fn foreign_frame(machine: &mut dyn Machine) -> Outcome {
    let index = last(machine)?;
    for frame in [0x7ff_ffff, 0xfee00, 0xfffff] {
        ggtt::write_entry(machine, index, ggtt::entry(frame));
        ggtt::flush(machine);
        let through = machine.load(Bar::Aperture, index * PAGE, Width::Dword);
        ensure(through == 0 || through == 0xffff_ffff, || {
            format!("frame {frame:#x}, which is not ours, reads {through:#x} through BAR2")
        })?;
    }
    ggtt::write_entry(machine, index, 0);
    ggtt::flush(machine);
    own(machine)
}

/// Reads and writes of memory through the aperture.
fn aperture(machine: &mut dyn Machine) -> Outcome {
    let mut table = Ggtt::new(Partition::read(machine)?);
    let page = machine.page().map_err(|trouble| trouble.0)?;
    let at = u64::from(table.map_low(machine, &[page])?);
    machine.write(page, 3, 0x0123_4567);
    equal(
        "dword read",
        machine.load(Bar::Aperture, at + 12, Width::Dword),
        0x0123_4567,
    )?;
    equal(
        "byte read",
        machine.load(Bar::Aperture, at + 14, Width::Byte),
        0x23,
    )?;
    machine.store(Bar::Aperture, at + 16, Width::Dword, 0x89ab_cdef);
    equal("dword written", machine.read(page, 4), 0x89ab_cdef)?;
    machine.store(Bar::Aperture, at + 24, Width::Qword, 0x1122_3344_5566_7788);
    equal(
        "qword written, low half",
        machine.read(page, 6),
        0x5566_7788,
    )?;
    equal(
        "qword written, high half",
        machine.read(page, 7),
        0x1122_3344,
    )?;
    machine.store(Bar::Aperture, at + 17, Width::Byte, 0x5a);
    equal("byte written", machine.read(page, 4), 0x89ab_5aef)
}

/// What is not ours reads as nothing through BAR2, and writes go nowhere.
fn aperture_foreign(machine: &mut dyn Machine) -> Outcome {
    let Partition { mappable, .. } = Partition::read(machine)?;
    let outside = if mappable.first > 0 {
        mappable.first - PAGE
    } else {
        mappable.end()
    };
    machine.store(Bar::Aperture, outside, Width::Dword, 0xdead_beef);
    let read = machine.load(Bar::Aperture, outside, Width::Dword);
    ensure(read == 0 || read == 0xffff_ffff, || {
        format!("{outside:#x}, outside the partition, reads {read:#x} through BAR2")
    })
}
