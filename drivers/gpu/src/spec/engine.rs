//! The four engines of Kaby Lake GT2 and the registers each has a copy of.

use core::fmt;

/// One command streamer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// Render and compute.
    Rcs = 0,
    /// Blitter.
    Bcs = 1,
    /// Video decode and encode.
    Vcs = 2,
    /// Video enhancement.
    Vecs = 3,
}

impl Engine {
    /// How many there are.
    pub const COUNT: usize = 4;

    /// All of them, in the order of their indices.
    pub const ALL: [Self; Self::COUNT] = [Self::Rcs, Self::Bcs, Self::Vcs, Self::Vecs];

    /// Position in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// First register of this engine's block.
    pub const fn base(self) -> u32 {
        match self {
            Self::Rcs => 0x2000,
            Self::Bcs => 0x22000,
            Self::Vcs => 0x12000,
            Self::Vecs => 0x1a000,
        }
    }

    /// This engine's bit in GDRST (0x941c).
    pub const fn reset_bit(self) -> u32 {
        match self {
            Self::Rcs => 1 << 1,
            Self::Vcs => 1 << 2,
            Self::Bcs => 1 << 3,
            Self::Vecs => 1 << 4,
        }
    }

    /// Pages of a context image, hardware status page included (i915 `intel_lrc.c`).
    pub const fn context_pages(self) -> u32 {
        match self {
            Self::Rcs => 22,
            _ => 2,
        }
    }

    /// Where this engine's sixteen interrupt bits sit: (GT interrupt bank, shift).
    pub const fn interrupt_slot(self) -> (usize, u32) {
        match self {
            Self::Rcs => (0, 0),
            Self::Bcs => (0, 16),
            Self::Vcs => (1, 0),
            Self::Vecs => (3, 0),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rcs => "rcs",
            Self::Bcs => "bcs",
            Self::Vcs => "vcs",
            Self::Vecs => "vecs",
        })
    }
}

/// Value that writes `value` to the bits `mask` (low 16) of a masked register.
pub const fn masked(mask: u32, value: u32) -> u32 {
    mask << 16 | value & mask
}

// Offsets from an engine's base.

/// RING_TAIL.
pub const RING_TAIL: u32 = 0x30;
/// RING_HEAD.
pub const RING_HEAD: u32 = 0x34;
/// RING_START: GGTT address of the ring.
pub const RING_START: u32 = 0x38;
/// RING_CTL.
pub const RING_CTL: u32 = 0x3c;
/// ACTHD, low half.
pub const ACTHD: u32 = 0x74;
/// ACTHD, high half.
pub const ACTHD_UDW: u32 = 0x5c;
/// HWS_PGA: GGTT address of the hardware status page.
pub const HWS_PGA: u32 = 0x80;
/// MI_MODE (masked): bit 8 STOP_RING, bit 9 MODE_IDLE.
pub const MI_MODE: u32 = 0x9c;
/// RING_IMR: which engine interrupts are masked.
pub const RING_IMR: u32 = 0xa8;
/// RESET_CTL (masked).
pub const RESET_CTL: u32 = 0xd0;
/// RESET_CTL: request a reset.
pub const RESET_REQUEST: u32 = 1 << 0;
/// RESET_CTL: ready for reset.
pub const RESET_READY: u32 = 1 << 1;
/// ELSP: execlist submit port, four writes.
pub const ELSP: u32 = 0x230;
/// EXECLIST_STATUS, low half.
pub const EXECLIST_STATUS_LO: u32 = 0x234;
/// EXECLIST_STATUS, high half: context id of the running element.
pub const EXECLIST_STATUS_HI: u32 = 0x238;
/// RING_MODE / GFX_MODE (masked): bit 15 execlist enable.
pub const RING_MODE: u32 = 0x29c;
/// CONTEXT_STATUS_BUF: six 8-byte entries.
pub const CSB: u32 = 0x370;
/// CONTEXT_STATUS_PTR (masked): write pointer 2:0, read pointer 10:8.
pub const CSB_POINTER: u32 = 0x3a0;

/// IPEHR: header of the command executed last.
pub const IPEHR: u32 = 0x68;
/// INSTDONE: all ones when every unit is done.
pub const INSTDONE: u32 = 0x6c;
/// NOPID: the manual's harmless filler for unused FORCE_TO_NONPRIV slots.
pub const NOPID: u32 = 0x94;
/// EIR: error identity, write one to clear.
pub const EIR: u32 = 0xb0;
/// EMR: error mask.
pub const EMR: u32 = 0xb4;
/// ESR: error status.
pub const ESR: u32 = 0xb8;
/// PDP0 lower dword, PDP0 upper, PDP1 lower … PDP3 upper.
pub const PDP: u32 = 0x270;
/// TIMESTAMP, 64 bits, 12 MHz on Gen9.
pub const TIMESTAMP: u32 = 0x358;
/// CTX_TIMESTAMP: counts while the context runs.
pub const CONTEXT_TIMESTAMP: u32 = 0x3a8;
/// MI_PREDICATE_SRC0, 64 bits.
pub const PREDICATE_SRC0: u32 = 0x400;
/// MI_PREDICATE_SRC1, 64 bits.
pub const PREDICATE_SRC1: u32 = 0x408;
/// MI_PREDICATE_DATA, 64 bits.
pub const PREDICATE_DATA: u32 = 0x410;
/// MI_PREDICATE_RESULT, bit 0.
pub const PREDICATE_RESULT: u32 = 0x418;
/// FORCE_TO_NONPRIV: registers an unprivileged batch of this engine may write besides its own.
pub const NONPRIV: u32 = 0x4d0;
/// How many FORCE_TO_NONPRIV slots there are.
pub const NONPRIV_SLOTS: u32 = 12;
/// General-purpose registers: sixteen of 64 bits.
pub const GPR: u32 = 0x600;
/// Dwords of all general-purpose registers.
pub const GPR_DWORDS: u32 = 32;

// Interrupt bits of an engine, before its GT shift.

/// MI_USER_INTERRUPT.
pub const INTERRUPT_USER: u32 = 1 << 0;
/// Command-streamer error.
pub const INTERRUPT_ERROR: u32 = 1 << 3;
/// Context-status event.
pub const INTERRUPT_CONTEXT_SWITCH: u32 = 1 << 8;
/// Semaphore wait.
pub const INTERRUPT_SEMAPHORE_WAIT: u32 = 1 << 11;
