//! The local APIC: acknowledgement, and a tick for machines without Xen.
//!
//! Intel SDM volume 3A, chapter 12. Registers lie 16 bytes apart in one page, or are MSRs 0x800 +
//! offset / 16 when the firmware switched it to x2APIC mode.
#![expect(unsafe_code, reason = "registers of the local APIC")]

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Once;
use volatile::VolatilePtr;
use x86_64::registers::model_specific::Msr;

use super::TICK;
use crate::time;

const APIC_BASE: u32 = 0x1b;
const BASE_X2APIC: u64 = 1 << 10;
const BASE_ENABLED: u64 = 1 << 11;
const BASE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const X2APIC_MSRS: u32 = 0x800;

const END_OF_INTERRUPT: u32 = 0xb0;
const SPURIOUS_VECTOR: u32 = 0xf0;
const SPURIOUS_ENABLE: u32 = 1 << 8;
const IN_SERVICE: u32 = 0x100;
const TIMER: u32 = 0x320;
const TIMER_PERIODIC: u32 = 1 << 17;
const TIMER_MASKED: u32 = 1 << 16;
const TIMER_INITIAL: u32 = 0x380;
const TIMER_CURRENT: u32 = 0x390;
const TIMER_DIVIDE: u32 = 0x3e0;
const DIVIDE_BY_16: u32 = 0b0011;

/// How long the timer's rate is measured, nanoseconds.
const MEASURE: u64 = 2_000_000;

/// How to reach the registers.
#[derive(Debug, Clone, Copy)]
enum LocalApic {
    Memory(NonNull<u32>),
    Msr,
}

// SAFETY: the address is that of device registers, which belong to the one processor.
unsafe impl Send for LocalApic {}
// SAFETY: as above.
unsafe impl Sync for LocalApic {}

static LOCAL_APIC: Once<LocalApic> = Once::new();
/// Timer counts in a millisecond, once measured.
static COUNTS: AtomicU64 = AtomicU64::new(0);

impl LocalApic {
    fn read(self, offset: u32) -> u32 {
        match self {
            // SAFETY: the MSR of an APIC register exists in x2APIC mode.
            Self::Msr => unsafe { Msr::new(X2APIC_MSRS + offset / 16).read() as u32 },
            Self::Memory(base) => register(base, offset).read(),
        }
    }

    fn write(self, offset: u32, value: u32) {
        match self {
            // SAFETY: as in `read`; the values are those the manual gives.
            Self::Msr => unsafe { Msr::new(X2APIC_MSRS + offset / 16).write(value.into()) },
            Self::Memory(base) => register(base, offset).write(value),
        }
    }
}

fn register(base: NonNull<u32>, offset: u32) -> VolatilePtr<'static, u32> {
    // SAFETY: `offset` is one of the constants above, all inside the page.
    let address = unsafe { base.byte_add(offset as usize) };
    // SAFETY: a register of the page that `init` found, which stays mapped (by pvh.S below 4 GiB,
    // then by `paging`, uncached) and which this module alone uses.
    unsafe { VolatilePtr::new(address) }
}

/// Finds and enables it, if there is one.
pub(super) fn init(spurious: u8) {
    // SAFETY: every 64-bit processor has this MSR.
    let base = unsafe { Msr::new(APIC_BASE).read() };
    if base & BASE_ENABLED == 0 {
        return;
    }
    let found = if base & BASE_X2APIC != 0 {
        Some(LocalApic::Msr)
    } else {
        NonNull::new((base & BASE_ADDRESS) as *mut u32).map(LocalApic::Memory)
    };
    if let Some(found) = found {
        LOCAL_APIC.call_once(|| found);
        found.write(TIMER, TIMER_MASKED);
        found.write(SPURIOUS_VECTOR, SPURIOUS_ENABLE | u32::from(spurious));
    }
}

/// Physical address of its registers, if they are in memory.
pub fn page() -> Option<u64> {
    match LOCAL_APIC.get() {
        Some(LocalApic::Memory(base)) => Some(base.as_ptr() as u64),
        _ => None,
    }
}

/// Acknowledges `vector` if the APIC delivered it: Xen's upcall by HVM_PARAM_CALLBACK_IRQ comes
/// without one and must not acknowledge another's.
pub(super) fn acknowledge(vector: u8) {
    if let Some(apic) = LOCAL_APIC.get() {
        let word = apic.read(IN_SERVICE + u32::from(vector / 32) * 16);
        if word & 1 << (vector % 32) != 0 {
            apic.write(END_OF_INTERRUPT, 0);
        }
    }
}

/// Has vector [`TICK`] come every `microseconds`, so that a halted processor wakes. False if
/// there is no local APIC.
pub fn start_tick(microseconds: u64) -> bool {
    let Some(apic) = LOCAL_APIC.get() else {
        return false;
    };
    apic.write(TIMER_DIVIDE, DIVIDE_BY_16);
    let counts = COUNTS.load(Ordering::Relaxed);
    let counts = if counts == 0 { measure(*apic) } else { counts };
    COUNTS.store(counts, Ordering::Relaxed);
    let initial = (counts * microseconds / 1000).clamp(1, u32::MAX.into()) as u32;
    apic.write(TIMER, TIMER_PERIODIC | u32::from(TICK));
    apic.write(TIMER_INITIAL, initial);
    true
}

/// Stops the tick.
pub fn stop_tick() {
    if let Some(apic) = LOCAL_APIC.get() {
        apic.write(TIMER, TIMER_MASKED);
        apic.write(TIMER_INITIAL, 0);
    }
}

/// Timer counts in a millisecond, by our clock.
fn measure(apic: LocalApic) -> u64 {
    apic.write(TIMER, TIMER_MASKED);
    apic.write(TIMER_INITIAL, u32::MAX);
    let start = time::now();
    let passed = loop {
        let passed = time::now() - start;
        if passed >= MEASURE {
            break passed;
        }
        core::hint::spin_loop();
    };
    let counts = u64::from(u32::MAX - apic.read(TIMER_CURRENT));
    apic.write(TIMER_INITIAL, 0);
    (counts * 1_000_000 / passed).max(1)
}
