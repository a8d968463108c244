//! What a driver relies on between ELSP and its events, step by step and at random.

use gpu::spec::context;
use gpu::spec::engine::{self, Engine};
use proptest::prelude::*;

use crate::driver::{
    ARBITRATION_ON, BATCH_END, Context, Driver, Machine, batch, clean, machine, serve, settle,
    store,
};

/// A command that keeps an engine busy for about `microseconds`: a blit of that many times 8 KiB.
fn work(driver: &mut Driver, machine: &mut Machine, microseconds: u32) -> Vec<u32> {
    let frame = driver.frames(8);
    let surface = driver.map(machine, frame, 8);
    let line = crate::driver::fill(surface, 8192, [0, 0, 2048, 4], 7);
    line.repeat((microseconds as usize).div_ceil(4))
}

#[test]
fn an_empty_context_completes_at_once() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let context = driver.context(&mut machine, Engine::Bcs, 1);
    driver.submit(&mut machine, Engine::Bcs, context.descriptor(), 0);
    let seen = driver.events(&mut machine, Engine::Bcs);
    assert_eq!(
        seen,
        [(0x1, context.id), (0x18, context.id)],
        "within the access"
    );
    driver.all_done(&mut machine, Engine::Bcs);
}

#[test]
fn two_elements_run_one_after_the_other() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let mut contexts = [(); 2].map(|()| driver.context(&mut machine, Engine::Vcs, 1));
    for context in &mut contexts {
        driver.request(&mut machine, context, &[]);
    }
    let [first, second] = &contexts;
    driver.submit(
        &mut machine,
        Engine::Vcs,
        first.descriptor(),
        second.descriptor(),
    );
    settle(&mut machine);
    let seen = driver.events(&mut machine, Engine::Vcs);
    assert_eq!(seen, [(0x1, first.id), (0x14, first.id), (0x18, second.id)]);
    driver.all_done(&mut machine, Engine::Vcs);
    clean(&machine);
}

#[test]
fn the_running_context_takes_more_work_and_a_second_element() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let mut first = driver.context(&mut machine, Engine::Bcs, 2);
    let mut second = driver.context(&mut machine, Engine::Bcs, 2);
    let long = work(&mut driver, &mut machine, 100);
    driver.request(&mut machine, &mut first, &long);
    driver.submit(&mut machine, Engine::Bcs, first.descriptor(), 0);
    serve(&mut machine);

    driver.request(&mut machine, &mut first, &[]);
    driver.request(&mut machine, &mut second, &[]);
    driver.submit(
        &mut machine,
        Engine::Bcs,
        first.descriptor(),
        second.descriptor(),
    );
    let seen = driver.events(&mut machine, Engine::Bcs);
    assert_eq!(seen, [(0x1, first.id), (0x8002, first.id)]);
    settle(&mut machine);
    let seen = driver.events(&mut machine, Engine::Bcs);
    assert_eq!(seen[2..], [(0x14, first.id), (0x18, second.id)]);
    driver.all_done(&mut machine, Engine::Bcs);
    assert_eq!(machine.vgpu(driver.domain).counters().completions, 2);
    clean(&machine);
}

#[test]
fn another_context_waits_and_starts_with_its_own_event() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let mut contexts = [(); 2].map(|()| driver.context(&mut machine, Engine::Rcs, 1));
    for context in &mut contexts {
        driver.request(&mut machine, context, &[]);
    }
    let [first, second] = &contexts;
    driver.submit(&mut machine, Engine::Rcs, first.descriptor(), 0);
    driver.submit(&mut machine, Engine::Rcs, second.descriptor(), 0);
    assert_eq!(driver.events(&mut machine, Engine::Rcs), [(0x1, first.id)]);
    settle(&mut machine);
    let seen = driver.events(&mut machine, Engine::Rcs);
    assert_eq!(
        seen[1..],
        [(0x18, first.id), (0x1, second.id), (0x18, second.id)]
    );
    driver.all_done(&mut machine, Engine::Rcs);
}

#[test]
fn the_image_is_written_back_complete_and_can_be_a_template() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let mut context = driver.context(&mut machine, Engine::Bcs, 1);
    let gpr = Engine::Bcs.base() + engine::GPR;
    driver.request(
        &mut machine,
        &mut context,
        &crate::driver::load_register(gpr, 0x5151),
    );
    driver.submit(&mut machine, Engine::Bcs, context.descriptor(), 0);
    settle(&mut machine);
    driver.all_done(&mut machine, Engine::Bcs);
    let value = |machine: &mut Machine, at| driver.value(machine, &context, at);
    assert_eq!(
        value(&mut machine, context::CONTEXT_CONTROL) & 1,
        0,
        "nothing is inhibited"
    );
    assert_eq!(value(&mut machine, context::RING_HEAD), context.tail);
    assert_eq!(value(&mut machine, context::RING_TAIL), context.tail);
    assert_eq!(
        value(&mut machine, context::RING_START),
        context.ring as u32
    );
    assert_eq!(
        value(&mut machine, context::PDP0_LDW),
        (driver.root << 12) as u32
    );
    assert_eq!(value(&mut machine, 0x51), 0x1100_1000 | 87, "44 registers");
    assert_eq!(value(&mut machine, 0x68), gpr);
    assert_eq!(
        value(&mut machine, 0x69),
        0x5151,
        "state that a command set"
    );
    assert_eq!(value(&mut machine, 0xaa), BATCH_END);

    // A new context from the saved page, as a driver makes all but the first.
    let mut page = vec![0; 4096];
    machine.peek(driver.domain, context.value_at(0), &mut page);
    let mut copy = driver.context(&mut machine, Engine::Bcs, 1);
    for (at, value) in (0..0xab).zip(page.chunks(4)) {
        if !matches!(at, 0x05 | 0x07 | 0x09) {
            driver.set(
                &mut machine,
                &copy,
                at,
                u32::from_le_bytes(value.try_into().unwrap()),
            );
        }
    }
    // It finds the register as the first one left it.
    let frame = driver.frames(1);
    let address = driver.map(&mut machine, frame, 1);
    let save = [0x1200_0002, gpr, address as u32, 0];
    driver.request(&mut machine, &mut copy, &save);
    driver.submit(&mut machine, Engine::Bcs, copy.descriptor(), 0);
    settle(&mut machine);
    driver.all_done(&mut machine, Engine::Bcs);
    assert_eq!(driver.peek(&mut machine, frame * 4096), 0x5151);
    clean(&machine);
}

#[test]
fn registers_of_another_guest_are_not_found() {
    let mut machine = machine();
    let mut drivers = [1, 2].map(|domain| Driver::new(&mut machine, domain));
    let gpr = Engine::Bcs.base() + engine::GPR;
    let mut secret = drivers[0].context(&mut machine, Engine::Bcs, 1);
    let command = crate::driver::load_register(gpr, 0x5ec7e7);
    drivers[0].request(&mut machine, &mut secret, &command);
    drivers[0].submit(&mut machine, Engine::Bcs, secret.descriptor(), 0);
    settle(&mut machine);
    // First run, so the image restores nothing over it.
    let frame = drivers[1].frames(1);
    let address = drivers[1].map(&mut machine, frame, 1);
    let mut reader = drivers[1].context(&mut machine, Engine::Bcs, 1);
    drivers[1].request(
        &mut machine,
        &mut reader,
        &[0x1200_0002, gpr, address as u32, 0],
    );
    drivers[1].submit(&mut machine, Engine::Bcs, reader.descriptor(), 0);
    settle(&mut machine);
    drivers[1].all_done(&mut machine, Engine::Bcs);
    assert_ne!(drivers[1].peek(&mut machine, frame * 4096), 0x5ec7e7);
}

#[test]
fn ring_registers_show_the_guests_ring_while_ours_runs() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let mut context = driver.context(&mut machine, Engine::Bcs, 2);
    let long = work(&mut driver, &mut machine, 100);
    driver.request(&mut machine, &mut context, &long);
    driver.submit(&mut machine, Engine::Bcs, context.descriptor(), 0);
    let mut last = 0;
    let register = |machine: &mut Machine, at| machine.read(driver.domain, Engine::Bcs.base() + at);
    while serve(&mut machine) == gpu::Progress::Busy {
        let head = register(&mut machine, engine::RING_HEAD);
        assert!(
            head >= last && head <= context.tail,
            "{head:#x} after {last:#x}"
        );
        last = head;
        assert_eq!(
            register(&mut machine, engine::RING_START),
            context.ring as u32
        );
        assert_eq!(register(&mut machine, engine::RING_TAIL), context.tail);
        assert_eq!(register(&mut machine, engine::RING_CTL), 0x1001);
        if head < context.tail {
            assert_eq!(
                register(&mut machine, engine::EXECLIST_STATUS_HI),
                context.id
            );
        }
    }
    assert_eq!(register(&mut machine, engine::RING_HEAD), context.tail);
    assert_eq!(register(&mut machine, engine::EXECLIST_STATUS_HI), 0);
}

#[test]
fn a_ring_longer_than_ours_runs_in_pieces_and_completes_once() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    // 160 KiB, wrapped: its last commands stand before its first.
    let mut context = driver.context(&mut machine, Engine::Bcs, 48);
    let frame = driver.frames(1);
    let address = driver.map(&mut machine, frame, 1);
    context.tail = 0x2_0000;
    driver.set(&mut machine, &context, context::RING_HEAD, context.tail);
    for number in 0..10_000u64 {
        let value = number as u32 + 1;
        driver.emit(
            &mut machine,
            &mut context,
            &store(false, address + number % 512 * 4, value),
        );
    }
    driver.request(&mut machine, &mut context, &[]);
    driver.submit(&mut machine, Engine::Bcs, context.descriptor(), 0);
    settle(&mut machine);
    let seen = driver.events(&mut machine, Engine::Bcs);
    assert_eq!(seen, [(0x1, context.id), (0x18, context.id)]);
    driver.all_done(&mut machine, Engine::Bcs);
    for place in 0..512 {
        let last = (0..10_000u64)
            .rev()
            .find(|number| number % 512 == place)
            .unwrap();
        let found = driver.peek(&mut machine, frame * 4096 + place * 4);
        assert_eq!(found, last as u32 + 1, "place {place}");
    }
    let head = driver.value(&mut machine, &context, context::RING_HEAD);
    assert_eq!(head, 1 << 21 | context.tail, "it wrapped once");
    clean(&machine);
}

#[test]
fn what_a_guest_rewrites_after_submission_is_not_executed() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    for (engine, global) in [
        (Engine::Bcs, false),
        (Engine::Bcs, true),
        (Engine::Rcs, true),
    ] {
        let mut context = driver.context(&mut machine, engine, 1);
        let frame = driver.frames(1);
        let address = driver.map(&mut machine, frame, 1);
        let (batch_frame, batch_global) = driver.allocate(&mut machine, 1);
        let batch_own = driver.map(&mut machine, batch_frame, 1);
        let commands = [&store(false, address, 1)[..], &[BATCH_END]].concat();
        driver.store(&mut machine, batch_frame * 4096, &commands);
        let at = if global { batch_global } else { batch_own };
        driver.request(&mut machine, &mut context, &batch(global, at));
        driver.submit(&mut machine, engine, context.descriptor(), 0);
        // The ring and the batch now say something else, which would even be refused.
        driver.store(&mut machine, batch_frame * 4096, &store(true, 0, 0xbad));
        driver.store(&mut machine, context.ring_frame * 4096, &[0x1f80_0000; 64]);
        settle(&mut machine);
        driver.all_done(&mut machine, engine);
        assert_eq!(driver.peek(&mut machine, frame * 4096), 1);
    }
    clean(&machine);
}

#[test]
fn batches_chain_call_and_return_from_the_copy() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    for (engine, global) in [
        (Engine::Bcs, false),
        (Engine::Rcs, true),
        (Engine::Rcs, false),
    ] {
        let mut context = driver.context(&mut machine, engine, 1);
        let frame = driver.frames(1);
        let address = driver.map(&mut machine, frame, 1);
        let (batches, in_global) = driver.allocate(&mut machine, 4);
        let in_process = driver.map(&mut machine, batches, 4);
        let base = if global { in_global } else { in_process };
        let mut put = |number: u64, commands: &[&[u32]]| {
            // Across a page end: the first command starts four bytes before it.
            let at = batches * 4096 + number * 4096 + if number == 0 { 4092 } else { 64 };
            driver.store(&mut machine, at, &commands.concat());
        };
        let mut call = batch(global, base + 2 * 4096 + 64);
        call[0] |= 1 << 22;
        // 0 chains to 1; 1 calls 2, stores, chains to 3.
        put(
            0,
            &[&store(false, address, 10), &batch(global, base + 4096 + 64)],
        );
        put(2, &[&store(false, address + 4, 11), &[BATCH_END]]);
        put(
            1,
            &[
                &call,
                &store(false, address + 8, 12),
                &batch(global, base + 3 * 4096 + 64),
            ],
        );
        put(3, &[&store(false, address + 12, 13), &[BATCH_END]]);
        driver.request(&mut machine, &mut context, &batch(global, base + 4092));
        driver.submit(&mut machine, engine, context.descriptor(), 0);
        settle(&mut machine);
        driver.all_done(&mut machine, engine);
        let found = [0, 4, 8, 12].map(|at| driver.peek(&mut machine, frame * 4096 + at));
        assert_eq!(found, [10, 11, 12, 13], "{engine}, global {global}");
    }
    clean(&machine);
}

#[test]
fn stores_by_index_into_the_engines_status_page_land_in_the_guests_own() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    for engine in [Engine::Rcs, Engine::Bcs] {
        let mut context = driver.context(&mut machine, engine, 1);
        let page = machine.read(driver.domain, engine.base() + engine::HWS_PGA);
        let command = match engine {
            Engine::Rcs => vec![0x7a00_0004, 1 << 24 | 1 << 21 | 1 << 14, 0x200, 0, 0x77, 0],
            _ => vec![0x1300_0002 | 1 << 21 | 1 << 14, 0x200 | 1 << 2, 0, 0x77],
        };
        driver.request(&mut machine, &mut context, &command);
        driver.submit(&mut machine, engine, context.descriptor(), 0);
        settle(&mut machine);
        driver.all_done(&mut machine, engine);
        let [first, _] = machine.first(driver.domain);
        let entry = machine.read_gtt(driver.domain, page / 4096);
        assert!(page / 4096 >= first);
        assert_eq!(
            driver.peek(&mut machine, (entry & !0xfff) + 0x200),
            0x77,
            "{engine}"
        );
    }
    clean(&machine);
}

#[test]
fn stores_by_index_without_the_global_bit_land_in_the_contexts_own_page() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let mut context = driver.context(&mut machine, Engine::Bcs, 1);
    let command = [0x1300_0002 | 1 << 21 | 1 << 14, 0xd0, 0, 0x66];
    driver.request(&mut machine, &mut context, &command);
    driver.submit(&mut machine, Engine::Bcs, context.descriptor(), 0);
    settle(&mut machine);
    driver.all_done(&mut machine, Engine::Bcs);
    assert_eq!(
        driver.peek(&mut machine, context.image_frame * 4096 + 0xd0),
        0x66
    );
}

#[test]
fn context_batches_run_from_our_copy_at_each_restore() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let mut context = driver.context(&mut machine, Engine::Rcs, 1);
    let (frame, address) = driver.allocate(&mut machine, 1);
    let (target, counter) = driver.allocate(&mut machine, 1);
    let mut lines = [0; 16];
    lines[..4].copy_from_slice(&store(true, counter, 5));
    driver.store(&mut machine, frame * 4096, &lines);
    let per_context = [&store(true, counter + 4, 6)[..], &[BATCH_END]].concat();
    driver.store(&mut machine, frame * 4096 + 0x400, &per_context);
    driver.set(
        &mut machine,
        &context,
        context::INDIRECT_CONTEXT,
        address as u32 | 1,
    );
    driver.set(
        &mut machine,
        &context,
        context::INDIRECT_CONTEXT_OFFSET,
        0x26 << 6,
    );
    driver.set(
        &mut machine,
        &context,
        context::PER_CONTEXT_BATCH,
        address as u32 + 0x401,
    );
    driver.request(&mut machine, &mut context, &[]);
    driver.submit(&mut machine, Engine::Rcs, context.descriptor(), 0);
    settle(&mut machine);
    driver.all_done(&mut machine, Engine::Rcs);
    let found = [0, 4].map(|at| driver.peek(&mut machine, target * 4096 + at));
    assert_eq!(found, [5, 6]);
    let kept = driver.value(&mut machine, &context, context::INDIRECT_CONTEXT);
    assert_eq!(
        kept,
        address as u32 | 1,
        "the guest's own pointer stays in its image"
    );
    clean(&machine);
}

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
