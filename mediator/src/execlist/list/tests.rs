//! Each row of the contract by name, and every sequence against what the Linux driver assumes.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

fn context(number: u32) -> Descriptor {
    Descriptor(u64::from(number) << 32 | u64::from(number) << 12 | Descriptor::VALID)
}

fn forced(number: u32) -> Descriptor {
    Descriptor(context(number).0 | Descriptor::FORCE_RESTORE)
}

const NONE: Descriptor = Descriptor(0);

fn events(act: impl FnOnce(&mut Events)) -> Vec<(u32, u32)> {
    let mut events = Events::new();
    act(&mut events);
    events
        .iter()
        .map(|event| (event.status, event.context))
        .collect()
}

#[test]
fn a_port_write_while_idle_is_one_idle_to_active() {
    let mut list = Execlist::Idle;
    let seen = events(|events| {
        assert_eq!(list.submit([context(1), NONE], events), Submitted::Started);
    });
    assert_eq!(seen, [(0x1, 1)]);
    assert_eq!(list.status().1, 1);
}

#[test]
fn two_elements_switch_and_then_go_idle() {
    let mut list = Execlist::Idle;
    events(|events| _ = list.submit([context(1), context(2)], events));
    assert_eq!(events(|events| assert!(list.complete(events))), [(0x14, 1)]);
    assert_eq!(list.running(), Some(context(2)));
    assert_eq!(
        events(|events| assert!(!list.complete(events))),
        [(0x18, 2)]
    );
    assert_eq!(list, Execlist::Idle);
    assert_eq!(list.status(), (0, 0));
}

#[test]
fn the_running_context_again_is_a_lite_restore_and_replaces_element_1() {
    let mut list = Execlist::Idle;
    events(|events| _ = list.submit([context(1), context(2)], events));
    let seen = events(|events| {
        assert_eq!(
            list.submit([context(1), context(3)], events),
            Submitted::LiteRestored
        );
    });
    assert_eq!(seen, [(0x8002, 1)]);
    assert_eq!(events(|events| assert!(list.complete(events))), [(0x14, 1)]);
    assert_eq!(list.running(), Some(context(3)));
}

#[test]
fn the_second_element_running_may_be_lite_restored_too() {
    let mut list = Execlist::Idle;
    events(|events| _ = list.submit([context(1), context(2)], events));
    events(|events| _ = list.complete(events));
    let seen = events(|events| {
        assert_eq!(
            list.submit([context(2), NONE], events),
            Submitted::LiteRestored
        );
    });
    assert_eq!(seen, [(0x8002, 2)]);
    assert_eq!(
        events(|events| assert!(!list.complete(events))),
        [(0x18, 2)]
    );
}

#[test]
fn another_context_or_a_forced_restore_waits_for_the_running_pair() {
    for next in [context(3), forced(1)] {
        let mut list = Execlist::Idle;
        events(|events| _ = list.submit([context(1), NONE], events));
        let seen = events(|events| {
            assert_eq!(list.submit([next, NONE], events), Submitted::Waiting);
        });
        assert_eq!(seen, []);
        let seen = events(|events| assert!(list.complete(events)));
        assert_eq!(seen, [(0x18, 1), (0x1, next.id())]);
        assert_eq!(list.running(), Some(next));
    }
}

#[test]
fn what_no_driver_does_has_an_answer_without_events() {
    let mut list = Execlist::Idle;
    let seen = events(|events| {
        assert_eq!(list.submit([NONE, context(1)], events), Submitted::Empty);
        assert!(!list.complete(events));
    });
    assert_eq!(seen, []);
    events(|events| _ = list.submit([context(1), NONE], events));
    events(|events| _ = list.submit([context(2), NONE], events));
    let seen = events(|events| {
        assert_eq!(list.submit([context(3), NONE], events), Submitted::Full);
    });
    assert_eq!(seen, []);
}

/// What `process_csb` keeps: the pair it believes to run and the pair it wrote and waits for.
#[derive(Default)]
struct Driver {
    active: VecDeque<u32>,
    pending: Option<Vec<u32>>,
}

impl Driver {
    fn wrote(&mut self, pair: [Descriptor; 2]) {
        assert!(
            self.pending.is_none(),
            "no driver writes twice without an event"
        );
        self.pending = Some(pair.iter().filter(|d| d.valid()).map(|d| d.id()).collect());
    }

    fn event(&mut self, status: u32, context: u32) {
        if status & 0x3 != 0 {
            let pending = self.pending.take().expect("promoted with nothing pending");
            if status & 0x2 != 0 {
                assert_eq!(
                    self.active.front(),
                    Some(&context),
                    "preempted what does not run"
                );
            } else {
                assert!(self.active.is_empty(), "idle-to-active while elements run");
                assert_eq!(pending.first(), Some(&context));
            }
            self.active = pending.into();
        } else {
            let done = self
                .active
                .pop_front()
                .expect("completion with nothing active");
            assert_eq!(done, context);
            assert_eq!(
                status & 0x8 != 0,
                self.active.is_empty(),
                "idle exactly with the last"
            );
            assert_ne!(status & 0x10, 0);
        }
    }
}

#[derive(Debug, Clone)]
enum Act {
    Write(u32, u32, bool),
    Complete,
    Reset,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1u32..5, 0u32..5, any::<bool>()).prop_map(|(a, b, force)| Act::Write(a, b, force)),
        4 => Just(Act::Complete),
        1 => Just(Act::Reset),
    ]
}

proptest! {
    #[test]
    fn no_sequence_loses_or_repeats_an_event(acts in prop::collection::vec(act(), 1..200)) {
        let mut list = Execlist::Idle;
        let mut driver = Driver::default();
        for act in acts {
            let mut events = Events::new();
            match act {
                Act::Write(first, second, force) if driver.pending.is_none() => {
                    let first = if force { forced(first) } else { context(first) };
                    let second = if second == 0 { NONE } else { context(second) };
                    driver.wrote([first, second]);
                    list.submit([first, second], &mut events);
                }
                Act::Write(..) => {}
                Act::Complete => _ = list.complete(&mut events),
                Act::Reset => {
                    list = Execlist::Idle;
                    driver = Driver::default();
                }
            }
            for event in events {
                driver.event(event.status, event.context);
            }
            let running = list.running().map(|running| running.id());
            prop_assert_eq!(driver.active.front().copied(), running);
        }
        // Nothing is owed once everything has run.
        for _ in 0..4 {
            let mut events = Events::new();
            list.complete(&mut events);
            events.iter().for_each(|event| driver.event(event.status, event.context));
        }
        prop_assert!(driver.active.is_empty() && driver.pending.is_none());
    }
}
