//! HVM operations and parameters (`xen/hvm/hvm_op.h`, `xen/hvm/params.h`).

use super::{DomainId, command};

/// `struct xen_hvm_param` for `HVMOP_get_param`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct GetParam {
    pub domid: DomainId,
    pub pad: u16,
    pub index: u32,
    pub value: u64,
}
command!(GetParam, HvmOp, 1, "HVMOP_get_param", domid);

/// `struct xen_hvm_param` for `HVMOP_set_param`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct SetParam {
    pub domid: DomainId,
    pub pad: u16,
    pub index: u32,
    pub value: u64,
}
command!(SetParam, HvmOp, 0, "HVMOP_set_param", domid);

/// `struct xen_hvm_evtchn_upcall_vector`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct EvtchnUpcallVector {
    pub vcpu: u32,
    pub vector: u8,
    pub pad: [u8; 3],
}
command!(
    EvtchnUpcallVector,
    HvmOp,
    23,
    "HVMOP_set_evtchn_upcall_vector"
);

/// HVM parameters (`HVM_PARAM_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[expect(missing_docs, reason = "Xen's names")]
pub enum Parameter {
    CallbackIrq = 0,
    StorePfn = 1,
    StoreEvtchn = 2,
    ConsolePfn = 17,
    ConsoleEvtchn = 18,
    IoreqServerPfn = 32,
    NrIoreqServerPages = 33,
}

/// `HVM_PARAM_CALLBACK_TYPE_VECTOR`, which lives in bits 63:56 of the callback parameter.
pub const CALLBACK_TYPE_VECTOR: u64 = 2;

/// Memory types a device model may give a guest's pages (`hvmmem_type_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum MemoryType {
    /// `HVMMEM_ram_rw`: ordinary memory.
    RamRw = 0,
    /// `HVMMEM_ram_ro`: writes are discarded.
    RamRo = 1,
    /// `HVMMEM_mmio_dm`: all accesses go to a device model.
    MmioDm = 2,
    /// `HVMMEM_ioreq_server`: reads run untrapped, writes go to the IOREQ server that owns the
    /// type and are not applied by Xen.
    IoreqServer = 4,
}

/// `HVM_IOREQSRV_BUFIOREQ_*`: whether a server has a buffered ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Buffering {
    /// No buffered ring.
    Off = 0,
    /// Ring whose read pointer Xen never adjusts.
    Legacy = 1,
    /// Ring whose pointers Xen and server change atomically together.
    Atomic = 2,
}
