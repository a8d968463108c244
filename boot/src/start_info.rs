//! `struct hvm_start_info`, versions 0 and 1, copied out of physical memory.
//!
//! Layout from Xen's public/arch-x86/hvm/start_info.h, little endian:
//! magic u32, version u32, flags u32, nr_modules u32, modlist u64, cmdline u64, rsdp u64, and from
//! version 1 on memmap u64, memmap_entries u32, reserved u32. Xen's builder for a PVH Dom0 gives
//! version 0; libxl and QEMU give version 1.

use crate::{BootError, MemoryMap, REGION_LIMIT};
use arrayvec::ArrayVec;

/// Longest command line accepted, without its NUL.
pub const COMMAND_LINE_LIMIT: usize = 2048;

const MAGIC: u32 = 0x336e_c578;
/// Version 0 of the structure, bytes.
const SIZE_V0: usize = 40;
/// What version 1 adds, bytes.
const SIZE_V1_TAIL: usize = 16;
/// `struct hvm_memmap_table_entry`, bytes.
const ENTRY_SIZE: usize = 24;

/// Physical memory, as far as the early page tables reach.
pub trait PhysicalMemory {
    /// Fills `into` from `address`, or says that there is nothing to read there.
    fn read(&self, address: u64, into: &mut [u8]) -> bool;
}

/// The loader's information, all of it copied: the tables themselves may be overwritten now.
#[derive(Debug, Clone)]
pub struct BootInfo {
    /// Version of the structure.
    pub version: u32,
    /// Modules loaded beside the image; we use none.
    pub modules: u32,
    /// Physical address of ACPI's RSDP; 0 if there is none.
    pub rsdp: u64,
    /// The command line without its NUL.
    pub command_line: ArrayVec<u8, COMMAND_LINE_LIMIT>,
    /// The memory map, if the loader gave one.
    pub memory: Option<MemoryMap>,
}

impl BootInfo {
    /// Reads the structure at `address` and everything it points to.
    pub fn read(memory: &impl PhysicalMemory, address: u64) -> Result<Self, BootError> {
        let head: [u8; SIZE_V0] = fetch(memory, "hvm_start_info", address)?;
        let magic = u32_at(&head, 0);
        if magic != MAGIC {
            return Err(BootError::BadMagic(magic));
        }
        let version = u32_at(&head, 4);
        let map = match version {
            0 => None,
            1 => {
                let tail_address = address.saturating_add(SIZE_V0 as u64);
                let tail: [u8; SIZE_V1_TAIL] = fetch(memory, "hvm_start_info", tail_address)?;
                memory_map(memory, u64_at(&tail, 0), u32_at(&tail, 8))?
            }
            _ => return Err(BootError::UnknownVersion(version)),
        };
        Ok(Self {
            version,
            modules: u32_at(&head, 12),
            rsdp: u64_at(&head, 32),
            command_line: command_line(memory, u64_at(&head, 24))?,
            memory: map,
        })
    }
}

/// Copies the table and checks the copy.
fn memory_map(
    memory: &impl PhysicalMemory,
    address: u64,
    count: u32,
) -> Result<Option<MemoryMap>, BootError> {
    if count == 0 {
        return Ok(None);
    }
    if count as usize > REGION_LIMIT {
        return Err(BootError::TooManyRegions {
            count,
            limit: REGION_LIMIT,
        });
    }
    let mut entries = ArrayVec::<_, REGION_LIMIT>::new();
    for index in 0..u64::from(count) {
        let at = address.saturating_add(index * ENTRY_SIZE as u64);
        let entry: [u8; ENTRY_SIZE] = fetch(memory, "memory map", at)?;
        entries.push((u64_at(&entry, 0), u64_at(&entry, 8), u32_at(&entry, 16)));
    }
    MemoryMap::new(entries).map(Some)
}

/// Copies a NUL-terminated string, byte by byte because it may end just before a hole.
fn command_line(
    memory: &impl PhysicalMemory,
    address: u64,
) -> Result<ArrayVec<u8, COMMAND_LINE_LIMIT>, BootError> {
    let mut line = ArrayVec::new();
    if address == 0 {
        return Ok(line);
    }
    let too_long = BootError::CommandLineTooLong {
        limit: COMMAND_LINE_LIMIT,
    };
    for offset in 0..=COMMAND_LINE_LIMIT as u64 {
        let [byte] = fetch(memory, "command line", address.saturating_add(offset))?;
        if byte == 0 {
            return Ok(line);
        }
        line.try_push(byte).map_err(|_| too_long)?;
    }
    Err(too_long)
}

fn fetch<const N: usize>(
    memory: &impl PhysicalMemory,
    what: &'static str,
    address: u64,
) -> Result<[u8; N], BootError> {
    let mut bytes = [0; N];
    let readable = address.checked_add(N as u64).is_some() && memory.read(address, &mut bytes);
    if readable {
        Ok(bytes)
    } else {
        Err(BootError::Unreadable { what, address })
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes[offset..]
        .first_chunk()
        .map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes[offset..]
        .first_chunk()
        .map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests;
