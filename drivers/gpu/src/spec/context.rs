//! Context descriptor, context image and context-status entries (execlists, Gen9).
//!
//! Page 0 of an image is the per-process hardware status page, page 1 the register state: pairs
//! of MI_LOAD_REGISTER_IMM operands. The constants below are dword indices of *values* in page 1.

/// Context descriptor, the 64 bits written to ELSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Descriptor(pub u64);

impl Descriptor {
    /// Bit 0: valid.
    pub const VALID: u64 = 1 << 0;
    /// Bit 2: restore the image even if the context is already loaded.
    pub const FORCE_RESTORE: u64 = 1 << 2;
    /// Bits 4:3 = 3: legacy 64-bit (four-level) PPGTT.
    pub const PPGTT_64: u64 = 3 << 3;
    /// Bit 8: privileged ring access (`GEN8_CTX_PRIVILEGE`).
    pub const PRIVILEGE: u64 = 1 << 8;

    /// Whether the element is to run at all.
    pub const fn valid(self) -> bool {
        self.0 & Self::VALID != 0
    }

    /// Global GTT address of the image, page aligned.
    pub const fn lrca(self) -> u32 {
        self.0 as u32 & 0xffff_f000
    }

    /// Upper dword: what context-status entries carry as context id.
    pub const fn id(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// CTX_CONTEXT_CONTROL (masked).
pub const CONTEXT_CONTROL: usize = 0x03;
/// CTX_CONTEXT_CONTROL bit 0: do not restore engine state on the first run.
pub const RESTORE_INHIBIT: u32 = 1 << 0;
/// CTX_CONTEXT_CONTROL bit 3: no context switch at a semaphore that is not signalled.
pub const INHIBIT_SYNCHRONOUS_SWITCH: u32 = 1 << 3;
/// RING_HEAD.
pub const RING_HEAD: usize = 0x05;
/// RING_TAIL.
pub const RING_TAIL: usize = 0x07;
/// RING_START.
pub const RING_START: usize = 0x09;
/// RING_CTL: bits 20:12 length in pages minus one, bit 0 enable.
pub const RING_CTL: usize = 0x0b;
/// BB_PER_CTX_PTR.
pub const PER_CONTEXT_BATCH: usize = 0x19;
/// INDIRECT_CTX: GGTT address, bits 5:0 size in 64-byte lines.
pub const INDIRECT_CONTEXT: usize = 0x1b;
/// INDIRECT_CTX_OFFSET.
pub const INDIRECT_CONTEXT_OFFSET: usize = 0x1d;
/// CTX_TIMESTAMP.
pub const TIMESTAMP: usize = 0x23;
/// PDP3 upper dword; then PDP3 lower, PDP2 upper … at steps of two.
pub const PDP3_UDW: usize = 0x25;
/// PDP0 upper dword: high half of the PML4's address.
pub const PDP0_UDW: usize = 0x31;
/// PDP0 lower dword.
pub const PDP0_LDW: usize = 0x33;
/// R_PWR_CLK_STATE (RCS).
pub const RPCS: usize = 0x43;

/// Entries of the context-status buffer.
pub const CSB_ENTRIES: u32 = 6;
/// First dword of the buffer in the hardware status page.
pub const HWSP_CSB: usize = 0x10;
/// Dword of the hardware status page with the write pointer (last entry written).
pub const HWSP_CSB_WRITE: usize = 0x1f;
/// Byte in the per-process hardware status page that store-index without GGTT targets start from.
pub const PPHWSP_SIZE: u64 = 4096;

/// Low dword of a context-status entry.
pub mod status {
    /// Idle to active.
    pub const IDLE_TO_ACTIVE: u32 = 1 << 0;
    /// Preempted.
    pub const PREEMPTED: u32 = 1 << 1;
    /// Element switch.
    pub const ELEMENT_SWITCH: u32 = 1 << 2;
    /// Active to idle.
    pub const ACTIVE_TO_IDLE: u32 = 1 << 3;
    /// Context complete.
    pub const COMPLETE: u32 = 1 << 4;
    /// Left at a semaphore.
    pub const WAIT_ON_SEMAPHORE: u32 = 1 << 7;
    /// Lite restore.
    pub const LITE_RESTORE: u32 = 1 << 15;
}
