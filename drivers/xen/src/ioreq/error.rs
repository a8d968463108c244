//! Why an IOREQ server could not be set up or taken down.

use core::fmt;

use crate::abi::DomainId;
use crate::abi::ioreq::MAX_VCPUS;
use crate::hypercall::XenError;
use crate::memory::MemoryError;

/// Why a server could not be set up or taken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoreqError {
    /// Xen refused a call.
    Xen(XenError),
    /// The pages could not be mapped.
    Memory(MemoryError),
    /// More vCPUs than the request page has slots for.
    TooManyVcpus {
        /// The guest.
        domain: DomainId,
        /// How many it has.
        vcpus: u32,
    },
}

impl From<XenError> for IoreqError {
    fn from(error: XenError) -> Self {
        Self::Xen(error)
    }
}

impl From<MemoryError> for IoreqError {
    fn from(error: MemoryError) -> Self {
        match error {
            MemoryError::Xen(error) => Self::Xen(error),
            other => Self::Memory(other),
        }
    }
}

impl fmt::Display for IoreqError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xen(error) => error.fmt(f),
            Self::Memory(error) => error.fmt(f),
            Self::TooManyVcpus { domain, vcpus } => {
                write!(
                    f,
                    "{domain}: has {vcpus} vCPUs, an IOREQ server can serve {MAX_VCPUS}"
                )
            }
        }
    }
}

impl core::error::Error for IoreqError {}
