//! What a driver relies on between ELSP and its events, step by step.

use gpu::spec::context;
use gpu::spec::engine::{self, Engine};

use crate::driver::{
    BATCH_END, Driver, Machine, clean, fill, load_register, machine, serve, settle,
};

/// A command that keeps an engine busy for about `microseconds`: a blit of that many times 8 KiB.
fn work(driver: &mut Driver, machine: &mut Machine, microseconds: u32) -> Vec<u32> {
    let frame = driver.frames(8);
    let surface = driver.map(machine, frame, 8);
    let line = fill(surface, 8192, [0, 0, 2048, 4], 7);
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
    driver.request(&mut machine, &mut context, &load_register(gpr, 0x5151));
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
    let command = load_register(gpr, 0x5ec7e7);
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
