//! Four-level page tables of an identity map, as values: no pointer is followed here.
//!
//! Intel SDM volume 3A, section 4.5. Entry: bit 0 present, 1 writable, 3 write-through, 4 cache
//! disable, 5 accessed, 6 dirty, 7 page size (levels 2 and 3), 63 execute-disable.

use core::fmt;
use core::ops::Range;

const PAGE_SIZE: u64 = 4096;
const ENTRIES: usize = 512;
const TOP_LEVEL: u32 = 4;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const UNCACHED: u64 = 1 << 3 | 1 << 4;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// Bits that the processor sets by itself.
const ACCESSED_DIRTY: u64 = 1 << 5 | 1 << 6;

/// What may be done with a page. Nothing is ever both writable and executable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read and execute.
    Code,
    /// Read.
    Constants,
    /// Read and write.
    Data,
    /// Read and write, uncached.
    Device,
}

impl Access {
    const ALL: [Self; 4] = [Self::Code, Self::Constants, Self::Data, Self::Device];

    const fn bits(self) -> u64 {
        match self {
            Self::Code => PRESENT,
            Self::Constants => PRESENT | NO_EXECUTE,
            Self::Data => PRESENT | WRITABLE | NO_EXECUTE,
            Self::Device => PRESENT | WRITABLE | UNCACHED | NO_EXECUTE,
        }
    }
}

/// Why a range cannot be mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapError {
    /// Not whole pages, or beyond what the processor can address.
    BadRange {
        /// First byte asked for.
        start: u64,
        /// One past the last byte.
        end: u64,
    },
    /// A page is mapped already, with another access.
    Conflict {
        /// The page.
        address: u64,
    },
    /// No frame left for a table.
    OutOfFrames,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRange { start, end } => {
                write!(f, "{start:#x}..{end:#x} are no pages that can be mapped")
            }
            Self::Conflict { address } => {
                write!(
                    f,
                    "page {address:#x} is mapped already, with another access"
                )
            }
            Self::OutOfFrames => write!(f, "no page frame left for a page table"),
        }
    }
}

/// Where tables live.
pub trait Tables {
    /// Address of a zeroed table.
    fn allocate(&mut self) -> Option<u64>;
    /// An entry.
    fn read(&self, table: u64, index: usize) -> u64;
    /// Changes an entry.
    fn write(&mut self, table: u64, index: usize, entry: u64);
}

/// An identity map.
#[derive(Debug, Clone, Copy)]
pub struct AddressSpace {
    root: u64,
    /// One past the last address that can be mapped.
    limit: u64,
}

impl AddressSpace {
    /// An empty map on a processor with `address_bits` physical address bits.
    pub fn new(tables: &mut impl Tables, address_bits: u32) -> Option<Self> {
        // The lower half of the address space is 2^47 bytes: identity ends there at the latest.
        let limit = 1 << address_bits.clamp(32, 47);
        Some(Self {
            root: tables.allocate()?,
            limit,
        })
    }

    /// The table for CR3.
    pub fn root(self) -> u64 {
        self.root
    }

    /// Maps a range of whole pages to itself, by 2 MiB pages where they fit. Pages mapped already
    /// with the same access stay as they are.
    pub fn map(
        self,
        tables: &mut impl Tables,
        range: Range<u64>,
        access: Access,
    ) -> Result<(), MapError> {
        let Range { start, end } = range;
        if start > end || end > self.limit || start % PAGE_SIZE != 0 || end % PAGE_SIZE != 0 {
            return Err(MapError::BadRange { start, end });
        }
        let mut address = start;
        while address < end {
            address += self.map_one(tables, address, end - address, access)?;
        }
        Ok(())
    }

    /// Maps at most `room` bytes at `address` by one entry; the bytes that it now maps from there.
    fn map_one(
        self,
        tables: &mut impl Tables,
        address: u64,
        room: u64,
        access: Access,
    ) -> Result<u64, MapError> {
        let mut table = self.root;
        for level in (1..=TOP_LEVEL).rev() {
            let size = span(level);
            let index = index(address, level);
            let entry = tables.read(table, index);
            let leaf = level == 1 || entry & LARGE != 0;
            if entry & PRESENT != 0 {
                if !leaf {
                    table = entry & ADDRESS;
                } else if entry & !(ADDRESS | LARGE | ACCESSED_DIRTY) == access.bits() {
                    return Ok(size - address % size);
                } else {
                    return Err(MapError::Conflict { address });
                }
            } else if level == 1 || (level == 2 && address.is_multiple_of(size) && room >= size) {
                let large = if level == 2 { LARGE } else { 0 };
                tables.write(table, index, address | access.bits() | large);
                return Ok(size);
            } else {
                let next = tables.allocate().ok_or(MapError::OutOfFrames)?;
                // Rights are decided by the last level alone.
                tables.write(table, index, next | PRESENT | WRITABLE);
                table = next;
            }
        }
        Err(MapError::Conflict { address })
    }

    /// What may be done at an address; `None` if nothing is mapped there.
    pub fn lookup(self, tables: &impl Tables, address: u64) -> Option<Access> {
        if address >= self.limit {
            return None;
        }
        let mut table = self.root;
        for level in (1..=TOP_LEVEL).rev() {
            let entry = tables.read(table, index(address, level));
            if entry & PRESENT == 0 {
                return None;
            }
            if level == 1 || entry & LARGE != 0 {
                let bits = entry & !(ADDRESS | LARGE | ACCESSED_DIRTY);
                return Access::ALL.into_iter().find(|access| access.bits() == bits);
            }
            table = entry & ADDRESS;
        }
        None
    }
}

/// Bytes that one entry of a table of this level covers.
const fn span(level: u32) -> u64 {
    PAGE_SIZE << (9 * (level - 1))
}

const fn index(address: u64, level: u32) -> usize {
    (address / span(level)) as usize % ENTRIES
}
