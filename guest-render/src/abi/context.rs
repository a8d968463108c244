//! Contexts, their address spaces, what became of them, and which engines there are.

use super::{DRIVER, DRM, READ_WRITE, WRITE, ioctl};

/// drm_i915_gem_context_create.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct ContextCreate {
    pub ctx_id: u32,
    pub pad: u32,
}
ioctl!(
    CONTEXT_CREATE,
    ContextCreate,
    "DRM_IOCTL_I915_GEM_CONTEXT_CREATE",
    READ_WRITE,
    DRM,
    DRIVER + 0x2d
);

/// drm_i915_gem_context_destroy.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct ContextDestroy {
    pub ctx_id: u32,
    pub pad: u32,
}
ioctl!(
    CONTEXT_DESTROY,
    ContextDestroy,
    "DRM_IOCTL_I915_GEM_CONTEXT_DESTROY",
    WRITE,
    DRM,
    DRIVER + 0x2e
);

/// drm_i915_gem_context_param.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct ContextParameter {
    pub ctx_id: u32,
    pub size: u32,
    pub param: u64,
    pub value: u64,
}
ioctl!(with pointers GET_CONTEXT_PARAMETER, ContextParameter, "DRM_IOCTL_I915_GEM_CONTEXT_GETPARAM", READ_WRITE, DRM, DRIVER + 0x34);

ioctl!(with pointers SET_CONTEXT_PARAMETER, ContextParameter, "DRM_IOCTL_I915_GEM_CONTEXT_SETPARAM", READ_WRITE, DRM, DRIVER + 0x35);

/// I915_CONTEXT_PARAM_GTT_SIZE.
pub const GTT_SIZE: u64 = 0x3;
/// I915_CONTEXT_PARAM_RECOVERABLE: off, the first hang bans the context.
pub const RECOVERABLE: u64 = 0x8;
/// I915_CONTEXT_PARAM_VM.
pub const VM: u64 = 0x9;
/// I915_CONTEXT_PARAM_PERSISTENCE: off, closing ends what still runs.
pub const PERSISTENCE: u64 = 0xb;

/// drm_i915_gem_vm_control.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct VmControl {
    pub extensions: u64,
    pub flags: u32,
    pub vm_id: u32,
}
ioctl!(
    VM_CREATE,
    VmControl,
    "DRM_IOCTL_I915_GEM_VM_CREATE",
    READ_WRITE,
    DRM,
    DRIVER + 0x3a
);

ioctl!(
    VM_DESTROY,
    VmControl,
    "DRM_IOCTL_I915_GEM_VM_DESTROY",
    WRITE,
    DRM,
    DRIVER + 0x3b
);

/// drm_i915_reset_stats.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct ResetStatistics {
    pub ctx_id: u32,
    pub flags: u32,
    pub reset_count: u32,
    pub batch_active: u32,
    pub batch_pending: u32,
    pub pad: u32,
}
ioctl!(
    RESET_STATISTICS,
    ResetStatistics,
    "DRM_IOCTL_I915_GET_RESET_STATS",
    READ_WRITE,
    DRM,
    DRIVER + 0x32
);

/// drm_i915_query.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct Query {
    pub num_items: u32,
    pub flags: u32,
    pub items_ptr: u64,
}
ioctl!(with pointers QUERY, Query, "DRM_IOCTL_I915_QUERY", READ_WRITE, DRM, DRIVER + 0x39);

/// drm_i915_query_item.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct QueryItem {
    pub query_id: u64,
    pub length: i32,
    pub flags: u32,
    pub data_ptr: u64,
}

/// DRM_I915_QUERY_ENGINE_INFO.
pub const QUERY_ENGINES: u64 = 2;

/// drm_i915_engine_info.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct EngineInformation {
    pub engine_class: u16,
    pub engine_instance: u16,
    pub rsvd0: u32,
    pub flags: u64,
    pub capabilities: u64,
    pub logical_instance: u16,
    pub rsvd1: [u16; 3],
    pub rsvd2: [u64; 3],
}

/// drm_i915_query_engine_info with room for as many engines as any Gen9 has.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct EngineList {
    pub num_engines: u32,
    pub rsvd: [u32; 3],
    pub engines: [EngineInformation; 8],
}
