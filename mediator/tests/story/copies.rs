//! What runs is our copy: rings in pieces, batches, stores by index, context batches.

use gpu::spec::context;
use gpu::spec::engine::{self, Engine};

use crate::driver::{BATCH_END, Driver, batch, clean, machine, settle, store};

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

#[test]
fn a_ring_that_stores_its_own_registers_finds_the_guests() {
    const STORE_REGISTER: u32 = 0x1200_0002;
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    for engine in Engine::ALL {
        let frame = driver.frames(1);
        let address = driver.map(&mut machine, frame, 1);
        let mut context = driver.context(&mut machine, engine, 1);
        let registers = [engine::RING_START, engine::RING_TAIL, engine::RING_CTL];
        let mut commands = Vec::new();
        for (register, at) in registers.into_iter().zip((address..).step_by(4)) {
            let [low, high] = [at as u32, (at >> 32) as u32];
            commands.extend([STORE_REGISTER, engine.base() + register, low, high]);
        }
        driver.request(&mut machine, &mut context, &commands);
        driver.submit(&mut machine, engine, context.descriptor(), 0);
        settle(&mut machine);
        driver.all_done(&mut machine, engine);
        let found = [0, 4, 8].map(|at| driver.peek(&mut machine, frame * 4096 + at));
        let control = driver.value(&mut machine, &context, gpu::spec::context::RING_CTL);
        assert_eq!(found, [context.ring as u32, context.tail, control]);
    }
    clean(&machine);
}

#[test]
fn a_context_finds_the_time_that_it_ran_in_its_image() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let mut context = driver.context(&mut machine, Engine::Rcs, 1);
    let mut before = 0;
    for _ in 0..3 {
        driver.request(&mut machine, &mut context, &[0; 8]);
        driver.submit(&mut machine, Engine::Rcs, context.descriptor(), 0);
        settle(&mut machine);
        driver.all_done(&mut machine, Engine::Rcs);
        let after = driver.value(&mut machine, &context, context::TIMESTAMP);
        assert!(after > before, "{after}, {before} before");
        before = after;
    }
}

#[test]
fn a_context_that_ran_nothing_keeps_its_image() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let [mut first, mut second] =
        [1, 1].map(|pages| driver.context(&mut machine, Engine::Rcs, pages));
    driver.request(&mut machine, &mut first, &[]);
    driver.submit(&mut machine, Engine::Rcs, first.descriptor(), 0);
    settle(&mut machine);
    let page = |machine: &mut crate::driver::Machine, driver: &Driver| {
        let mut bytes = vec![0; 4096];
        machine.peek(driver.domain, (second.image_frame + 1) * 4096, &mut bytes);
        bytes
    };
    let before = page(&mut machine, &driver);
    driver.submit(&mut machine, Engine::Rcs, second.descriptor(), 0);
    settle(&mut machine);
    assert!(page(&mut machine, &driver) == before);
    driver.request(&mut machine, &mut second, &[]);
    driver.submit(&mut machine, Engine::Rcs, second.descriptor(), 0);
    settle(&mut machine);
    driver.all_done(&mut machine, Engine::Rcs);
}

#[test]
fn a_render_context_keeps_the_pipelines_registers_when_others_run_and_across_a_reset() {
    let mut machine = machine();
    let mut drivers = [1, 2].map(|domain| Driver::new(&mut machine, domain));
    let frame = drivers[0].frames(1);
    let address = drivers[0].map(&mut machine, frame, 1);
    let mut contexts = drivers
        .each_mut()
        .map(|driver| driver.context(&mut machine, Engine::Rcs, 1));
    let run = |machine: &mut _, driver: &mut Driver, context: &mut _, commands: &[u32]| {
        driver.request(machine, context, commands);
        driver.submit(machine, Engine::Rcs, context.descriptor(), 0);
        settle(machine);
        driver.all_done(machine, Engine::Rcs);
    };
    let [first, second] = &mut drivers;
    let [ours, theirs] = &mut contexts;
    run(&mut machine, first, ours, &[0x1100_0001, 0x2580, 0x4_0004]);
    run(
        &mut machine,
        second,
        theirs,
        &[0x1100_0001, 0x2580, 0xf_0002],
    );
    first.reset(&mut machine, Engine::Rcs);
    let store = [0x1200_0002, 0x2580, address as u32, (address >> 32) as u32];
    run(&mut machine, first, ours, &store);
    assert_eq!(first.peek(&mut machine, frame * 4096) & 0xffff, 4);
    clean(&machine);
}
