//! Many entries in a row, as i915 6.1 clears its partition when it loads, and what comes of them.
//!
//! After `gen8_ggtt_clear_range`: eight bytes for each entry, ascending, every one with the same page.

use crate::ggtt::{self, Partition, Span};
use crate::machine::{Bar, Machine, PAGE, Page, Width};
use crate::report::{Outcome, Report, equal};

/// Entries that are written descending, each an access of its own, to compare with.
const SINGLE: u64 = 128;
/// Entries that are looked at.
const SAMPLES: u64 = 200;
/// Entries of low graphics memory that are filled with pages in turn.
const FILLED: u64 = 1500;

/// All of them.
pub fn checks(machine: &mut dyn Machine, report: &mut Report) {
    report.check("ggtt-clear", clear(machine));
    report.check("ggtt-fill", fill(machine));
}

/// Clears everything that is ours, and tells how long it took.
fn clear(machine: &mut dyn Machine) -> Outcome {
    let Partition {
        mappable,
        nonmappable,
        ..
    } = Partition::read(machine)?;
    let scratch = page(machine)?;
    let before = machine.now();
    for span in [mappable, nonmappable] {
        write(machine, span, &[scratch]);
    }
    ggtt::flush(machine);
    let seconds = (machine.now() - before).as_secs_f64();
    let entries = (mappable.size + nonmappable.size) / PAGE;
    println!("FIGURE ggtt-clear-seconds {seconds:.3} ({entries} entries)");

    let end = nonmappable.end() / PAGE;
    let before = machine.now();
    for index in (end - SINGLE..end).rev() {
        ggtt::write_entry(machine, index, ggtt::entry(scratch.frame));
    }
    let single = (machine.now() - before).as_secs_f64() / SINGLE as f64;
    println!("FIGURE ggtt-entry-single-us {:.1}", single * 1e6);
    for span in [mappable, nonmappable] {
        samples(machine, span, &[scratch])?;
    }
    // And nothing is left of it.
    for span in [mappable, nonmappable] {
        for index in span.first / PAGE..span.end() / PAGE {
            ggtt::write_entry(machine, index, 0);
        }
    }
    ggtt::flush(machine);
    let read = ggtt::read_entry(machine, mappable.first / PAGE);
    equal("present bit after clearing", read & 1, 0)
}

/// Fills low graphics memory with several pages in turn: each is behind its own entries.
fn fill(machine: &mut dyn Machine) -> Outcome {
    let mappable = Partition::read(machine)?.mappable;
    let span = Span {
        first: mappable.first,
        size: mappable.size.min(FILLED * PAGE),
    };
    let pages = [page(machine)?, page(machine)?, page(machine)?];
    for (number, page) in pages.iter().enumerate() {
        machine.write(*page, 5, 0xb01d_0000 + number as u32);
    }
    write(machine, span, &pages);
    ggtt::flush(machine);
    samples(machine, span, &pages)?;
    for step in 0..SAMPLES {
        let (index, number) = sample(span, step, pages.len());
        let seen = machine.load(Bar::Aperture, index * PAGE + 20, Width::Dword);
        let want = 0xb01d_0000 + number as u64;
        equal(&format!("memory behind entry {index:#x}"), seen, want)?;
    }
    for index in span.first / PAGE..span.end() / PAGE {
        ggtt::write_entry(machine, index, 0);
    }
    ggtt::flush(machine);
    Ok(())
}

fn page(machine: &mut dyn Machine) -> Result<Page, String> {
    machine.page().map_err(|trouble| trouble.0)
}

/// Writes all entries of a span, with these pages in turn.
fn write(machine: &mut dyn Machine, span: Span, pages: &[Page]) {
    let entries = span.first / PAGE..span.end() / PAGE;
    for (index, page) in entries.zip(pages.iter().cycle()) {
        ggtt::write_entry(machine, index, ggtt::entry(page.frame));
    }
}

/// Reads some of them back, all over the span.
fn samples(machine: &mut dyn Machine, span: Span, pages: &[Page]) -> Outcome {
    for step in 0..SAMPLES {
        let (index, number) = sample(span, step, pages.len());
        let read = ggtt::read_entry(machine, index) & !0xffe;
        let want = pages.get(number).map_or(0, |page| ggtt::entry(page.frame));
        equal(&format!("entry {index:#x}"), read, want)?;
    }
    Ok(())
}

/// An entry of the span, and which of so many pages is there.
fn sample(span: Span, step: u64, pages: usize) -> (u64, usize) {
    let place = step.wrapping_mul(0x9e37_79b9) % (span.size / PAGE);
    (span.first / PAGE + place, place as usize % pages)
}
