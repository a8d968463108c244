//! Xen's public interface as data: structures, numbers, names.
//!
//! Names and layouts follow the public headers of Xen 4.17 (`xen/include/public`), unchanged up
//! to 4.22; `tests/abi.rs` compares each of them with the C compiler's opinion of libxen-dev.
//! Names are Xen's without the common prefix, fields are Xen's own.
#![forbid(unsafe_code)]

pub mod console;
pub mod dm_op;
pub mod domctl;
pub mod errno;
pub mod event_channel;
pub mod grant_table;
pub mod hvm;
pub mod ioreq;
pub mod memory;
pub mod sched;
pub mod shared_info;
pub mod version;
pub mod xenstore;

use core::fmt;
use core::marker::PhantomData;

pub use errno::Errno;

/// Bytes in a page, of every kind this interface knows.
pub const PAGE_SIZE: usize = 4096;

/// Hypercall numbers (`__HYPERVISOR_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[expect(
    missing_docs,
    reason = "each is the hypercall of Xen's header of the same name"
)]
pub enum Hypercall {
    MemoryOp = 12,
    XenVersion = 17,
    ConsoleIo = 18,
    GrantTableOp = 20,
    SchedOp = 29,
    EventChannelOp = 32,
    HvmOp = 34,
    Domctl = 36,
    DmOp = 41,
}

/// A domain's number (`domid_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct DomainId(pub u16);

impl DomainId {
    /// The caller itself (`DOMID_SELF`).
    pub const SELF: Self = Self(0x7ff0);
    /// Numbers from here on name no ordinary domain (`DOMID_FIRST_RESERVED`).
    pub const FIRST_RESERVED: u16 = 0x7ff0;
    /// No domain at all (`DOMID_INVALID`).
    pub const INVALID: Self = Self(0x7ff4);
}

impl fmt::Display for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SELF => f.write_str("d[self]"),
            Self(number) => write!(f, "d{number}"),
        }
    }
}

/// A pointer that Xen follows (`XEN_GUEST_HANDLE`): a guest-virtual address, which is also the
/// physical one because memory is identity mapped.
///
/// It can only be made from a slice, and keeps that slice borrowed, so a structure holding one
/// never outlives or aliases its buffer.
#[derive(Debug)]
#[repr(transparent)]
pub struct Handle<'a, T> {
    address: u64,
    buffer: PhantomData<&'a mut [T]>,
}

impl<'a, T> Handle<'a, T> {
    /// A buffer that Xen reads and writes.
    pub fn new(buffer: &'a mut [T]) -> Self {
        Self {
            address: buffer.as_mut_ptr().expose_provenance() as u64,
            buffer: PhantomData,
        }
    }

    /// A buffer that Xen only reads.
    pub fn input(buffer: &'a [T]) -> Self {
        Self {
            address: buffer.as_ptr().expose_provenance() as u64,
            buffer: PhantomData,
        }
    }

    /// The same buffer where Xen declares it as bytes.
    pub fn untyped(self) -> Handle<'a, u8> {
        Handle {
            address: self.address,
            buffer: PhantomData,
        }
    }

    /// The address Xen is given.
    pub const fn address(&self) -> u64 {
        self.address
    }
}

/// A structure that is the argument of exactly one hypercall command.
///
/// Only this crate implements it, on structures whose size Xen agrees with (`tests/abi.rs`);
/// `crate::hypercall::issue` relies on both.
pub trait Command: sealed::Sealed {
    /// The hypercall it belongs to.
    const HYPERCALL: Hypercall;
    /// The command number within it.
    const NUMBER: u64;
    /// Xen's name of the command, for messages.
    const NAME: &'static str;

    /// The domain acted upon, for messages.
    fn domain(&self) -> DomainId {
        DomainId::SELF
    }
}

pub(crate) mod sealed {
    /// Keeps [`super::Command`] and the dm_op bodies to this crate.
    pub trait Sealed {}
}

/// Declares a structure as the argument of a command, optionally naming its domain field.
macro_rules! command {
    ($type:ident $(<$life:lifetime>)?, $call:ident, $number:expr, $name:literal $(, $domain:ident)?) => {
        impl $(<$life>)? crate::abi::sealed::Sealed for $type $(<$life>)? {}
        impl $(<$life>)? crate::abi::Command for $type $(<$life>)? {
            const HYPERCALL: crate::abi::Hypercall = crate::abi::Hypercall::$call;
            const NUMBER: u64 = $number;
            const NAME: &'static str = $name;
            $(
                fn domain(&self) -> crate::abi::DomainId {
                    self.$domain
                }
            )?
        }
    };
}
pub(crate) use command;
