//! The TSC and how fast it runs.
//!
//! CPUID: Xen's leaf base + 3, sub-leaf 0, ecx in kHz (`public/arch-x86/cpuid.h`); KVM's and
//! VMware's 0x40000010, eax in kHz; 0x15, crystal and ratio; 0x16, eax in MHz (Intel SDM volume 2A).
//! Else the PIT, whose channel 0 counts down at 1193182 Hz.
#![expect(unsafe_code, reason = "rdtsc and the PIT's ports")]

use core::arch::x86_64::{__cpuid, __cpuid_count, _rdtsc};
use core::fmt;

use x86_64::instructions::port::Port;

const PIT_HERTZ: u64 = 1_193_182;
/// Length of one measurement, PIT counts: 2.5 ms.
const PIT_COUNTS: u16 = (PIT_HERTZ / 400) as u16;
/// Measurements at most, and the part of a rate by which two may differ that are both right.
const MEASUREMENTS: u32 = 8;
const ALIKE: u64 = 500;
/// Looks at a PIT that does not count before it is taken for absent.
const PIT_PATIENCE: u32 = 2_500;
/// Readings of it for one moment.
const MOMENT_READINGS: u32 = 4;
/// Channel 0, low byte then high byte, mode 0 (count down once), binary.
const PIT_START: u8 = 0b0011_0000;
/// Channel 0, hold the count until it is read.
const PIT_LATCH: u8 = 0b0000_0000;

/// Rates that a processor of this kind can have.
const PLAUSIBLE: core::ops::Range<u64> = 100_000_000..20_000_000_000;
/// Taken when nothing tells.
const ASSUMED: u64 = 2_000_000_000;

/// Where the TSC's rate is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateSource {
    /// Xen's CPUID leaves.
    Xen,
    /// Another hypervisor's CPUID leaf 0x40000010.
    Hypervisor,
    /// CPUID leaf 0x15 or 0x16.
    Processor,
    /// Measured against the PIT.
    Pit,
    /// Nothing tells: times are proportional, not right.
    Assumed,
}

impl fmt::Display for RateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xen => "Xen's CPUID",
            Self::Hypervisor => "the hypervisor's CPUID",
            Self::Processor => "CPUID",
            Self::Pit => "measured against the PIT",
            Self::Assumed => "assumed, for want of any source",
        })
    }
}

/// The counter.
pub fn read() -> u64 {
    // SAFETY: every 64-bit processor has it, and nothing here forbids it (CR4.TSD is clear).
    unsafe { _rdtsc() }
}

/// Its rate in hertz. `xen_leaves` is Xen's first CPUID leaf.
pub fn rate(xen_leaves: Option<u32>) -> (u64, RateSource) {
    let told = xen_leaves.map(|base| (__cpuid_count(base + 3, 0).ecx, RateSource::Xen));
    let told = told.map(|(kilohertz, source)| (u64::from(kilohertz) * 1000, source));
    told.filter(plausible)
        .or_else(|| {
            hypervisor()
                .map(|hertz| (hertz, RateSource::Hypervisor))
                .filter(plausible)
        })
        .or_else(|| {
            processor()
                .map(|hertz| (hertz, RateSource::Processor))
                .filter(plausible)
        })
        .or_else(|| {
            pit()
                .map(|hertz| (hertz, RateSource::Pit))
                .filter(plausible)
        })
        .unwrap_or((ASSUMED, RateSource::Assumed))
}

fn plausible((hertz, _): &(u64, RateSource)) -> bool {
    PLAUSIBLE.contains(hertz)
}

fn hypervisor() -> Option<u64> {
    const PRESENT: u32 = 1 << 31;
    let present = __cpuid(1).ecx & PRESENT != 0;
    let last = __cpuid(0x4000_0000).eax;
    let known = present && (0x4000_0010..0x4000_0100).contains(&last);
    known.then(|| u64::from(__cpuid(0x4000_0010).eax) * 1000)
}

fn processor() -> Option<u64> {
    let last = __cpuid(0).eax;
    if last >= 0x15 {
        let leaf = __cpuid(0x15);
        let (denominator, numerator, crystal) = (leaf.eax, leaf.ebx, leaf.ecx);
        if denominator != 0 && numerator != 0 && crystal != 0 {
            return Some(u64::from(crystal) * u64::from(numerator) / u64::from(denominator));
        }
    }
    (last >= 0x16).then(|| u64::from(__cpuid(0x16).eax & 0xffff) * 1_000_000)
}

/// Measures until two in a row agree: when the processor is taken away for longer than the PIT
/// takes round its 16 bits, one is wrong by any factor. Where none agree, the last has to do.
fn pit() -> Option<u64> {
    let mut last = measure()?;
    for _ in 1..MEASUREMENTS {
        let hertz = measure()?;
        if hertz.abs_diff(last) <= last / ALIKE {
            return Some(hertz.midpoint(last));
        }
        last = hertz;
    }
    Some(last)
}

/// Hertz, over [`PIT_COUNTS`] counts of the PIT; `None` if it does not count.
fn measure() -> Option<u64> {
    let mut command = Port::<u8>::new(0x43);
    let mut channel = Port::<u8>::new(0x40);
    // SAFETY: ports of the PC's timer, which nothing else here uses; its interrupt is masked. The
    // count starts at 0xffff with the second byte.
    unsafe {
        command.write(PIT_START);
        channel.write(0xff);
        channel.write(0xff);
    }
    let start = moment();
    let mut looks = 0;
    loop {
        let now = moment();
        let passed = start.count.wrapping_sub(now.count);
        if passed >= PIT_COUNTS {
            let cycles = now.tsc - start.tsc;
            return cycles
                .checked_mul(PIT_HERTZ)
                .map(|product| product / u64::from(passed));
        }
        // Where there is no PIT, ports read as all-ones: no count ever passes.
        looks += 1;
        if passed == 0 && looks > PIT_PATIENCE {
            return None;
        }
    }
}

/// What both counters said at one moment.
struct Moment {
    tsc: u64,
    count: u16,
}

/// The PIT's count with the TSC half-way through reading it; the quickest of a few readings, since
/// a processor taken away in the middle of one tells a wrong moment.
fn moment() -> Moment {
    let mut command = Port::<u8>::new(0x43);
    let mut channel = Port::<u8>::new(0x40);
    let mut best = Moment { tsc: 0, count: 0 };
    let mut quickest = u64::MAX;
    for _ in 0..MOMENT_READINGS {
        let before = read();
        // SAFETY: as in `measure`; the latch keeps the two bytes of one moment.
        let bytes = unsafe {
            command.write(PIT_LATCH);
            [channel.read(), channel.read()]
        };
        let took = read() - before;
        if took < quickest {
            quickest = took;
            best = Moment {
                tsc: before + took / 2,
                count: u16::from_le_bytes(bytes),
            };
        }
    }
    best
}
