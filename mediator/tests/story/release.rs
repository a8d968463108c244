//! Detach at any step gives everything back, and the others go on.

use gpu::Engine;
use mediator::DomainId;

use crate::common::Simulated;
use crate::driver::{Driver, Machine, SIZES, batch, clean, machine, serve, settle};

/// Whatever could leak.
fn counted(machine: &mut Machine) -> (u32, usize, (u32, u32)) {
    let guests: &mut Simulated = machine.guests();
    let pins = guests.get(DomainId(1)).pins;
    (
        guests.allocated,
        guests.ram().in_use(),
        (pins, guests.get(DomainId(2)).pins),
    )
}

/// A guest with work of every kind under way.
fn busy(machine: &mut Machine, domain: DomainId) -> Driver {
    let mut driver = Driver::start(machine, domain);
    for engine in Engine::ALL {
        let mut contexts = [(); 3].map(|()| driver.context(machine, engine, 1));
        let frame = driver.frames(1);
        let at = driver.map(machine, frame, 1);
        driver.store(machine, frame * 4096, &[0x0500_0000]);
        for context in &mut contexts {
            driver.request(machine, context, &batch(false, at));
        }
        let [first, second, third] = &contexts;
        driver.submit(machine, engine, first.descriptor(), second.descriptor());
        driver.port(machine, engine, third.descriptor(), 0);
    }
    driver
}

#[test]
fn detach_at_every_step_of_work_releases_all_and_disturbs_nobody() {
    for rounds in 0..40 {
        let mut machine = machine();
        machine.mediator.host_mut().gpu.set_quantum(300);
        let leaving = machine.guest(1, crate::driver::FRAMES);
        let mut other = Driver::new(&mut machine, 2);
        let mut theirs = other.context(&mut machine, Engine::Bcs, 1);
        let before = counted(&mut machine);
        machine.attach(leaving, SIZES).expect("fits");
        machine.boot(leaving);
        busy(&mut machine, leaving);
        other.request(&mut machine, &mut theirs, &[0x0400_0001; 100]);
        other.submit(&mut machine, Engine::Bcs, theirs.descriptor(), 0);
        let held = counted(&mut machine).2.1;
        (0..rounds).for_each(|_| _ = serve(&mut machine));
        machine.mediator.domain_removed(leaving);
        let (allocated, in_use, (pins, others)) = counted(&mut machine);
        // What remains is the other's shadow PPGTT, if it was reached.
        assert!(others >= held && pins == 0);
        settle(&mut machine);
        other.all_done(&mut machine, Engine::Bcs);
        let tables = u32::try_from(in_use).unwrap() - u32::try_from(before.1).unwrap();
        assert!(
            tables <= 4 && allocated == before.0 + tables,
            "after {rounds} rounds"
        );
        clean(&machine);
    }
}

#[test]
fn two_thousand_attachments_cost_nothing() {
    let mut machine = machine();
    let domain = machine.guest(1, crate::driver::FRAMES);
    machine.guest(2, 1);
    let before = counted(&mut machine);
    // Most of them idle, some with work under way.
    for round in 0..2_000 {
        machine.attach(domain, SIZES).expect("fits");
        if round % 100 == 0 {
            machine.boot(domain);
            busy(&mut machine, domain);
            serve(&mut machine);
        }
        machine.mediator.domain_removed(domain);
    }
    assert_eq!(counted(&mut machine), before);
    clean(&machine);
}

#[test]
fn an_attach_that_fails_at_any_step_takes_nothing() {
    let mut failures = 0;
    loop {
        let mut machine = machine();
        let domain = machine.guest(1, 16);
        machine.guest(2, 1);
        let before = counted(&mut machine);
        let calls = machine.guests().calls;
        machine.guests().fail_at = Some(calls + failures + 1);
        if machine.attach(domain, SIZES).is_ok() {
            break;
        }
        assert_eq!(counted(&mut machine), before, "failure {failures}");
        machine.guests().fail_at = None;
        machine
            .attach(domain, SIZES)
            .expect("fits when nothing fails");
        failures += 1;
    }
    assert!(failures > 180, "every page of the slots was refused once");
}

#[test]
fn as_many_guests_as_there_may_be_work_side_by_side() {
    let mut machine = machine();
    let mut drivers: Vec<Driver> = (1..=15)
        .map(|domain| Driver::new(&mut machine, domain))
        .collect();
    for driver in &mut drivers {
        for engine in Engine::ALL {
            let mut context = driver.context(&mut machine, engine, 1);
            driver.request(&mut machine, &mut context, &[]);
            driver.submit(&mut machine, engine, context.descriptor(), 0);
        }
    }
    settle(&mut machine);
    for driver in &mut drivers {
        Engine::ALL
            .into_iter()
            .for_each(|engine| driver.all_done(&mut machine, engine));
    }
    clean(&machine);
}
