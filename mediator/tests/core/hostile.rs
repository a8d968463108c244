use gpu::spec::registers::{FENCE, GTT_BASE, REGISTER_SPACE};
use mediator::{DomainId, Space};
use proptest::prelude::*;

use crate::common::{BAR0, BAR2, Recorder, SMALL, World};

#[derive(Debug, Clone)]
enum Action {
    Access {
        space: Space,
        size: u8,
        write: Option<u64>,
    },
    Balloon(u64),
    Service,
    Time(u64),
}

fn memory() -> impl Strategy<Value = u64> {
    let registers = prop_oneof![
        3 => 0..u64::from(REGISTER_SPACE),
        2 => 0x2000u64..0x2800,
        1 => 0x2_2000u64..0x2_2800,
        1 => 0x7_8000u64..0x7_9000,
        1 => 0x4_4200u64..0x4_4500,
        1 => u64::from(FENCE)..u64::from(FENCE) + 0x200,
        1 => Just(0x941c),
        1 => u64::from(REGISTER_SPACE)..u64::from(GTT_BASE),
    ];
    let entries =
        prop_oneof![0u64..0x2_0000, 0u64..0x80_0000].prop_map(|at| at + u64::from(GTT_BASE));
    prop_oneof![
        6 => registers.prop_map(|at| BAR0 + at),
        4 => entries.prop_map(|at| BAR0 + at),
        2 => (0u64..512 << 12).prop_map(|at| BAR2 + at),
        1 => (0u64..256 << 20).prop_map(|at| BAR2 + at),
        1 => any::<u64>(),
        1 => (0u64..16).prop_map(|at| BAR0 - 8 + at),
    ]
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0u64..300).prop_map(|frame| frame << 12 | 1),
        any::<u32>().prop_map(u64::from)
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let space = prop_oneof![
        8 => memory().prop_map(Space::Memory),
        1 => prop_oneof![0u16..0x100, any::<u16>()].prop_map(Space::Config),
    ];
    let access =
        (space, any::<u8>(), prop::option::of(value())).prop_map(|(space, size, write)| {
            Action::Access {
                space,
                size: size % 10,
                write,
            }
        });
    prop_oneof![
        20 => access,
        1 => (0u64..256).prop_map(Action::Balloon),
        1 => Just(Action::Service),
        1 => (0u64..1_000_000).prop_map(Action::Time),
    ]
}

/// What the neighbour must not notice.
fn neighbour(world: &mut World<Recorder>, id: DomainId) -> (Vec<u64>, Vec<u32>, [u8; 64]) {
    let first = world.first(id);
    let entries = (0..32)
        .map(|at| world.read_gtt(id, first[0] + at))
        .collect();
    let registers = [
        0x7_8040, 0x7_8044, FENCE, 0x2080, 0x20a8, 0x4_4200, 0x4_4304,
    ];
    let registers = registers.map(|offset| world.read(id, offset)).to_vec();
    let mut bytes = [0; 64];
    world.peek(id, 3 * 4096, &mut bytes);
    (entries, registers, bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_stream_of_accesses_leaves_the_neighbour_alone_and_the_books_balanced(
        actions in prop::collection::vec(action(), 1..300),
    ) {
        let mut world = World::new(512);
        let attacker = world.guest(1, 256);
        let victim = world.booted(2, SMALL);
        let free = world.guests().allocated;
        world.attach(attacker, SMALL).expect("fits");
        world.boot(attacker);
        let first = world.first(victim)[0];
        for at in 0..32 {
            world.map(victim, first + at, u64::from(at));
        }
        world.poke(victim, 3 * 4096, b"the neighbour's own data");
        let before = neighbour(&mut world, victim);
        for action in actions {
            match action {
                Action::Access { space, size, write } => {
                    let value = world.access(attacker, space, size, write);
                    let bits = 8 * u32::from(size.min(8));
                    prop_assert_eq!(value.checked_shr(bits).unwrap_or(0), 0, "only what was asked");
                }
                Action::Balloon(frame) => {
                    let frame = mediator::GuestFrame(frame);
                    world.domain(attacker).balloon_out(frame);
                }
                Action::Service => {
                    world.mediator.service();
                }
                Action::Time(nanoseconds) => world.clock.advance(nanoseconds),
            }
            prop_assert!(world.domain(attacker).pins <= 1024 + 512 + 256, "bounded");
        }
        prop_assert_eq!(neighbour(&mut world, victim), before);
        world.mediator.domain_removed(attacker);
        prop_assert_eq!(world.domain(attacker).pins, 0);
        prop_assert_eq!(world.guests().allocated, free);
        prop_assert_eq!(world.domain(attacker).open.len(), 0);
    }
}

#[test]
fn a_guest_that_offends_without_end_fills_no_log() {
    let mut world = World::new(512);
    let guest = world.booted(1, SMALL);
    for _ in 0..10_000 {
        world.map(guest, 0x1_f000, 1);
    }
    let counters = world.vgpu(guest).counters();
    assert_eq!(counters.violations, 10_000);
    assert!(
        counters.silenced > 9_900,
        "{} lines left out",
        counters.silenced
    );
}
