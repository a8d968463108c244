//! What the walk makes of trees, of what is no RAM, and of limits.

use super::*;

#[test]
fn a_tree_is_shadowed_and_follows_changes_at_the_next_resync_only() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    let root = setting.resync(1).expect("a sane tree");
    (0..10).for_each(|page| setting.agrees(root, 1, page << 12));
    assert_eq!(setting.space.tables(), 4);

    setting.machine.set(4, 3, 30 << 12 | 1);
    assert_eq!(
        setting.shadow(root, 0x3000),
        Some((setting.machine.frames[13], true))
    );
    assert_eq!(setting.resync(1), Ok(root));
    assert_eq!(
        setting.shadow(root, 0x3000),
        Some((setting.machine.frames[30], false))
    );
    setting.ends_clean();
}

#[test]
fn a_replaced_page_stays_pinned_until_the_tlbs_were_flushed() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    setting.resync(1).expect("sane");
    setting.machine.set(4, 3, 0);
    setting.resync(1).expect("sane");
    assert_eq!(setting.machine.pinned(13), 1);
    let flushes = setting.gpu.flushes;
    setting.with(|space, hands| space.drain(hands));
    assert_eq!(
        (setting.machine.pinned(13), setting.gpu.flushes),
        (0, flushes + 1)
    );
    setting.ends_clean();
}

#[test]
fn tables_that_name_themselves_cost_one_shadow_for_each_level() {
    let mut setting = Setting::new();
    for index in 0..512 {
        setting.machine.set(1, index, 0x1003);
    }
    let root = setting.resync(1).expect("bounded");
    assert_eq!(setting.space.tables(), 4);
    setting.agrees(root, 1, 0x1234_5678_9000);
    setting.ends_clean();
}

#[test]
fn a_driver_s_scratch_tables_are_shared() {
    let mut setting = Setting::new();
    // Linux i915: every unused entry of every level leads to scratch of the level below.
    for index in 0..512 {
        setting.machine.set(1, index, 0x5003);
        setting.machine.set(5, index, 0x6003);
        setting.machine.set(6, index, 0x7003);
        setting.machine.set(7, index, 0x8001);
        for (table, scratch) in [(2, 6), (3, 7), (4, 8)] {
            setting.machine.set(table, index, scratch << 12 | 3);
        }
    }
    usual(&mut setting.machine);
    let root = setting.resync(1).expect("sane");
    assert_eq!(setting.space.tables(), 7);
    for address in [0, 0x7000, 0x8000, 0x4000_0000, 0x7fff_ffff_f000] {
        setting.agrees(root, 1, address);
    }
    setting.ends_clean();
}

#[test]
fn frames_that_are_no_ram_lead_to_scratch_and_absent_roots_nowhere() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    setting.machine.set(4, 0, 0x7f_ffff_f003);
    setting.machine.set(3, 1, 0x7f_0000_0003);
    let root = setting.resync(1).expect("sane");
    setting.agrees(root, 1, 0);
    setting.agrees(root, 1, 0x20_0000);
    let absent = GuestFrame(0x1000_0000);
    assert_eq!(setting.resync(absent.0), Err(Trouble::Root(absent)));
    setting.ends_clean();
}

#[test]
fn a_table_that_becomes_ram_later_is_found() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    setting.machine.set(3, 1, FRAMES << 12 | 3);
    let root = setting.resync(1).expect("sane");
    assert_eq!(setting.shadow(root, 0x20_0000), None);
    let page = setting.machine.ram.allocate(Owner::Guest(7)).expect("room");
    setting.machine.frames.push(page);
    setting.machine.set(FRAMES, 0, 10 << 12 | 3);
    setting.resync(1).expect("sane");
    assert_eq!(
        setting.shadow(root, 0x20_0000),
        Some((setting.machine.frames[10], true))
    );
    setting.ends_clean();
}

#[test]
fn big_pages_are_split() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    setting.machine.set(3, 1, 0x81);
    setting.machine.set(3, 2, 0x9803);
    setting.machine.set(9, 16, 0x1_0003);
    setting.machine.set(2, 1, 0x83);
    let root = setting.resync(1).expect("sane");
    for address in [
        0x20_0000,
        0x20_a000,
        0x3f_f000,
        0x40_0000,
        0x41_0000,
        0x41_7000,
        0x4000_0000,
    ] {
        setting.agrees(root, 1, address);
    }
    setting.ends_clean();
}

#[test]
fn a_quota_refuses_the_request_and_gives_back_what_is_not_used_first() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    let first = setting.resync(1).expect("sane");
    let held = setting.machine.held();
    // A second tree that shares nothing but frames of data.
    setting.machine.set(41, 0, 42 << 12 | 3);
    setting.machine.set(42, 0, 43 << 12 | 3);
    setting.machine.set(43, 0, 44 << 12 | 3);
    (0..8).for_each(|index| setting.machine.set(44, index, (10 + index) << 12 | 3));
    setting.machine.quota = held;
    setting.space.hold(Engine::Rcs, first);
    assert_eq!(
        setting.resync(41),
        Err(Trouble::Page(PageError::Quota { limit: held })),
        "the first tree is in use"
    );
    setting.agrees(first, 1, 0x3000);
    setting.space.let_go(Engine::Rcs);
    let second = setting.resync(41).expect("the first tree makes room");
    (0..8).for_each(|page| setting.agrees(second, 41, page << 12));
    setting.ends_clean();
}

#[test]
fn running_out_of_pages_is_survived_at_every_step() {
    for most in 1..10 {
        let mut setting = Setting::new();
        setting.with(|space, hands| space.release(hands));
        setting.space = PpgttSpace::new();
        setting.machine.most = most;
        let attached = setting.space.attach(&mut setting.machine, DOMAIN, 8);
        assert_eq!(attached.is_ok(), most == 9);
        setting.ends_clean();
    }
}

#[test]
fn more_tables_than_were_set_aside_are_refused_and_others_make_room_first() {
    let mut setting = Setting::new();
    setting.with(|space, hands| space.release(hands));
    setting.space = PpgttSpace::new();
    setting
        .space
        .attach(&mut setting.machine, DOMAIN, 5)
        .expect("room");
    usual(&mut setting.machine);
    setting.machine.set(41, 0, 42 << 12 | 3);
    setting.machine.set(42, 0, 43 << 12 | 3);
    setting.machine.set(43, 0, 44 << 12 | 3);
    for _ in 0..3 {
        setting.quieten(1);
        setting.quieten(41);
        assert_eq!(setting.space.tables(), 4);
    }
    setting.set(42, 1, 45 << 12 | 3);
    setting.set(43, 1, 46 << 12 | 3);
    setting.set(43, 2, 47 << 12 | 3);
    assert_eq!(setting.resync(41), Err(Trouble::Tables));
    setting.ends_clean();
}

#[test]
fn a_forgotten_root_goes_unless_it_is_in_use() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    let root = setting.resync(1).expect("sane");
    setting.space.hold(Engine::Bcs, root);
    setting.with(|space, hands| space.forget(hands, GuestFrame(1)));
    assert_eq!(setting.space.tables(), 4);
    setting.space.let_go(Engine::Bcs);
    for _ in 0..3 {
        setting.with(|space, hands| space.forget(hands, GuestFrame(1)));
        assert_eq!((setting.space.tables(), setting.machine.held()), (0, 0));
    }
    setting.ends_clean();
}

#[test]
fn a_key_is_found_after_any_number_of_others() {
    let mut machine = Machine::new();
    let mut pool = Pool::new();
    pool.set_aside(&mut machine, DOMAIN, MAX_TABLES)
        .expect("room");
    let table = |frame| {
        let key = Key {
            frame: GuestFrame(frame),
            shape: Shape::Pages,
        };
        Table::new(key, None, 0)
    };
    let place = |pool: &Pool, frame| pool.find(table(frame).key);
    let places: Vec<u16> = (0..MAX_TABLES as u64)
        .map(|frame| pool.insert(table(frame)).expect("room"))
        .collect();
    assert_eq!(pool.insert(table(MAX_TABLES as u64)), None, "capped");
    for (frame, at) in (0..).zip(places) {
        assert_eq!(place(&pool, frame), Some(at));
    }
    assert_eq!(place(&pool, MAX_TABLES as u64), None);
}

#[test]
fn large_pages_are_split_counted_and_become_small_ones_again() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    // A 2 MiB page, of which some frames are RAM, and a table whose first entries name 64 KiB each.
    setting.machine.set(3, 1, 0x83);
    setting.machine.set(3, 2, 0x5003 | PpgttEntry::IPS_64K);
    setting.machine.set(5, 0, 0x20 << 12 | 3);
    setting.machine.set(5, 1, 0x3f << 12 | 3);
    setting.machine.set(5, 16, 0x10 << 12 | 1);
    let pages = [0, 1, 15, 16, 17, 31, 32, 63, 64, 511];
    let places = || [1 << 21, 2 << 21].map(|base| pages.map(|page| base + (page << 12)));
    let root = setting.resync(1).expect("sane");
    for address in places().as_flattened() {
        setting.agrees(root, 1, *address);
    }
    let once = Large {
        pages_2m: 1,
        tables_64k: 1,
    };
    assert_eq!(setting.space.large(), once);

    setting.machine.set(3, 1, 0x5003);
    setting.machine.set(3, 2, 0x5003);
    let root = setting.resync(1).expect("sane");
    for address in places().as_flattened() {
        setting.agrees(root, 1, *address);
    }
    assert_eq!(setting.space.large(), once);
    setting.ends_clean();
}
