//! Submissions: what is bound where, what is relocated, what waits for what.

use super::{DRIVER, DRM, READ_WRITE, ioctl};

/// drm_i915_gem_exec_object2.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct ExecObject {
    pub handle: u32,
    pub relocation_count: u32,
    pub relocs_ptr: u64,
    pub alignment: u64,
    pub offset: u64,
    pub flags: u64,
    pub rsvd1: u64,
    pub rsvd2: u64,
}

/// EXEC_OBJECT_WRITE: others have to wait for this submission.
pub const OBJECT_WRITE: u64 = 1 << 2;
/// EXEC_OBJECT_SUPPORTS_48B_ADDRESS.
pub const OBJECT_48_BIT: u64 = 1 << 3;
/// EXEC_OBJECT_PINNED: at the offset given.
pub const OBJECT_PINNED: u64 = 1 << 4;
/// EXEC_OBJECT_ASYNC: no implicit waiting.
pub const OBJECT_ASYNC: u64 = 1 << 6;

/// drm_i915_gem_relocation_entry.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct Relocation {
    pub target_handle: u32,
    pub delta: u32,
    pub offset: u64,
    pub presumed_offset: u64,
    pub read_domains: u32,
    pub write_domain: u32,
}

/// drm_i915_gem_execbuffer2.
#[expect(non_snake_case, reason = "the kernel's names")]
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct Execute {
    pub buffers_ptr: u64,
    pub buffer_count: u32,
    pub batch_start_offset: u32,
    pub batch_len: u32,
    pub DR1: u32,
    pub DR4: u32,
    pub num_cliprects: u32,
    pub cliprects_ptr: u64,
    pub flags: u64,
    pub rsvd1: u64,
    pub rsvd2: u64,
}
ioctl!(with pointers EXECUTE, Execute, "DRM_IOCTL_I915_GEM_EXECBUFFER2_WR", READ_WRITE, DRM, DRIVER + 0x29);

/// I915_EXEC_RENDER.
pub const RENDER: u64 = 1;
/// I915_EXEC_BSD.
pub const BSD: u64 = 2;
/// I915_EXEC_BLT.
pub const BLT: u64 = 3;
/// I915_EXEC_VEBOX.
pub const VEBOX: u64 = 4;
/// I915_EXEC_NO_RELOC.
pub const NO_RELOC: u64 = 1 << 11;
/// I915_EXEC_HANDLE_LUT: relocations name objects by their place in the list.
pub const HANDLE_LUT: u64 = 1 << 12;
/// I915_EXEC_FENCE_IN: rsvd2 bits 31:0.
pub const FENCE_IN: u64 = 1 << 16;
/// I915_EXEC_FENCE_OUT: rsvd2 bits 63:32.
pub const FENCE_OUT: u64 = 1 << 17;
/// I915_EXEC_FENCE_ARRAY: cliprects are [`ExecFence`]s.
pub const FENCE_ARRAY: u64 = 1 << 19;
/// I915_EXEC_USE_EXTENSIONS: cliprects_ptr is a chain of extensions.
pub const USE_EXTENSIONS: u64 = 1 << 21;

/// drm_i915_gem_exec_fence.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct ExecFence {
    pub handle: u32,
    pub flags: u32,
}

/// I915_EXEC_FENCE_WAIT.
pub const WAIT_FOR: u32 = 1;
/// I915_EXEC_FENCE_SIGNAL.
pub const SIGNAL: u32 = 2;

/// i915_user_extension.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct Extension {
    pub next_extension: u64,
    pub name: u32,
    pub flags: u32,
    pub rsvd: [u32; 4],
}

/// drm_i915_gem_execbuffer_ext_timeline_fences; its extension name is 0.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct TimelineFences {
    pub base: Extension,
    pub fence_count: u64,
    pub handles_ptr: u64,
    pub values_ptr: u64,
}
