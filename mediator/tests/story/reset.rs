//! A guest resets its engines at any moment: that guest's work is gone, and nothing else.

use gpu::spec::engine::{self, Engine};

use crate::driver::{Driver, clean, machine, serve, settle};

#[test]
fn after_a_reset_in_mid_work_nothing_arrives_late() {
    for rounds in 0..12 {
        let mut machine = machine();
        machine.mediator.host_mut().gpu.set_quantum(200);
        let mut driver = Driver::new(&mut machine, 1);
        let mut other = Driver::new(&mut machine, 2);
        let mut first = driver.context(&mut machine, Engine::Bcs, 1);
        let mut second = driver.context(&mut machine, Engine::Bcs, 1);
        let mut theirs = other.context(&mut machine, Engine::Bcs, 1);
        for context in [&mut first, &mut second] {
            driver.request(&mut machine, context, &[0x0400_0001; 60]);
        }
        driver.submit(&mut machine, Engine::Bcs, first.descriptor(), 0);
        driver.submit(&mut machine, Engine::Bcs, second.descriptor(), 0);
        other.request(&mut machine, &mut theirs, &[0x0400_0001; 60]);
        other.submit(&mut machine, Engine::Bcs, theirs.descriptor(), 0);
        (0..rounds).for_each(|_| _ = serve(&mut machine));

        driver.reset(&mut machine, Engine::Bcs);
        let base = Engine::Bcs.base();
        for register in [
            engine::RING_HEAD,
            engine::RING_TAIL,
            engine::EXECLIST_STATUS_HI,
        ] {
            assert_eq!(machine.read(driver.domain, base + register), 0);
        }
        let before = driver.arrived(&mut machine, Engine::Bcs);
        settle(&mut machine);
        assert_eq!(
            driver.events(&mut machine, Engine::Bcs),
            [],
            "after {rounds} rounds"
        );
        assert_eq!(driver.arrived(&mut machine, Engine::Bcs), before);
        other.all_done(&mut machine, Engine::Bcs);

        for context in [&first, &second] {
            driver.rewind(&mut machine, context);
        }
        driver.request(&mut machine, &mut first, &[]);
        driver.submit(&mut machine, Engine::Bcs, first.descriptor(), 0);
        settle(&mut machine);
        driver.all_done(&mut machine, Engine::Bcs);
        clean(&machine);
    }
}

#[test]
fn a_full_reset_takes_all_engines_of_that_guest() {
    let mut machine = machine();
    machine.mediator.host_mut().gpu.set_quantum(300);
    let mut driver = Driver::new(&mut machine, 1);
    let mut other = Driver::new(&mut machine, 2);
    for engine in Engine::ALL {
        for guest in [&mut driver, &mut other] {
            let mut context = guest.context(&mut machine, engine, 1);
            guest.request(&mut machine, &mut context, &[0x0400_0001; 60]);
            guest.submit(&mut machine, engine, context.descriptor(), 0);
        }
    }
    serve(&mut machine);
    machine.write(driver.domain, gpu::spec::registers::GDRST, 1);
    settle(&mut machine);
    for engine in Engine::ALL {
        other.all_done(&mut machine, engine);
        assert_eq!(
            driver.events(&mut machine, engine),
            [(0x1, 0x40 + 0x20 * engine as u32)]
        );
        assert_eq!(driver.arrived(&mut machine, engine), 0);
    }
    assert_eq!(machine.vgpu(driver.domain).counters().resets, 4);
    clean(&machine);
}

#[test]
fn resets_without_anything_running_are_harmless_in_any_number() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let mut other = Driver::new(&mut machine, 2);
    let mut theirs = other.context(&mut machine, Engine::Rcs, 1);
    other.request(&mut machine, &mut theirs, &[0x0400_0001; 200]);
    other.submit(&mut machine, Engine::Rcs, theirs.descriptor(), 0);
    for _ in 0..100 {
        driver.reset(&mut machine, Engine::Rcs);
        serve(&mut machine);
    }
    settle(&mut machine);
    other.all_done(&mut machine, Engine::Rcs);
    assert_eq!(
        other.events(&mut machine, Engine::Rcs).len(),
        2,
        "it was never disturbed"
    );
    let resets = machine.vgpu(driver.domain).counters().resets;
    assert_eq!(resets, 100);
}
