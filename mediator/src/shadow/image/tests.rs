use super::*;
use crate::partition::{Fences, Region};
use crate::shadow::layout::{END, Kind};
use proptest::prelude::*;

const SLICE: Slice = Slice {
    mappable: Region {
        first: 0x100,
        count: 0x100,
    },
    nonmappable: Region {
        first: 0x1_0000,
        count: 0x100,
    },
    fences: Fences { first: 0, count: 0 },
};

fn image(engine: Engine) -> Vec<u32> {
    let mut state = vec![0; DWORDS];
    for (dword, fixed) in state.iter_mut().zip(&page(engine).fixed) {
        *dword = *fixed;
    }
    state[CONTEXT_CONTROL] = masked(0x9, 0x9);
    state[RING_START] = 0x10_0000;
    state[RING_CTL] = 0x3001;
    state[RING_HEAD] = 0x0060_0040;
    state[RING_TAIL] = 0x80;
    state[PDP0_UDW] = 0x1;
    state[PDP0_LDW] = 0x2345_6000;
    state
}

const OURS: Ours = Ours {
    ring: GraphicsAddress(0x7700_0000),
    ring_size: 0x1_0000,
    tail: 0x40,
    root: DmaPage(0x99),
    indirect: Some((GraphicsAddress(0x7800_0000), 128)),
    indirect_offset: 0x980,
    per_context: Some(GraphicsAddress(0x7800_1000)),
    inhibit: false,
};

#[test]
fn a_sane_image_is_understood() {
    for engine in Engine::ALL {
        let image = parse(engine, &image(engine), &SLICE).expect("sane");
        assert_eq!(image.ring.start, GraphicsAddress(0x10_0000));
        assert_eq!(
            (image.ring.size, image.ring.head, image.ring.tail),
            (0x4000, 0x40, 0x80)
        );
        assert_eq!(image.ring.head_register(), 0x0060_0040);
        assert_eq!(image.ring.pending(), 0x40);
        assert_eq!(image.root, GuestFrame(0x12_3456));
        assert!(image.inhibit && image.indirect.is_none() && image.per_context.is_none());
    }
}

#[test]
fn rings_outside_the_slice_or_with_offsets_outside_themselves_are_refused() {
    let cases = [
        (RING_START, 0x0f_f000),
        (RING_START, 0x1f_e000),
        (RING_START, 0x10_0800),
        (RING_START, 0xffff_f000),
        (RING_CTL, 0x3000),
        (RING_CTL, 0x1ff_001),
        (RING_HEAD, 0x4000),
        (RING_TAIL, 0x4000),
        (RING_TAIL, 0x1f_fff8),
    ];
    for (at, value) in cases {
        let mut state = image(Engine::Bcs);
        state[at] = value;
        let parsed = parse(Engine::Bcs, &state, &SLICE);
        assert!(
            matches!(parsed, Err(Refusal::Ring { .. })),
            "{at:#x} = {value:#x}: {parsed:?}"
        );
    }
}

#[test]
fn a_register_pair_that_names_something_else_is_refused_wherever_it_is() {
    for engine in Engine::ALL {
        for at in registers(engine) {
            let mut state = image(engine);
            state[at] = 0x24d0;
            let refusal = Refusal::ContextRegister {
                dword: at as u32,
                register: 0x24d0,
            };
            assert_eq!(parse(engine, &state, &SLICE), Err(refusal));
        }
    }
}

#[test]
fn an_image_without_lists_loads_what_the_driver_filled_in() {
    let mut state = image(Engine::Bcs);
    registers(Engine::Bcs).for_each(|at| state[at] = 0);
    assert!(parse(Engine::Bcs, &state, &SLICE).is_ok());
}

#[test]
fn heads_wrap_as_the_hardware_counts() {
    let mut ring = parse(Engine::Rcs, &image(Engine::Rcs), &SLICE)
        .expect("sane")
        .ring;
    ring.set_tail(0x10).expect("inside");
    assert_eq!(ring.pending(), 0x4000 - 0x40 + 0x10);
    ring.consume(0x3fc0);
    assert_eq!(ring.head_register(), 0x0080_0000);
    ring.consume(0x10);
    assert_eq!((ring.head_register(), ring.pending()), (0x0080_0010, 0));
}

#[test]
fn what_goes_back_never_touches_what_the_driver_owns() {
    let ring = parse(Engine::Bcs, &image(Engine::Bcs), &SLICE)
        .expect("sane")
        .ring;
    let singles = singles(&ring, masked(0x9, 0x9), &[7; DWORDS]);
    assert_eq!(
        singles,
        [(0x03, masked(0x9, 0x8)), (0x05, 0x0060_0040), (0x23, 7)]
    );
    assert!(singles.iter().all(|(at, _)| *at < RUN));
}

proptest! {
    /// Whatever the guest's page holds, ours names the right registers, and only the context's own
    /// state comes from the guest.
    #[test]
    fn nothing_of_the_guests_page_gets_through_but_its_own_state(
        state in prop::collection::vec(any::<u32>(), DWORDS), index in 0usize..4,
        inhibit in any::<bool>(),
    ) {
        let engine = Engine::ALL[index];
        let mut out = vec![!0; END + 1];
        rebuild(engine, &state, &Ours { inhibit, ..OURS }, &mut out);
        prop_assert_eq!(out[RING_START], 0x7700_0000);
        prop_assert_eq!(out[RING_CTL], 0xf001);
        prop_assert_eq!((out[RING_HEAD], out[RING_TAIL]), (0, 0x40));
        prop_assert_eq!((out[PDP0_UDW], out[PDP0_LDW]), (0, 0x99000));
        prop_assert_eq!(out[CONTEXT_CONTROL], 0xf_0008);
        prop_assert_eq!(out[INDIRECT_CONTEXT], 0x7800_0002);
        prop_assert_eq!(out[PER_CONTEXT_BATCH], 0x7800_1001);
        for (at, state) in state.iter().enumerate().take(END + 1) {
            let fixed = &page(engine).fixed[at];
            match page(engine).kinds[at] {
                Kind::Fixed | Kind::Register => prop_assert_eq!(out[at], *fixed, "{:#x}", at),
                Kind::State => prop_assert_eq!(out[at], *state, "{:#x}", at),
                Kind::EngineState => {
                    prop_assert_eq!(out[at], if inhibit { 0 } else { *state }, "{:#x}", at);
                }
                Kind::Ours => {}
            }
        }
        prop_assert_eq!(out[0x55], masked(0x100, 0));
        prop_assert_eq!(out[END], BATCH_END);
        prop_assert!(parse(engine, &out, &whole()).is_ok());
    }

    #[test]
    fn parsing_is_total_and_a_ring_that_passes_lies_in_the_slice(
        state in prop::collection::vec(any::<u32>(), 0..DWORDS), start in any::<u32>(),
        control in 0u32..0x20_0000, head in any::<u32>(), tail in any::<u32>(),
    ) {
        let mut state = state;
        for at in registers(Engine::Rcs) {
            if let Some(register) = state.get_mut(at) {
                *register = 0;
            }
        }
        let values = [(RING_START, start), (RING_CTL, control), (RING_HEAD, head), (RING_TAIL, tail)];
        for (at, value) in values {
            if let Some(dword) = state.get_mut(at) {
                *dword = value;
            }
        }
        if let Ok(image) = parse(Engine::Rcs, &state, &SLICE) {
            let ring = image.ring;
            prop_assert!(SLICE.contains(ring.start, ring.size.into()));
            prop_assert!(ring.head < ring.size && ring.tail < ring.size);
            prop_assert!(ring.pending() < ring.size);
        }
    }
}

fn whole() -> Slice {
    Slice {
        nonmappable: Region {
            first: 0,
            count: 0x10_0000,
        },
        ..SLICE
    }
}

fn registers(engine: Engine) -> impl Iterator<Item = usize> {
    (0..=END).filter(move |at| page(engine).kinds[*at] == Kind::Register)
}
