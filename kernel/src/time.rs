//! Monotonic nanoseconds from the TSC, and the way to Xen's system time.
//!
//! The clock is the TSC at the rate that Xen's CPUID leaves, the processor or a measurement gives.
//! Xen keeps the TSC of a domain at that rate, by emulation where the hardware cannot.
//!
//! Xen also writes a `vcpu_time_info` into the shared page: version (odd while it is being
//! written), TSC at that moment, system time then, and the scale from there (`public/xen.h`). It
//! is used for the time-outs of hypercalls only: in the first second of a PVH Dom0 its TSC moment
//! lies in our future, until Xen's calibration rewrites it (seen on 4.20). A time-out that is too
//! short for that reason wakes us early, which does no harm; a clock that stands still for a
//! second and then jumps would.
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
    let Some(tsc) = TSC.get() else {
        return 0;
    };
    let time = tsc.scale.nanoseconds(tsc::read().saturating_sub(tsc.start));
    time.max(LATEST.fetch_max(time, Ordering::Relaxed))
}

/// Makes Xen's system time known to [`to_xen`].
///
/// # Safety
/// `record` is the `vcpu_time_info` of the vCPU that runs all of this, in a shared page that stays
/// mapped; Xen alone writes it.
pub unsafe fn use_xen(record: *const XenTimeRecord) {
    XEN.store(record.cast_mut(), Ordering::Relaxed);
}

/// A time of ours as Xen's system time, for the time-outs of hypercalls; unchanged without Xen.
pub fn to_xen(time: u64) -> u64 {
    match xen_time() {
        // Two steps: `time` may lie before now, and Xen's clock below ours.
        Some(xen) => xen.saturating_add(time).saturating_sub(now()),
        None => time,
    }
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
        // Xen's stamp can lie before this domain's TSC was zero, and then has wrapped.
        let cycles = tsc::read()
            .wrapping_sub(copy.tsc_timestamp)
            .cast_signed()
            .max(0);
        Some(
            copy.system_time
                .wrapping_add(scale.nanoseconds(cycles.cast_unsigned())),
        )
    })
}
