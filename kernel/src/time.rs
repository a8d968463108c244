//! Monotonic nanoseconds, from Xen's time record or the calibrated TSC.
//!
//! Xen writes a `vcpu_time_info` into the shared page: version (odd while it is being written),
//! TSC at that moment, system time then, and the scale from there (`public/xen.h`). Without Xen
//! the TSC's rate comes from CPUID, or is measured against the PIT.
#![expect(
    unsafe_code,
    reason = "the TSC, the PIT's ports and Xen's record in shared memory"
)]

mod scale;
mod tsc;

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use spin::Once;

use scale::Scale;
pub use tsc::RateSource;

/// `struct vcpu_time_info`, 32 bytes.
#[repr(C)]
pub struct XenTimeRecord {
    version: u32,
    pad: u32,
    tsc_timestamp: u64,
    system_time: u64,
    tsc_to_system_mul: u32,
    tsc_shift: i8,
    flags: u8,
    pad1: [u8; 2],
}

/// A calibrated TSC.
#[derive(Debug, Clone, Copy)]
struct Tsc {
    start: u64,
    scale: Scale,
}

static TSC: Once<Tsc> = Once::new();
static XEN: AtomicPtr<XenTimeRecord> = AtomicPtr::new(ptr::null_mut());
/// What to add to Xen's system time to get ours.
static XEN_OFFSET: AtomicU64 = AtomicU64::new(0);
/// The latest time ever told.
static LATEST: AtomicU64 = AtomicU64::new(0);

/// Tries to read a consistent record; Xen writes it in nanoseconds.
const TRIES: u32 = 1000;

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

/// Nanoseconds since start; 0 before [`init`]. Never less than it ever was.
pub fn now() -> u64 {
    let time = xen_time()
        .map(|time| time.wrapping_add(XEN_OFFSET.load(Ordering::Relaxed)))
        .or_else(tsc_time)
        .unwrap_or(0);
    time.max(LATEST.fetch_max(time, Ordering::Relaxed))
}

/// Goes on with Xen's clock, from the present moment.
///
/// # Safety
/// `record` is the `vcpu_time_info` of the vCPU that runs all of this, in a shared page that stays
/// mapped; Xen alone writes it.
pub unsafe fn use_xen(record: *const XenTimeRecord) {
    let before = now();
    XEN.store(record.cast_mut(), Ordering::Relaxed);
    match xen_time() {
        Some(time) => XEN_OFFSET.store(before.wrapping_sub(time), Ordering::Relaxed),
        None => XEN.store(ptr::null_mut(), Ordering::Relaxed),
    }
}

/// Our time as Xen's system time, for the time-outs of hypercalls.
pub fn to_xen(time: u64) -> u64 {
    time.wrapping_sub(XEN_OFFSET.load(Ordering::Relaxed))
}

fn tsc_time() -> Option<u64> {
    let tsc = TSC.get()?;
    Some(tsc.scale.nanoseconds(tsc::read().saturating_sub(tsc.start)))
}

/// Xen's system time; `None` without a record or with one that never becomes consistent.
fn xen_time() -> Option<u64> {
    let record = XEN.load(Ordering::Relaxed);
    if record.is_null() {
        return None;
    }
    (0..TRIES).find_map(|_| {
        // SAFETY: `use_xen` was promised a live record; volatile, because Xen writes it.
        let before = unsafe { (&raw const (*record).version).read_volatile() };
        core::sync::atomic::fence(Ordering::Acquire);
        // SAFETY: as above.
        let copy = unsafe { record.read_volatile() };
        core::sync::atomic::fence(Ordering::Acquire);
        // SAFETY: as above.
        let after = unsafe { (&raw const (*record).version).read_volatile() };
        if before != after || before & 1 != 0 || before == 0 {
            return None;
        }
        let scale = Scale {
            multiplier: copy.tsc_to_system_mul,
            shift: copy.tsc_shift,
        };
        let cycles = tsc::read().saturating_sub(copy.tsc_timestamp);
        Some(copy.system_time.wrapping_add(scale.nanoseconds(cycles)))
    })
}
