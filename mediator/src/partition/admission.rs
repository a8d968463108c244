//! Why a domain gets no vGPU, with the numbers.

use core::fmt;

use crate::PageError;

/// Why a domain got no vGPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachError {
    /// It has one.
    AlreadyAttached,
    /// As many vGPUs as there can be.
    TooMany {
        /// Most vGPUs at once.
        limit: usize,
    },
    /// Low GM of size zero: the driver cannot work without aperture.
    ZeroLowGm,
    /// Weight zero: it would never run.
    ZeroWeight,
    /// Not enough low (mappable) graphics memory in one piece, MiB.
    NoLowGm {
        /// Asked for.
        asked: u32,
        /// Largest free piece.
        left: u32,
    },
    /// Not enough high (non-mappable) graphics memory in one piece, MiB.
    NoHighGm {
        /// Asked for.
        asked: u32,
        /// Largest free piece.
        left: u32,
    },
    /// Not enough fence registers in a row.
    NoFences {
        /// Asked for.
        asked: u32,
        /// Largest free run.
        left: u32,
    },
    /// No memory for the vGPU's own tables, bytes.
    OutOfMemory {
        /// Asked for.
        asked: usize,
    },
    /// A page the vGPU needs could not be had.
    Page(PageError),
}

impl From<PageError> for AttachError {
    fn from(error: PageError) -> Self {
        Self::Page(error)
    }
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyAttached => write!(f, "the domain has a vGPU already"),
            Self::TooMany { limit } => write!(f, "all {limit} vGPUs are in use"),
            Self::ZeroLowGm => write!(f, "low GM must be at least 1 MiB"),
            Self::ZeroWeight => write!(f, "weight must be at least 1"),
            Self::NoLowGm { asked, left } => {
                write!(f, "asked {asked} MiB low GM, {left} MiB left")
            }
            Self::NoHighGm { asked, left } => {
                write!(f, "asked {asked} MiB high GM, {left} MiB left")
            }
            Self::NoFences { asked, left } => write!(f, "asked {asked} fences, {left} left"),
            Self::OutOfMemory { asked } => {
                write!(
                    f,
                    "service domain has no {} KiB of memory left",
                    asked.div_ceil(1024)
                )
            }
            Self::Page(error) => write!(f, "{error}"),
        }
    }
}
