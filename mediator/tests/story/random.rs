//! Any sequence that a driver can make, against what the driver assumes.

use gpu::Engine;
use gpu::spec::context;
use proptest::prelude::*;

use crate::driver::{ARBITRATION_ON, Context, Driver, clean, machine, serve, settle};

/// What a driver, its guest's memory and time do.
#[derive(Debug, Clone)]
enum Act {
    Emit(usize, u32),
    Submit(usize, usize),
    Forced(usize),
    Serve(u8),
    Reset,
    Other,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0usize..3, 0u32..40).prop_map(|(context, work)| Act::Emit(context, work)),
        6 => (0usize..3, 0usize..4).prop_map(|(first, second)| Act::Submit(first, second)),
        1 => (0usize..3).prop_map(Act::Forced),
        6 => (1u8..5).prop_map(Act::Serve),
        1 => Just(Act::Reset),
        1 => Just(Act::Other),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The checker in [`Driver`] panics at the first surplus, lost or misplaced event.
    #[test]
    fn no_sequence_of_a_driver_loses_or_repeats_an_event(
        acts in prop::collection::vec(act(), 1..80), which in 0usize..4, quantum in 20u64..2000,
    ) {
        let engine = Engine::ALL[which];
        let mut machine = machine();
        machine.mediator.host_mut().gpu.set_quantum(quantum);
        let mut driver = Driver::new(&mut machine, 1);
        let mut other = Driver::new(&mut machine, 2);
        let mut contexts: Vec<Context> =
            (0..3).map(|_| driver.context(&mut machine, engine, 4)).collect();
        let mut theirs = other.context(&mut machine, engine, 4);
        let descriptor = |contexts: &[Context], index: usize| {
            contexts.get(index).map_or(0, Context::descriptor)
        };
        for act in acts {
            match act {
                Act::Emit(index, work) => {
                    let commands = [ARBITRATION_ON].repeat(work as usize);
                    driver.request(&mut machine, &mut contexts[index], &commands);
                }
                Act::Submit(first, second) => {
                    driver.events(&mut machine, engine);
                    let second = if second == first { 3 } else { second };
                    if driver.may_submit(engine) {
                        let pair = [first, second].map(|index| descriptor(&contexts, index));
                        driver.submit(&mut machine, engine, pair[0], pair[1]);
                    }
                }
                Act::Forced(index) => {
                    driver.events(&mut machine, engine);
                    if driver.may_submit(engine) {
                        let forced = contexts[index].forced();
                        driver.submit(&mut machine, engine, forced, 0);
                    }
                }
                Act::Serve(rounds) => {
                    for _ in 0..rounds {
                        serve(&mut machine);
                        driver.events(&mut machine, engine);
                    }
                }
                Act::Reset => {
                    driver.reset(&mut machine, engine);
                    contexts.iter().for_each(|context| driver.rewind(&mut machine, context));
                    assert_eq!(driver.events(&mut machine, engine), []);
                }
                Act::Other => {
                    other.request(&mut machine, &mut theirs, &[]);
                    other.events(&mut machine, engine);
                    if other.may_submit(engine) {
                        other.submit(&mut machine, engine, theirs.descriptor(), 0);
                    }
                }
            }
        }
        // Nothing that was emitted stays behind, nothing is owed.
        settle(&mut machine);
        for index in 0..3 {
            driver.events(&mut machine, engine);
            prop_assert!(driver.may_submit(engine) && driver.active(engine) == 0);
            let pair = descriptor(&contexts, index);
            driver.submit(&mut machine, engine, pair, 0);
            settle(&mut machine);
        }
        other.events(&mut machine, engine);
        other.submit(&mut machine, engine, theirs.descriptor(), 0);
        settle(&mut machine);
        driver.events(&mut machine, engine);
        prop_assert!(driver.may_submit(engine) && driver.active(engine) == 0);
        for context in &contexts {
            let head = driver.value(&mut machine, context, context::RING_HEAD) & 0x1f_ffff;
            prop_assert_eq!(head, context.tail);
        }
        other.all_done(&mut machine, engine);
        let refused = machine.vgpu(driver.domain).counters().refused;
        prop_assert_eq!(refused, 0);
        clean(&machine);
    }
}
