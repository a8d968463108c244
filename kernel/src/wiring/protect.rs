//! When a write-protected page may become ordinary memory again without harm to its guest.
//!
//! What Xen does with a page of type `ioreq_server` (4.20, the same in 4.19 to 4.21):
//!
//! * Only `ram_rw` becomes `ioreq_server` and only that `ram_rw` again (`hvm/dm.c:
//!   allow_p2m_type_change`); one server of the guest owns the type, HAP guests only. Each change is
//!   one page-table entry under the p2m lock and a flush of the guest's nested TLB entries on all
//!   its processors, done when the call returns.
//! * It stays RAM to everybody else: foreign mappings and grants of it can be made and are writable.
//!   Reads go on natively, execution does not (`mm/p2m-pt.c`, `p2m-ept.c`: NX), and Xen's own copies
//!   into it fail (`hvm/hvm.c: __hvm_copy`). A guest's kernel writes to a page before it runs it or
//!   passes it to a hypercall, which ends the protection.
//! * A guest that frees or balloons the page takes the type with it (`mm/p2m.c: p2m_remove_entry`);
//!   that asks the device models to invalidate. A page that comes to the frame later is `ram_rw`.
//! * A server that is destroyed leaves its pages protected by nobody, and writes are tried for ever
//!   (`hvm/emulate.c: hvmemul_do_io`): the type has to be given up before, which resets them all.
//! * **Xen issues the emulated write again when it was answered** and insists on finding the same
//!   request (`hvmemul_do_io`, or the guest is crashed). `hvm/emulate.c: linear_write` tries RAM
//!   first each time: if the page has become RAM by then, the answer is left over, and the
//!   next emulated access of that vCPU, which is another one, ends the guest.
//!
//! So a page may change back only when no vCPU is between its request and its repetition:
//!
//! * known to be over: a newer request of that vCPU; or its slot is empty again, and the domain was
//!   paused since (enabling an enabled server does that: `common/ioreq.c`), which Xen does not
//!   while a vCPU is inside;
//! * not seen yet: a request for a page that changed back is answered only when it has been
//!   protected once more.
//!
//! **And it must change back before the guest goes on.** A kernel that frees a page table has the
//! page soon as a stack, or as a page table of its own. It clears it first, which ends the protection;
//! but what the processor itself then writes or walks there (an interrupt's frame, accessed bits; the
//! SVM takes each walk for a write), Xen answers by emulating the instruction that was interrupted. So
//! the vCPU is made to report (`open::recall`): it is through with its write then and waits for our
//! answer, the page becomes memory, and it goes on. Where memory for that is refused, the page
//! follows when the guest has been at something else for a while.
//!
//! All of it is read in Xen's source; on Xen itself only that traps, changes back and reuse work is
//! tried. Not done: waiting for a vCPU that is inside such an access while its vGPU is detached.

use alloc::vec::Vec;

use super::underway::Underway;

/// Pages that may wait to be changed back; a guest has at most half as many tables.
const ROOM: usize = 2048;
/// Most that wait for new ones to be protected.
const MOST: usize = ROOM / 2;

/// What waits, for one guest.
pub struct Protection {
    /// Still of the type, to be changed back.
    leaving: Vec<u64>,
}

impl Protection {
    /// Nothing here allocates later.
    pub fn new() -> Self {
        Self {
            leaving: Vec::with_capacity(ROOM),
        }
    }

    /// Whether more pages may be protected.
    pub fn room(&self) -> bool {
        self.leaving.len() < MOST
    }

    /// A page of the type is to be changed back.
    pub fn leave(&mut self, frame: u64) {
        if self.leaving.len() < ROOM && !self.leaving.contains(&frame) {
            self.leaving.push(frame);
        }
    }

    /// A page is wanted protected; whether it still is.
    pub fn stay(&mut self, frame: u64) -> bool {
        let place = self.leaving.iter().position(|leaving| *leaving == frame);
        place.map(|place| self.leaving.swap_remove(place)).is_some()
    }

    /// Whether the page waits to be changed back, and so is of the type.
    pub fn leaves(&self, frame: u64) -> bool {
        self.leaving.contains(&frame)
    }

    /// Whether any does.
    pub fn waits(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// vCPUs whose last access stands in the way of one.
    pub fn in_the_way(&self, underway: &Underway) -> impl Iterator<Item = u32> {
        let accesses = underway.accesses();
        accesses
            .filter(|(_, frame)| self.leaves(*frame))
            .map(|(vcpu, _)| vcpu)
    }

    /// Whether this page may be changed back now; then it is forgotten.
    pub fn take(&mut self, frame: u64, underway: &Underway) -> bool {
        underway.at(frame).is_none() && self.stay(frame)
    }

    /// A page that may be changed back now; it is forgotten.
    pub fn next(&mut self, underway: &Underway) -> Option<u64> {
        let free = |frame: &u64| underway.at(*frame).is_none();
        let place = self.leaving.iter().position(free)?;
        Some(self.leaving.swap_remove(place))
    }
}
