//! The whole mediator over the software GPU, whose owner check is the judge.

use gpu::spec::registers::{GDRST, GTT_BASE};
use mediator::{DomainId, GuestFrame, Space};
use proptest::prelude::*;

use crate::common::{BAR0, BAR2};
use crate::driver::{
    CONTEXT, FRAMES, Machine, RING, descriptor, draw, draws, driver, image, machine, store, submit,
};

#[test]
fn two_guests_draw_in_turns_and_see_only_their_own() {
    let mut world = machine();
    let guests = [driver(&mut world, 1), driver(&mut world, 2)];
    let mut tails = [0; 2];
    for round in 1..30 {
        for (id, tail) in guests.into_iter().zip(&mut tails) {
            *tail = draws(&mut world, id, *tail, round << 8 | u32::from(id.0), round);
        }
    }
    assert_eq!(world.mediator.host().gpu.breaches(), 0);
    assert_eq!(world.vgpu(guests[0]).counters().untracked, 0);
    assert_eq!(world.vgpu(guests[0]).counters().violations, 0);
}

#[test]
fn a_guest_taken_away_in_the_middle_of_its_work_leaves_nothing_and_disturbs_nobody() {
    let mut world = machine();
    let other = driver(&mut world, 99);
    let (mut tail, mut breadcrumb) = (0, 0);
    for rounds in 0..12 {
        let allocated = world.guests().allocated;
        let id = driver(&mut world, rounds + 1);
        draw(&mut world, id, 0, 7, 1);
        let context = descriptor(&world, id);
        submit(&mut world, id, [context, 0]);
        for _ in 0..rounds {
            world.mediator.service();
        }
        world.mediator.domain_removed(id);
        assert_eq!(world.domain(id).pins, 0);
        assert_eq!(world.guests().allocated, allocated);
        breadcrumb += 1;
        tail = draws(&mut world, other, tail, u32::from(rounds), breadcrumb);
    }
    assert_eq!(world.mediator.host().gpu.breaches(), 0);
}

#[derive(Debug, Clone)]
enum Action {
    /// Writes a dword into its own memory, mostly where it matters.
    Poke {
        frame: u64,
        dword: u64,
        value: u32,
    },
    Map {
        entry: u32,
        value: u64,
    },
    Submit {
        first: u64,
        second: u64,
    },
    Draw,
    Repair,
    Register {
        offset: u32,
        value: u32,
    },
    Access {
        address: u64,
        size: u8,
        write: Option<u64>,
    },
    Reset(u32),
    Balloon(u64),
    Service,
}

fn words() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        (0u32..64).prop_map(|frame| frame << 12 | 3),
        (0u32..0x4000_0000).prop_map(|at| at & !0xfff),
        prop::sample::select(vec![
            0x0500_0000,
            0x1880_0001,
            0x1880_0101,
            0x1100_0001,
            0x1300_4002,
            0x1040_0002,
            0x1200_0002,
            0x0100_0000,
            0x5480_0004,
            0x0000_0000,
            0x0200_0000,
        ]),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let frame = prop_oneof![0u64..9, Just(CONTEXT + 1), Just(RING), 0..FRAMES];
    let dword = prop_oneof![0u64..0x40, 0u64..1024];
    let flags = || prop_oneof![4 => Just(0u64), 1 => 0u64..0x1000, 1 => any::<u64>()];
    prop_oneof![
        8 => (frame, dword, words())
            .prop_map(|(frame, dword, value)| Action::Poke { frame, dword, value }),
        2 => (0u32..40, prop_oneof![0u64..64, Just(1 << 20)])
            .prop_map(|(entry, frame)| Action::Map { entry, value: frame << 12 | 1 }),
        3 => (flags(), flags()).prop_map(|(first, second)| Action::Submit { first, second }),
        3 => Just(Action::Draw),
        1 => Just(Action::Repair),
        2 => (prop_oneof![0x2_2000u32..0x2_2800, 0x4_4200u32..0x4_4340, 0x7_8000u32..0x7_8900], words())
            .prop_map(|(offset, value)| Action::Register { offset: offset & !3, value }),
        2 => (
            prop_oneof![
                (0u64..0x20_0000).prop_map(|at| BAR0 + at),
                (0u64..0x1_0000).prop_map(|at| BAR0 + u64::from(GTT_BASE) + at),
                (0u64..0x20_0000).prop_map(|at| BAR2 + at),
            ],
            1u8..=8,
            prop::option::of(any::<u64>()),
        )
            .prop_map(|(address, size, write)| Action::Access { address, size, write }),
        1 => prop_oneof![Just(1u32), Just(8), 0u32..64].prop_map(Action::Reset),
        1 => (0..FRAMES).prop_map(Action::Balloon),
        6 => Just(Action::Service),
    ]
}

fn act(world: &mut Machine, id: DomainId, action: Action) {
    let own = descriptor(world, id);
    match action {
        Action::Poke {
            frame,
            dword,
            value,
        } => {
            if world.domain(id).page(GuestFrame(frame)).is_some() {
                store(world, id, frame, dword, value);
            }
        }
        Action::Map { entry, value } => {
            let first = world.first(id)[0];
            world.write_gtt(id, first + entry, value);
        }
        Action::Submit { first, second } => submit(world, id, [own ^ first, second]),
        Action::Draw | Action::Repair if there(world, id) => {
            if matches!(action, Action::Repair) {
                image(world, id);
            }
            draw(world, id, 0, 5, 5);
            submit(world, id, [own, 0]);
        }
        Action::Draw | Action::Repair => {}
        Action::Register { offset, value } => world.write(id, offset, value),
        Action::Access {
            address,
            size,
            write,
        } => {
            world.access(id, Space::Memory(address), size, write);
        }
        Action::Reset(bits) => world.write(id, GDRST, bits),
        Action::Balloon(frame) => world.domain(id).balloon_out(GuestFrame(frame)),
        Action::Service => {
            world.clock.advance(1_000_000);
            world.mediator.service();
        }
    }
}

/// Whether the frames that [`draw`] and [`image`] write are there.
fn there(world: &mut Machine, id: DomainId) -> bool {
    [CONTEXT + 1, RING]
        .into_iter()
        .all(|frame| world.domain(id).page(GuestFrame(frame)).is_some())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_one_guest_does_the_device_stays_in_its_pages_and_the_other_goes_on_drawing(
        actions in prop::collection::vec(action(), 1..150),
    ) {
        let mut world = machine();
        let victim = driver(&mut world, 2);
        let tail = draws(&mut world, victim, 0, 0x11, 1);
        let allocated = world.guests().allocated;
        let attacker = driver(&mut world, 1);
        for action in actions {
            act(&mut world, attacker, action);
        }
        // A spinning batch has its budget; the victim waits for it at most.
        world.clock.advance(5_000_000_000);
        world.mediator.service();
        let tail = draws(&mut world, victim, tail, 0x22, 2);
        world.mediator.domain_removed(attacker);
        prop_assert_eq!(world.domain(attacker).pins, 0);
        prop_assert_eq!(world.guests().allocated, allocated);
        draws(&mut world, victim, tail, 0x33, 3);
        let breach = world.mediator.host().gpu.last_breach();
        prop_assert_eq!(world.mediator.host().gpu.breaches(), 0, "{:?}", breach);
    }
}
