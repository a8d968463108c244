//! Every malformed structure a loader could hand over.

use super::*;
use proptest::prelude::*;

/// Memory at [`BASE`] that ends where its bytes end.
struct Memory(Vec<u8>);

const BASE: u64 = 0x8000;
const COMMAND_LINE: u64 = BASE + 0x100;
const MAP: u64 = BASE + 0x200;

impl PhysicalMemory for Memory {
    fn read(&self, address: u64, into: &mut [u8]) -> bool {
        let Some(start) = address
            .checked_sub(BASE)
            .and_then(|start| usize::try_from(start).ok())
        else {
            return false;
        };
        let Some(bytes) = start
            .checked_add(into.len())
            .and_then(|end| self.0.get(start..end))
        else {
            return false;
        };
        into.copy_from_slice(bytes);
        true
    }
}

impl Memory {
    /// What QEMU or libxl would write.
    fn new(version: u32, command_line: &[u8], map: &[(u64, u64, u32)]) -> Self {
        let mut memory = Self(vec![0; 0x200 + map.len() * ENTRY_SIZE]);
        memory.put(0, &MAGIC.to_le_bytes());
        memory.put(4, &version.to_le_bytes());
        memory.put(12, &3u32.to_le_bytes());
        memory.put(24, &COMMAND_LINE.to_le_bytes());
        memory.put(32, &0xfc00_0000u64.to_le_bytes());
        memory.put(40, &MAP.to_le_bytes());
        memory.put(48, &(map.len() as u32).to_le_bytes());
        memory.put(0x100, command_line);
        for (index, (start, size, kind)) in map.iter().enumerate() {
            let at = 0x200 + index * ENTRY_SIZE;
            memory.put(at, &start.to_le_bytes());
            memory.put(at + 8, &size.to_le_bytes());
            memory.put(at + 16, &kind.to_le_bytes());
        }
        memory
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

const ONE_REGION: [(u64, u64, u32); 1] = [(0, 32 << 20, 1)];

#[test]
fn version_1_gives_map_command_line_and_rsdp() {
    let info = BootInfo::read(&Memory::new(1, b"gpu=model exit\0", &ONE_REGION), BASE).unwrap();
    assert_eq!(info.version, 1);
    assert_eq!(info.modules, 3);
    assert_eq!(info.rsdp, 0xfc00_0000);
    assert_eq!(&info.command_line[..], b"gpu=model exit");
    assert_eq!(info.memory.unwrap().total_ram(), 32 << 20);
}

#[test]
fn version_0_has_no_map_and_its_missing_tail_is_not_read() {
    let mut memory = Memory::new(0, b"", &[]);
    memory.put(24, &0u64.to_le_bytes());
    memory.0.truncate(SIZE_V0);
    let info = BootInfo::read(&memory, BASE).unwrap();
    assert_eq!(info.memory, None);
    assert!(info.command_line.is_empty());
}

#[test]
fn version_1_without_entries_has_no_map() {
    assert_eq!(
        BootInfo::read(&Memory::new(1, b"", &[]), BASE)
            .unwrap()
            .memory,
        None
    );
}

#[test]
fn a_wrong_magic_is_reported_with_its_value() {
    let mut memory = Memory::new(1, b"", &ONE_REGION);
    memory.put(0, &0x2bad_b002u32.to_le_bytes());
    let error = BootInfo::read(&memory, BASE).unwrap_err();
    assert_eq!(error, BootError::BadMagic(0x2bad_b002));
    assert_eq!(
        error.to_string(),
        "hvm_start_info: magic 0x2badb002, expected 0x336ec578 (not PVH?)"
    );
}

#[test]
fn an_unknown_version_is_refused() {
    let error = BootInfo::read(&Memory::new(2, b"", &ONE_REGION), BASE).unwrap_err();
    assert_eq!(error, BootError::UnknownVersion(2));
}

#[test]
fn an_absurd_number_of_regions_is_refused_before_any_is_read() {
    let mut memory = Memory::new(1, b"", &ONE_REGION);
    memory.put(48, &u32::MAX.to_le_bytes());
    let error = BootInfo::read(&memory, BASE).unwrap_err();
    assert_eq!(
        error,
        BootError::TooManyRegions {
            count: u32::MAX,
            limit: REGION_LIMIT
        }
    );
}

#[test]
fn a_map_that_runs_off_memory_is_refused() {
    let mut memory = Memory::new(1, b"", &ONE_REGION);
    memory.put(48, &2u32.to_le_bytes());
    let error = BootInfo::read(&memory, BASE).unwrap_err();
    assert_eq!(
        error,
        BootError::Unreadable {
            what: "memory map",
            address: MAP + 24
        }
    );
}

#[test]
fn pointers_at_the_end_of_the_address_space_are_refused() {
    let mut memory = Memory::new(1, b"", &ONE_REGION);
    memory.put(40, &(u64::MAX - 8).to_le_bytes());
    assert!(matches!(
        BootInfo::read(&memory, BASE),
        Err(BootError::Unreadable { .. })
    ));
    assert!(matches!(
        BootInfo::read(&memory, u64::MAX),
        Err(BootError::Unreadable {
            what: "hvm_start_info",
            ..
        })
    ));
}

#[test]
fn a_command_line_without_end_is_refused_at_the_limit() {
    let mut memory = Memory::new(1, b"", &[]);
    memory.0.resize(0x100, 0);
    memory.0.resize(0x100 + 2 * COMMAND_LINE_LIMIT, b'x');
    let error = BootInfo::read(&memory, BASE).unwrap_err();
    assert_eq!(
        error,
        BootError::CommandLineTooLong {
            limit: COMMAND_LINE_LIMIT
        }
    );
    memory.put(0x100 + COMMAND_LINE_LIMIT, b"\0");
    let longest = BootInfo::read(&memory, BASE).unwrap();
    assert_eq!(longest.command_line.len(), COMMAND_LINE_LIMIT);
}

#[test]
fn a_command_line_that_runs_off_memory_is_refused() {
    let mut memory = Memory::new(1, b"", &[]);
    memory.put(0x1fe, b"xx");
    memory.put(24, &(BASE + 0x1fe).to_le_bytes());
    let error = BootInfo::read(&memory, BASE).unwrap_err();
    assert_eq!(
        error,
        BootError::Unreadable {
            what: "command line",
            address: BASE + 0x200
        }
    );
}

proptest! {
    #[test]
    fn any_bytes_give_information_or_an_error(
        mut bytes in prop::collection::vec(any::<u8>(), 0..512),
        version in 0u32..3,
        pointers in prop::collection::vec(BASE..BASE + 600, 3),
        entries in 0u32..200,
    ) {
        if bytes.len() >= 56 {
            bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
            bytes[4..8].copy_from_slice(&version.to_le_bytes());
            bytes[24..32].copy_from_slice(&pointers[0].to_le_bytes());
            bytes[40..48].copy_from_slice(&pointers[1].to_le_bytes());
            bytes[48..52].copy_from_slice(&entries.to_le_bytes());
        }
        match BootInfo::read(&Memory(bytes), BASE) {
            Ok(info) => prop_assert!(info.version < 2),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
