//! A register read answered by the service domain against one answered by QEMU in Dom0.
//!
//! The same loop on both, in turns, so that what else runs on the machine hits both alike. The
//! other register is CTRL of an emulated e1000 (BAR0 offset 0) at 00:06.0, or, where there is
//! none, the first dword of the Xen platform device's BAR1 at 00:03.0.

use std::time::Instant;

use crate::hardware::{RCS, RING_HWS_PGA};
use crate::linux::Linux;
use crate::machine::{Bar, Machine, Width};
use crate::report::{Outcome, ensure};

const ROUNDS: usize = 21;

/// Runs the loops and prints the ratio of the medians.
pub fn bench(linux: &mut Linux, reads: u32) -> Outcome {
    let others = ["0000:00:06.0/resource0", "0000:00:03.0/resource1"];
    let found = others.iter().find_map(|path| {
        linux
            .other(&format!("/sys/bus/pci/devices/{path}"))
            .ok()
            .map(|mapping| (path, mapping))
    });
    let (name, mut other) =
        found.ok_or_else(|| format!("none of {others:?} is there to compare with"))?;
    ensure(reads > 0, || "no reads asked for".into())?;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(nanoseconds(reads, || {
            linux.load(Bar::Registers, RCS.base + RING_HWS_PGA, Width::Dword)
        }));
        theirs.push(nanoseconds(reads, || other.load(0, Width::Dword)));
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("FIGURE mmio-read-service-ns {ours:.0}");
    println!("FIGURE mmio-read-qemu-ns {theirs:.0} ({name})");
    println!("FIGURE mmio-read-ratio {:.3}", ours / theirs);
    Ok(())
}

fn nanoseconds(reads: u32, mut read: impl FnMut() -> u64) -> f64 {
    let start = Instant::now();
    for _ in 0..reads {
        core::hint::black_box(read());
    }
    start.elapsed().as_nanos() as f64 / f64::from(reads)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
