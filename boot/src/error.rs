//! Why a loader's information cannot be booted from.

use core::fmt;

/// What is wrong with the loader's information; the numbers as it gave them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootError {
    /// `hvm_start_info.magic` is not 0x336ec578.
    BadMagic(u32),
    /// `hvm_start_info.version` is neither 0 nor 1.
    UnknownVersion(u32),
    /// A table lies where no memory can be read.
    Unreadable {
        /// Which table.
        what: &'static str,
        /// Its physical address.
        address: u64,
    },
    /// The command line has no end within the limit.
    CommandLineTooLong {
        /// Most bytes accepted.
        limit: usize,
    },
    /// Nobody gave a memory map.
    NoMemoryMap,
    /// More regions than any machine has.
    TooManyRegions {
        /// Regions announced.
        count: u32,
        /// Most regions accepted.
        limit: usize,
    },
    /// A region ends beyond the 64-bit address space.
    RegionOverflows {
        /// Its place in the map, from 0.
        index: usize,
        /// First byte.
        start: u64,
        /// Bytes.
        size: u64,
    },
    /// A region starts inside the one before it.
    RegionsOverlap {
        /// First byte.
        start: u64,
        /// Where the one before ends.
        before: u64,
    },
    /// The map has no RAM at all.
    NoRam,
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BadMagic(magic) => {
                write!(
                    f,
                    "hvm_start_info: magic {magic:#010x}, expected 0x336ec578 (not PVH?)"
                )
            }
            Self::UnknownVersion(version) => {
                write!(
                    f,
                    "hvm_start_info: version {version:#x}, only 0 and 1 are known"
                )
            }
            Self::Unreadable { what, address } => {
                write!(f, "{what}: no memory to read at {address:#x}")
            }
            Self::CommandLineTooLong { limit } => {
                write!(f, "command line: no terminating NUL within {limit} bytes")
            }
            Self::NoMemoryMap => write!(f, "memory map: none, from the loader or from Xen"),
            Self::TooManyRegions { count, limit } => {
                write!(
                    f,
                    "memory map: {count} regions announced, at most {limit} are read"
                )
            }
            Self::RegionOverflows { index, start, size } => {
                write!(
                    f,
                    "memory map: region {index} at {start:#x} of {size:#x} bytes overflows"
                )
            }
            Self::RegionsOverlap { start, before } => write!(
                f,
                "memory map: the region at {start:#x} overlaps the one before it, which ends at \
                 {before:#x}"
            ),
            Self::NoRam => write!(f, "memory map: no RAM in it"),
        }
    }
}
