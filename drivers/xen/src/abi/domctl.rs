//! The one domain-control operation the image uses (`xen/domctl.h`).
//!
//! domctl is not a stable interface: the version is checked for equality (a wrong one answers
//! -EACCES) and moved 0x15 (4.17), 0x16 (4.18), 0x17 (4.19 to 4.21), 0x18 (4.22); this
//! operation's layout is the same in all of them.

use super::{DomainId, command};

/// `struct xen_domctl` with `memory_mapping` in its union.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct MemoryMapping {
    pub cmd: u32,
    pub interface_version: u32,
    pub domain: DomainId,
    pub pad: [u16; 3],
    pub first_gfn: u64,
    pub first_mfn: u64,
    pub nr_mfns: u64,
    pub add_mapping: u32,
    pub padding: u32,
    /// The rest of the union, which is 128 bytes.
    pub rest: [u64; 12],
}
command!(
    MemoryMapping,
    Domctl,
    0,
    "XEN_DOMCTL_memory_mapping",
    domain
);

/// `XEN_DOMCTL_memory_mapping`.
pub const MEMORY_MAPPING: u32 = 39;
