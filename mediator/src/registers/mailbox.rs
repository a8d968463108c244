//! PCODE mailbox: the power controller's answers, given at once.
//!
//! Source: Linux `intel_pcode.c`, `i915_reg.h` (GEN6_PCODE_*). A driver sets the ready bit with a
//! command, waits until it clears, and takes a low byte other than 0 as an error: so the command
//! must not stay there.

use gpu::spec::registers::{PCODE_MAILBOX, Slot};

use super::RegisterFile;

/// Bit 31: a command waits, or is being worked on.
const READY: u32 = 1 << 31;
/// GEN9_PCODE_READ_MEM_LATENCY.
const MEMORY_LATENCY: u32 = 0x06;
/// SKL_PCODE_CDCLK_CONTROL.
const CDCLK_CONTROL: u32 = 0x07;
/// GEN9_PCODE_SAGV_CONTROL.
const SAGV_CONTROL: u32 = 0x21;
/// Latencies of levels 0 to 3 and of levels 4 to 7, microseconds, one per byte.
const LATENCIES: [u32; 2] = [0x1609_0602, 0x3028_201d];
/// Bit 0 of the data: done.
const DONE: u32 = 1;

/// A write of the mailbox or of its two data registers.
pub(super) fn write(registers: &mut RegisterFile, offset: u32, slot: Slot, written: u32) {
    if offset != PCODE_MAILBOX || written & READY == 0 {
        registers.set(slot, written);
        return;
    }
    let data = PCODE_MAILBOX + 4;
    let answer = match written & 0xff {
        MEMORY_LATENCY if registers.at(data) == 0 => Some(LATENCIES[0]),
        MEMORY_LATENCY => Some(LATENCIES[1]),
        CDCLK_CONTROL | SAGV_CONTROL => Some(DONE),
        _ => None,
    };
    if let Some(answer) = answer {
        registers.set_at(data, answer);
    }
    registers.set(slot, written & !READY & !0xff);
}
