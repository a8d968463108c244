//! Device-model operations (`xen/hvm/dm_op.h`).
//!
//! Every operation is one buffer: number, padding, then the operation's own structure.

use super::{Handle, sealed::Sealed};

/// `struct xen_dm_op_buf`.
#[derive(Debug)]
#[repr(C)]
pub struct Buf<'a> {
    /// The buffer, an [`Op`] or a list that goes with it.
    pub h: Handle<'a, u8>,
    /// Its size, bytes.
    pub size: u64,
}

impl<'a> Buf<'a> {
    /// A buffer for these elements, with the size that belongs to it.
    pub fn of<T>(elements: &'a mut [T]) -> Self {
        let size = size_of_val(elements) as u64;
        Self {
            h: Handle::new(elements).untyped(),
            size,
        }
    }
}

/// `struct xen_dm_op` holding one operation. Xen copies only the operation's own size.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(8))]
pub struct Op<T> {
    /// `XEN_DMOP_*`.
    pub op: u32,
    /// Zero.
    pub pad: u32,
    /// The operation.
    pub u: T,
}

/// The structure of one device-model operation.
pub trait Operation: Copy + Sealed {
    /// `XEN_DMOP_*`.
    const NUMBER: u32;
    /// Its name, for messages.
    const NAME: &'static str;
}

macro_rules! operations {
    ($($(#[$meta:meta])* $number:literal $name:ident $xen:literal { $($field:ident: $type:ty),* $(,)? })*) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            #[repr(C)]
            #[expect(missing_docs, reason = "Xen's fields")]
            pub struct $name { $(pub $field: $type),* }
            impl Sealed for $name {}
            impl Operation for $name {
                const NUMBER: u32 = $number;
                const NAME: &'static str = $xen;
            }
        )*
    };
}

operations! {
    /// A new server; Xen returns its id.
    1 CreateIoreqServer "XEN_DMOP_create_ioreq_server" {
        handle_bufioreq: u8, pad: [u8; 3], id: u16,
    }
    /// Port and, unless [`NO_GFNS`], legacy frames of a server of ours.
    2 GetIoreqServerInfo "XEN_DMOP_get_ioreq_server_info" {
        id: u16, flags: u16, bufioreq_port: u32, ioreq_gfn: u64, bufioreq_gfn: u64,
    }
    /// Claims a range, both ends included.
    3 MapIoRange "XEN_DMOP_map_io_range_to_ioreq_server" {
        id: u16, pad: u16, r#type: u32, start: u64, end: u64,
    }
    /// Gives a range back.
    4 UnmapIoRange "XEN_DMOP_unmap_io_range_from_ioreq_server" {
        id: u16, pad: u16, r#type: u32, start: u64, end: u64,
    }
    /// Requests reach a server only while it is enabled.
    5 SetIoreqServerState "XEN_DMOP_set_ioreq_server_state" { id: u16, enabled: u8, pad: u8 }
    /// Ends a server.
    6 DestroyIoreqServer "XEN_DMOP_destroy_ioreq_server" { id: u16, pad: u16 }
    /// Level of one INTx line, bus 0.
    8 SetPciIntxLevel "XEN_DMOP_set_pci_intx_level" {
        domain: u16, bus: u8, device: u8, intx: u8, level: u8,
    }
    /// Tells log-dirty tracking what we wrote; goes with a list of [`ModifiedMemoryExtent`].
    11 ModifiedMemory "XEN_DMOP_modified_memory" { nr_extents: u32, opaque: u32 }
    /// Changes the type of a run of guest frames.
    12 SetMemType "XEN_DMOP_set_mem_type" { nr: u32, mem_type: u16, pad: u16, first_pfn: u64 }
    /// Delivers a message-signalled interrupt as the guest programmed it.
    14 InjectMsi "XEN_DMOP_inject_msi" { data: u32, pad: u32, addr: u64 }
    /// Makes a server the owner of the `ioreq_server` memory type, or releases it (flags 0).
    15 MapMemTypeToIoreqServer "XEN_DMOP_map_mem_type_to_ioreq_server" {
        id: u16, r#type: u16, flags: u32, opaque: u64,
    }
    /// Shuts the guest down for a reason.
    16 RemoteShutdown "XEN_DMOP_remote_shutdown" { reason: u32 }
    /// Moves guest frames within the guest's address space.
    17 RelocateMemory "XEN_DMOP_relocate_memory" {
        size: u32, pad: u32, src_gfn: u64, dst_gfn: u64,
    }
    /// How many vCPUs the guest has.
    20 NrVcpus "XEN_DMOP_nr_vcpus" { vcpus: u32 }
}

/// `XEN_DMOP_no_gfns`.
pub const NO_GFNS: u16 = 1;
/// `XEN_DMOP_IO_RANGE_PORT`.
pub const IO_RANGE_PORT: u32 = 0;
/// `XEN_DMOP_IO_RANGE_MEMORY`.
pub const IO_RANGE_MEMORY: u32 = 1;
/// `XEN_DMOP_IO_RANGE_PCI`.
pub const IO_RANGE_PCI: u32 = 2;
/// `XEN_DMOP_IOREQ_MEM_ACCESS_WRITE`.
pub const IOREQ_MEM_ACCESS_WRITE: u32 = 2;

/// `struct xen_dm_op_modified_memory_extent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct ModifiedMemoryExtent {
    pub nr: u32,
    pub pad: u32,
    pub first_pfn: u64,
}
