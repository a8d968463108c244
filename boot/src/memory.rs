//! The machine's memory map: a bounded, sorted, disjoint list of regions.
//!
//! Types are those of ACPI's System Address Map Interfaces (ACPI 6.2, section 15), which Xen's
//! `hvm_memmap_table_entry` and XENMEM_memory_map share.

use crate::BootError;
use arrayvec::ArrayVec;
use core::{fmt, ops::Range};

/// Size of a page, bytes.
pub const PAGE_SIZE: u64 = 4096;

/// End of the first MiB, which holds firmware leftovers and is never used.
pub const FIRST_MIB: u64 = 1 << 20;

/// Most regions a map may have; Xen's own e820 limit for a guest.
pub const REGION_LIMIT: usize = 128;

/// What a region is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegionKind {
    /// Ours to use.
    Ram,
    /// Firmware's or devices'.
    Reserved,
    /// ACPI tables.
    Acpi,
    /// ACPI non-volatile storage.
    Nvs,
    /// Broken memory.
    Unusable,
    /// Any other number.
    Other(u32),
}

impl From<u32> for RegionKind {
    fn from(number: u32) -> Self {
        match number {
            1 => Self::Ram,
            2 => Self::Reserved,
            3 => Self::Acpi,
            4 => Self::Nvs,
            5 => Self::Unusable,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for RegionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ram => f.pad("RAM"),
            Self::Reserved => f.pad("reserved"),
            Self::Acpi => f.pad("ACPI tables"),
            Self::Nvs => f.pad("ACPI storage"),
            Self::Unusable => f.pad("unusable"),
            Self::Other(number) => write!(f, "type {number}"),
        }
    }
}

/// Bytes `start..end` of physical address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// What it is good for.
    pub kind: RegionKind,
}

/// Every region, by ascending address, none overlapping, at least one of them RAM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryMap {
    regions: ArrayVec<Region, REGION_LIMIT>,
}

impl MemoryMap {
    /// Sorts and checks `(start, size, type)` entries as a loader or XENMEM_memory_map lists them:
    /// libxl puts the special pages of a PVH guest before its RAM. Empty regions are dropped.
    pub fn new(entries: impl IntoIterator<Item = (u64, u64, u32)>) -> Result<Self, BootError> {
        let mut regions = ArrayVec::<Region, REGION_LIMIT>::new();
        for (index, (start, size, kind)) in entries.into_iter().enumerate() {
            let end =
                start
                    .checked_add(size)
                    .ok_or(BootError::RegionOverflows { index, start, size })?;
            if size == 0 {
                continue;
            }
            let too_many = BootError::TooManyRegions {
                count: u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1),
                limit: REGION_LIMIT,
            };
            let region = Region {
                start,
                end,
                kind: kind.into(),
            };
            // Loaders give them in order, or nearly so.
            let before = regions.iter().rposition(|region| region.start <= start);
            let place = before.map_or(0, |before| before + 1);
            regions.try_insert(place, region).map_err(|_| too_many)?;
        }
        for pair in regions.windows(2) {
            if let [before, region] = pair
                && region.start < before.end
            {
                return Err(BootError::RegionsOverlap {
                    start: region.start,
                    before: before.end,
                });
            }
        }
        if !regions.iter().any(|region| region.kind == RegionKind::Ram) {
            return Err(BootError::NoRam);
        }
        Ok(Self { regions })
    }

    /// All regions, lowest first.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// RAM regions trimmed to whole pages, lowest first.
    pub fn ram(&self) -> impl Iterator<Item = Range<u64>> + Clone + '_ {
        self.regions
            .iter()
            .filter(|region| region.kind == RegionKind::Ram)
            .filter_map(|region| {
                let start = region.start.checked_next_multiple_of(PAGE_SIZE)?;
                let end = region.end - region.end % PAGE_SIZE;
                (start < end).then_some(start..end)
            })
    }

    /// Whole pages of RAM that nobody uses yet: above the first MiB and outside `image`.
    pub fn usable(&self, image: Range<u64>) -> impl Iterator<Item = Range<u64>> + Clone + '_ {
        let image_start = image.start - image.start % PAGE_SIZE;
        let image_end = image
            .end
            .checked_next_multiple_of(PAGE_SIZE)
            .unwrap_or(u64::MAX);
        self.ram()
            .flat_map(move |ram| {
                let below = ram.start..ram.end.min(image_start);
                let above = ram.start.max(image_end)..ram.end;
                [below, above]
            })
            .map(|range| range.start.max(FIRST_MIB)..range.end)
            .filter(|range| range.start < range.end)
    }

    /// One past the last byte of RAM.
    pub fn top_of_ram(&self) -> u64 {
        self.ram().map(|ram| ram.end).max().unwrap_or(0)
    }

    /// Bytes of RAM in whole pages.
    pub fn total_ram(&self) -> u64 {
        self.ram().map(|ram| ram.end - ram.start).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RAM: u32 = 1;

    #[test]
    fn usable_ram_leaves_out_the_first_mib_and_the_image() {
        let map = MemoryMap::new([
            (0, 0x9fc00, RAM),
            (0xf0000, 0x10000, 2),
            (0x100000, 0x1f00000, RAM),
        ])
        .unwrap();
        let usable: Vec<_> = map.usable(0x100000..0x456789).collect();
        assert_eq!(usable.len(), 1);
        assert_eq!(usable[0], 0x457000..0x2000000);
        assert_eq!(map.top_of_ram(), 0x2000000);
        assert_eq!(map.total_ram(), 0x9f000 + 0x1f00000);
    }

    #[test]
    fn an_image_in_the_middle_of_ram_leaves_both_sides() {
        let map = MemoryMap::new([(0, 64 << 20, RAM)]).unwrap();
        let usable: Vec<_> = map.usable(0x2000100..0x2001001).collect();
        assert_eq!(usable, [0x100000..0x2000000, 0x2002000..0x4000000]);
    }

    #[test]
    fn a_region_that_ends_beyond_the_address_space_is_named() {
        let error = MemoryMap::new([(0, 0x1000, RAM), (u64::MAX - 1, 3, RAM)]).unwrap_err();
        assert_eq!(
            error,
            BootError::RegionOverflows {
                index: 1,
                start: u64::MAX - 1,
                size: 3
            }
        );
        assert_eq!(
            error.to_string(),
            "memory map: region 1 at 0xfffffffffffffffe of 0x3 bytes overflows"
        );
    }

    #[test]
    fn regions_are_sorted_as_libxl_does_not() {
        let map = MemoryMap::new([
            (0xfeff_8000, 0x8000, 2),
            (0xfc00_6000, 0x1000, 3),
            (0, 0x400_0000, RAM),
        ])
        .unwrap();
        let starts: Vec<u64> = map.regions().iter().map(|region| region.start).collect();
        assert_eq!(starts, [0, 0xfc00_6000, 0xfeff_8000]);
    }

    #[test]
    fn overlapping_regions_are_refused_in_any_order() {
        let regions = [(0x1000, 0x1001, RAM), (0x2000, 0x1000, 2)];
        let refusal = Err(BootError::RegionsOverlap {
            start: 0x2000,
            before: 0x2001,
        });
        assert_eq!(MemoryMap::new(regions), refusal);
        assert_eq!(MemoryMap::new(regions.into_iter().rev()), refusal);
    }

    #[test]
    fn a_map_without_ram_is_refused() {
        assert_eq!(MemoryMap::new([(0, 0x1000, 2)]), Err(BootError::NoRam));
        assert_eq!(MemoryMap::new([]), Err(BootError::NoRam));
    }

    #[test]
    fn more_regions_than_the_limit_are_refused() {
        let entries = (0..=REGION_LIMIT as u64).map(|n| (n << 20, 1 << 20, RAM));
        assert_eq!(
            MemoryMap::new(entries),
            Err(BootError::TooManyRegions {
                count: 129,
                limit: REGION_LIMIT
            })
        );
    }

    #[test]
    fn ram_smaller_than_a_page_counts_for_nothing() {
        let map = MemoryMap::new([(0x100800, 0x1000, RAM)]).unwrap();
        assert_eq!(map.total_ram(), 0);
        assert_eq!(map.usable(0..0).count(), 0);
    }

    proptest! {
        #[test]
        fn usable_ram_is_whole_free_pages_of_ram(
            entries in prop::collection::vec((0u64..1 << 24, 0u64..1 << 22, 0u32..4), 0..8),
            image in (0u64..1 << 24, 0u64..1 << 22),
        ) {
            let image = image.0..image.0 + image.1;
            if let Ok(map) = MemoryMap::new(entries) {
                let mut last = FIRST_MIB;
                for range in map.usable(image.clone()) {
                    prop_assert!(range.start >= last && range.start < range.end);
                    prop_assert!(range.start % PAGE_SIZE == 0 && range.end % PAGE_SIZE == 0);
                    prop_assert!(
                        image.is_empty() || range.end <= image.start || range.start >= image.end
                    );
                    prop_assert!(map.regions().iter().any(|region| region.kind == RegionKind::Ram
                        && region.start <= range.start && range.end <= region.end));
                    last = range.end;
                }
            }
        }

        #[test]
        fn any_entries_give_a_sorted_map_or_an_error(
            entries in prop::collection::vec(any::<(u64, u64, u32)>(), 0..200),
        ) {
            if let Ok(map) = MemoryMap::new(entries) {
                prop_assert!(map.regions().is_sorted_by(|a, b| a.end <= b.start));
            }
        }
    }
}
