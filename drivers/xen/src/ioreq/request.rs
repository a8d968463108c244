//! One request: the slot it sits in, the single copy made of it, the checks on that copy.
//!
//! What can differ from a plain access: repeated string instructions (`count`, `df`,
//! `data_is_pointer`: data is then a guest-physical address and the server moves the bytes),
//! page invalidation (count 0) and wall-clock shifts, which are no accesses at all. Xen cuts
//! repeats so that one request stays within a page and below 4096 (`arch/x86/hvm/emulate.c`).

use core::fmt;
use core::mem::offset_of;

use crate::abi::DomainId;
use crate::abi::ioreq::{
    DATA_IS_PTR, DF, DIR_READ, Ioreq, STATE_INPROCESS, STATE_MASK, STATE_RESP_READY, TYPE_COPY,
    TYPE_INVALIDATE, TYPE_PCI_CONFIG, TYPE_PIO, TYPE_TIMEOFFSET,
};
use crate::device_model::Sbdf;
use crate::events::Port;
use crate::shared::SharedPage;

/// Repeats that Xen puts into one request at most.
pub const MAX_COUNT: u32 = 4096;

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An I/O port.
    PortIo,
    /// A guest-physical address: a claimed range or a write-protected page.
    Memory,
    /// PCI configuration space: function above, register below bit 32 of the address.
    PciConfig,
    /// The guest moved its clock; data is the shift in seconds.
    TimeOffset,
    /// Guest frames went away: mappings of them must be dropped before the answer.
    Invalidate,
}

/// Which way data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The guest waits for data.
    Read,
    /// The guest gives data.
    Write,
}

/// A checked private copy of a guest's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The vCPU that waits.
    pub vcpu: u32,
    /// What it is about.
    pub kind: Kind,
    /// Port, guest-physical address, or function and register.
    pub address: u64,
    /// The value written, or where it is in guest memory.
    pub data: u64,
    /// Accesses to make, one unless it is a repeated instruction.
    pub count: u32,
    /// Bytes of one access: 1, 2, 4 or 8.
    pub size: u8,
    /// Which way.
    pub direction: Direction,
    /// Addresses of repeats descend.
    pub backwards: bool,
    /// `data` is a guest-physical address; the server reads or writes the values there.
    pub data_is_pointer: bool,
    /// The slot's flags as found, to be put back with the answer.
    pub(super) bits: u8,
}

/// One access of a repeated request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// Where the device is accessed.
    pub address: u64,
    /// The value, or where it is in guest memory.
    pub data: u64,
}

impl Request {
    /// The function and register of a configuration access.
    pub const fn configuration(&self) -> Option<(Sbdf, u16)> {
        match self.kind {
            Kind::PciConfig => Some((Sbdf((self.address >> 32) as u32), self.address as u16)),
            _ => None,
        }
    }

    /// The accesses in the order the guest makes them, at most [`MAX_COUNT`]; they end early
    /// where an address would wrap.
    pub fn elements(&self) -> impl Iterator<Item = Element> + use<> {
        let request = *self;
        let step = u64::from(request.size);
        (0..u64::from(request.count)).map_while(move |index| {
            let distance = index.checked_mul(step)?;
            // A port stays the same from one access to the next, and so does a plain value.
            let moved = |start: u64, moves: bool| {
                if !moves {
                    Some(start)
                } else if request.backwards {
                    start.checked_sub(distance)
                } else {
                    start.checked_add(distance)
                }
            };
            let element = Element {
                address: moved(request.address, request.kind == Kind::Memory)?,
                data: moved(request.data, request.data_is_pointer)?,
            };
            element.address.checked_add(step - 1)?;
            Some(element)
        })
    }
}

/// Why a request makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undecodable {
    /// What is wrong with it.
    pub reason: Slot,
    /// The slot's flags as found.
    pub(super) bits: u8,
}

/// What can be wrong with a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// A type of request that does not exist.
    Type(u8),
    /// A size no access has.
    Size(u32),
    /// No access, or more than Xen ever asks for at once.
    Count(u32),
}

/// A refused request, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The guest.
    pub domain: DomainId,
    /// Its vCPU.
    pub vcpu: u32,
    /// What was wrong.
    pub what: Undecodable,
    /// Whether the vCPU could be told to run on.
    pub notified: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, vcpu, .. } = self;
        write!(f, "{domain}: vCPU {vcpu}: ioreq of ")?;
        match self.what.reason {
            Slot::Type(kind) => write!(f, "unknown type {kind:#x}")?,
            Slot::Size(size) => write!(f, "size {size:#x}")?,
            Slot::Count(count) => write!(f, "count {count:#x}")?,
        }
        f.write_str(" answered with all-ones")?;
        if !self.notified {
            f.write_str(", but the vCPU could not be notified")?;
        }
        Ok(())
    }
}

/// The page of request slots, one per vCPU.
#[derive(Debug, Clone, Copy)]
pub struct RequestPage<P> {
    page: P,
}

impl<P: SharedPage> RequestPage<P> {
    /// Over a server's request page.
    pub const fn new(page: P) -> Self {
        Self { page }
    }

    /// Who owns the slot of `vcpu`. Everything Xen wrote before it set the state is visible
    /// afterwards.
    pub fn state(&self, vcpu: usize) -> u8 {
        self.page.load_u8(slot(vcpu) + offset_of!(Ioreq, bits)) & STATE_MASK
    }

    /// Xen's port for `vcpu`, valid once the server is enabled.
    pub fn port(&self, vcpu: usize) -> Port {
        Port(self.page.load_u32(slot(vcpu) + offset_of!(Ioreq, vp_eport)))
    }

    /// Copies the request of `vcpu`, each word read once, checks the copy, and marks the slot in
    /// progress. The caller has seen that the slot is ours.
    pub fn take(&self, vcpu: usize) -> Result<Request, Undecodable> {
        let slot = slot(vcpu);
        let address = self.page.load_u64(slot + offset_of!(Ioreq, addr));
        let data = self.page.load_u64(slot + offset_of!(Ioreq, data));
        let count = self.page.load_u32(slot + offset_of!(Ioreq, count));
        let size = self.page.load_u32(slot + offset_of!(Ioreq, size));
        let flags = self.page.load_u16(slot + offset_of!(Ioreq, bits));
        let [bits, kind] = flags.to_le_bytes();
        self.set_state(vcpu, bits, STATE_INPROCESS);
        decode(vcpu, address, data, count, size, bits, kind)
            .map_err(|reason| Undecodable { reason, bits })
    }

    /// Stores the answer and hands the slot back to Xen, in this order.
    pub fn respond(&self, vcpu: usize, bits: u8, data: u64) {
        self.page
            .store_u64(slot(vcpu) + offset_of!(Ioreq, data), data);
        self.set_state(vcpu, bits, STATE_RESP_READY);
    }

    fn set_state(&self, vcpu: usize, bits: u8, state: u8) {
        let byte = bits & !STATE_MASK | state;
        self.page
            .store_u8(slot(vcpu) + offset_of!(Ioreq, bits), byte);
    }
}

const fn slot(vcpu: usize) -> usize {
    vcpu * size_of::<Ioreq>()
}

fn decode(
    vcpu: usize,
    address: u64,
    data: u64,
    count: u32,
    size: u32,
    bits: u8,
    kind: u8,
) -> Result<Request, Slot> {
    let kind = match kind {
        TYPE_PIO => Kind::PortIo,
        TYPE_COPY => Kind::Memory,
        TYPE_PCI_CONFIG => Kind::PciConfig,
        TYPE_TIMEOFFSET => Kind::TimeOffset,
        TYPE_INVALIDATE => Kind::Invalidate,
        other => return Err(Slot::Type(other)),
    };
    let access = matches!(kind, Kind::PortIo | Kind::Memory | Kind::PciConfig);
    let size = match size {
        1 | 2 | 4 => size as u8,
        8 if kind != Kind::PciConfig => 8,
        other if access => return Err(Slot::Size(other)),
        _ => 4,
    };
    if access && !(1..=MAX_COUNT).contains(&count) {
        return Err(Slot::Count(count));
    }
    Ok(Request {
        vcpu: vcpu as u32,
        kind,
        address,
        data,
        count: if access { count } else { 1 },
        size,
        direction: if bits & DIR_READ != 0 {
            Direction::Read
        } else {
            Direction::Write
        },
        backwards: bits & DF != 0,
        data_is_pointer: access && bits & DATA_IS_PTR != 0,
        bits,
    })
}

#[cfg(test)]
impl<P> RequestPage<P> {
    /// The page, for tests that play Xen.
    pub(super) const fn page(&self) -> &P {
        &self.page
    }
}
