//! The Gen9 facts this program relies on, written down independently of the code under test.
//!
//! Names and values are those of Linux i915 (6.12): `gt/intel_engine_regs.h`, `gt/intel_gt_regs.h`,
//! `i915_reg.h`, `i915_pvinfo.h`, `gt/intel_lrc_reg.h`, `gt/intel_gpu_commands.h`.

/// One command streamer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Engine {
    /// i915's name in small letters.
    pub name: &'static str,
    /// First register of its block.
    pub base: u64,
    /// Its GT interrupt bank.
    pub bank: u64,
    /// Where its sixteen bits sit in the bank.
    pub shift: u32,
    /// Its bit in GDRST (`GEN6_GRDOM_*`).
    pub reset: u32,
    /// Pages of a context image (`intel_engine_context_size`, plus the status page).
    pub context_pages: usize,
}

/// Render.
pub const RCS: Engine = Engine {
    name: "rcs",
    base: 0x2000,
    bank: 0,
    shift: 0,
    reset: 1 << 1,
    context_pages: 22,
};
/// Blitter.
pub const BCS: Engine = Engine {
    name: "bcs",
    base: 0x22000,
    bank: 0,
    shift: 16,
    reset: 1 << 3,
    context_pages: 2,
};
/// Video.
pub const VCS: Engine = Engine {
    name: "vcs",
    base: 0x12000,
    bank: 1,
    shift: 0,
    reset: 1 << 2,
    context_pages: 2,
};
/// Video enhancement.
pub const VECS: Engine = Engine {
    name: "vecs",
    base: 0x1a000,
    bank: 3,
    shift: 0,
    reset: 1 << 4,
    context_pages: 2,
};

// Engine registers, relative to the base.

/// RING_TAIL.
pub const RING_TAIL: u64 = 0x30;
/// RING_HWS_PGA.
pub const RING_HWS_PGA: u64 = 0x80;
/// RING_HWSTAM: plain storage for our purposes.
pub const RING_HWSTAM: u64 = 0x98;
/// RING_MI_MODE, masked.
pub const RING_MI_MODE: u64 = 0x9c;
/// RING_MI_MODE: stop the ring.
pub const STOP_RING: u32 = 1 << 8;
/// RING_IMR.
pub const RING_IMR: u64 = 0xa8;
/// RING_RESET_CTL, masked.
pub const RING_RESET_CTL: u64 = 0xd0;
/// RESET_CTL_REQUEST_RESET.
pub const REQUEST_RESET: u32 = 1 << 0;
/// RESET_CTL_READY_TO_RESET.
pub const READY_TO_RESET: u32 = 1 << 1;
/// RING_ELSP.
pub const RING_ELSP: u64 = 0x230;
/// RING_MODE_GEN7, masked.
pub const RING_MODE: u64 = 0x29c;
/// GFX_RUN_LIST_ENABLE: execlists.
pub const RUN_LIST_ENABLE: u32 = 1 << 15;
/// RING_CONTEXT_STATUS_BUF_LO(0).
pub const CONTEXT_STATUS_BUFFER: u64 = 0x370;
/// RING_CONTEXT_STATUS_PTR, masked.
pub const CONTEXT_STATUS_POINTER: u64 = 0x3a0;
/// RING_FORCE_TO_NONPRIV(0).
pub const FORCE_TO_NONPRIV: u64 = 0x4d0;

/// GT_RENDER_USER_INTERRUPT, before the engine's shift.
pub const USER_INTERRUPT: u32 = 1 << 0;
/// GT_CS_MASTER_ERROR_INTERRUPT.
pub const ERROR_INTERRUPT: u32 = 1 << 3;
/// GT_CONTEXT_SWITCH_INTERRUPT.
pub const CONTEXT_SWITCH_INTERRUPT: u32 = 1 << 8;

// Global registers.

/// GEN8_MASTER_IRQ.
pub const MASTER_IRQ: u64 = 0x44200;
/// GEN8_MASTER_IRQ_CONTROL.
pub const MASTER_IRQ_CONTROL: u32 = 1 << 31;
/// GEN8_GT_ISR(0); then IMR, IIR, IER; the next bank 0x10 on.
pub const GT_BANKS: u64 = 0x44300;
/// GEN6_GDRST.
pub const GDRST: u64 = 0x941c;
/// GFX_FLSH_CNTL_GEN6.
pub const GFX_FLSH_CNTL: u64 = 0x101008;
/// First GGTT entry in BAR0 (half of 16 MiB on).
pub const GGTT_ENTRIES: u64 = 0x80_0000;

// PVINFO (`struct vgt_if`).

/// VGT_PVINFO_PAGE.
pub const PVINFO: u64 = 0x78000;
/// VGT_MAGIC.
pub const PVINFO_MAGIC: u64 = 0x4776_5447_7654_4776;
/// vgt_caps: VGT_CAPS_FULL_PPGTT | VGT_CAPS_HWSP_EMULATION; i915 gives up without.
pub const PVINFO_CAPS_NEEDED: u32 = 1 << 2 | 1 << 3;
/// `version_major`.
pub const PVINFO_VERSION: u64 = PVINFO + 0x8;
/// `vgt_caps`.
pub const PVINFO_CAPS: u64 = PVINFO + 0x10;
/// `avail_rs`: mappable base and size, non-mappable base and size, fences.
pub const PVINFO_RESOURCES: u64 = PVINFO + 0x40;
/// `display_ready`.
pub const PVINFO_DISPLAY_READY: u64 = PVINFO + 0x804;
/// `g2v_notify`.
pub const PVINFO_NOTIFY: u64 = PVINFO + 0x818;
/// `pdp[0].lo`.
pub const PVINFO_PDP0: u64 = PVINFO + 0x838;
/// VGT_G2V_PPGTT_L4_PAGE_TABLE_CREATE.
pub const NOTIFY_L4_CREATE: u32 = 4;

// Context image: dword positions of values in its second page (`intel_lrc_reg.h`).

/// CTX_CONTEXT_CONTROL.
pub const CTX_CONTROL: usize = 0x03;
/// CTX_RING_HEAD.
pub const CTX_RING_HEAD: usize = 0x05;
/// CTX_RING_TAIL.
pub const CTX_RING_TAIL: usize = 0x07;
/// CTX_RING_START.
pub const CTX_RING_START: usize = 0x09;
/// CTX_RING_CTL.
pub const CTX_RING_CTL: usize = 0x0b;
/// CTX_PDP0_UDW.
pub const CTX_PDP0_UDW: usize = 0x31;
/// CTX_PDP0_LDW.
pub const CTX_PDP0_LDW: usize = 0x33;

/// Context descriptor: GEN8_CTX_VALID, 64-bit PPGTT, GEN8_CTX_PRIVILEGE.
pub const DESCRIPTOR: u32 = 1 << 0 | 3 << 3 | 1 << 8;

// Context-status buffer in the hardware status page (I915_HWS_CSB_*).

/// First dword of six entries.
pub const HWS_CSB: usize = 0x10;
/// Dword of the write pointer.
pub const HWS_CSB_WRITE: usize = 0x1f;
/// Entries.
pub const CSB_ENTRIES: u32 = 6;
/// GEN8_CTX_STATUS_IDLE_ACTIVE.
pub const IDLE_TO_ACTIVE: u32 = 1 << 0;
/// GEN8_CTX_STATUS_ELEMENT_SWITCH.
pub const ELEMENT_SWITCH: u32 = 1 << 2;
/// GEN8_CTX_STATUS_ACTIVE_IDLE.
pub const ACTIVE_TO_IDLE: u32 = 1 << 3;
/// GEN8_CTX_STATUS_COMPLETE.
pub const COMPLETE: u32 = 1 << 4;

/// Value that changes only the bits `mask` of a masked register.
pub const fn masked(mask: u32, value: u32) -> u32 {
    mask << 16 | value & mask
}
