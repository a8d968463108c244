//! Page tables of unusual size.

use gpu::Engine;

use crate::driver::{Driver, clean, machine, serve, settle, store};

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
