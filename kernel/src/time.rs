//! Monotonic nanoseconds from the TSC.
//!
//! The TSC runs at the rate that Xen's CPUID leaves, the processor or a measurement gives; Xen
//! keeps the TSC of a domain at that rate, by emulation where the hardware cannot. Xen's own
//! system time is another clock, in which hypercalls take their time-outs: `wiring/xen.rs`.

mod tsc;

use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;
use xen::time::Scale;

pub use tsc::{RateSource, read as cycles};

/// A calibrated TSC.
#[derive(Debug, Clone, Copy)]
struct Tsc {
    start: u64,
    scale: Scale,
}

static TSC: Once<Tsc> = Once::new();
/// The latest time ever told.
static LATEST: AtomicU64 = AtomicU64::new(0);

/// Finds the TSC's rate and starts the clock at 0. Call once. Returns the rate in hertz and where
/// it is from, for the boot log.
pub fn init(xen_leaves: Option<u32>) -> (u64, RateSource) {
    let (hertz, source) = tsc::rate(xen_leaves);
    TSC.call_once(|| Tsc {
        start: tsc::read(),
        scale: Scale::of_frequency(hertz),
    });
    (hertz, source)
}

/// The time when [`refresh`] was last called.
static RECENT: AtomicU64 = AtomicU64::new(0);

/// Reads the clock once for everything that happens until the next call. Where Xen emulates the TSC
/// each reading is an exit, which costs more than all the rest of serving an access.
pub fn refresh() {
    RECENT.store(now(), Ordering::Relaxed);
}

/// The time of this round of the event loop.
pub fn recent() -> u64 {
    RECENT.load(Ordering::Relaxed)
}

/// Nanoseconds since start; 0 before [`init`]. Never less than it ever was.
pub fn now() -> u64 {
    let Some(tsc) = TSC.get() else {
        return 0;
    };
    let time = tsc.scale.nanoseconds(tsc::read().saturating_sub(tsc.start));
    time.max(LATEST.fetch_max(time, Ordering::Relaxed))
}
