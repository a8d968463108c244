//! The TSC and how fast it runs.
//!
//! CPUID: Xen's leaf base + 3, sub-leaf 0, ecx in kHz (`public/arch-x86/cpuid.h`); KVM's and
//! VMware's 0x40000010, eax in kHz; 0x15, crystal and ratio; 0x16, eax in MHz (Intel SDM volume 2A).
//! Else the PIT: channel 2 counts at 1193182 Hz, its gate and output are in port 0x61.
#![expect(unsafe_code, reason = "rdtsc and the PIT's ports")]

use core::arch::x86_64::{__cpuid, __cpuid_count, _rdtsc};
use core::fmt;

use x86_64::instructions::port::Port;

const PIT_HERTZ: u64 = 1_193_182;
/// Length of one measurement, PIT counts: 5 ms.
const PIT_COUNT: u16 = (PIT_HERTZ / 200) as u16;
/// Looks at the PIT before it is taken for absent.
const PIT_PATIENCE: u32 = 5_000_000;
const PIT_GATE: u8 = 1;
const PIT_SPEAKER: u8 = 2;
const PIT_OUTPUT: u8 = 1 << 5;
/// Channel 2, low byte then high byte, mode 0, binary.
const PIT_COMMAND: u8 = 0b1011_0000;

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

/// The shortest of three measurements: an interrupted one is too long, none is too short.
fn pit() -> Option<u64> {
    let cycles = (0..3).filter_map(|_| pit_cycles()).min()?;
    Some(cycles * PIT_HERTZ / u64::from(PIT_COUNT))
}

/// Cycles in [`PIT_COUNT`] counts of the PIT; `None` if it does not answer.
fn pit_cycles() -> Option<u64> {
    let mut control = Port::<u8>::new(0x61);
    let mut command = Port::<u8>::new(0x43);
    let mut channel = Port::<u8>::new(0x42);
    let [low, high] = PIT_COUNT.to_le_bytes();
    // SAFETY: ports of the PC's timer, which nothing else here uses; the speaker stays off.
    let gate = unsafe { control.read() } & !PIT_SPEAKER;
    // SAFETY: as above; the counter starts with the high byte.
    unsafe {
        control.write(gate | PIT_GATE);
        command.write(PIT_COMMAND);
        channel.write(low);
        channel.write(high);
    }
    let start = read();
    // SAFETY: as above; reading has no side effect.
    let looks = (0..PIT_PATIENCE).find(|_| unsafe { control.read() } & PIT_OUTPUT != 0)?;
    let cycles = read() - start;
    // Where there is no PIT the port reads all-ones: the output seems high at the first look.
    (looks > 0).then_some(cycles)
}
