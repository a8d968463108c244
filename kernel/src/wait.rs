//! The only place where interrupts are open.
#![expect(unsafe_code, reason = "sti, hlt, cli")]

use core::arch::asm;

use spin::Once;

use crate::{interrupts, time};

/// How to wait, given a deadline in [`time::now`]'s nanoseconds.
type Wait = dyn Fn(Option<u64>) + Sync;

static WAIT: Once<&'static Wait> = Once::new();

/// Sleeps until an interrupt comes, or what [`set`] brought says so. Returns early at will: the
/// caller looks at its flags and comes back.
pub fn for_event(deadline: Option<u64>) {
    if deadline.is_some_and(|deadline| deadline <= time::now()) {
        return;
    }
    match WAIT.get() {
        Some(wait) => wait(deadline),
        None => halt(),
    }
}

/// Replaces halting, for good; on Xen by SCHEDOP_poll or SCHEDOP_block with interrupts left off.
/// The tick that ends a halt is stopped: whoever waits must keep the deadline.
pub fn set(wait: &'static Wait) {
    WAIT.call_once(|| wait);
    interrupts::stop_tick();
}

/// Halts with interrupts open; the tick ends it at the latest. An interrupt between `sti` and
/// `hlt` cannot come: `sti` takes effect after the next instruction.
pub fn halt() {
    // SAFETY: every vector has a handler on a stack of its own. Not `nostack` and not `nomem`:
    // handlers push, and set flags that the code after this reads.
    unsafe { asm!("sti", "hlt", "cli") };
}
