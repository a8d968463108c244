//! The only place where interrupts are open, for machines without Xen.
//!
//! On Xen the loop sleeps in SCHEDOP_poll instead (`wiring/xen.rs`), interrupts off throughout.
#![expect(unsafe_code, reason = "sti, hlt, cli")]

use core::arch::asm;

use crate::time;

/// Sleeps until an interrupt comes, at the latest the next tick, unless `deadline`, in
/// [`time::now`]'s nanoseconds, is past. Returns early at will: the caller comes back.
pub fn for_event(deadline: Option<u64>) {
    if deadline.is_none_or(|deadline| time::now() < deadline) {
        halt();
    }
}

/// Halts with interrupts open. None can slip in between `sti` and `hlt`: `sti` takes effect after
/// the next instruction.
fn halt() {
    // SAFETY: every vector has a handler on a stack of its own. Not `nostack` and not `nomem`:
    // handlers push, and count what the code after this reads.
    unsafe { asm!("sti", "hlt", "cli") };
}
