//! A context's register state: what is read from the guest's copy, what the GPU gets, what the
//! guest gets back.
//!
//! Nothing of the guest's page reaches the GPU by being copied along: page 1 is written anew from
//! fields that were checked one by one. On the way back, what the driver itself owns (TAIL, START,
//! CTL, page-directory pointers, context batches) is never written: the driver may have changed
//! TAIL for its next submission while this one ran.

use gpu::spec::context::{
    CONTEXT_CONTROL, INDIRECT_CONTEXT, INDIRECT_CONTEXT_OFFSET, INHIBIT_SYNCHRONOUS_SWITCH,
    PDP0_LDW, PDP0_UDW, PER_CONTEXT_BATCH, RESTORE_INHIBIT, RING_CTL, RING_HEAD, RING_START,
    RING_TAIL, TIMESTAMP,
};
use gpu::spec::engine::masked;
use gpu::{DmaPage, Engine, GraphicsAddress, PAGE_SIZE};

use super::Refusal;
use super::layout::{BATCH_END, page};
use crate::GuestFrame;
use crate::partition::Slice;

/// Dwords of page 1.
#[cfg(test)]
const DWORDS: usize = PAGE_SIZE as usize / 4;
/// RING_CTL bit 0.
const RING_ENABLE: u32 = 1 << 0;
/// Byte offset in HEAD, and the number of times the ring wrapped above it.
const HEAD_OFFSET: u32 = 0x001f_fffc;
const HEAD_WRAPS: u32 = 0xffe0_0000;
const HEAD_WRAP: u32 = 0x0020_0000;
/// Byte offset in TAIL.
const TAIL_OFFSET: u32 = 0x001f_fff8;
/// Defined bits of CTX_CONTEXT_CONTROL.
const CONTROL_BITS: u32 = 0b1111;
/// INDIRECT_CTX bits 5:0: 64-byte lines.
const INDIRECT_LINES: u32 = 0x3f;
const LINE: u32 = 64;
/// BB_PER_CTX_PTR bit 0: valid.
const BATCH_VALID: u32 = 1 << 0;
/// INDIRECT_CTX_OFFSET bits 15:6.
const OFFSET_BITS: u32 = 0xffc0;

/// A guest's ring, checked: it lies in the guest's slice and both offsets lie in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ring {
    /// Where it starts.
    pub start: GraphicsAddress,
    /// Bytes; whole pages, at most 2 MiB.
    pub size: u32,
    /// Byte offset of the next command to execute.
    pub head: u32,
    /// Byte offset after the last one.
    pub tail: u32,
    /// HEAD's wrap count, in place.
    wraps: u32,
}

impl Ring {
    /// Bytes between head and tail.
    pub const fn pending(&self) -> u32 {
        if self.tail >= self.head {
            self.tail - self.head
        } else {
            self.size - self.head + self.tail
        }
    }

    /// Moves the head over executed bytes (at most [`Self::pending`]).
    pub const fn consume(&mut self, bytes: u32) {
        let head = self.head + bytes;
        if head >= self.size {
            self.head = head - self.size;
            self.wraps = self.wraps.wrapping_add(HEAD_WRAP);
        } else {
            self.head = head;
        }
    }

    /// Takes a new TAIL, as a driver writes it into the image.
    pub fn set_tail(&mut self, raw: u32) -> Result<(), Refusal> {
        let tail = raw & TAIL_OFFSET;
        if tail >= self.size {
            return Err(Refusal::Ring {
                what: "TAIL outside the ring",
                value: raw,
            });
        }
        self.tail = tail;
        Ok(())
    }

    /// HEAD as the register and the image show it.
    pub const fn head_register(&self) -> u32 {
        self.wraps | self.head
    }

    /// CTL as the register shows it.
    pub const fn control(&self) -> u32 {
        (self.size - PAGE_SIZE as u32) | RING_ENABLE
    }
}

/// What a context image says, checked as far as the image alone can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// Its ring.
    pub ring: Ring,
    /// Root of its four-level PPGTT.
    pub root: GuestFrame,
    /// First run: there is no state to restore.
    pub inhibit: bool,
    /// Commands executed at every restore: address, bytes.
    pub indirect: Option<(GraphicsAddress, u32)>,
    /// Where in the restore they are executed.
    pub indirect_offset: u32,
    /// Batch executed at every restore.
    pub per_context: Option<GraphicsAddress>,
}

fn value(state: &[u32], at: usize) -> u32 {
    state.get(at).copied().unwrap_or(0)
}

/// Whether every register pair that the lists hold names what belongs there.
fn check_registers(engine: Engine, state: &[u32]) -> Result<(), Refusal> {
    let page = page(engine);
    // A place that was never filled holds zero, and loads nothing.
    let wrong = |found: u32, expected: u32, mask: u32| {
        if found & mask == 0 {
            0
        } else {
            (found ^ expected) & mask
        }
    };
    let pairs = || state.iter().zip(&page.fixed).zip(&page.registers);
    if pairs().fold(0, |all, ((found, fixed), mask)| {
        all | wrong(*found, *fixed, *mask)
    }) == 0
    {
        return Ok(());
    }
    for (at, ((found, expected), mask)) in pairs().enumerate() {
        if *mask != 0 && *found == BATCH_END {
            break;
        }
        if wrong(*found, *expected, *mask) != 0 {
            return Err(Refusal::ContextRegister {
                dword: at as u32,
                register: *found,
            });
        }
    }
    Ok(())
}

/// Reads the copy of a guest's page 1.
pub fn parse(engine: Engine, state: &[u32], slice: &Slice) -> Result<Image, Refusal> {
    check_registers(engine, state)?;
    let control = value(state, RING_CTL);
    if control & RING_ENABLE == 0 {
        return Err(Refusal::Ring {
            what: "CTL says the ring is off",
            value: control,
        });
    }
    let size = (control & 0x001f_f000) + PAGE_SIZE as u32;
    let start = value(state, RING_START);
    let ring_start = GraphicsAddress(start.into());
    if !start.is_multiple_of(PAGE_SIZE as u32) || !slice.contains(ring_start, size.into()) {
        return Err(Refusal::Ring {
            what: "START outside the guest's graphics memory",
            value: start,
        });
    }
    let raw_head = value(state, RING_HEAD);
    let head = raw_head & HEAD_OFFSET;
    if head >= size {
        return Err(Refusal::Ring {
            what: "HEAD outside the ring",
            value: raw_head,
        });
    }
    let mut ring = Ring {
        start: ring_start,
        size,
        head,
        tail: 0,
        wraps: raw_head & HEAD_WRAPS,
    };
    ring.set_tail(value(state, RING_TAIL))?;

    let root = u64::from(value(state, PDP0_UDW)) << 32 | u64::from(value(state, PDP0_LDW));
    let indirect = value(state, INDIRECT_CONTEXT);
    let bytes = (indirect & INDIRECT_LINES) * LINE;
    let batch = value(state, PER_CONTEXT_BATCH);
    Ok(Image {
        ring,
        root: GuestFrame(root / PAGE_SIZE),
        inhibit: value(state, CONTEXT_CONTROL) & RESTORE_INHIBIT != 0,
        indirect: (bytes != 0)
            .then_some((GraphicsAddress((indirect & !INDIRECT_LINES).into()), bytes)),
        indirect_offset: value(state, INDIRECT_CONTEXT_OFFSET) & OFFSET_BITS,
        per_context: (batch & BATCH_VALID != 0).then_some(GraphicsAddress((batch & !0x3f).into())),
    })
}

/// What is ours in a shadow image.
#[derive(Debug, Clone, Copy)]
pub struct Ours {
    /// Our ring, filled from offset 0.
    pub ring: GraphicsAddress,
    /// Its size, bytes.
    pub ring_size: u32,
    /// Bytes filled.
    pub tail: u32,
    /// Our PML4.
    pub root: DmaPage,
    /// Our copy of the indirect context, and its length in bytes.
    pub indirect: Option<(GraphicsAddress, u32)>,
    /// As the guest wants it.
    pub indirect_offset: u32,
    /// Our copy of the per-context batch.
    pub per_context: Option<GraphicsAddress>,
    /// First run: the guest's copy holds no engine state yet.
    pub inhibit: bool,
}

/// Writes the register lists of a shadow's page 1, as far as `out` and `state` reach: our fields,
/// and the context's own state as `state` has it.
///
/// Restore is never inhibited on the hardware: the engine would keep the registers of whoever ran
/// before. A first run starts from zeros instead.
pub fn rebuild(engine: Engine, state: &[u32], ours: &Ours, out: &mut [u32]) {
    let page = page(engine);
    let taken = if ours.inhibit {
        &page.state
    } else {
        &page.all_state
    };
    for (((out, state), fixed), taken) in out.iter_mut().zip(state).zip(&page.fixed).zip(taken) {
        *out = fixed | (state & taken);
    }
    let mut set = |at: usize, value: u32| {
        if let Some(dword) = out.get_mut(at) {
            *dword = value;
        }
    };
    set(
        CONTEXT_CONTROL,
        masked(CONTROL_BITS, INHIBIT_SYNCHRONOUS_SWITCH),
    );
    set(RING_TAIL, ours.tail);
    set(RING_START, ours.ring.0 as u32);
    set(RING_CTL, (ours.ring_size - PAGE_SIZE as u32) | RING_ENABLE);
    let root = ours.root.at(0).0;
    set(PDP0_UDW, (root >> 32) as u32);
    set(PDP0_LDW, root as u32);
    if let Some((at, bytes)) = ours.indirect {
        set(INDIRECT_CONTEXT, at.0 as u32 | (bytes / LINE));
        set(INDIRECT_CONTEXT_OFFSET, ours.indirect_offset);
    }
    if let Some(at) = ours.per_context {
        set(PER_CONTEXT_BATCH, at.0 as u32 | BATCH_VALID);
    }
}

/// Makes of what the GPU saved what the guest's page gets from dword 0x41 on: registers that are
/// ours say nothing.
pub fn hide(engine: Engine, saved: &mut [u32]) {
    let page = page(engine);
    for ((saved, fixed), ours) in saved.iter_mut().zip(&page.fixed).zip(&page.ours) {
        *saved = *saved & !ours | fixed & ours;
    }
}

/// First dword of the run that [`hide`] prepares; the last is the lists' end, or the page's on RCS.
pub const RUN: usize = 0x41;

/// Single values that go back besides: (dword, value).
pub fn singles(ring: &Ring, control: u32, saved: &[u32]) -> [(usize, u32); 3] {
    [
        (CONTEXT_CONTROL, control & !RESTORE_INHIBIT),
        (RING_HEAD, ring.head_register()),
        (TIMESTAMP, value(saved, TIMESTAMP)),
    ]
}

#[cfg(test)]
mod tests;
