//! Requests from a guest's trapped accesses (`xen/hvm/ioreq.h`).
//!
//! ```text
//! ioreq page: one 32-byte ioreq per vCPU. state decides who owns the slot:
//!   NONE -> READY        Xen writes the request, then READY, then notifies
//!   READY -> INPROCESS   we, having copied it
//!   INPROCESS -> RESP    we, having stored the answer in data, then notify
//!   RESP -> NONE         Xen, and the vCPU runs on
//! buffered page: read_pointer (ours), write_pointer (Xen's), 511 slots of 8 bytes
//! ```

use super::PAGE_SIZE;

/// `struct ioreq`, its bit-fields as one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct Ioreq {
    pub addr: u64,
    pub data: u64,
    pub count: u32,
    pub size: u32,
    pub vp_eport: u32,
    pub _pad0: u16,
    /// state 3:0, data_is_ptr 4, dir 5, df 6.
    pub bits: u8,
    pub r#type: u8,
}

/// Bits of [`Ioreq::bits`] that hold the state.
pub const STATE_MASK: u8 = 0xf;
/// `data_is_ptr`.
pub const DATA_IS_PTR: u8 = 1 << 4;
/// `dir`; set for a read.
pub const DIR_READ: u8 = 1 << 5;
/// `df`: addresses of repeated accesses go down.
pub const DF: u8 = 1 << 6;

/// `STATE_IOREQ_NONE`.
pub const STATE_NONE: u8 = 0;
/// `STATE_IOREQ_READY`.
pub const STATE_READY: u8 = 1;
/// `STATE_IOREQ_INPROCESS`.
pub const STATE_INPROCESS: u8 = 2;
/// `STATE_IORESP_READY`.
pub const STATE_RESP_READY: u8 = 3;

/// `IOREQ_TYPE_PIO`.
pub const TYPE_PIO: u8 = 0;
/// `IOREQ_TYPE_COPY`.
pub const TYPE_COPY: u8 = 1;
/// `IOREQ_TYPE_PCI_CONFIG`.
pub const TYPE_PCI_CONFIG: u8 = 2;
/// `IOREQ_TYPE_TIMEOFFSET`.
pub const TYPE_TIMEOFFSET: u8 = 7;
/// `IOREQ_TYPE_INVALIDATE`.
pub const TYPE_INVALIDATE: u8 = 8;

/// vCPUs whose slot fits the one ioreq page (`HVM_MAX_VCPUS` is the same number).
pub const MAX_VCPUS: usize = PAGE_SIZE / size_of::<Ioreq>();

/// Servers one guest can have (`MAX_NR_IOREQ_SERVERS`, `include/xen/ioreq.h`).
pub const MAX_SERVERS: u16 = 8;

/// `struct buffered_iopage`; a slot's first dword holds type 7:0, dir 9, size 11:10, addr 31:12.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct BufferedIopage {
    pub read_pointer: u32,
    pub write_pointer: u32,
    pub buf_ioreq: [BufIoreq; BUFFER_SLOTS as usize],
}

/// `struct buf_ioreq`, its bit-fields as one dword.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct BufIoreq {
    pub bits: u32,
    pub data: u32,
}

/// `IOREQ_BUFFER_SLOT_NUM`.
pub const BUFFER_SLOTS: u32 = 511;
