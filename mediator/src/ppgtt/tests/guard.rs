//! Which tables are protected, what a trapped write does, and TLB invalidations.

use super::*;

#[test]
fn quiet_tables_are_protected_and_cost_no_copy_until_they_are_written() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    let root = setting.quieten(1);
    assert_eq!(setting.machine.protected, BTreeSet::from([1, 2, 3, 4]));
    assert_eq!(setting.space.guarded(), 4);
    let copies = setting.machine.copies.get();
    assert_eq!(setting.resync(1), Ok(root));
    assert_eq!(setting.machine.copies.get(), copies, "all clean");

    // One trap for a burst, one copy at the next resync.
    for index in 0..100 {
        setting.set(4, index, (20 + index % 10) << 12 | 3);
    }
    assert_eq!(setting.machine.protected, BTreeSet::from([1, 2, 3]));
    assert_eq!(setting.resync(1), Ok(root));
    assert_eq!(setting.machine.copies.get(), copies + 1);
    (0..101).for_each(|page| setting.agrees(root, 1, page << 12));

    // The same table is trusted again, later than before.
    setting.quieten(1);
    assert_eq!(setting.machine.protected, BTreeSet::from([1, 2, 3]));
    setting.quieten(1);
    assert_eq!(setting.machine.protected, BTreeSet::from([1, 2, 3, 4]));
    setting.ends_clean();
}

#[test]
fn a_write_of_any_size_at_any_place_is_carried_out() {
    for (address, length) in [
        (0x4000, 8),
        (0x4004, 4),
        (0x4001, 3),
        (0x4fff, 1),
        (0x3ffd, 7), // over the end of one table into the next
        (0x4ffc, 8),
    ] {
        let mut setting = Setting::new();
        usual(&mut setting.machine);
        let root = setting.quieten(1);
        assert_eq!(setting.machine.protected, BTreeSet::from([1, 2, 3, 4]));
        let bytes: Vec<u8> = (0..length).map(|byte| 0xa0 + byte).collect();
        setting.store(address, &bytes);
        for (at, byte) in (address..).zip(&bytes) {
            let mut seen = [0];
            let page = setting.machine.frames[(at >> 12) as usize];
            setting
                .machine
                .ram
                .read(page.at(at & 0xfff), &mut seen)
                .expect("RAM");
            assert_eq!(seen, [*byte]);
        }
        setting.resync(1).expect("sane");
        (0..10).for_each(|page| setting.agrees(root, 1, page << 12));
        setting.ends_clean();
    }
}

#[test]
fn a_write_to_a_page_that_is_no_table_is_carried_out_and_one_to_nothing_is_not() {
    let mut setting = Setting::new();
    assert!(setting.with(|space, hands| space.write(hands, 0x7123, &[5, 6])));
    assert_eq!(setting.machine.get(7, 0x120 / 8).0, 5 << 24 | 6 << 32);
    assert!(!setting.with(|space, hands| space.write(hands, FRAMES << 12, &[5])));
    setting.ends_clean();
}

#[test]
fn a_page_in_two_roles_is_protected_once_and_as_long_as_one_needs_it() {
    let mut setting = Setting::new();
    // Frame 4 is the last-level table of one tree and a directory of another.
    usual(&mut setting.machine);
    setting.machine.set(5, 0, 0x6003);
    setting.machine.set(6, 0, 0x4003);
    setting.quieten(1);
    let root = setting.quieten(5);
    assert!(setting.machine.protected.contains(&4));
    setting.with(|space, hands| space.forget(hands, GuestFrame(1)));
    assert!(setting.machine.protected.contains(&4), "needed still");
    setting.set(4, 1, 7 << 12 | 3);
    setting.machine.set(7, 3, 33 << 12 | 3);
    setting.resync(5).expect("sane");
    setting.agrees(root, 5, 0x20_3000);
    setting.with(|space, hands| space.forget(hands, GuestFrame(5)));
    assert_eq!(setting.machine.protected, BTreeSet::new());
    setting.ends_clean();
}

#[test]
fn tables_that_a_directory_lost_are_the_guests_again() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    setting.quieten(1);
    setting.set(3, 0, 0);
    assert!(setting.machine.protected.contains(&4), "nobody knows yet");
    setting.resync(1).expect("sane");
    assert_eq!(setting.machine.protected, BTreeSet::from([1, 2]));
    // It becomes data, and then a table again.
    setting.machine.set(4, 5, 44 << 12 | 3);
    setting.machine.set(3, 1, 0x4003);
    let root = setting.resync(1).expect("sane");
    (0..8).for_each(|page| setting.agrees(root, 1, 0x20_0000 | page << 12));
    setting.ends_clean();
}

#[test]
fn a_destroyed_root_is_unprotected_even_while_its_work_runs() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    let root = setting.quieten(1);
    setting.space.hold(Engine::Bcs, root);
    setting.with(|space, hands| space.forget(hands, GuestFrame(1)));
    assert_eq!(setting.machine.protected, BTreeSet::new());
    setting.machine.set(4, 0, 30 << 12 | 3);
    setting.resync(1).expect("sane");
    setting.agrees(root, 1, 0);
    setting.ends_clean();
}

#[test]
fn without_protection_every_table_is_copied_and_it_is_hardly_asked_for() {
    let mut setting = Setting::new();
    setting.machine.protects = false;
    usual(&mut setting.machine);
    for round in 0..300 {
        setting.machine.set(4, 0, (10 + round % 20) << 12 | 3);
        let root = setting.resync(1).expect("sane");
        setting.agrees(root, 1, 0);
    }
    assert_eq!(setting.space.guarded(), 0);
    setting.ends_clean();
}

#[test]
fn frames_that_become_other_pages_are_followed_although_no_entry_changed() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    setting.quieten(1);
    // A page of data, and the table itself.
    setting.machine.replace(12, &[]);
    let root = setting.resync(1).expect("sane");
    setting.agrees(root, 1, 0x2000);
    let entries = [35u64 << 12 | 3, 0, 36 << 12 | 1].map(u64::to_le_bytes);
    setting.machine.replace(4, entries.as_flattened());
    let root = setting.resync(1).expect("sane");
    (0..9).for_each(|page| setting.agrees(root, 1, page << 12));
    // A trap on the way: the write goes to the page that is there now.
    setting.quieten(1);
    setting.machine.replace(2, &0x3003u64.to_le_bytes());
    setting.set(4, 1, 37 << 12 | 3);
    setting.resync(1).expect("sane");
    setting.agrees(root, 1, 0x1000);
    setting.ends_clean();
}

#[test]
fn an_invalidation_brings_running_work_up_to_date_in_bounded_steps() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    for table in 20..40 {
        setting.machine.set(3, table, table << 12 | 3);
        for index in 0..512 {
            setting.machine.set(table, index, 10 << 12 | 3);
        }
    }
    let root = setting.resync(1).expect("sane");
    setting.space.hold(Engine::Vcs, root);
    for table in 20..40 {
        for index in 0..512 {
            setting.machine.set(table, index, 11 << 12 | 3);
        }
    }
    let invalidate = |setting: &mut Setting, engine| {
        setting
            .with(|space, hands| space.invalidate(hands, engine))
            .expect("sane")
    };
    assert!(!invalidate(&mut setting, Engine::Rcs), "nothing is held");
    assert!(
        setting
            .shadow(root, 20 << 21)
            .is_some_and(|page| page.0 == setting.machine.frames[10])
    );
    let mut calls = 1;
    while invalidate(&mut setting, Engine::Vcs) {
        assert!(setting.space.invalid(Engine::Vcs));
        calls += 1;
    }
    assert_eq!(calls, 20 * 512 / BUDGET + 1);
    assert!(!setting.space.invalid(Engine::Vcs));
    for table in 20..40 {
        setting.agrees(root, 1, table << 21 | 511 << 12);
    }
    assert_eq!(setting.machine.pinned(10), 1, "entry 0 of the usual table");
    setting.ends_clean();
}
