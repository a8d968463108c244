//! Grant tables, version 1 (`xen/grant_table.h`).

use super::{DomainId, command};

/// `struct grant_entry_v1`.
///
/// ```text
/// we write frame and domid, then flags = permit_access; Xen sets reading/writing in flags while
/// the other side has it mapped; we may clear flags only while neither is set
/// ```
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct GrantEntryV1 {
    pub flags: u16,
    pub domid: DomainId,
    pub frame: u32,
}

/// `GTF_permit_access`.
pub const GTF_PERMIT_ACCESS: u16 = 1;
/// `GTF_readonly`.
pub const GTF_READONLY: u16 = 1 << 2;
/// `GTF_reading`.
pub const GTF_READING: u16 = 1 << 3;
/// `GTF_writing`.
pub const GTF_WRITING: u16 = 1 << 4;
/// References the toolstack keeps for itself (`GNTTAB_NR_RESERVED_ENTRIES`).
pub const NR_RESERVED_ENTRIES: u32 = 8;

/// `struct gnttab_map_grant_ref`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct MapGrantRef {
    pub host_addr: u64,
    pub flags: u32,
    pub r#ref: u32,
    pub dom: DomainId,
    pub status: i16,
    pub handle: u32,
    pub dev_bus_addr: u64,
}
command!(MapGrantRef, GrantTableOp, 0, "GNTTABOP_map_grant_ref", dom);

/// `GNTMAP_host_map`.
pub const GNTMAP_HOST_MAP: u32 = 1 << 1;
/// `GNTMAP_readonly`.
pub const GNTMAP_READONLY: u32 = 1 << 2;

/// `struct gnttab_unmap_grant_ref`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct UnmapGrantRef {
    pub host_addr: u64,
    pub dev_bus_addr: u64,
    pub handle: u32,
    pub status: i16,
    pub pad: u16,
}
command!(UnmapGrantRef, GrantTableOp, 1, "GNTTABOP_unmap_grant_ref");

/// `struct gnttab_query_size`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct QuerySize {
    pub dom: DomainId,
    pub pad0: u16,
    pub nr_frames: u32,
    pub max_nr_frames: u32,
    pub status: i16,
    pub pad1: u16,
}
command!(QuerySize, GrantTableOp, 6, "GNTTABOP_query_size", dom);

/// `GNTST_*`: what became of one grant operation.
pub const STATUS_OKAY: i16 = 0;

/// Every failure status with its name and Xen's words for it.
pub const STATUS_NAMES: &[(i16, &str, &str)] = &[
    (-1, "GNTST_general_error", "undefined error"),
    (-2, "GNTST_bad_domain", "unrecognised domain id"),
    (-3, "GNTST_bad_gntref", "invalid grant reference"),
    (-4, "GNTST_bad_handle", "invalid mapping handle"),
    (-5, "GNTST_bad_virt_addr", "invalid virtual address"),
    (-6, "GNTST_bad_dev_addr", "invalid device address"),
    (
        -7,
        "GNTST_no_device_space",
        "no spare translation slot in the I/O MMU",
    ),
    (-8, "GNTST_permission_denied", "permission denied"),
    (-9, "GNTST_bad_page", "bad page"),
    (
        -10,
        "GNTST_bad_copy_arg",
        "copy arguments cross page boundary",
    ),
    (-11, "GNTST_address_too_big", "page address size too large"),
    (-12, "GNTST_eagain", "operation not done; try again"),
    (-13, "GNTST_no_space", "out of space"),
];
