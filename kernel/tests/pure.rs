//! Laws of the image's pure parts, included by path: the image has no test harness of its own.

extern crate alloc;

#[path = "../src/frames/bitmap.rs"]
mod bitmap;
#[path = "../src/wiring/protect.rs"]
mod protect;
#[path = "../src/paging/tables.rs"]
#[expect(dead_code, reason = "the kernel alone loads the root into CR3")]
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bitmap::Bitmap;
use proptest::prelude::*;
use protect::Protection;
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

/// Where a vCPU's access is, with the protected page that it writes, if it is one.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Vcpu {
    Runs,
    Asked(Option<u64>),
    Answered(Option<u64>),
    /// Xen has taken the answer and will issue the access again.
    Repeats(Option<u64>),
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Writes(usize, u64),
    Elsewhere(usize),
    Served(usize),
    Taken(usize),
    Repeated(usize),
    Protected(u64),
    Released(u64),
    Settled,
}

fn event() -> impl Strategy<Value = Event> {
    let (vcpu, frame) = (0..VCPUS, 0..3u64);
    prop_oneof![
        4 => (vcpu.clone(), frame.clone()).prop_map(|(vcpu, frame)| Event::Writes(vcpu, frame)),
        1 => vcpu.clone().prop_map(Event::Elsewhere),
        4 => vcpu.clone().prop_map(Event::Served),
        4 => vcpu.clone().prop_map(Event::Taken),
        4 => vcpu.prop_map(Event::Repeated),
        2 => frame.clone().prop_map(Event::Protected),
        1 => frame.prop_map(Event::Released),
        2 => Just(Event::Settled),
    ]
}

const VCPUS: usize = 3;

/// What Xen does, as far as it matters, and the service domain around a [`Protection`].
struct Bed {
    protection: Protection,
    vcpus: [Vcpu; VCPUS],
    /// Frames of the type, and those that are meant to be.
    typed: BTreeSet<u64>,
    wanted: BTreeSet<u64>,
}

impl Bed {
    fn repeat(&mut self, vcpu: usize) {
        if let Vcpu::Repeats(written) = self.vcpus[vcpu] {
            let found = written.is_none_or(|frame| self.typed.contains(&frame));
            assert!(found, "the guest is crashed");
            self.vcpus[vcpu] = Vcpu::Runs;
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Writes(vcpu, frame) => {
                if self.vcpus[vcpu] == Vcpu::Runs && self.typed.contains(&frame) {
                    self.vcpus[vcpu] = Vcpu::Asked(Some(frame));
                }
            }
            Event::Elsewhere(vcpu) => {
                if self.vcpus[vcpu] == Vcpu::Runs {
                    self.vcpus[vcpu] = Vcpu::Asked(None);
                }
            }
            Event::Served(vcpu) => {
                let Vcpu::Asked(written) = self.vcpus[vcpu] else {
                    return;
                };
                self.protection.requested(vcpu as u32, written);
                if let Some(frame) = written {
                    self.happens(Event::Released(frame));
                    if !self.protection.leaves(frame) && self.typed.insert(frame) {
                        self.protection.leave(frame);
                    }
                }
                self.vcpus[vcpu] = Vcpu::Answered(written);
            }
            Event::Taken(vcpu) => {
                if let Vcpu::Answered(written) = self.vcpus[vcpu] {
                    self.vcpus[vcpu] = Vcpu::Repeats(written);
                }
            }
            Event::Repeated(vcpu) => self.repeat(vcpu),
            Event::Protected(frame) if !self.protection.room() => {
                unreachable!("{frame}: room for more than there are")
            }
            Event::Protected(frame) => {
                self.protection.stay(frame);
                self.typed.insert(frame);
                self.wanted.insert(frame);
            }
            Event::Released(frame) => {
                if self.wanted.remove(&frame) {
                    self.protection.leave(frame);
                }
            }
            Event::Settled => {
                let empty = |vcpu: &u32| {
                    matches!(self.vcpus[*vcpu as usize], Vcpu::Runs | Vcpu::Repeats(_))
                };
                let over: Vec<u32> = self.protection.in_the_way().filter(empty).collect();
                if !over.is_empty() {
                    (0..VCPUS).for_each(|vcpu| self.repeat(vcpu));
                }
                for vcpu in over {
                    self.protection.requested(vcpu, None);
                }
                while let Some(frame) = self.protection.next() {
                    assert!(self.typed.remove(&frame));
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn an_access_that_is_repeated_finds_its_page_protected_and_in_the_end_none_is_that_need_not(
        events in prop::collection::vec(event(), 0..200),
    ) {
        let mut bed = Bed {
            protection: Protection::new(VCPUS as u32),
            vcpus: [Vcpu::Runs; VCPUS],
            typed: BTreeSet::new(),
            wanted: BTreeSet::new(),
        };
        for event in events {
            bed.happens(event);
        }
        for vcpu in 0..VCPUS {
            bed.happens(Event::Served(vcpu));
            bed.happens(Event::Taken(vcpu));
        }
        bed.happens(Event::Settled);
        prop_assert!(!bed.protection.waits());
        prop_assert_eq!(bed.typed, bed.wanted);
    }
}
