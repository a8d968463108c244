//! Where each vCPU of a guest made its last access, and whether Xen will have it report.
//!
//! A vCPU that waits for an answer executes its instruction once more when it has it (Xen 4.20
//! `arch/x86/hvm/emulate.c`), and Xen crashes the guest if memory is at that address then. The
//! answer alone does not tell when that is over; the next request of the same vCPU does. Taking
//! memory from a guest makes every vCPU send one (`IOREQ_TYPE_INVALIDATE`) as soon as it is
//! through with its instruction, before it goes on (`common/ioreq.c:vcpu_ioreq_handle_completion`).

use alloc::vec::Vec;

/// One vCPU.
#[derive(Debug, Clone, Copy, Default)]
struct Cpu {
    /// Frame of its last access, unless it asked for something else since.
    frame: Option<u64>,
    /// It will report, if it has not yet.
    reports: bool,
    /// Only because it was recalled: no frame of the guest became another page.
    recalled: bool,
}

/// The vCPUs of one guest.
pub struct Underway(Vec<Cpu>);

impl Underway {
    /// Nothing is.
    pub fn new(vcpus: u32) -> Self {
        Self(alloc::vec![Cpu::default(); vcpus as usize])
    }

    /// A request came, so that the one before is over: an access at a frame, or something that is no
    /// access to memory; or nothing came, and it is known to be over all the same.
    pub fn begins(&mut self, vcpu: u32, frame: Option<u64>) {
        if let Some(cpu) = self.0.get_mut(vcpu as usize) {
            *cpu = Cpu {
                frame,
                ..Cpu::default()
            };
        }
    }

    /// The frame of the last access of a vCPU, if it may not be over.
    pub fn frame(&self, vcpu: u32) -> Option<u64> {
        self.0.get(vcpu as usize)?.frame
    }

    /// vCPUs whose last access may not be over, and its frame.
    pub fn accesses(&self) -> impl Iterator<Item = (u32, u64)> {
        let cpus = (0..).zip(&self.0);
        cpus.filter_map(|(vcpu, cpu)| Some((vcpu, cpu.frame?)))
    }

    /// Memory was taken from the guest.
    pub fn memory_taken(&mut self) {
        for cpu in &mut self.0 {
            cpu.reports = true;
            cpu.recalled = false;
        }
    }

    /// Memory was taken that it had been given for nothing but that.
    pub fn recalled(&mut self) {
        for cpu in &mut self.0 {
            cpu.recalled |= !cpu.reports;
            cpu.reports = true;
        }
    }

    /// Whether a report of this vCPU says no more than that its access is over.
    pub fn only_recalled(&self, vcpu: u32) -> bool {
        let cpu = self.0.get(vcpu as usize);
        cpu.is_some_and(|cpu| cpu.recalled)
    }

    /// Whether an access at a frame may not be over; and if so, whether nobody there will report.
    pub fn at(&self, frame: u64) -> Option<bool> {
        let mut there = self.0.iter().filter(|cpu| cpu.frame == Some(frame));
        let first = there.next()?.reports;
        Some(!there.fold(first, |all, cpu| all && cpu.reports))
    }
}
