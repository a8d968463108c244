//! All checks in their order: what must work, what must be refused, what must still work then.

mod bars;
mod bulk;
mod ggtt;
mod pci;
mod refused;
mod registers;
mod submission;
mod tables;
mod workshop;

pub use workshop::Workshop;

use crate::driver::Driver;
use crate::machine::Machine;
use crate::report::Report;

/// Everything; true if all passed.
pub fn all(machine: &mut dyn Machine, report: &mut Report) {
    pci::checks(machine, report);
    bars::checks(machine, report);
    registers::checks(machine, report);
    ggtt::checks(machine, report);
    bulk::checks(machine, report);
    with_workshop(machine, report, |workshop, report| {
        submission::checks(workshop, report);
        tables::checks(workshop, report);
        refused::checks(workshop, report);
        submission::still_good(workshop, report, "after-refusals");
        report.check("pages-stayed", workshop.pages_stayed());
    });
}

/// Only work that must be done.
#[cfg(test)]
pub fn work(machine: &mut dyn Machine, report: &mut Report) {
    with_workshop(machine, report, |workshop, report| {
        submission::checks(workshop, report);
        tables::checks(workshop, report);
    });
}

/// Only what must be refused, over and over: the bad neighbour of a guest that draws.
pub fn misbehave(machine: &mut dyn Machine, report: &mut Report, rounds: u32) {
    with_workshop(machine, report, |workshop, report| {
        for _ in 0..rounds {
            refused::checks(workshop, report);
        }
        report.check("pages-stayed", workshop.pages_stayed());
    });
}

fn with_workshop(
    machine: &mut dyn Machine,
    report: &mut Report,
    work: impl FnOnce(&mut Workshop, &mut Report),
) {
    let workshop = Driver::start(machine).and_then(Workshop::new);
    match workshop {
        Ok(mut workshop) => {
            report.check("driver-start", Ok(()));
            work(&mut workshop, report);
        }
        Err(why) => report.check("driver-start", Err(why)),
    }
}
