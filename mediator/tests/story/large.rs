//! Batches that no slot has room for: audited in pieces, executed in turn.

use gpu::spec::engine::Engine;
use mediator::{DomainId, VgpuConfig};

use crate::bystander::Bystander;
use crate::driver::{
    BATCH_END, Context, Driver, FRAMES, Machine, SIZES, batch, clean, machine, serve, settle, store,
};

const KIB: u64 = 1024 / 4;
const MIB: u64 = 1024 * KIB;
/// Dwords that a slot of the blitter has, and of the render engine.
const SLOTS: [u64; 2] = [256 * KIB, 64 * KIB];
/// Dwords that the large arena has.
const MOST: u64 = 4 * MIB + 192 * KIB;

/// What ends a batch: a store that tells that it ran to its end.
fn ending(at: u64) -> Vec<u32> {
    [&store(false, at, 0x600d)[..], &[BATCH_END]].concat()
}

/// A guest whose high GM holds a batch of the largest size.
fn driver(machine: &mut Machine, domain: u16) -> Driver {
    let domain = machine.guest(domain, FRAMES);
    let sizes = VgpuConfig {
        high_mib: 6,
        ..SIZES
    };
    machine.attach(domain, sizes).expect("fits");
    machine.boot(domain);
    Driver::start(machine, domain)
}

/// A submitted batch of so many dwords on an engine; the address of its mark in guest memory.
fn submitted(
    machine: &mut Machine,
    driver: &mut Driver,
    context: &mut Context,
    dwords: u64,
) -> u64 {
    let mark = driver.frames(1);
    let at = driver.map(machine, mark, 1);
    let address = match context.engine {
        Engine::Bcs => driver.noops(machine, 1, dwords, &ending(at)),
        _ => {
            let frames = driver.noop_frames(machine, dwords, &ending(at));
            let [_, first] = machine.first(driver.domain);
            for (index, frame) in (first..).zip(frames) {
                machine.map(driver.domain, index, frame);
            }
            u64::from(first) * 4096
        }
    };
    let global = context.engine != Engine::Bcs;
    driver.request(machine, context, &batch(global, address));
    driver.submit(machine, context.engine, context.descriptor(), 0);
    mark * 4096
}

#[test]
fn batches_of_every_size_up_to_the_limit_run_to_their_end_and_one_dword_more_is_refused() {
    for (engine, slot) in [Engine::Bcs, Engine::Rcs].into_iter().zip(SLOTS) {
        for dwords in [slot, slot + 1, 4 * MIB, MOST, MOST + 1] {
            let mut machine = machine();
            // A NOOP takes a few nanoseconds; the test has not that many rounds.
            machine.mediator.host_mut().gpu.set_quantum(1_000_000);
            let mut driver = driver(&mut machine, 1);
            let mut bystander = Bystander::new(&mut machine);
            let mut context = driver.context(&mut machine, engine, 1);
            let mark = submitted(&mut machine, &mut driver, &mut context, dwords);
            bystander.work(&mut machine);
            settle(&mut machine);
            bystander.done(&mut machine);
            let fits = dwords <= MOST;
            let found = driver.peek(&mut machine, mark);
            assert_eq!(found == 0x600d, fits, "{engine}: {dwords} dwords");
            let counters = machine.vgpu(driver.domain).counters();
            assert_eq!(counters.refused, u64::from(!fits), "{engine}: {dwords}");
            if fits {
                driver.all_done(&mut machine, engine);
            } else {
                // The others may be large again, and so may its own next one.
                driver.reset(&mut machine, engine);
                driver.rewind(&mut machine, &context);
                driver.request(&mut machine, &mut context, &[]);
                driver.submit(&mut machine, engine, context.descriptor(), 0);
                settle(&mut machine);
                driver.all_done(&mut machine, engine);
            }
            clean(&machine);
        }
    }
}

#[test]
fn an_audit_takes_a_window_a_round_and_the_others_go_on_meanwhile() {
    let mut machine = machine();
    let mut driver = driver(&mut machine, 1);
    let mut other = Driver::new(&mut machine, 2);
    let mut context = driver.context(&mut machine, Engine::Bcs, 1);
    let mut theirs = other.context(&mut machine, Engine::Bcs, 4);
    submitted(&mut machine, &mut driver, &mut context, 4 * MIB);
    let scanned = |machine: &Machine| machine.vgpu(driver.domain).counters().scanned_bytes;
    let (start, mut before, mut rounds) = (scanned(&machine), scanned(&machine), 0);
    while scanned(&machine) - start < 4 << 20 {
        if other.may_submit(Engine::Bcs) && other.active(Engine::Bcs) == 0 {
            other.request(&mut machine, &mut theirs, &[]);
            other.submit(&mut machine, Engine::Bcs, theirs.descriptor(), 0);
        }
        serve(&mut machine);
        let now = scanned(&machine);
        // A window, and a ring of one command at the end.
        assert!(now - before <= (64 << 10) + 16);
        (before, rounds) = (now, rounds + 1);
        other.events(&mut machine, Engine::Bcs);
    }
    assert!((64..80).contains(&rounds), "{rounds} rounds");
    let done = other.arrived(&mut machine, Engine::Bcs);
    assert!(
        done > rounds / 4,
        "{done} pieces of work in {rounds} rounds"
    );
}

/// Batches that start each other, far apart in a large one.
#[test]
fn chained_and_called_batches_of_a_large_one_run_in_order() {
    let mut machine = machine();
    machine.mediator.host_mut().gpu.set_quantum(1_000_000);
    let mut driver = driver(&mut machine, 1);
    let mut context = driver.context(&mut machine, Engine::Bcs, 1);
    let (noops, marks, calls) = (driver.frames(1), driver.frames(1), driver.frames(3));
    let mark = driver.map(&mut machine, marks, 1);
    let called = driver.map(&mut machine, calls, 1);
    // The called one counts: it is called from both of the others.
    let add = [0x1780_0001 | 5 << 8, (mark + 32) as u32, 0];
    driver.store(
        &mut machine,
        calls * 4096,
        &[&add[..], &[BATCH_END]].concat(),
    );
    let mut call = batch(false, called);
    call[0] |= 1 << 22;
    let second = 3 << 21;
    let first = [
        &call[..],
        &store(false, mark, 1),
        &call,
        &batch(false, second),
    ]
    .concat();
    driver.store(&mut machine, (calls + 1) * 4096, &first);
    let last = [&call[..], &store(false, mark + 4, 2), &[BATCH_END]].concat();
    driver.store(&mut machine, (calls + 2) * 4096, &last);
    let pages = |last| [vec![noops; 300], vec![last], vec![noops; 10]].concat();
    let at = driver.map_many(&mut machine, 1, &pages(calls + 1));
    driver.map_many(&mut machine, 3, &pages(calls + 2));
    driver.request(&mut machine, &mut context, &batch(false, at));
    driver.submit(&mut machine, Engine::Bcs, context.descriptor(), 0);
    settle(&mut machine);
    driver.all_done(&mut machine, Engine::Bcs);
    let found = [0, 4, 32].map(|offset| driver.peek(&mut machine, marks * 4096 + offset));
    assert_eq!(found, [1, 2, 3]);
    assert_eq!(machine.vgpu(driver.domain).counters().rewritten, 0);
    clean(&machine);
}

/// A loop of 300 KiB on the blitter, which runs; the frame of its first page.
fn spinning(machine: &mut Machine, driver: &mut Driver) -> u64 {
    let mut context = driver.context(machine, Engine::Bcs, 1);
    let back = batch(false, 1 << 21);
    let mut frames = driver.noop_frames(machine, 300 * KIB, &back);
    frames[0] = driver.frames(1);
    let at = driver.map_many(machine, 1, &frames);
    driver.request(machine, &mut context, &batch(false, at));
    driver.submit(machine, Engine::Bcs, context.descriptor(), 0);
    (0..50).for_each(|_| _ = serve(machine));
    frames[0]
}

#[test]
fn whoever_wants_the_large_arena_gets_it_in_turn_however_the_first_one_leaves() {
    for how in 0..4 {
        let mut machine = machine();
        machine.mediator.host_mut().gpu.set_quantum(100_000);
        let mut first = Driver::new(&mut machine, 3);
        let frame = spinning(&mut machine, &mut first);
        let mut second = driver(&mut machine, 1);
        let mut contexts =
            [Engine::Bcs, Engine::Rcs].map(|engine| second.context(&mut machine, engine, 1));
        let marks = contexts
            .each_mut()
            .map(|context| submitted(&mut machine, &mut second, context, 2 * MIB));
        let mut bystander = Bystander::new(&mut machine);
        bystander.work(&mut machine);
        (0..300).for_each(|_| _ = serve(&mut machine));
        for engine in [Engine::Rcs, Engine::Vcs, Engine::Vecs] {
            bystander.driver.all_done(&mut machine, engine);
        }
        assert_eq!(marks.map(|mark| second.peek(&mut machine, mark)), [0; 2]);
        match how {
            0 => first.store(&mut machine, frame * 4096, &[BATCH_END]),
            1 => first.reset(&mut machine, Engine::Bcs),
            2 => machine.mediator.domain_removed(DomainId(3)),
            // It hangs, and is blamed.
            _ => (0..50).for_each(|_| {
                machine.clock.advance(100_000_000);
                serve(&mut machine);
            }),
        }
        settle(&mut machine);
        let found = marks.map(|mark| second.peek(&mut machine, mark));
        assert_eq!(found, [0x600d; 2], "way {how}");
        for engine in [Engine::Bcs, Engine::Rcs] {
            second.all_done(&mut machine, engine);
        }
        bystander.done(&mut machine);
        if how == 0 {
            first.all_done(&mut machine, Engine::Bcs);
        }
        clean(&machine);
    }
}

#[test]
fn whoever_leaves_while_waiting_or_in_the_middle_of_the_audit_is_forgotten() {
    for rounds in 0..12 {
        let mut machine = machine();
        machine.mediator.host_mut().gpu.set_quantum(1_000_000);
        let mut leaving = [3, 4].map(|domain| Driver::new(&mut machine, domain));
        for driver in &mut leaving {
            let mut context = driver.context(&mut machine, Engine::Bcs, 1);
            submitted(&mut machine, driver, &mut context, MIB);
        }
        let mut staying = Driver::new(&mut machine, 1);
        let mut context = staying.context(&mut machine, Engine::Bcs, 1);
        let mark = submitted(&mut machine, &mut staying, &mut context, MIB);
        (0..rounds).for_each(|_| _ = serve(&mut machine));
        leaving[1].reset(&mut machine, Engine::Bcs);
        machine.mediator.domain_removed(DomainId(3));
        settle(&mut machine);
        staying.all_done(&mut machine, Engine::Bcs);
        assert_eq!(staying.peek(&mut machine, mark), 0x600d);
        clean(&machine);
    }
}
