//! How a row of the register table is written down: one line, in the manual's words.

use super::{Behaviour, Kind, Policy, Register};

/// A plain register that the vGPU owns.
pub(super) const fn row(name: &'static str, offset: u32) -> Register {
    Register {
        name,
        offset,
        count: 1,
        stride: 4,
        kind: Kind::ReadWrite,
        policy: Policy::Own,
        behaviour: Behaviour::Storage,
        reset: 0,
        command: false,
    }
}

/// A register whose writes name the bits they change in the upper half.
pub(super) const fn masked(name: &'static str, offset: u32) -> Register {
    row(name, offset).kind(Kind::Masked)
}

/// A register that ignores writes.
pub(super) const fn fixed(name: &'static str, offset: u32, value: u32) -> Register {
    row(name, offset).kind(Kind::ReadOnly).reset(value)
}

/// A register that starts something.
pub(super) const fn trigger(name: &'static str, offset: u32, behaviour: Behaviour) -> Register {
    row(name, offset).kind(Kind::Trigger).does(behaviour)
}

impl Register {
    /// So many, one dword after another.
    pub(super) const fn times(mut self, count: u32) -> Self {
        self.count = count;
        self
    }

    pub(super) const fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    pub(super) const fn does(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = behaviour;
        self
    }

    /// Value after reset.
    pub(super) const fn reset(mut self, value: u32) -> Self {
        self.reset = value;
        self
    }

    /// Loaded into the hardware with its vGPU's work.
    pub(super) const fn shadow(mut self) -> Self {
        self.policy = Policy::Shadow;
        self
    }

    /// Read from the hardware.
    pub(super) const fn pass(mut self) -> Self {
        self.policy = Policy::Pass;
        self
    }

    /// Not for guests.
    pub(super) const fn deny(mut self) -> Self {
        self.policy = Policy::Deny;
        self
    }

    /// Guest commands may name it.
    pub(super) const fn command(mut self) -> Self {
        self.command = true;
        self
    }
}
