//! PVINFO, the page at 0x78000 by which a guest driver knows it has a vGPU.
//!
//! Source: Linux `drivers/gpu/drm/i915/i915_pvinfo.h` (`struct vgt_if`), version 1.0.

/// First byte in GTTMMADR.
pub const BASE: u32 = 0x78000;
/// Length, bytes.
pub const SIZE: u32 = 0x1000;
/// `magic`: "vGTvGTvG" as a little-endian qword.
pub const MAGIC: u64 = 0x4776_5447_7654_4776;
/// `vgt_caps` bit 2: full 48-bit PPGTT.
pub const CAP_FULL_PPGTT: u32 = 1 << 2;
/// `vgt_caps` bit 3: context-status events through the status page.
pub const CAP_HWSP_EMULATION: u32 = 1 << 3;
/// `vgt_caps` bit 4: 64 KiB and 2 MiB pages.
pub const CAP_HUGE_GTT: u32 = 1 << 4;

// Offsets from [`BASE`].

/// `magic`, u64.
pub const MAGIC_LO: u32 = 0x000;
/// Upper half of `magic`.
pub const MAGIC_HI: u32 = 0x004;
/// `version_major` u16, `version_minor` u16.
pub const VERSION: u32 = 0x008;
/// `vgt_id`.
pub const VGT_ID: u32 = 0x00c;
/// `vgt_caps`.
pub const CAPS: u32 = 0x010;
/// `avail_rs.mappable_gmadr.base`, bytes.
pub const MAPPABLE_BASE: u32 = 0x040;
/// `avail_rs.mappable_gmadr.size`, bytes.
pub const MAPPABLE_SIZE: u32 = 0x044;
/// `avail_rs.nonmappable_gmadr.base`, bytes.
pub const NONMAPPABLE_BASE: u32 = 0x048;
/// `avail_rs.nonmappable_gmadr.size`, bytes.
pub const NONMAPPABLE_SIZE: u32 = 0x04c;
/// `avail_rs.fence_num`.
pub const FENCE_NUM: u32 = 0x050;
/// `display_ready` (write).
pub const DISPLAY_READY: u32 = 0x804;
/// `g2v_notify` (write).
pub const G2V_NOTIFY: u32 = 0x818;
/// `cursor_x_hot`.
pub const CURSOR_X_HOT: u32 = 0x830;
/// `cursor_y_hot`.
pub const CURSOR_Y_HOT: u32 = 0x834;
/// `pdp[0].lo`; four qwords.
pub const PDP: u32 = 0x838;
/// `execlist_context_descriptor_lo`, then `_hi`.
pub const EXECLIST_DESCRIPTOR: u32 = 0x858;

/// `g2v_notify` values.
pub mod g2v {
    /// A four-level PPGTT comes into use; `pdp[0]` names its root.
    pub const PPGTT_L4_CREATE: u32 = 4;
    /// It goes out of use.
    pub const PPGTT_L4_DESTROY: u32 = 5;
    /// A three-level PPGTT comes into use.
    pub const PPGTT_L3_CREATE: u32 = 2;
    /// It goes out of use.
    pub const PPGTT_L3_DESTROY: u32 = 3;
}
