//! Registers that do something when written, outside the engines.

use super::uncore::Uncore;
use crate::dma::Dma;
use crate::spec::registers::PCODE_MAILBOX;

/// PCODE mailbox: busy, for as long as a command takes.
const BUSY: u32 = 1 << 31;

/// A PCODE command is done when its write returns: busy clear, error code (low byte) zero.
/// Commands that answer: 0x06 memory latency (none known), 0x07 CDCLK change and 0x21 SAGV
/// (both: ready).
pub fn mailbox<D: Dma>(uncore: &mut Uncore<D>, offset: u32, value: u32) {
    if offset != PCODE_MAILBOX || value & BUSY == 0 {
        uncore.file.write(offset, value);
        return;
    }
    match value & 0xff {
        0x07 | 0x21 => uncore.file.set(PCODE_MAILBOX + 4, 1),
        _ => uncore.file.set(PCODE_MAILBOX + 4, 0),
    }
    uncore.file.set(PCODE_MAILBOX, value & !BUSY & !0xff);
}

/// Each well has two bits: request, and below it the state, which follows at once.
pub fn power_well<D: Dma>(uncore: &mut Uncore<D>, offset: u32, value: u32) {
    let requests = value & 0xaaaa_aaaa;
    uncore.file.set(offset, requests | requests >> 1);
}

/// Forcewake requests are masked writes; the acknowledgement shows the bits held.
pub fn force_wake<D: Dma>(uncore: &mut Uncore<D>, offset: u32, value: u32) {
    let acknowledgement = match offset {
        0xa278 => 0xd84,
        0xa270 => 0xd88,
        0xa188 => 0x13_0044,
        _ => return,
    };
    let mask = value >> 16;
    let held = uncore.file.get(acknowledgement) & !mask | value & mask;
    uncore.file.set(acknowledgement, held);
}
