//! Registers that each of the four engines has a copy of, by offset from the engine's base.
//!
//! Source: PRM Kaby Lake vol. 2c; Linux `gt/intel_engine_regs.h`; the registers of a context image
//! after `gt/intel_lrc.c`. What only one engine has sits in its block's own file.

use super::row::{fixed, masked, row, trigger};
use super::{Behaviour, Kind, Register};
use crate::spec::engine::{self, Engine};

/// The rows of one engine, in ascending order.
pub(super) const fn rows(engine: Engine) -> [Register; 72] {
    let mut rows = relative();
    let mut index = 0;
    while index < rows.len() {
        rows[index].offset += engine.base();
        index += 1;
    }
    rows
}

const fn relative() -> [Register; 72] {
    use Behaviour::*;
    [
        masked("EXCC", 0x28).shadow().command(),
        row("RING_TAIL", engine::RING_TAIL).does(Ring),
        row("RING_HEAD", engine::RING_HEAD).does(Ring),
        row("RING_START", engine::RING_START).does(Ring),
        row("RING_CTL", engine::RING_CTL).does(Ring),
        row("RING_SYNC", 0x40).times(3),
        masked("PSMI_CTL", 0x50),
        row("MAX_IDLE", 0x54),
        row("ACTHD_UDW", engine::ACTHD_UDW)
            .kind(Kind::ReadOnly)
            .does(Ring),
        fixed("DMA_FADD_UDW", 0x60, 0),
        fixed("IPEIR", 0x64, 0),
        fixed("IPEHR", engine::IPEHR, 0).does(Ring),
        fixed("INSTDONE", engine::INSTDONE, !0).does(Ring),
        fixed("INSTPS", 0x70, 0),
        row("ACTHD", engine::ACTHD).kind(Kind::ReadOnly).does(Ring),
        fixed("DMA_FADD", 0x78, 0),
        row("HWS_PGA", engine::HWS_PGA).does(StatusPage),
        row("CMD_BUF_CCTL", 0x84),
        row("NOPID", 0x94).command(),
        row("HWSTAM", 0x98).reset(!0).shadow(),
        masked("MI_MODE", engine::MI_MODE).does(MiMode),
        row("RING_IMR", engine::RING_IMR)
            .reset(!0)
            .does(RingInterruptMask),
        row("EIR", engine::EIR).kind(Kind::WriteOneToClear),
        row("EMR", engine::EMR).reset(!0),
        fixed("ESR", engine::ESR, 0),
        masked("INSTPM", 0xc0).command(),
        row("CMD_CCTL", 0xc4),
        row("R_PWR_CLK_STATE", 0xc8),
        trigger("RESET_CTL", engine::RESET_CTL, ResetControl),
        masked("CSFE_CHICKEN1", 0xd4).shadow(),
        row("BB_STATE", 0x110).kind(Kind::ReadOnly).does(Ring),
        row("SBB_ADDR", 0x114).kind(Kind::ReadOnly).does(Ring),
        row("SBB_STATE", 0x118).kind(Kind::ReadOnly).does(Ring),
        row("SBB_ADDR_UDW", 0x11c).kind(Kind::ReadOnly).does(Ring),
        row("BB_ADDR", 0x140).kind(Kind::ReadOnly).does(Ring),
        row("BB_START_ADDR", 0x150).times(2),
        row("BB_OFFSET", 0x158),
        row("BB_ADDR_UDW", 0x168).kind(Kind::ReadOnly).does(Ring),
        row("BB_START_ADDR_UDW", 0x170),
        row("BB_PREEMPT_ADDR", 0x178).times(2),
        row("CCID", 0x180),
        row("BB_PER_CTX_PTR", 0x1c0),
        row("INDIRECT_CTX", 0x1c4),
        row("INDIRECT_CTX_OFFSET", 0x1c8),
        masked("ECOSKPD", 0x1d0),
        masked("SWCTRL", 0x200).command(),
        row("BLIT_CCTL", 0x204),
        row("CSCMDOP", 0x20c),
        row("PP_DIR_DCLV", 0x220),
        row("PP_DIR_BASE", 0x228),
        trigger("ELSP", engine::ELSP, Elsp),
        fixed("EXECLIST_STATUS", engine::EXECLIST_STATUS_LO, 0)
            .times(2)
            .does(ExeclistStatus),
        masked("CTX_CONTEXT_CONTROL", 0x244),
        row("CTX_PREEMPT", 0x248).shadow(),
        row("SEMA_WAIT_POLL", 0x24c).shadow(),
        row("PDP", engine::PDP).times(8),
        row("DISPATCHED", 0x290).times(2).command(),
        masked("RING_MODE", engine::RING_MODE).does(RingMode),
        fixed("TIMESTAMP", engine::TIMESTAMP, 0)
            .times(2)
            .pass()
            .does(Timestamp)
            .command(),
        fixed("CONTEXT_STATUS_BUF", engine::CSB, 0)
            .times(12)
            .does(ContextStatus),
        row("CONTEXT_STATUS_PTR", engine::CSB_POINTER)
            .reset(7)
            .does(ContextStatus),
        row("CTX_TIMESTAMP", engine::CONTEXT_TIMESTAMP).command(),
        row("PREDICATE_RESULT", 0x3b8).times(2).command(),
        row("PREDICATE_SRC0", engine::PREDICATE_SRC0)
            .times(2)
            .command(),
        row("PREDICATE_SRC1", engine::PREDICATE_SRC1)
            .times(2)
            .command(),
        row("PREDICATE_DATA", engine::PREDICATE_DATA)
            .times(2)
            .command(),
        row("PREDICATE_RESULT_0", engine::PREDICATE_RESULT).command(),
        row("PREDICATE_RESULT_1", 0x41c).command(),
        row("FORCE_TO_NONPRIV", engine::NONPRIV)
            .times(engine::NONPRIV_SLOTS)
            .reset(engine::NOPID)
            .shadow()
            .does(NonPrivileged),
        fixed("EXECLIST_SQ_CONTENTS", 0x510, 0),
        row("PP_DIR_BASE_READ", 0x518),
        row("GPR", engine::GPR).times(engine::GPR_DWORDS).command(),
    ]
}
