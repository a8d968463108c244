//! Device-model operations on one guest, typed.
//!
//! Each needs the device-model privilege over the guest; a refusal says how to get it
//! ([`crate::hypercall::Remedy`]). The same rights cover every operation.

use crate::abi::dm_op::{
    Buf, CreateIoreqServer, DestroyIoreqServer, GetIoreqServerInfo, IO_RANGE_MEMORY, IO_RANGE_PCI,
    IO_RANGE_PORT, IOREQ_MEM_ACCESS_WRITE, InjectMsi, MapIoRange, MapMemTypeToIoreqServer,
    ModifiedMemory, NO_GFNS, NrVcpus, Op, Operation, RelocateMemory, RemoteShutdown,
    SetIoreqServerState, SetMemType, SetPciIntxLevel, UnmapIoRange,
};
use crate::abi::sched::ShutdownReason;
use crate::abi::{DomainId, Errno};
use crate::events::Port;
use crate::hypercall::{Hypervisor, XenError, issue_dm_buffers, issue_dm_op};

pub use crate::abi::dm_op::ModifiedMemoryExtent;
pub use crate::abi::hvm::{Buffering, MemoryType};

/// An IOREQ server's number within its guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerId(pub u16);

/// A PCI function (`XEN_DMOP_PCI_SBDF`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sbdf(pub u32);

impl Sbdf {
    /// Segment, bus, device, function.
    pub const fn new(segment: u16, bus: u8, device: u8, function: u8) -> Self {
        Self(
            (segment as u32) << 16
                | (bus as u32) << 8
                | (device as u32 & 0x1f) << 3
                | function as u32 & 7,
        )
    }
}

impl core::fmt::Display for Sbdf {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self(sbdf) = self;
        let (bus, device, function) = (sbdf >> 8 & 0xff, sbdf >> 3 & 0x1f, sbdf & 7);
        write!(f, "{:04x}:{bus:02x}:{device:02x}.{function}", sbdf >> 16)
    }
}

/// What an IOREQ server claims of its guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// I/O ports, both ends included.
    Ports(u16, u16),
    /// Guest-physical addresses, both ends included.
    Memory(u64, u64),
    /// The configuration space of a PCI function.
    Pci(Sbdf),
}

impl Range {
    /// The `size` bytes from `address`; `None` for an empty or wrapping range.
    pub fn memory(address: u64, size: u64) -> Option<Self> {
        let last = address.checked_add(size.checked_sub(1)?)?;
        Some(Self::Memory(address, last))
    }

    fn encode(self) -> (u32, u64, u64) {
        match self {
            Self::Ports(first, last) => (IO_RANGE_PORT, first.into(), last.into()),
            Self::Memory(first, last) => (IO_RANGE_MEMORY, first, last),
            Self::Pci(Sbdf(sbdf)) => (IO_RANGE_PCI, sbdf.into(), sbdf.into()),
        }
    }
}

/// The device-model calls on one guest.
#[derive(Debug, Clone, Copy)]
pub struct DeviceModel<H> {
    hypervisor: H,
    domain: DomainId,
}

impl<H: Hypervisor> DeviceModel<H> {
    /// For `domain`; asks nothing yet.
    pub const fn new(hypervisor: H, domain: DomainId) -> Self {
        Self { hypervisor, domain }
    }

    /// The guest.
    pub const fn domain(&self) -> DomainId {
        self.domain
    }

    /// The way to Xen.
    pub const fn hypervisor(&self) -> &H {
        &self.hypervisor
    }

    fn operate<T: Operation>(&self, mut operation: T) -> Result<T, XenError> {
        issue_dm_op(&self.hypervisor, self.domain, &mut operation)?;
        Ok(operation)
    }

    /// How many vCPUs the guest has. The cheapest call that needs the privilege, so also the
    /// one to find out with: -EINVAL means no HVM guest, -ESRCH no such guest.
    pub fn vcpus(&self) -> Result<u32, XenError> {
        Ok(self.operate(NrVcpus { vcpus: 0 })?.vcpus)
    }

    /// Creates an IOREQ server, which claims nothing and is disabled.
    pub fn create_server(&self, buffering: Buffering) -> Result<ServerId, XenError> {
        let operation = CreateIoreqServer {
            handle_bufioreq: buffering as u8,
            pad: [0; 3],
            id: 0,
        };
        Ok(ServerId(self.operate(operation)?.id))
    }

    /// Xen's port of a server's buffered ring, if it has one. Xen does not create legacy frames.
    ///
    /// -EPERM means another domain's server, -ENOENT none.
    pub fn buffered_port(&self, server: ServerId) -> Result<Option<Port>, XenError> {
        let info = self.operate(GetIoreqServerInfo {
            id: server.0,
            flags: NO_GFNS,
            bufioreq_port: 0,
            ioreq_gfn: 0,
            bufioreq_gfn: 0,
        })?;
        // Without a buffered ring Xen leaves the field alone; 0 is no valid port.
        Ok((info.bufioreq_port != 0).then_some(Port(info.bufioreq_port)))
    }

    /// Claims a range for a server; claiming what it has already is fine.
    ///
    /// A range that overlaps one it has, without being the same, is refused with -EEXIST too and
    /// so looks claimed: claim the same ranges always.
    pub fn map_range(&self, server: ServerId, range: Range) -> Result<(), XenError> {
        let (r#type, start, end) = range.encode();
        let operation = MapIoRange {
            id: server.0,
            pad: 0,
            r#type,
            start,
            end,
        };
        unless(Errno::EEXIST, self.operate(operation))
    }

    /// Gives a range back; giving back what it has not is fine.
    pub fn unmap_range(&self, server: ServerId, range: Range) -> Result<(), XenError> {
        let (r#type, start, end) = range.encode();
        let operation = UnmapIoRange {
            id: server.0,
            pad: 0,
            r#type,
            start,
            end,
        };
        unless(Errno::ENOENT, self.operate(operation))
    }

    /// Lets requests reach a server, or stops them.
    pub fn set_server_state(&self, server: ServerId, enabled: bool) -> Result<(), XenError> {
        let operation = SetIoreqServerState {
            id: server.0,
            enabled: enabled.into(),
            pad: 0,
        };
        self.operate(operation).map(drop)
    }

    /// Ends a server: its ranges, ports and pages go with it, and vCPUs waiting for its answer
    /// run on.
    pub fn destroy_server(&self, server: ServerId) -> Result<(), XenError> {
        let operation = DestroyIoreqServer {
            id: server.0,
            pad: 0,
        };
        self.operate(operation).map(drop)
    }

    /// Delivers a message-signalled interrupt: address and data exactly as the guest wrote them
    /// into the capability, the address with all its 64 bits.
    pub fn inject_msi(&self, address: u64, data: u32) -> Result<(), XenError> {
        let operation = InjectMsi {
            data,
            pad: 0,
            addr: address,
        };
        self.operate(operation).map(drop)
    }

    /// Raises or lowers INTx line `line` (0 to 3) of a function on bus 0.
    pub fn set_pci_intx_level(&self, function: Sbdf, line: u8, high: bool) -> Result<(), XenError> {
        let operation = SetPciIntxLevel {
            domain: (function.0 >> 16) as u16,
            bus: (function.0 >> 8) as u8,
            device: function.0 as u8 >> 3,
            intx: line,
            level: high.into(),
        };
        self.operate(operation).map(drop)
    }

    /// Changes the type of `count` guest frames from `first`.
    pub fn set_memory_type(
        &self,
        first: u64,
        count: u32,
        kind: MemoryType,
    ) -> Result<(), XenError> {
        let operation = SetMemType {
            nr: count,
            mem_type: kind as u16,
            pad: 0,
            first_pfn: first,
        };
        self.operate(operation).map(drop)
    }

    /// Sends writes to frames of type [`MemoryType::IoreqServer`] to `server`. One server of the
    /// guest owns the type: -EBUSY.
    pub fn claim_write_protection(&self, server: ServerId) -> Result<(), XenError> {
        self.map_memory_type(server, IOREQ_MEM_ACCESS_WRITE)
    }

    /// Gives the type up; frames that still have it become ordinary memory.
    pub fn release_write_protection(&self, server: ServerId) -> Result<(), XenError> {
        self.map_memory_type(server, 0)
    }

    fn map_memory_type(&self, server: ServerId, flags: u32) -> Result<(), XenError> {
        let operation = MapMemTypeToIoreqServer {
            id: server.0,
            r#type: MemoryType::IoreqServer as u16,
            flags,
            opaque: 0,
        };
        self.operate(operation).map(drop)
    }

    /// Tells dirty tracking which frames we wrote through our own mappings.
    pub fn modified_memory(&self, extents: &mut [ModifiedMemoryExtent]) -> Result<(), XenError> {
        let mut op = [Op {
            op: ModifiedMemory::NUMBER,
            pad: 0,
            u: ModifiedMemory {
                nr_extents: extents.len() as u32,
                opaque: 0,
            },
        }];
        let mut buffers = [Buf::of(&mut op), Buf::of(extents)];
        issue_dm_buffers(
            &self.hypervisor,
            self.domain,
            ModifiedMemory::NAME,
            &mut buffers,
        )
        .map(drop)
    }

    /// Moves `count` guest frames from `from` to `to`; mappings of the pages elsewhere follow.
    ///
    /// Xen crashes a guest that has an access to either place in flight meanwhile.
    pub fn relocate_memory(&self, from: u64, to: u64, count: u32) -> Result<(), XenError> {
        let operation = RelocateMemory {
            size: count,
            pad: 0,
            src_gfn: from,
            dst_gfn: to,
        };
        self.operate(operation).map(drop)
    }

    /// Shuts the guest down.
    pub fn shutdown(&self, reason: ShutdownReason) -> Result<(), XenError> {
        let operation = RemoteShutdown {
            reason: reason as u32,
        };
        self.operate(operation).map(drop)
    }
}

/// Success also when Xen says that it was so already.
fn unless<T>(fine: Errno, result: Result<T, XenError>) -> Result<(), XenError> {
    match result {
        Err(error) if error.errno != fine => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
