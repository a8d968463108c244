//! Memory operations (`xen/memory.h`).

use super::{DomainId, Handle, command};

/// `XENMAPSPACE_shared_info`.
pub const MAPSPACE_SHARED_INFO: u32 = 0;
/// `XENMAPSPACE_grant_table`.
pub const MAPSPACE_GRANT_TABLE: u32 = 1;
/// `XENMAPSPACE_gmfn_foreign`.
pub const MAPSPACE_GMFN_FOREIGN: u32 = 4;

/// `struct xen_add_to_physmap`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct AddToPhysmap {
    pub domid: DomainId,
    pub size: u16,
    pub space: u32,
    pub idx: u64,
    pub gpfn: u64,
}
command!(AddToPhysmap, MemoryOp, 7, "XENMEM_add_to_physmap", domid);

/// `struct xen_add_to_physmap_batch`, for foreign pages.
#[derive(Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct AddToPhysmapBatch<'a> {
    pub domid: DomainId,
    pub space: u16,
    pub size: u16,
    pub foreign_domid: DomainId,
    pub idxs: Handle<'a, u64>,
    pub gpfns: Handle<'a, u64>,
    pub errs: Handle<'a, i32>,
}
command!(
    AddToPhysmapBatch<'a>,
    MemoryOp,
    23,
    "XENMEM_add_to_physmap_batch",
    foreign_domid
);

/// `struct xen_remove_from_physmap`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct RemoveFromPhysmap {
    pub domid: DomainId,
    pub pad: [u16; 3],
    pub gpfn: u64,
}
command!(
    RemoveFromPhysmap,
    MemoryOp,
    15,
    "XENMEM_remove_from_physmap",
    domid
);

/// `struct xen_mem_acquire_resource`.
#[derive(Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct AcquireResource<'a> {
    pub domid: DomainId,
    pub r#type: u16,
    pub id: u32,
    pub nr_frames: u32,
    pub pad: u32,
    pub frame: u64,
    pub frame_list: Handle<'a, u64>,
}
command!(
    AcquireResource<'a>,
    MemoryOp,
    28,
    "XENMEM_acquire_resource",
    domid
);

/// `XENMEM_resource_ioreq_server`.
pub const RESOURCE_IOREQ_SERVER: u16 = 0;
/// `XENMEM_resource_ioreq_server_frame_bufioreq`.
pub const RESOURCE_FRAME_BUFIOREQ: u64 = 0;
/// `XENMEM_resource_ioreq_server_frame_ioreq(0)`.
pub const RESOURCE_FRAME_IOREQ: u64 = 1;

/// `struct xen_memory_map`; the buffer takes [`E820Entry`].
#[derive(Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct MemoryMap<'a> {
    pub nr_entries: u32,
    pub pad: u32,
    pub buffer: Handle<'a, E820Entry>,
}
command!(MemoryMap<'a>, MemoryOp, 9, "XENMEM_memory_map");

/// One entry of the memory map: the firmware's own packed layout (`struct e820entry`, which
/// Xen's headers describe but do not declare).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C, packed)]
#[expect(missing_docs, reason = "the firmware's fields")]
pub struct E820Entry {
    pub addr: u64,
    pub size: u64,
    pub r#type: u32,
}

/// `E820_RAM`.
pub const E820_RAM: u32 = 1;

/// `struct xen_memory_reservation`.
#[derive(Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct Reservation<'a> {
    pub extent_start: Handle<'a, u64>,
    pub nr_extents: u64,
    pub extent_order: u32,
    pub mem_flags: u32,
    pub domid: DomainId,
    pub pad: [u16; 3],
}

/// `XENMEM_populate_physmap` of a reservation.
#[derive(Debug)]
#[repr(transparent)]
pub struct PopulatePhysmap<'a>(pub Reservation<'a>);

/// `XENMEM_decrease_reservation` of a reservation.
#[derive(Debug)]
#[repr(transparent)]
pub struct DecreaseReservation<'a>(pub Reservation<'a>);

macro_rules! reservation_command {
    ($type:ident, $number:literal, $name:literal) => {
        impl super::sealed::Sealed for $type<'_> {}
        impl super::Command for $type<'_> {
            const HYPERCALL: super::Hypercall = super::Hypercall::MemoryOp;
            const NUMBER: u64 = $number;
            const NAME: &'static str = $name;

            fn domain(&self) -> DomainId {
                self.0.domid
            }
        }
    };
}
reservation_command!(PopulatePhysmap, 6, "XENMEM_populate_physmap");
reservation_command!(DecreaseReservation, 1, "XENMEM_decrease_reservation");
