use gpu::spec::gtt::GttEntry;
use mediator::{AttachError, DomainId, MAX_VGPUS, PageError, VgpuConfig};
use proptest::prelude::*;

use crate::common::{Recorder, SMALL, World};

/// Everything that can leak.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    allocated: u32,
    pages: usize,
    pins: Vec<u32>,
    windows: Vec<[Option<(u64, u64)>; 2]>,
    gtt: Vec<GttEntry>,
    status: String,
}

fn held(world: &mut World<Recorder>, domains: &[DomainId]) -> Held {
    let mut status = String::new();
    world
        .mediator
        .status(&mut status)
        .expect("a string takes everything");
    Held {
        allocated: world.guests().allocated,
        pages: world.guests().ram().in_use(),
        pins: domains.iter().map(|&id| world.domain(id).pins).collect(),
        windows: domains.iter().map(|&id| world.domain(id).windows).collect(),
        gtt: world.mediator.host().gpu.visible.clone(),
        status,
    }
}

/// A guest's whole life, without looking at any result.
fn live(world: &mut World<Recorder>, id: DomainId) {
    if world.attach(id, SMALL).is_err() {
        return;
    }
    world.boot(id);
    let first = world.first(id);
    for position in 0..20 {
        world.map(id, first[0] + position, u64::from(position));
        world.map(id, first[1] + position, u64::from(position));
    }
    for position in 0..10 {
        world.map(id, first[0] + position, 100);
    }
    world.mediator.service();
    for position in 5..15 {
        world.map(id, first[1] + position, 101);
    }
}

#[test]
fn refusals_name_the_numbers_and_take_nothing() {
    let mut world = World::new(1024);
    let ids: Vec<DomainId> = (1..=4).map(|id| world.guest(id, 16)).collect();
    let asking = |low_mib, high_mib| VgpuConfig {
        low_mib,
        high_mib,
        ..SMALL
    };
    world.attach(ids[0], asking(64, 624)).expect("fits");
    let before = held(&mut world, &ids);
    let refused = world.attach(ids[1], asking(64, 384)).expect_err("too much");
    assert_eq!(refused.to_string(), "asked 384 MiB high GM, 128 MiB left");
    let refused = world.attach(ids[1], asking(200, 1)).expect_err("too much");
    assert_eq!(refused.to_string(), "asked 200 MiB low GM, 192 MiB left");
    assert_eq!(
        world.attach(ids[0], SMALL),
        Err(AttachError::AlreadyAttached)
    );
    assert_eq!(
        world.attach(ids[1], asking(0, 1)),
        Err(AttachError::ZeroLowGm)
    );
    assert_eq!(held(&mut world, &ids), before);
    world.mediator.domain_removed(ids[0]);
    world
        .attach(ids[1], asking(256, 752))
        .expect("all of it is free again");
}

#[test]
fn there_are_sixteen_and_no_more() {
    let mut world = World::new(512);
    let small = VgpuConfig { fences: 1, ..SMALL };
    let ids: Vec<DomainId> = (0..17).map(|id| world.guest(id, 1)).collect();
    for &id in &ids[..MAX_VGPUS] {
        world.attach(id, small).expect("fits");
    }
    let limit = AttachError::TooMany { limit: MAX_VGPUS };
    assert_eq!(world.attach(ids[16], small), Err(limit));
    world.mediator.domain_removed(ids[3]);
    world.attach(ids[16], small).expect("there is room again");
}

#[test]
fn a_vgpu_taken_away_at_any_point_leaves_nothing_behind() {
    let mut world = World::new(512);
    let id = world.guest(1, 256);
    let before = held(&mut world, &[id]);
    live(&mut world, id);
    assert!(world.domain(id).pins > 0);
    world.mediator.domain_removed(id);
    assert_eq!(held(&mut world, &[id]), before);
    world.mediator.domain_removed(id);
    assert_eq!(held(&mut world, &[id]), before, "twice is once");
}

#[test]
fn whichever_service_fails_and_however_often_nothing_is_left_behind() {
    for fail_on in [false, true] {
        let mut calls = 1;
        loop {
            let mut world = World::new(512);
            let id = world.guest(1, 256);
            let before = held(&mut world, &[id]);
            let start = world.guests().calls;
            world.guests().fail_at = Some(start + calls);
            world.guests().fail_on = fail_on;
            live(&mut world, id);
            let reached = world.guests().calls >= start + calls;
            world.mediator.domain_removed(id);
            assert_eq!(held(&mut world, &[id]), before, "call {calls} failed");
            if !reached {
                break;
            }
            calls += 1;
        }
        assert!(calls > 60, "every call of a life failed once: {calls}");
    }
}

#[test]
fn no_page_for_the_scratch_page_is_told() {
    let mut world = World::new(512);
    let id = world.guest(1, 1);
    world.guests().fail_at = Some(world.guests().calls + 1);
    let refused = world.attach(id, SMALL);
    assert_eq!(refused, Err(AttachError::Page(PageError::OutOfMemory)));
    assert_eq!(
        refused.expect_err("as above").to_string(),
        "service domain out of pages"
    );
}

#[test]
fn the_status_shows_every_table() {
    let mut world = World::new(512);
    let mut text = String::new();
    world
        .mediator
        .status(&mut text)
        .expect("a string takes everything");
    assert!(
        text.contains("free 256 MiB low GM, 240 MiB high GM, 28 fences"),
        "{text}"
    );
    assert!(text.contains("no vGPU"), "{text}");
    let id = world.booted(5, SMALL);
    let first = world.first(id)[0];
    world.map(id, first, 3);
    text.clear();
    world
        .mediator
        .status(&mut text)
        .expect("a string takes everything");
    for line in [
        "d5: no driver, weight 1",
        "low GM      2 MiB at 0x00000000-0x00200000",
        "high GM     2 MiB at 0x10000000-0x10200000",
        "BAR0     at 0xc0000000",
        "pins     1, 1 by GTT entries, 0 waiting for a flush",
    ] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn guests_come_and_go_in_any_order_without_a_trace(
        order in prop::collection::vec((0usize..6, any::<bool>()), 1..30),
    ) {
        let mut world = World::new(512);
        let ids: Vec<DomainId> = (1..=6).map(|id| world.guest(id, 256)).collect();
        let before = held(&mut world, &ids);
        for (which, come) in order {
            if come {
                live(&mut world, ids[which]);
            } else {
                world.mediator.domain_removed(ids[which]);
                prop_assert_eq!(world.domain(ids[which]).pins, 0);
            }
        }
        for &id in &ids {
            world.mediator.domain_removed(id);
        }
        prop_assert_eq!(held(&mut world, &ids), before);
    }
}
