use gpu::spec::gtt::GttEntry;
use gpu::spec::registers::{GFX_FLSH_CNTL, GTT_BASE};
use gpu::{Dma, DmaPage, Owner};
use mediator::{DomainId, GuestFrame, Space};
use proptest::prelude::*;

use crate::common::{BAR0, Recorder, SMALL, World};

fn device(world: &World<Recorder>, index: u32) -> DmaPage {
    DmaPage(world.mediator.host().gpu.gtt[index as usize].frame())
}

fn owner(world: &mut World<Recorder>, index: u32) -> Owner {
    let page = device(world, index);
    world.guests().ram().owner(page)
}

#[test]
fn a_present_entry_leads_to_the_guests_page_and_others_to_scratch() {
    let mut world = World::new(512);
    let guest = world.booted(1, SMALL);
    for first in world.first(guest) {
        assert_eq!(owner(&mut world, first), Owner::HostFor(1));
        world.write_gtt(guest, first, 7 << 12 | 0x3);
        assert_eq!(world.read_gtt(guest, first), 7 << 12 | 0x3);
        let page = world.domain(guest).page(GuestFrame(7));
        assert_eq!(Some(device(&world, first)), page);
        assert_eq!(owner(&mut world, first), Owner::Guest(1));
        world.write_gtt(guest, first, 7 << 12);
        assert_eq!(owner(&mut world, first), Owner::HostFor(1), "not present");
    }
}

#[test]
fn entries_of_others_are_left_alone_and_read_zero() {
    let mut world = World::new(512);
    let guest = world.booted(1, SMALL);
    let other = world.booted(2, SMALL);
    let victim = world.first(other)[0];
    world.map(other, victim, 5);
    let before = world.mediator.host().gpu.gtt.clone();
    let last = 512 * 256 - 1;
    for index in [
        victim,
        victim + 1,
        world.first(guest)[0] + 512,
        last,
        (1 << 20) - 1,
    ] {
        world.map(guest, index, 9);
        assert_eq!(world.read_gtt(guest, index), 0, "{index:#x}");
    }
    assert!(world.mediator.host().gpu.gtt == before);
    // i915 clears the last entry of the whole GTT: that is ignored, too, but no offence.
    assert_eq!(world.vgpu(guest).counters().violations, 4);
    assert_eq!(world.domain(guest).pins, 0);
    assert_eq!(world.read_gtt(other, victim), 5 << 12 | 1);
}

#[test]
fn frames_without_ram_and_beyond_the_quota_lead_to_scratch_and_harm_nothing_else() {
    let mut world = World::new(512);
    let guest = world.booted(1, SMALL);
    let first = world.first(guest)[0];
    for frame in [0x1000, 0x7ff_ffff] {
        world.map(guest, first, frame);
        assert_eq!(owner(&mut world, first), Owner::HostFor(1));
        assert_eq!(
            world.read_gtt(guest, first),
            frame << 12 | 1,
            "the guest reads its own"
        );
    }
    world.domain(guest).quota = 2;
    for position in 0..4 {
        world.map(guest, first + position, u64::from(position));
    }
    assert_eq!(world.domain(guest).pins, 2);
    assert_eq!(owner(&mut world, first + 2), Owner::HostFor(1));
    assert_eq!(world.vgpu(guest).counters().unpinnable, 4);
    world.domain(guest).quota = 3;
    world.map(guest, first + 2, 2);
    assert_eq!(
        owner(&mut world, first + 2),
        Owner::Guest(1),
        "asked again, granted"
    );
}

#[test]
fn halves_take_effect_together() {
    let mut world = World::new(512);
    let guest = world.booted(1, SMALL);
    let first = world.first(guest)[0];
    let half = |world: &mut World<_>, index: u32, upper: u64, value: u64| {
        let place = BAR0 + u64::from(GTT_BASE) + u64::from(index) * 8 + upper * 4;
        world.access(guest, Space::Memory(place), 4, Some(value));
    };
    for (one, two) in [(0, 1), (1, 0)] {
        world.write_gtt(guest, first, 0);
        half(
            &mut world,
            first,
            one,
            if one == 0 { 6 << 12 | 1 } else { 0 },
        );
        assert_eq!(
            owner(&mut world, first),
            Owner::HostFor(1),
            "half an entry maps nothing"
        );
        half(
            &mut world,
            first,
            two,
            if two == 0 { 6 << 12 | 1 } else { 0 },
        );
        assert_eq!(owner(&mut world, first), Owner::Guest(1));
        assert_eq!(world.read_gtt(guest, first), 6 << 12 | 1);
    }
    // One half alone counts when the hardware would have noticed.
    half(&mut world, first + 1, 0, 8 << 12 | 1);
    assert_eq!(owner(&mut world, first + 1), Owner::HostFor(1));
    world.write(guest, GFX_FLSH_CNTL, 1);
    assert_eq!(owner(&mut world, first + 1), Owner::Guest(1));
    half(&mut world, first + 2, 0, 9 << 12 | 1);
    half(&mut world, first + 3, 0, 9 << 12 | 1);
    assert_eq!(
        owner(&mut world, first + 2),
        Owner::Guest(1),
        "another entry is being written"
    );
    assert_eq!(
        world.read_gtt(guest, first + 3),
        9 << 12 | 1,
        "read back before it counts"
    );
}

#[test]
fn writing_the_same_entry_again_changes_nothing_unless_the_guest_moved_the_page() {
    let mut world = World::new(512);
    let guest = world.booted(1, SMALL);
    let first = world.first(guest)[0];
    world.map(guest, first, 4);
    for _ in 0..1000 {
        world.map(guest, first, 4);
    }
    assert_eq!(world.domain(guest).pins, 1);
    let old = device(&world, first);
    let new = world
        .guests()
        .ram()
        .allocate(Owner::Nobody)
        .expect("enough RAM");
    world.domain(guest).balloon_out(GuestFrame(4));
    world.map(guest, first, 4);
    assert_eq!(owner(&mut world, first), Owner::HostFor(1));
    world.domain(guest).populate(GuestFrame(4), new);
    world.map(guest, first, 4);
    assert_eq!(device(&world, first), new);
    assert_ne!(new, old);
    world.settle();
    assert_eq!(
        world.domain(guest).pins,
        1,
        "the old page is not held any more"
    );
}

#[test]
fn a_replaced_page_stays_held_until_the_device_was_flushed() {
    let mut world = World::new(512);
    let guest = world.booted(1, SMALL);
    let first = world.first(guest)[0];
    world.map(guest, first, 1);
    world.write(guest, GFX_FLSH_CNTL, 1);
    let old = device(&world, first);
    world.map(guest, first, 2);
    assert_eq!(
        world.guests().ram().owner(old),
        Owner::Guest(1),
        "the device may still use it"
    );
    world.settle();
    assert_eq!(world.guests().ram().owner(old), Owner::Nobody);
    let visible = world.mediator.host().gpu.visible[first as usize];
    assert_eq!(DmaPage(visible.frame()), device(&world, first));
}

#[test]
fn clearing_and_filling_a_partition_one_by_one_leaves_as_many_pins_as_entries() {
    let mut world = World::new(512);
    let guest = world.booted(1, SMALL);
    let first = world.first(guest)[0];
    for round in 0..5u64 {
        for position in 0..512u32 {
            world.map(guest, first + position, (u64::from(position) + round) % 256);
        }
        assert!(
            world.domain(guest).pins <= 512 + 512,
            "pins that wait are bounded"
        );
    }
    world.write(guest, GFX_FLSH_CNTL, 1);
    world.settle();
    assert_eq!(world.domain(guest).pins, 512);
    for position in 0..512 {
        world.write_gtt(guest, first + position, 0);
    }
    world.write(guest, GFX_FLSH_CNTL, 1);
    world.settle();
    assert_eq!(world.domain(guest).pins, 0);
}

#[test]
fn more_replaced_pages_than_can_wait_cost_the_writer_a_flush() {
    let mut world = World::new(512);
    let guest = world.guest(1, 2048);
    world.attach(guest, SMALL).expect("fits");
    world.boot(guest);
    let first = world.first(guest)[0];
    for frame in 0..2048 {
        world.map(guest, first + frame % 512, frame.into());
        if frame == 511 {
            world.write(guest, GFX_FLSH_CNTL, 1);
        }
    }
    check(&mut world, &[guest]);
    assert!(
        world.domain(guest).pins <= 1024,
        "pins that wait are bounded"
    );
}

#[derive(Debug, Clone)]
enum Action {
    Write {
        guest: usize,
        index: u32,
        value: u64,
        size: u8,
        skew: u8,
    },
    Flush(usize),
    Service,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let frame = prop_oneof![0u64..8, 250u64..260, Just(0x7ff_ffff)];
    let value = prop_oneof![
        4 => frame.prop_map(|frame| frame << 12 | 1),
        1 => any::<u64>(),
        1 => Just(0),
    ];
    let write = (
        0usize..2,
        0u32..12,
        value,
        prop_oneof![4 => Just(8u8), 1 => 1u8..8],
        0u8..8,
    )
        .prop_map(|(guest, index, value, size, skew)| Action::Write {
            guest,
            index,
            value,
            size,
            skew: if size == 8 { 0 } else { skew },
        });
    let action = prop_oneof![
        8 => write,
        1 => (0usize..2).prop_map(Action::Flush),
        1 => Just(Action::Service),
    ];
    prop::collection::vec(action, 1..120)
}

/// Every page the device can reach through a slice is its guest's, pinned, or its scratch page.
fn check(world: &mut World<Recorder>, guests: &[DomainId]) {
    let slices: Vec<_> = guests
        .iter()
        .flat_map(|&id| world.vgpu(id).graphics_memory().map(|part| (id, part)))
        .collect();
    for (id, (first, count)) in slices {
        for index in first.0..first.0 + count {
            let gpu = &world.mediator.host().gpu;
            let entries = [gpu.gtt[index as usize], gpu.visible[index as usize]];
            for entry in entries {
                assert!(
                    entry.0 & GttEntry::PRESENT != 0,
                    "an absent entry would fault"
                );
                let owner = world.guests().ram().owner(DmaPage(entry.frame()));
                assert!(
                    owner == Owner::Guest(id.0) || owner == Owner::HostFor(id.0),
                    "{id}: entry {index:#x} leads to {owner:?}",
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_device_never_reaches_a_page_that_is_not_held_for_the_guest(actions in actions()) {
        let mut world = World::new(512);
        let guests = [world.booted(1, SMALL), world.booted(2, SMALL)];
        world.write(guests[0], GFX_FLSH_CNTL, 1);
        world.settle();
        let first = guests.map(|id| world.first(id)[0]);
        for action in actions {
            match action {
                Action::Write { guest, index, value, size, skew } => {
                    // Ten entries of its own, two of the neighbour's.
                    let index = first[guest] + if index < 10 { index } else { 502 + index };
                    let place = BAR0 + u64::from(GTT_BASE + index * 8) + u64::from(skew);
                    world.access(guests[guest], Space::Memory(place), size, Some(value));
                }
                Action::Flush(guest) => world.write(guests[guest], GFX_FLSH_CNTL, 1),
                Action::Service => {
                    world.mediator.service();
                }
            }
            check(&mut world, &guests);
        }
        world.settle();
        for (id, first) in guests.into_iter().zip(first) {
            let real = (first..first + 512).filter(|&i| owner(&mut world, i) == Owner::Guest(id.0));
            let real = real.count() as u32;
            prop_assert_eq!(world.domain(id).pins, real, "one pin for every real entry");
        }
    }
}
