//! Contexts that never come to their end, by their own fault.

use gpu::spec::context;
use gpu::spec::engine::{self, Engine};

use crate::bystander::Bystander;
use crate::driver::{Driver, batch, clean, machine, serve, settle};

#[test]
fn more_work_for_a_context_that_stands_still_changes_nothing() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let mut context = driver.context(&mut machine, Engine::Bcs, 1);
    driver.request(&mut machine, &mut context, &[0x1f80_0000]);
    driver.submit(&mut machine, Engine::Bcs, context.descriptor(), 0);
    for _ in 0..3 {
        driver.request(&mut machine, &mut context, &[]);
        driver.submit(&mut machine, Engine::Bcs, context.descriptor(), 0);
        settle(&mut machine);
    }
    let seen = driver.events(&mut machine, Engine::Bcs);
    assert_eq!(seen[1..], [(0x8002, context.id); 3]);
    assert_eq!(driver.arrived(&mut machine, Engine::Bcs), 0);
    assert_eq!(machine.vgpu(driver.domain).counters().refused, 1);
}

#[test]
fn a_lite_restore_with_an_impossible_tail_stops_the_context() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let mut context = driver.context(&mut machine, Engine::Bcs, 1);
    driver.request(&mut machine, &mut context, &[0x0400_0001; 200]);
    driver.submit(&mut machine, Engine::Bcs, context.descriptor(), 0);
    driver.set(&mut machine, &context, context::RING_TAIL, 0x1000);
    driver.submit(&mut machine, Engine::Bcs, context.descriptor(), 0);
    settle(&mut machine);
    let seen = driver.events(&mut machine, Engine::Bcs);
    assert_eq!(seen, [(0x1, context.id), (0x8002, context.id)]);
    assert_eq!(machine.vgpu(driver.domain).counters().refused, 1);
    clean(&machine);
}

#[test]
fn elsp_written_by_a_driver_that_lost_count_has_an_answer() {
    let mut machine = machine();
    let driver = Driver::new(&mut machine, 1);
    let mut bystander = Bystander::new(&mut machine);
    let elsp = Engine::Bcs.base() + engine::ELSP;
    for value in [0, 0, 0, 0, 1, 2, 3, !0, !0, !0, !0, 5, 0, 0] {
        machine.write(driver.domain, elsp, value);
    }
    bystander.work(&mut machine);
    settle(&mut machine);
    bystander.done(&mut machine);
    let counters = machine.vgpu(driver.domain).counters();
    assert_eq!(counters.submissions, 3);
    assert!(counters.violations > 0);
    clean(&machine);
}

#[test]
fn a_blitter_loop_and_a_render_loop_cost_their_own_guest_the_engine_for_its_budget_only() {
    for engine in [Engine::Bcs, Engine::Rcs] {
        let mut machine = machine();
        let mut driver = Driver::new(&mut machine, 1);
        let mut bystander = Bystander::new(&mut machine);
        let mut context = driver.context(&mut machine, engine, 1);
        let frame = driver.frames(1);
        let at = driver.map(&mut machine, frame, 1);
        let commands = [&[0; 6][..], &batch(false, at + 8)].concat();
        driver.store(&mut machine, frame * 4096, &commands);
        driver.request(&mut machine, &mut context, &batch(false, at));
        driver.submit(&mut machine, engine, context.descriptor(), 0);
        bystander.work(&mut machine);
        for _ in 0..50 {
            serve(&mut machine);
        }
        // The others' engines never waited.
        for other in Engine::ALL.into_iter().filter(|other| *other != engine) {
            bystander.driver.all_done(&mut machine, other);
        }
        assert_eq!(bystander.driver.active(engine), 0, "not looked at yet");
        // A long time in which nobody looked proves nothing.
        machine.clock.advance(3_600_000_000_000);
        serve(&mut machine);
        assert_eq!(bystander.driver.events(&mut machine, engine).len(), 1);
        for _ in 0..50 {
            machine.clock.advance(100_000_000);
            serve(&mut machine);
        }
        bystander.done(&mut machine);
        assert_eq!(
            driver.events(&mut machine, engine),
            [(0x1, context.id)],
            "it just hangs"
        );
        let eir = machine.read(driver.domain, engine.base() + engine::EIR);
        assert_eq!(eir, 0, "{engine}");
        driver.reset(&mut machine, engine);
        let mut good = driver.context(&mut machine, engine, 1);
        driver.request(&mut machine, &mut good, &[]);
        driver.submit(&mut machine, engine, good.descriptor(), 0);
        settle(&mut machine);
        driver.all_done(&mut machine, engine);
        clean(&machine);
    }
}

#[test]
fn a_user_batch_that_faults_on_the_hardware_is_a_streamer_error_of_its_guest_alone() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let mut bystander = Bystander::new(&mut machine);
    let mut context = driver.context(&mut machine, Engine::Rcs, 1);
    // Runs in place, so only the engine notices.
    driver.request(&mut machine, &mut context, &batch(false, 0x7000_0000));
    driver.submit(&mut machine, Engine::Rcs, context.descriptor(), 0);
    bystander.work(&mut machine);
    settle(&mut machine);
    bystander.done(&mut machine);
    assert_eq!(
        driver.events(&mut machine, Engine::Rcs),
        [(0x1, context.id)]
    );
    assert_eq!(
        machine.read(driver.domain, Engine::Rcs.base() + engine::EIR),
        1
    );
    clean(&machine);
}
