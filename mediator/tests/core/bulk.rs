//! Entries written in a row: pages of them are the guest's memory for a while.

use gpu::GttIndex;
use gpu::spec::engine::{ELSP, Engine};
use gpu::spec::gtt::GttEntry;
use gpu::spec::registers::{GFX_FLSH_CNTL, GTT_BASE};
use mediator::{Access, DomainId, GuestFrame, Space, VgpuConfig};
use proptest::prelude::*;

use crate::common::{BAR0, BAR2, Recorder, World};

/// Entries in a page.
const PAGE: u32 = 512;
/// Trapped writes before anything opens.
const BURST: u32 = 8;
/// Neither part begins or ends with a page of entries.
const ODD: VgpuConfig = VgpuConfig {
    low_mib: 3,
    high_mib: 5,
    fences: 2,
    weight: 1,
    huge_gtt: false,
    display: mediator::Display::None,
};

/// A guest whose low part begins in the middle of a page, behind a neighbour's.
fn seat(config: VgpuConfig) -> (World<Recorder>, DomainId, u32) {
    let mut world = World::new(1024);
    world.booted(9, VgpuConfig { low_mib: 1, ..ODD });
    let guest = world.booted(1, config);
    let first = world.first(guest)[0];
    (world, guest, first)
}

/// A run long enough to open a page; its last entry.
fn run(world: &mut World<Recorder>, guest: DomainId, first: u32) -> u32 {
    for index in first..first + BURST {
        world.map(guest, index, 3);
    }
    assert_eq!(world.domain(guest).open.len(), 1);
    first + BURST - 1
}

fn device(world: &World<Recorder>, index: u32) -> u64 {
    world.mediator.host().gpu.gtt[index as usize].frame()
}

fn page(world: &mut World<Recorder>, guest: DomainId, frame: u64) -> u64 {
    let page = world.domain(guest).page(GuestFrame(frame));
    page.expect("guest RAM").0
}

#[test]
fn a_driver_that_clears_its_whole_partition_traps_a_few_times() {
    let (mut world, guest, _) = seat(VgpuConfig::default());
    let parts = world.vgpu(guest).graphics_memory();
    let entries: u32 = parts.iter().map(|(_, count)| count).sum();
    assert_eq!(entries, 448 * 256);
    let before = world.vgpu(guest).counters().gtt;
    for (first, count) in parts {
        for index in first.0..first.0 + count {
            world.map(guest, index, 5);
        }
    }
    let traps = world.vgpu(guest).counters().gtt - before;
    // Two runs; the first page opens after 8 entries, then 2, 4, 8 and always 16 at one more.
    assert_eq!(traps, (8 + 5) + (8 + 4 + 11));
    world.write(guest, GFX_FLSH_CNTL, 1);
    let scratch = page(&mut world, guest, 5);
    for (first, count) in parts {
        for index in first.0..first.0 + count {
            let entry = world.mediator.host().gpu.visible[index as usize];
            assert_eq!(entry.frame(), scratch, "{index:#x}");
        }
    }
    assert_eq!(world.domain(guest).pins, entries);
    assert!(world.domain(guest).open.is_empty());
    assert_eq!(world.domain(guest).spare.len(), 64);
    let counters = world.vgpu(guest).counters();
    assert_eq!(counters.bulk, u64::from(entries) - traps);
    assert_eq!(counters.violations, 0);
}

#[test]
fn halves_in_a_row_open_a_page_too() {
    let (mut world, guest, first) = seat(ODD);
    for index in first..first + 768 {
        for (half, value) in [(0, 7 << 12 | 1), (4, 0)] {
            let at = BAR0 + u64::from(GTT_BASE + index * 8) + half;
            world.access(guest, Space::Memory(at), 4, Some(value));
        }
    }
    assert!(world.vgpu(guest).counters().gtt < 40);
    world.write(guest, GFX_FLSH_CNTL, 1);
    let frame = page(&mut world, guest, 7);
    for index in first..first + 768 {
        assert_eq!(device(&world, index), frame, "{index:#x}");
    }
}

/// What a guest does, where, and whether the device must know all entries afterwards.
type Point = fn(&mut World<Recorder>, DomainId, u32);

#[test]
fn every_point_where_hardware_would_notice_closes_all_pages() {
    let points: [(&str, Point); 9] = [
        ("flush", |world, guest, _| {
            world.write(guest, GFX_FLSH_CNTL, 1)
        }),
        ("submission", |world, guest, _| {
            world.write(guest, Engine::Bcs.base() + ELSP, 0);
        }),
        ("another entry", |world, guest, first| {
            world.write_gtt(guest, first + 700, 0);
        }),
        ("a read of another entry", |world, guest, first| {
            world.read_gtt(guest, first + 700);
        }),
        ("aperture", |world, guest, _| {
            world.access(guest, Space::Memory(BAR2), 4, None);
        }),
        ("decoding off", |world, guest, _| {
            world.config_write(guest, 0x04, 2, 0);
            world.config_write(guest, 0x04, 2, 6);
        }),
        ("moved", |world, guest, _| {
            world.config_write(guest, 0x10, 4, BAR0 + (1 << 24));
            assert!(world.domain(guest).open.is_empty(), "before it moves back");
            world.config_write(guest, 0x10, 4, BAR0);
        }),
        ("time", |world, _, _| {
            world.clock.advance(19_999_999);
            world.mediator.service();
            world.clock.advance(1);
            world.mediator.service();
        }),
        // Of another CPU, that had begun before the page opened.
        ("an access to the open page", |world, guest, first| {
            let space = Space::Memory(BAR0 + u64::from(GTT_BASE + (first + 9) * 8));
            let access = Access {
                space,
                size: 8,
                write: None,
            };
            assert_eq!(world.mediator.access(guest, access), 4 << 12 | 1);
        }),
    ];
    for (what, point) in points {
        let (mut world, guest, first) = seat(ODD);
        run(&mut world, guest, first);
        let trapped = world.vgpu(guest).counters().gtt;
        for index in first..first + 100 {
            world.map(guest, index, 4);
        }
        assert_eq!(world.vgpu(guest).counters().gtt, trapped, "{what}");
        assert_eq!(world.read_gtt(guest, first + 50), 4 << 12 | 1);
        point(&mut world, guest, first);
        assert!(world.domain(guest).open.is_empty(), "{what}");
        let frame = page(&mut world, guest, 4);
        for index in first..first + 100 {
            assert_eq!(device(&world, index), frame, "{what}: {index:#x}");
            assert_eq!(world.read_gtt(guest, index), 4 << 12 | 1, "{what}");
        }
        world.settle();
        assert_eq!(world.domain(guest).pins, 100, "{what}");
    }
}

#[test]
fn a_guest_that_goes_while_pages_are_open_leaves_nothing() {
    let (mut world, guest, first) = seat(ODD);
    run(&mut world, guest, first);
    world.mediator.domain_removed(guest);
    let domain = world.domain(guest);
    assert!(domain.open.is_empty() && domain.spare.len() == 64 && domain.pins == 0);
}

#[test]
fn entries_of_others_in_an_open_page_read_zero_and_are_refused_once() {
    let (mut world, guest, first) = seat(ODD);
    assert_ne!(first % PAGE, 0);
    let neighbour = DomainId(9);
    world.map(neighbour, first - 1, 6);
    let before = world.mediator.host().gpu.gtt.clone();
    run(&mut world, guest, first);
    assert_eq!(world.read_gtt(guest, first - 1), 0);
    for index in first - 20..first {
        world.map(guest, index, 9);
    }
    assert_eq!(world.vgpu(guest).counters().violations, 0);
    world.write(guest, GFX_FLSH_CNTL, 1);
    assert_eq!(world.vgpu(guest).counters().violations, 1);
    assert_eq!(world.read_gtt(guest, first - 1), 0);
    for index in first - 20..first {
        let entry = world.mediator.host().gpu.gtt[index as usize];
        assert_eq!(entry, before[index as usize], "{index:#x}");
    }
}

#[test]
fn what_the_hypervisor_has_not_is_trapped_as_before() {
    for spare in [0, 3] {
        let (mut world, guest, first) = seat(ODD);
        world.domain(guest).spare.truncate(spare);
        for round in 0..3u64 {
            for index in first..first + 768 {
                world.map(guest, index, round);
                assert!(world.domain(guest).open.len() <= spare);
            }
            world.write(guest, GFX_FLSH_CNTL, 1);
            let frame = page(&mut world, guest, round);
            assert!((first..first + 768).all(|index| device(&world, index) == frame));
        }
        let counters = world.vgpu(guest).counters();
        assert_eq!((counters.violations, counters.silenced), (0, 0));
        let mut status = String::new();
        world.mediator.status(&mut status).expect("text");
        let limit = if spare == 0 { 0 } else { 16 };
        assert!(
            status.contains(&format!("bulk     0 of {limit} pages open")),
            "{status}"
        );
        assert_eq!(counters.gtt == 3 * 768, spare == 0);
    }
}

#[test]
fn single_entries_and_short_runs_open_nothing() {
    let (mut world, guest, first) = seat(ODD);
    for round in 0..200u32 {
        for index in 0..BURST - 1 {
            world.map(guest, first + round * 3 % 700 + index, 2);
        }
        world.write(guest, GFX_FLSH_CNTL, 1);
    }
    for index in (0..700).rev() {
        world.map(guest, first + index, 2);
    }
    assert_eq!(world.vgpu(guest).counters().opened, 0);
}

#[derive(Debug, Clone)]
enum Act {
    Run { from: u32, count: u32, frame: u64 },
    Halves { from: u32, count: u32, frame: u64 },
    Odd { at: u32, size: u8, value: u64 },
    Read(u32),
    Flush,
    Move(bool),
    Submit,
    Aperture,
    Service(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    // From entries of the neighbour to those behind its own.
    let from = || 0u32..2800;
    let count = || prop_oneof![1u32..12, 1u32..1500];
    let frame = || prop_oneof![0u64..300, Just(5)];
    let act = prop_oneof![
        4 => (from(), count(), frame())
            .prop_map(|(from, count, frame)| Act::Run { from, count, frame }),
        1 => (from(), 1u32..30, frame())
            .prop_map(|(from, count, frame)| Act::Halves { from, count, frame }),
        2 => (0u32..2800 * 8, 1u8..9, any::<u64>())
            .prop_map(|(at, size, value)| Act::Odd { at, size, value }),
        1 => from().prop_map(Act::Read),
        2 => Just(Act::Flush),
        1 => any::<bool>().prop_map(Act::Move),
        1 => Just(Act::Submit),
        1 => Just(Act::Aperture),
        2 => (0u64..30_000_000).prop_map(Act::Service),
    ];
    prop::collection::vec(act, 1..25)
}

/// Acts, where the guest's BAR0 is at `base`; what its reads saw.
fn act(world: &mut World<Recorder>, guest: DomainId, base: &mut u64, act: &Act) -> u64 {
    let entry = |base: u64, index: u32| Space::Memory(base + u64::from(GTT_BASE + index * 8));
    match *act {
        Act::Run { from, count, frame } => {
            for index in from..from + count {
                let value = (frame + u64::from(index) % 3) << 12 | 1;
                world.access(guest, entry(*base, index), 8, Some(value));
            }
        }
        Act::Halves { from, count, frame } => {
            for index in from..from + count {
                for (half, value) in [(0, frame << 12 | 1), (4, 0)] {
                    let at = *base + u64::from(GTT_BASE + index * 8) + half;
                    world.access(guest, Space::Memory(at), 4, Some(value));
                }
            }
        }
        Act::Odd { at, size, value } => {
            let at = *base + u64::from(GTT_BASE + at);
            world.access(guest, Space::Memory(at), size, Some(value));
        }
        Act::Read(index) => return world.access(guest, entry(*base, index), 8, None),
        Act::Flush => {
            let at = Space::Memory(*base + u64::from(GFX_FLSH_CNTL));
            world.access(guest, at, 4, Some(1));
        }
        Act::Move(away) => {
            *base = BAR0 + if away { 1 << 25 } else { 0 };
            world.config_write(guest, 0x10, 4, *base);
        }
        Act::Submit => {
            let at = *base + u64::from(Engine::Bcs.base() + ELSP);
            world.access(guest, Space::Memory(at), 4, Some(0));
        }
        Act::Aperture => return world.access(guest, Space::Memory(BAR2 + 0x10_0000), 4, None),
        Act::Service(nanoseconds) => {
            world.clock.advance(nanoseconds);
            world.mediator.service();
        }
    }
    0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The second world's hypervisor has no memory to put there, so everything traps.
    #[test]
    fn any_mix_of_open_and_trapped_writes_ends_as_if_all_had_trapped(acts in acts()) {
        let config = VgpuConfig { high_mib: 7, ..ODD };
        let (mut open, guest, first) = seat(config);
        let (mut closed, _, _) = seat(config);
        closed.domain(guest).spare.clear();
        let mut bases = [BAR0; 2];
        for one in acts {
            let seen = act(&mut open, guest, &mut bases[0], &one);
            prop_assert_eq!(seen, act(&mut closed, guest, &mut bases[1], &one), "{:?}", one);
            prop_assert!(open.domain(guest).open.len() <= 16);
        }
        for (world, base) in [&mut open, &mut closed].into_iter().zip(bases) {
            let at = Space::Memory(base + u64::from(GFX_FLSH_CNTL));
            world.access(guest, at, 4, Some(1));
            world.settle();
            prop_assert!(world.domain(guest).open.is_empty());
        }
        prop_assert_eq!(open.domain(guest).spare.len(), 64);
        prop_assert_eq!(open.domain(guest).pins, closed.domain(guest).pins);
        // Pages are numbered alike in both.
        let entries = |world: &World<Recorder>| -> Vec<GttEntry> {
            world.mediator.host().gpu.visible.clone()
        };
        let (left, right) = (entries(&open), entries(&closed));
        let different = (0..left.len()).find(|&index| left[index] != right[index]);
        prop_assert_eq!(different.map(|index| GttIndex(index as u32)), None, "first {}", first);
    }
}
