//! Fences of their own: sync files and syncobjs.

use super::{DRM, READ_WRITE, SYNC, ioctl};

/// sync_merge_data.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct Merge {
    pub name: [u8; 32],
    pub fd2: i32,
    pub fence: i32,
    pub flags: u32,
    pub pad: u32,
}
ioctl!(MERGE, Merge, "SYNC_IOC_MERGE", READ_WRITE, SYNC, 3);

/// sync_file_info.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct FileInformation {
    pub name: [u8; 32],
    pub status: i32,
    pub flags: u32,
    pub num_fences: u32,
    pub pad: u32,
    pub sync_fence_info: u64,
}
ioctl!(with pointers FILE_INFORMATION, FileInformation, "SYNC_IOC_FILE_INFO", READ_WRITE, SYNC, 4);

/// drm_syncobj_create.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct SyncobjCreate {
    pub handle: u32,
    pub flags: u32,
}
ioctl!(
    SYNCOBJ_CREATE,
    SyncobjCreate,
    "DRM_IOCTL_SYNCOBJ_CREATE",
    READ_WRITE,
    DRM,
    0xbf
);

/// drm_syncobj_destroy.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct SyncobjDestroy {
    pub handle: u32,
    pub pad: u32,
}
ioctl!(
    SYNCOBJ_DESTROY,
    SyncobjDestroy,
    "DRM_IOCTL_SYNCOBJ_DESTROY",
    READ_WRITE,
    DRM,
    0xc0
);

/// drm_syncobj_wait, as it is without the deadline that 6.6 appended; DRM takes either size.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct SyncobjWait {
    pub handles: u64,
    pub timeout_nsec: i64,
    pub count_handles: u32,
    pub flags: u32,
    pub first_signaled: u32,
    pub pad: u32,
}
ioctl!(with pointers SYNCOBJ_WAIT, SyncobjWait, "DRM_IOCTL_SYNCOBJ_WAIT", READ_WRITE, DRM, 0xc3);

/// drm_syncobj_timeline_array.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct TimelineQuery {
    pub handles: u64,
    pub points: u64,
    pub count_handles: u32,
    pub flags: u32,
}
ioctl!(with pointers TIMELINE_QUERY, TimelineQuery, "DRM_IOCTL_SYNCOBJ_QUERY", READ_WRITE, DRM, 0xcb);
