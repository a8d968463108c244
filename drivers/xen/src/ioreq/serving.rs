//! The vCPUs whose request has been taken and not yet answered.

use crate::abi::ioreq::MAX_VCPUS;

/// vCPU numbers below [`MAX_VCPUS`], one bit each.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ServingSet(u128);

impl ServingSet {
    pub(super) const fn contains(self, vcpu: u32) -> bool {
        vcpu < 128 && self.0 & 1 << vcpu != 0
    }

    pub(super) const fn insert(&mut self, vcpu: u32) {
        if vcpu < 128 {
            self.0 |= 1 << vcpu;
        }
    }

    /// Whether it was there.
    pub(super) const fn remove(&mut self, vcpu: u32) -> bool {
        let there = self.contains(vcpu);
        if there {
            self.0 &= !(1 << vcpu);
        }
        there
    }
}

const _: () = assert!(MAX_VCPUS == 128);
