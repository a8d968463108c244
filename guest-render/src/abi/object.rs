//! Memory objects: create, read, write, map, wait, tile.

use super::{DRIVER, DRM, READ, READ_WRITE, WRITE, ioctl};

/// drm_version: whose device it is.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct Version {
    pub version_major: i32,
    pub version_minor: i32,
    pub version_patchlevel: i32,
    pub name_len: u64,
    pub name: u64,
    pub date_len: u64,
    pub date: u64,
    pub desc_len: u64,
    pub desc: u64,
}
ioctl!(with pointers VERSION, Version, "DRM_IOCTL_VERSION", READ_WRITE, DRM, 0);

/// drm_gem_close.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct Close {
    pub handle: u32,
    pub pad: u32,
}
ioctl!(CLOSE, Close, "DRM_IOCTL_GEM_CLOSE", WRITE, DRM, 0x09);

/// drm_i915_getparam.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct GetParameter {
    pub param: i32,
    pub value: u64,
}
ioctl!(with pointers GET_PARAMETER, GetParameter, "DRM_IOCTL_I915_GETPARAM", READ_WRITE, DRM, DRIVER + 0x06);

/// drm_i915_gem_create.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct Create {
    pub size: u64,
    pub handle: u32,
    pub pad: u32,
}
ioctl!(
    CREATE,
    Create,
    "DRM_IOCTL_I915_GEM_CREATE",
    READ_WRITE,
    DRM,
    DRIVER + 0x1b
);

/// drm_i915_gem_pread.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct Pread {
    pub handle: u32,
    pub pad: u32,
    pub offset: u64,
    pub size: u64,
    pub data_ptr: u64,
}
ioctl!(with pointers PREAD, Pread, "DRM_IOCTL_I915_GEM_PREAD", WRITE, DRM, DRIVER + 0x1c);

/// drm_i915_gem_pwrite.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct Pwrite {
    pub handle: u32,
    pub pad: u32,
    pub offset: u64,
    pub size: u64,
    pub data_ptr: u64,
}
ioctl!(with pointers PWRITE, Pwrite, "DRM_IOCTL_I915_GEM_PWRITE", WRITE, DRM, DRIVER + 0x1d);

/// drm_i915_gem_mmap: the kernel maps by itself and returns where.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct Map {
    pub handle: u32,
    pub pad: u32,
    pub offset: u64,
    pub size: u64,
    pub addr_ptr: u64,
    pub flags: u64,
}
ioctl!(
    MAP,
    Map,
    "DRM_IOCTL_I915_GEM_MMAP",
    READ_WRITE,
    DRM,
    DRIVER + 0x1e
);

/// I915_MMAP_WC.
pub const MAP_WRITE_COMBINING: u64 = 1;

/// drm_i915_gem_mmap_offset: an offset for mmap.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct MapOffset {
    pub handle: u32,
    pub pad: u32,
    pub offset: u64,
    pub flags: u64,
    pub extensions: u64,
}
ioctl!(
    MAP_OFFSET,
    MapOffset,
    "DRM_IOCTL_I915_GEM_MMAP_OFFSET",
    READ_WRITE,
    DRM,
    DRIVER + 0x24
);

/// I915_MMAP_OFFSET_GTT.
pub const OFFSET_GTT: u64 = 0;
/// I915_MMAP_OFFSET_WC.
pub const OFFSET_WC: u64 = 1;
/// I915_MMAP_OFFSET_WB.
pub const OFFSET_WB: u64 = 2;
/// I915_MMAP_OFFSET_UC.
pub const OFFSET_UC: u64 = 3;

/// drm_i915_gem_set_domain.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct SetDomain {
    pub handle: u32,
    pub read_domains: u32,
    pub write_domain: u32,
}
ioctl!(
    SET_DOMAIN,
    SetDomain,
    "DRM_IOCTL_I915_GEM_SET_DOMAIN",
    WRITE,
    DRM,
    DRIVER + 0x1f
);

/// I915_GEM_DOMAIN_CPU.
pub const DOMAIN_CPU: u32 = 0x01;
/// I915_GEM_DOMAIN_GTT.
pub const DOMAIN_GTT: u32 = 0x40;
/// I915_GEM_DOMAIN_WC.
pub const DOMAIN_WC: u32 = 0x80;

/// drm_i915_gem_caching.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct SetCaching {
    pub handle: u32,
    pub caching: u32,
}
ioctl!(
    SET_CACHING,
    SetCaching,
    "DRM_IOCTL_I915_GEM_SET_CACHING",
    WRITE,
    DRM,
    DRIVER + 0x2f
);

/// I915_CACHING_NONE.
pub const CACHING_NONE: u32 = 0;

/// drm_i915_gem_set_tiling.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct SetTiling {
    pub handle: u32,
    pub tiling_mode: u32,
    pub stride: u32,
    pub swizzle_mode: u32,
}
ioctl!(
    SET_TILING,
    SetTiling,
    "DRM_IOCTL_I915_GEM_SET_TILING",
    READ_WRITE,
    DRM,
    DRIVER + 0x21
);

/// I915_TILING_X.
pub const TILING_X: u32 = 1;
/// I915_TILING_Y.
pub const TILING_Y: u32 = 2;

/// drm_i915_gem_get_aperture.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct GetAperture {
    pub aper_size: u64,
    pub aper_available_size: u64,
}
ioctl!(
    GET_APERTURE,
    GetAperture,
    "DRM_IOCTL_I915_GEM_GET_APERTURE",
    READ,
    DRM,
    DRIVER + 0x23
);

/// drm_i915_gem_busy.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct Busy {
    pub handle: u32,
    pub busy: u32,
}
ioctl!(
    BUSY,
    Busy,
    "DRM_IOCTL_I915_GEM_BUSY",
    READ_WRITE,
    DRM,
    DRIVER + 0x17
);

/// drm_i915_gem_wait.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct Wait {
    pub bo_handle: u32,
    pub flags: u32,
    pub timeout_ns: i64,
}
ioctl!(
    WAIT,
    Wait,
    "DRM_IOCTL_I915_GEM_WAIT",
    READ_WRITE,
    DRM,
    DRIVER + 0x2c
);

/// drm_i915_gem_userptr.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct UserPointer {
    pub user_ptr: u64,
    pub user_size: u64,
    pub flags: u32,
    pub handle: u32,
}
ioctl!(with pointers USER_POINTER, UserPointer, "DRM_IOCTL_I915_GEM_USERPTR", READ_WRITE, DRM, DRIVER + 0x33);
