//! Memory-interface commands (MI_*): every engine's streamer executes them itself.
//!
//! Client 0, opcode in bits 28:23. They are the only ones, with PIPE_CONTROL, that can name the
//! global GTT or a register.

use super::STATUS_PAGE;
use super::row::mi;
use super::{
    AddressField, AddressSpace, Bits, Command, Engines, Extent, RegisterUse, Rule, Verdict,
};

/// Bits 15:14 of a flush: what it stores afterwards.
const FLUSH_POST_SYNC: Bits = Bits {
    dword: 0,
    mask: 3 << 14,
};

const DISPLAY: &str = "the display is the host's; a vGPU has its own, reached by registers only";
const PROTECTED: &str = "protected content is not virtualised";

pub(super) const COMMANDS: &[Command] = &[
    mi("MI_NOOP", 0x00),
    mi("MI_SET_PREDICATE", 0x01),
    mi("MI_USER_INTERRUPT", 0x02),
    mi("MI_WAIT_FOR_EVENT", 0x03).refuse(DISPLAY),
    mi("MI_FLUSH", 0x04),
    mi("MI_ARB_CHECK", 0x05),
    mi("MI_RS_CONTROL", 0x06).on(Engines::RCS),
    mi("MI_REPORT_HEAD", 0x07).refuse(STATUS_PAGE),
    mi("MI_ARB_ON_OFF", 0x08),
    mi("MI_URB_ATOMIC_ALLOC", 0x09).on(Engines::RCS),
    mi("MI_BATCH_BUFFER_END", 0x0a).verdict(Verdict::End),
    mi("MI_SUSPEND_FLUSH", 0x0b)
        .refuse("holds back flushes the host relies on, beyond its context"),
    mi("MI_PREDICATE", 0x0c).on(Engines::RCS),
    mi("MI_TOPOLOGY_FILTER", 0x0d).on(Engines::RCS),
    mi("MI_SET_APPID", 0x0e).refuse(PROTECTED),
    mi("MI_RS_CONTEXT", 0x0f).on(Engines::RCS),
    mi("MI_LOAD_SCAN_LINES_INCL", 0x12)
        .sized(6, 2)
        .refuse(DISPLAY),
    mi("MI_LOAD_SCAN_LINES_EXCL", 0x13)
        .sized(6, 2)
        .refuse(DISPLAY),
    mi("MI_DISPLAY_FLIP", 0x14).sized(8, 3).refuse(DISPLAY),
    mi("MI_SEMAPHORE_MBOX", 0x16)
        .sized(8, 3)
        .refuse("left the hardware with Gen8"),
    mi("MI_SET_CONTEXT", 0x18)
        .sized(8, 2)
        .refuse("contexts are switched by execlists"),
    mi("MI_URB_CLEAR", 0x19).on(Engines::RCS).exactly(8, 2),
    mi("MI_MATH", 0x1a).sized(8, 2),
    mi("MI_SEMAPHORE_SIGNAL", 0x1b)
        .exactly(8, 2)
        .refuse("can wake a context of another guest by its number"),
    mi("MI_SEMAPHORE_WAIT", 0x1c)
        .exactly(8, 4)
        .at(&[AddressField::header22(2, Extent::Bytes(4))])
        .rules(&[Rule::zero(
            Bits::bit(0, 16),
            "polls a register instead of memory",
        )]),
    mi("MI_STORE_DATA_IMM", 0x20)
        .sized(10, 4)
        .at_most(5)
        .at(&[AddressField::header22(1, Extent::Immediate(3))])
        .rules(&[Rule::zero(Bits::bit(1, 0), "moves the address by core")]),
    // PRM volume 2a: an unprivileged batch writes the context's page, whatever bit 21 says.
    mi("MI_STORE_DATA_INDEX", 0x21)
        .sized(8, 3)
        .at_most(4)
        .rules(&[Rule::zero(
            Bits {
                dword: 1,
                mask: 0xffff_f003,
            },
            "reaches beyond the page",
        )])
        .verdict(Verdict::StatusPage(Bits::bit(0, 21))),
    mi("MI_LOAD_REGISTER_IMM", 0x22)
        .sized(8, 3)
        .registers(RegisterUse::Immediate, 1, 2),
    mi("MI_UPDATE_GTT", 0x23)
        .sized(10, 2)
        .refuse("the global GTT is partitioned"),
    mi("MI_STORE_REGISTER_MEM", 0x24)
        .exactly(8, 4)
        .registers(RegisterUse::Read, 1, 0)
        .at(&[AddressField::header22(2, Extent::Bytes(4))]),
    mi("MI_FLUSH_DW", 0x26)
        .on(Engines::BCS.and(Engines::VCS).and(Engines::VECS))
        .sized(6, 4)
        .at_most(5)
        .at(&[AddressField {
            flags: 7,
            when: Some(FLUSH_POST_SYNC),
            index: Some(Bits::bit(0, 21)),
            ..AddressField::new(1, AddressSpace::GlobalIfSet(1, 2), Extent::Bytes(8))
        }])
        .rules(&[Rule::zero(Bits::bit(0, 22), "touches protected content")]),
    mi("MI_CLFLUSH", 0x27)
        .sized(10, 3)
        .at(&[AddressField::ppgtt(1)])
        .rules(&[Rule::zero(
            Bits::bit(0, 22),
            "flushes whole pages of the global GTT",
        )]),
    mi("MI_REPORT_PERF_COUNT", 0x28)
        .exactly(6, 4)
        .refuse("performance counters count every guest's work"),
    mi("MI_LOAD_REGISTER_MEM", 0x29)
        .exactly(8, 4)
        .registers(RegisterUse::Write, 1, 0)
        .at(&[AddressField::header22(2, Extent::Bytes(4))]),
    mi("MI_LOAD_REGISTER_REG", 0x2a)
        .exactly(8, 3)
        .registers(RegisterUse::Move, 1, 1),
    mi("MI_RS_STORE_DATA_IMM", 0x2b)
        .on(Engines::RCS)
        .exactly(8, 4)
        .at(&[AddressField::ppgtt(1)]),
    mi("MI_LOAD_URB_MEM", 0x2c)
        .on(Engines::RCS)
        .exactly(8, 4)
        .at(&[AddressField::ppgtt(2)]),
    mi("MI_STORE_URB_MEM", 0x2d)
        .on(Engines::RCS)
        .exactly(8, 4)
        .at(&[AddressField::ppgtt(2)]),
    mi("MI_COPY_MEM_MEM", 0x2e).exactly(8, 5).at(&[
        AddressField::new(1, AddressSpace::GlobalIfSet(0, 21), Extent::Bytes(4)),
        AddressField::header22(3, Extent::Bytes(4)),
    ]),
    mi("MI_ATOMIC", 0x2f)
        .sized(8, 3)
        .at_most(11)
        .at(&[AddressField::header22(1, Extent::Atomic)]),
    mi("MI_BATCH_BUFFER_START", 0x31)
        .exactly(8, 3)
        .at(&[AddressField::new(
            1,
            AddressSpace::PpgttIfSet(0, 8),
            Extent::Bytes(4),
        )])
        .rules(&[Rule::zero(
            Bits::bit(0, 16),
            "adds an offset that the audit cannot know",
        )])
        .verdict(Verdict::Batch),
    mi("MI_CONDITIONAL_BATCH_BUFFER_END", 0x36)
        .exactly(8, 4)
        .at(&[AddressField::header22(2, Extent::Bytes(8))]),
];
