//! Page tables of unusual size.

use gpu::Engine;
use mediator::GuestFrame;

use crate::driver::{Context, Driver, Machine, clean, machine, serve, settle, store};

/// Guest-physical address of the table that an entry of the first table of each level names.
fn directory(driver: &Driver, level: u64) -> u64 {
    (driver.root + level) * 4096
}

#[test]
fn a_large_ppgtt_is_followed_over_several_rounds_while_others_go_on() {
    let mut machine = machine();
    let mut other = Driver::new(&mut machine, 2);
    let mut theirs = other.context(&mut machine, Engine::Rcs, 1);
    let mut driver = Driver::new(&mut machine, 1);
    let mut context = driver.context(&mut machine, Engine::Bcs, 1);
    // 40 tables full of entries, all of them leading to one page: 80 MiB.
    let frame = driver.frames(1);
    for table in 1..=40 {
        let at = driver.frames(1);
        let entry = (at * 4096) | 3;
        machine.poke(
            driver.domain,
            directory(&driver, 2) + table * 8,
            &entry.to_le_bytes(),
        );
        for index in 0..512 {
            let page = (frame * 4096) | 3;
            machine.poke(driver.domain, at * 4096 + index * 8, &page.to_le_bytes());
        }
    }
    let last = 40 << 21 | 511 << 12;
    driver.request(&mut machine, &mut context, &store(false, last, 0x40));
    driver.submit(&mut machine, Engine::Bcs, context.descriptor(), 0);
    let first = machine.domain(driver.domain).pins;
    assert!(first < 5000, "one access pins {first} pages");
    other.request(&mut machine, &mut theirs, &[]);
    other.submit(&mut machine, Engine::Rcs, theirs.descriptor(), 0);
    for _ in 0..3 {
        serve(&mut machine);
    }
    other.all_done(&mut machine, Engine::Rcs);
    assert_eq!(driver.active(Engine::Bcs), 0, "not looked at yet");
    assert_eq!(driver.arrived(&mut machine, Engine::Bcs), 0);
    settle(&mut machine);
    driver.all_done(&mut machine, Engine::Bcs);
    assert_eq!(driver.peek(&mut machine, frame * 4096), 0x40);
    clean(&machine);
}

#[test]
fn page_tables_that_all_name_each_other_are_refused() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let mut context = driver.context(&mut machine, Engine::Bcs, 1);
    let first = driver.frames(300);
    for table in (first..first + 300).chain([driver.root]) {
        let entries: Vec<u8> = (0..512)
            .flat_map(|index| ((first + index % 300) << 12 | 3).to_le_bytes())
            .collect();
        machine.poke(driver.domain, table * 4096, &entries);
    }
    driver.request(&mut machine, &mut context, &[]);
    driver.submit(&mut machine, Engine::Bcs, context.descriptor(), 0);
    settle(&mut machine);
    assert_eq!(
        driver.events(&mut machine, Engine::Bcs),
        [(0x1, context.id)]
    );
    assert_eq!(machine.vgpu(driver.domain).counters().refused, 1);
    clean(&machine);
}

/// Submissions of one store each.
fn stores(machine: &mut Machine, driver: &mut Driver, context: &mut Context, at: u64, often: u32) {
    for _ in 0..often {
        driver.request(machine, context, &store(false, at, 0x40));
        driver.submit(machine, context.engine, context.descriptor(), 0);
        settle(machine);
    }
    driver.all_done(machine, context.engine);
}

#[test]
fn a_trusted_table_is_written_in_any_way_and_the_next_submission_knows() {
    // As bytes of an instruction; 3, 5 and 7 are over the ends of the entry's halves.
    for size in 1..=8 {
        let mut machine = machine();
        let mut driver = Driver::new(&mut machine, 1);
        let mut context = driver.context(&mut machine, Engine::Bcs, 1);
        let frame = driver.frames(2);
        let at = driver.map(&mut machine, frame, 1);
        stores(&mut machine, &mut driver, &mut context, at, 8);
        let table = directory(&driver, 3) / 4096;
        assert!(machine.domain(driver.domain).is_protected(table));
        let entry = ((frame + 1) * 4096) | 3;
        let place = (table * 4096) + at / 4096 * 8;
        machine.poke_by(driver.domain, place, &entry.to_le_bytes(), size);
        assert!(!machine.domain(driver.domain).is_protected(table));
        stores(&mut machine, &mut driver, &mut context, at, 1);
        assert_eq!(driver.peek(&mut machine, (frame + 1) * 4096), 0x40);
        let counters = machine.vgpu(driver.domain).counters();
        assert_eq!(
            (counters.table_writes, counters.outside),
            (1, 0),
            "one trap"
        );
        clean(&machine);
    }
}

#[test]
fn tables_that_vanish_while_they_are_trusted_harm_nobody() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let mut context = driver.context(&mut machine, Engine::Bcs, 1);
    let frame = driver.frames(2);
    let at = driver.map(&mut machine, frame, 1);
    stores(&mut machine, &mut driver, &mut context, at, 8);
    // The page and the table that maps it are given away, and come back as other pages.
    let domain = driver.domain;
    for gone in [frame, directory(&driver, 3) / 4096] {
        let spare = driver.frames(1);
        let page = machine.domain(domain).page(GuestFrame(spare)).expect("RAM");
        machine.domain(domain).balloon_out(GuestFrame(spare));
        machine.domain(domain).balloon_out(GuestFrame(gone));
        machine.domain(domain).populate(GuestFrame(gone), page);
    }
    driver.set_entry(&mut machine, at / 4096, (frame * 4096) | 3);
    stores(&mut machine, &mut driver, &mut context, at, 8);
    assert_eq!(driver.peek(&mut machine, frame * 4096), 0x40);
    // Nothing of the root is left: an error for that context, and the next one goes on.
    machine.domain(domain).balloon_out(GuestFrame(driver.root));
    driver.request(&mut machine, &mut context, &store(false, at, 0x41));
    driver.submit(&mut machine, Engine::Bcs, context.descriptor(), 0);
    settle(&mut machine);
    assert_eq!(machine.vgpu(domain).counters().refused, 1);
    clean(&machine);
    machine.mediator.domain_removed(domain);
    assert_eq!(machine.domain(domain).pins, 0);
}

#[test]
fn running_work_sees_what_its_engine_was_told_to_look_at_again() {
    const INVALIDATE: u32 = 0x426c;
    for told in [false, true] {
        let mut machine = machine();
        let mut driver = Driver::new(&mut machine, 1);
        let mut context = driver.context(&mut machine, Engine::Bcs, 1);
        let frame = driver.frames(2);
        let at = driver.map(&mut machine, frame, 1);
        driver.request(&mut machine, &mut context, &store(false, at, 0x40));
        driver.submit(&mut machine, Engine::Bcs, context.descriptor(), 0);
        driver.set_entry(&mut machine, at / 4096, ((frame + 1) * 4096) | 3);
        for register in [0x4260, 0x4264, 0x4270]
            .into_iter()
            .chain(told.then_some(INVALIDATE))
        {
            machine.write(driver.domain, register, 1);
            assert_eq!(machine.read(driver.domain, register), 0);
        }
        settle(&mut machine);
        driver.all_done(&mut machine, Engine::Bcs);
        let seen = [0, 1].map(|page| driver.peek(&mut machine, (frame + page) * 4096));
        assert_eq!(seen, if told { [0, 0x40] } else { [0x40, 0] });
        clean(&machine);
    }
}
