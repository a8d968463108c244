//! A batch that loops until its guest's CPU rewrites it: the copy that runs follows.
//!
//! Linux i915's tests end such batches by one store, MI_BATCH_BUFFER_END over the header of any
//! command (`igt_spinner.c`, `selftest_hangcheck.c`, `i915_request.c`), and older IGT does, too. What waits on
//! a memory location (MI_SEMAPHORE_WAIT, MI_CONDITIONAL_BATCH_BUFFER_END) needs nothing of this.
//!
//! So while a copy with a backward jump runs, each round compares a piece of it with what the guest
//! has there now. One dword of the copy is changed, at once, and only where
//!
//! * it is the header of a judged command (`Copies::is_start`), never an operand, and
//! * the guest's dword is MI_BATCH_BUFFER_END and the copy's is not, or
//! * the guest's dword is MI_NOOP and the copy's is a command of one dword that does not end the batch.
//!
//! No command can run then that was not judged. The streamer comes to a dword of the copy as to a
//! header only where a judged command starts: by a jump, all of which lead to such places, or from
//! the command before, whose length the audit knew. There it now finds the old header, with the
//! operands that were judged with it, or the new one. MI_BATCH_BUFFER_END has no operands, and what is
//! executed after it was judged with whoever started the batch. MI_NOOP is as long as what it replaces,
//! so the next dword is the header that it was before. Were it longer, operands would become commands;
//! over an end, execution would leave the copy. Nothing that the audit allows depends on an earlier
//! command having run. The guest's dword is read once and compared; nothing else of it gets anywhere.
//!
//! Not done: other changes, and batches without a loop. They run on as they were judged.

use gpu::spec::commands::{self, Verdict};
use gpu::{Engine, Gpu, GraphicsAddress};

use super::PAGE;
use super::layout::BATCH_END;
use super::memory::{Memory, load_pages, store_pages};
use crate::vgpu::Vgpu;
use crate::{Clock, Guests, Host};

/// Dwords of the guest's batches looked at in one round: a page, which most such batches have.
pub const BUDGET: usize = PAGE;
/// Dwords compared at once.
const PIECE: usize = 256;
/// MI_NOOP without an identification.
const NOOP: u32 = 0;

/// Looks at the batches that `engine` runs for this guest; false if none of them loops.
#[inline]
pub fn watch<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
) -> bool {
    let loops = vgpu.slot(engine).is_some_and(|slot| match slot.large {
        Some(_) => host.engines.large.copies.loops(),
        None => slot.copies.loops(),
    });
    if loops {
        look(host, vgpu, engine);
    }
    loops
}

/// Looks at a piece of them.
#[inline(never)]
pub fn look<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
) {
    let Host {
        guests, engines, ..
    } = host;
    let running = vgpu.engines.get_mut(engine.index());
    let Some(slot) = running.and_then(|running| running.slot.as_mut()) else {
        return;
    };
    let (copies, pages) = match slot.large {
        Some(_) => (&mut engines.large.copies, engines.large.pages.as_slice()),
        None => (&mut slot.copies, slot.arena.pages.as_slice()),
    };
    let Some(root) = slot.root else {
        return;
    };
    let (mut theirs, mut ours) = ([0; PIECE], [0; PIECE]);
    let mut left = BUDGET.min(copies.used());
    while left > 0 {
        let Some(copied) = copies.beyond(copies.cursor) else {
            copies.cursor = 0;
            continue;
        };
        let at = copies.cursor.max(copied.at);
        let count = (copied.end() - at).min(PIECE).min(left);
        copies.cursor = at + count;
        left -= count;
        let inside = (at - copied.at) as u64 * 4;
        let from = GraphicsAddress(copied.start.address.0.wrapping_add(inside));
        let (Some(theirs), Some(ours)) = (theirs.get_mut(..count), ours.get_mut(..count)) else {
            return;
        };
        let memory = Memory {
            guests: &*guests,
            gtt: &vgpu.gtt,
            ppgtts: &vgpu.ppgtts,
            root,
        };
        if memory.read(copied.start.global, from, theirs).is_err() {
            continue;
        }
        load_pages(&*guests, pages, at, ours);
        for (place, (new, old)) in (at..).zip(theirs.iter().zip(&*ours)) {
            if new != old && replaces(engine, *old, *new) && copies.is_start(place) {
                store_pages(guests, pages, place, core::slice::from_ref(new));
                vgpu.counters.rewritten += 1;
            }
        }
    }
}

/// Whether `new` may take the place of `old`, the header of a judged command.
pub fn replaces(engine: Engine, old: u32, new: u32) -> bool {
    match new {
        BATCH_END => true,
        NOOP => commands::find(engine, old).is_some_and(|command| {
            command.dwords(old) == 1 && matches!(command.verdict, Verdict::Allow)
        }),
        _ => false,
    }
}
