//! Laws of the image's pure parts, included by path: the image has no test harness of its own.

extern crate alloc;

#[path = "../src/frames/bitmap.rs"]
mod bitmap;
#[path = "../src/paging/tables.rs"]
#[expect(dead_code, reason = "the kernel alone loads the root into CR3")]
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bitmap::Bitmap;
use proptest::prelude::*;
use tables::{Access, AddressSpace, MapError, Tables};

#[derive(Debug, Clone)]
enum Step {
    Take { count: usize, alignment: usize },
    Give(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0usize..9, 0u32..5).prop_map(|(count, power)| Step::Take {
            count,
            alignment: 1 << power
        }),
        (0usize..300).prop_map(Step::Give),
    ]
}

proptest! {
    #[test]
    fn frames_are_never_had_twice_and_a_run_is_found_where_there_is_one(
        frames in 0usize..260,
        base in 0usize..64,
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut words = vec![u64::MAX; Bitmap::words(frames)];
        let mut bitmap = Bitmap::new(&mut words, frames);
        let mut taken = BTreeSet::new();
        for step in steps {
            match step {
                Step::Take { count, alignment } => {
                    let fits = |start: &usize| (base + start).is_multiple_of(alignment)
                        && (*start..start + count).all(|index| !taken.contains(&index));
                    let expected = (0..frames).find(|start| start + count <= frames && fits(start));
                    let expected = expected.filter(|_| count > 0);
                    let start = bitmap.take_run(count, alignment, base);
                    prop_assert_eq!(start, expected);
                    taken.extend(start.into_iter().flat_map(|start| start..start + count));
                }
                Step::Give(index) => prop_assert_eq!(bitmap.give(index), taken.remove(&index)),
            }
            prop_assert_eq!(bitmap.free(), frames - taken.len());
        }
    }
}

/// Tables in a map; addresses count up from a page.
#[derive(Default)]
struct Memory {
    tables: BTreeMap<u64, Vec<u64>>,
    left: usize,
}

impl Memory {
    fn of(tables: usize) -> Self {
        Self {
            tables: BTreeMap::new(),
            left: tables,
        }
    }
}

impl Tables for Memory {
    fn allocate(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        let address = 0x1000 * (self.tables.len() as u64 + 1);
        self.tables.insert(address, vec![0; 512]);
        Some(address)
    }

    fn read(&self, table: u64, index: usize) -> u64 {
        self.tables[&table][index]
    }

    fn write(&mut self, table: u64, index: usize, entry: u64) {
        self.tables.get_mut(&table).expect("a table of ours")[index] = entry;
    }
}

const PAGE: u64 = 4096;
const LARGE: u64 = 2 << 20;

fn access() -> impl Strategy<Value = Access> {
    prop_oneof![
        Just(Access::Code),
        Just(Access::Constants),
        Just(Access::Data),
        Just(Access::Device)
    ]
}

/// Ranges of a few pages around and across 2 MiB boundaries.
fn range() -> impl Strategy<Value = Range<u64>> {
    (0u64..4, 0u64..3, 0u64..1200).prop_map(|(large, page, pages)| {
        let start = large * LARGE + page * PAGE;
        start..start + pages * PAGE
    })
}

proptest! {
    #[test]
    fn what_is_mapped_is_mapped_so_and_nothing_else_is(
        ranges in prop::collection::vec((range(), access()), 1..6),
    ) {
        let mut memory = Memory::of(100);
        let space = AddressSpace::new(&mut memory, 40).unwrap();
        let mut expected = BTreeMap::new();
        for (range, access) in ranges {
            let pages = || range.clone().step_by(PAGE as usize);
            let conflict = pages().find(|page| expected.get(page).is_some_and(|&had| had != access));
            let result = space.map(&mut memory, range.clone(), access);
            match conflict {
                None => prop_assert_eq!(result, Ok(())),
                Some(address) => prop_assert_eq!(result, Err(MapError::Conflict { address })),
            }
            for page in pages().take_while(|&page| Some(page) != conflict) {
                expected.insert(page, access);
            }
        }
        for page in (0..8 * LARGE).step_by(PAGE as usize) {
            prop_assert_eq!(space.lookup(&memory, page + 5), expected.get(&page).copied());
        }
    }
}

#[test]
fn two_mib_pages_are_used_where_they_fit() {
    let mut memory = Memory::of(100);
    let space = AddressSpace::new(&mut memory, 40).unwrap();
    space
        .map(&mut memory, LARGE..LARGE + (1 << 30), Access::Data)
        .unwrap();
    // Root, one level 3, two level 2 tables; no level 1.
    assert_eq!(memory.tables.len(), 4);
    space
        .map(
            &mut memory,
            (5 << 30) + PAGE..(5 << 30) + 2 * PAGE,
            Access::Data,
        )
        .unwrap();
    assert_eq!(memory.tables.len(), 6);
}

#[test]
fn bad_ranges_and_missing_frames_are_errors() {
    let mut memory = Memory::of(3);
    let space = AddressSpace::new(&mut memory, 36).unwrap();
    for (start, end) in [
        (1, PAGE),
        (0, PAGE + 1),
        (2 * PAGE, PAGE),
        (0, (1 << 36) + PAGE),
    ] {
        let result = space.map(&mut memory, start..end, Access::Data);
        assert_eq!(result, Err(MapError::BadRange { start, end }));
    }
    assert_eq!(
        space.map(&mut memory, 0..PAGE, Access::Data),
        Err(MapError::OutOfFrames)
    );
    assert!(AddressSpace::new(&mut Memory::of(0), 36).is_none());
}

#[test]
fn pages_the_processor_marked_as_used_count_as_mapped() {
    let mut memory = Memory::of(10);
    let space = AddressSpace::new(&mut memory, 36).unwrap();
    space.map(&mut memory, 0..PAGE, Access::Data).unwrap();
    let (&leaf, _) = memory.tables.last_key_value().unwrap();
    let entry = memory.read(leaf, 0);
    memory.write(leaf, 0, entry | 0x60);
    assert_eq!(space.lookup(&memory, 0), Some(Access::Data));
    assert_eq!(space.map(&mut memory, 0..PAGE, Access::Data), Ok(()));
}
