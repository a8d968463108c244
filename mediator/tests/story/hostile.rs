//! A guest that writes anything anywhere: nobody else notices, and nothing breaks.

use gpu::spec::engine::{self, Engine};
use gpu::spec::registers::GDRST;
use mediator::GuestFrame;
use proptest::prelude::*;

use crate::driver::{Context, Driver, FRAMES, batch, clean, machine, serve, settle, store};

/// What it does next.
#[derive(Debug, Clone)]
enum Act {
    /// A dword of its memory: frame, dword, value.
    Poke(u64, u64, u32),
    /// A dword of a context's register state.
    State(usize, usize, u32),
    /// A table entry: level, index, value.
    Table(u64, u64, u64),
    /// An entry of the global GTT, near those in use.
    Entry(u32, u64),
    /// A request: context, what kind.
    Request(usize, u8),
    /// ELSP: contexts, and bits to flip in the first descriptor.
    Submit(usize, usize, u64),
    /// A part of ELSP.
    Port(usize, u32),
    /// An engine's register.
    Register(usize, u32, u32),
    Reset(u32),
    Notify(u32, u64),
    /// A frame goes away.
    Balloon(u64),
    Serve(u8),
    Hour,
}

fn value() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        0u32..64,
        (0u32..0x200).prop_map(|page| page << 12 | 1),
        prop::sample::select(vec![
            0u32,
            !0,
            0x0500_0000,
            0x1880_0001,
            0x1880_0101,
            0x1100_0001,
            0x1040_0002,
            0x941c,
            0x7a00_0004,
            0x1300_4002,
            0x1320_4002,
            0x18c0_0101,
            0x5400_0008,
        ]),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let flips = prop_oneof![6 => Just(0u64), 1 => (0u32..64).prop_map(|bit| 1 << bit)];
    prop_oneof![
        6 => (0..FRAMES, 0u64..1024, value()).prop_map(|(f, d, v)| Act::Poke(f, d, v)),
        4 => (0usize..4, 0usize..0xb0, value()).prop_map(|(c, d, v)| Act::State(c, d, v)),
        4 => (0u64..4, 0u64..8, value(), 0u64..0x100)
            .prop_map(|(l, i, v, high)| Act::Table(l, i, high << 32 | u64::from(v))),
        2 => (0u32..80, value()).prop_map(|(index, v)| Act::Entry(index, v.into())),
        8 => (0usize..4, 0u8..6).prop_map(|(context, kind)| Act::Request(context, kind)),
        10 => (0usize..4, 0usize..5, flips).prop_map(|(a, b, flip)| Act::Submit(a, b, flip)),
        1 => (0usize..4, any::<u32>()).prop_map(|(engine, v)| Act::Port(engine, v)),
        2 => (0usize..4, 0u32..0x200, value()).prop_map(|(e, r, v)| Act::Register(e, r * 4, v)),
        2 => (0u32..32).prop_map(Act::Reset),
        1 => (0u32..8, 0u64..FRAMES).prop_map(|(message, frame)| Act::Notify(message, frame)),
        1 => (0..FRAMES).prop_map(Act::Balloon),
        10 => (1u8..8).prop_map(Act::Serve),
        1 => Just(Act::Hour),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn a_guest_that_writes_anything_anywhere_harms_nobody_else(
        acts in prop::collection::vec(act(), 1..120), quantum in 50u64..3000,
    ) {
        let mut machine = machine();
        machine.mediator.host_mut().gpu.set_quantum(quantum);
        let mut victim = Driver::new(&mut machine, 2);
        let mut theirs = Engine::ALL.map(|engine| victim.context(&mut machine, engine, 4));
        let before = machine.guests().allocated;
        let mut guest = Driver::new(&mut machine, 1);
        let mut contexts: Vec<Context> =
            Engine::ALL.map(|engine| guest.context(&mut machine, engine, 1)).into();
        let data = guest.frames(2);
        let at = guest.map(&mut machine, data, 2);
        guest.store(&mut machine, data * 4096, &[0, 0x0500_0000]);
        let domain = guest.domain;
        let [first, _] = machine.first(domain);
        let tables = guest.root;

        for (number, act) in acts.into_iter().enumerate() {
            let there = |machine: &mut crate::driver::Machine, frame: u64| {
                machine.domain(domain).page(GuestFrame(frame)).is_some()
            };
            match act {
                Act::Poke(frame, dword, value) => {
                    if there(&mut machine, frame) {
                        machine.poke(domain, frame * 4096 + dword * 4, &value.to_le_bytes());
                    }
                }
                Act::State(context, dword, value) => {
                    if there(&mut machine, contexts[context].image_frame + 1) {
                        guest.set(&mut machine, &contexts[context], dword, value);
                    }
                }
                Act::Table(level, index, value) => {
                    if there(&mut machine, tables + level) {
                        let at = (tables + level) * 4096 + index * 8;
                        machine.poke(domain, at, &value.to_le_bytes());
                    }
                }
                Act::Entry(index, value) => machine.write_gtt(domain, first + index, value),
                Act::Request(context, kind) => {
                    let context = &mut contexts[context];
                    let ring = there(&mut machine, context.ring_frame);
                    if !ring || !there(&mut machine, context.image_frame + 1) {
                        continue;
                    }
                    let commands = match kind {
                        0 => batch(false, at).to_vec(),
                        1 => batch(true, u64::from(first) * 4096).to_vec(),
                        2 => store(true, u64::from(first) * 4096 + 0x800, 7).to_vec(),
                        3 => store(false, at + 4096, 7).to_vec(),
                        4 => vec![0x0400_0001; 40],
                        _ => vec![],
                    };
                    guest.emit(&mut machine, context, &commands);
                }
                Act::Submit(first, second, flip) => {
                    let engine = contexts[first].engine;
                    let second = contexts.get(second).map_or(0, Context::descriptor);
                    guest.port(&mut machine, engine, contexts[first].descriptor() ^ flip, second);
                }
                Act::Port(index, value) => {
                    machine.write(domain, Engine::ALL[index].base() + engine::ELSP, value);
                }
                Act::Register(index, register, value) => {
                    machine.write(domain, Engine::ALL[index].base() + register, value);
                }
                Act::Reset(bits) => machine.write(domain, GDRST, bits),
                Act::Notify(message, frame) => {
                    machine.write(domain, 0x78838, (frame * 4096) as u32);
                    machine.write(domain, 0x78818, message);
                }
                Act::Balloon(frame) => machine.domain(domain).balloon_out(GuestFrame(frame)),
                Act::Serve(rounds) => (0..rounds).for_each(|_| _ = serve(&mut machine)),
                Act::Hour => machine.clock.advance(3_600_000_000_000),
            }
            if number % 5 == 0 {
                let context = &mut theirs[number / 5 % 4];
                victim.events(&mut machine, context.engine);
                if victim.may_submit(context.engine) {
                    victim.request(&mut machine, context, &[]);
                    let descriptor = context.descriptor();
                    victim.submit(&mut machine, context.engine, descriptor, 0);
                }
            }
        }

        // Whatever still hangs is over its budget by then; the victim gets everything it asked for.
        let wait = |machine: &mut crate::driver::Machine| {
            for _ in 0..40 {
                (0..10).for_each(|_| _ = serve(machine));
                machine.clock.advance(300_000_000);
            }
        };
        wait(&mut machine);
        for context in &theirs {
            victim.events(&mut machine, context.engine);
            victim.submit(&mut machine, context.engine, context.descriptor(), 0);
        }
        wait(&mut machine);
        for engine in Engine::ALL {
            victim.all_done(&mut machine, engine);
        }
        prop_assert_eq!(machine.vgpu(victim.domain).counters().refused, 0);
        clean(&machine);

        machine.mediator.domain_removed(domain);
        settle(&mut machine);
        prop_assert_eq!(machine.domain(domain).pins, 0);
        let shadows = machine.guests().allocated - before;
        prop_assert!(shadows <= 4, "the victim's tables only: {}", shadows);
        clean(&machine);
    }
}
