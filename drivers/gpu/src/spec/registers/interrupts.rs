//! Interrupt registers: the GT tree, and the banks of display, PCU and PCH.
//!
//! Source: PRM Kaby Lake vol. 2c, "interrupt registers"; Linux `i915_reg.h` GEN8_*.

use super::row::row;
use super::{Behaviour, Kind, Register};

const TREE: Behaviour = Behaviour::InterruptTree;

/// Status, read-only.
const fn status(name: &'static str, offset: u32) -> Register {
    row(name, offset)
        .kind(Kind::ReadOnly)
        .does(Behaviour::InterruptBank)
}

/// Mask: everything masked after reset.
const fn mask(name: &'static str, offset: u32) -> Register {
    row(name, offset).reset(!0).does(Behaviour::InterruptBank)
}

/// Identity: write one to clear.
const fn identity(name: &'static str, offset: u32) -> Register {
    row(name, offset)
        .kind(Kind::WriteOneToClear)
        .does(Behaviour::InterruptBank)
}

/// Enable.
const fn enable(name: &'static str, offset: u32) -> Register {
    row(name, offset).does(Behaviour::InterruptBank)
}

/// North display engine and GT, in ascending order.
pub(super) const NORTH: &[Register] = &[
    status("PM_ISR", 0x44020),
    mask("PM_IMR", 0x44024),
    identity("PM_IIR", 0x44028),
    enable("PM_IER", 0x4402c),
    row("ERR_INT", 0x44040).kind(Kind::WriteOneToClear),
    row("DERRMR", 0x44050).reset(!0),
    row("TIMESTAMP_CTR", 0x44070).kind(Kind::ReadOnly),
    row("TIMESTAMP_OVERRIDE", 0x44074),
    row("MASTER_INT_CTL", super::MASTER_INTERRUPT).does(TREE),
    // ISR, IMR, IIR, IER of four banks; what each does is the tree's business.
    row("GT_INTERRUPT", super::GT_INTERRUPT_BANKS)
        .times(16)
        .does(TREE),
    status("DE_PIPE_A_ISR", 0x44400),
    mask("DE_PIPE_A_IMR", 0x44404),
    identity("DE_PIPE_A_IIR", 0x44408),
    enable("DE_PIPE_A_IER", 0x4440c),
    status("DE_PIPE_B_ISR", 0x44410),
    mask("DE_PIPE_B_IMR", 0x44414),
    identity("DE_PIPE_B_IIR", 0x44418),
    enable("DE_PIPE_B_IER", 0x4441c),
    status("DE_PIPE_C_ISR", 0x44420),
    mask("DE_PIPE_C_IMR", 0x44424),
    identity("DE_PIPE_C_IIR", 0x44428),
    enable("DE_PIPE_C_IER", 0x4442c),
    status("DE_PORT_ISR", 0x44440),
    mask("DE_PORT_IMR", 0x44444),
    identity("DE_PORT_IIR", 0x44448),
    enable("DE_PORT_IER", 0x4444c),
    status("DE_MISC_ISR", 0x44460),
    mask("DE_MISC_IMR", 0x44464),
    identity("DE_MISC_IIR", 0x44468),
    enable("DE_MISC_IER", 0x4446c),
    status("PCU_ISR", 0x444e0),
    mask("PCU_IMR", 0x444e4),
    identity("PCU_IIR", 0x444e8),
    enable("PCU_IER", 0x444ec),
];

/// South display engine (PCH), in ascending order.
pub(super) const SOUTH: &[Register] = &[
    status("SDE_ISR", 0xc4000),
    mask("SDE_IMR", 0xc4004),
    identity("SDE_IIR", 0xc4008),
    enable("SDE_IER", 0xc400c),
    row("SHOTPLUG_CTL", 0xc4030).times(3),
    row("SHOTPLUG_CTL2", 0xc403c),
    row("SERR_INT", 0xc4040).kind(Kind::WriteOneToClear),
];
