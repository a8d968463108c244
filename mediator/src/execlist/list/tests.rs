//! Each row of the contract by name, and every sequence against what the Linux driver assumes.

use super::*;
use crate::linux::port::{Element, Port};
use proptest::prelude::*;

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
        assert_eq!(
            list.step(Input::Submit([context(1), NONE]), events),
            Outcome::Started
        );
    });
    assert_eq!(seen, [(0x1, 1)]);
    assert_eq!(list.status().1, 1);
}

#[test]
fn two_elements_switch_and_then_go_idle() {
    let mut list = Execlist::Idle;
    events(|events| _ = list.step(Input::Submit([context(1), context(2)]), events));
    assert_eq!(
        events(|events| assert_eq!(list.step(Input::Complete, events), Outcome::Started)),
        [(0x14, 1)]
    );
    assert_eq!(list.running(), Some(context(2)));
    assert_eq!(
        events(|events| assert_eq!(list.step(Input::Complete, events), Outcome::Idle)),
        [(0x18, 2)]
    );
    assert_eq!(list, Execlist::Idle);
    assert_eq!(list.status(), (0, 0));
}

#[test]
fn the_running_context_again_is_a_lite_restore_and_replaces_element_1() {
    let mut list = Execlist::Idle;
    events(|events| _ = list.step(Input::Submit([context(1), context(2)]), events));
    let seen = events(|events| {
        assert_eq!(
            list.step(Input::Submit([context(1), context(3)]), events),
            Outcome::LiteRestored
        );
    });
    assert_eq!(seen, [(0x8002, 1)]);
    assert_eq!(
        events(|events| assert_eq!(list.step(Input::Complete, events), Outcome::Started)),
        [(0x14, 1)]
    );
    assert_eq!(list.running(), Some(context(3)));
}

#[test]
fn the_second_element_running_may_be_lite_restored_too() {
    let mut list = Execlist::Idle;
    events(|events| _ = list.step(Input::Submit([context(1), context(2)]), events));
    events(|events| _ = list.step(Input::Complete, events));
    let seen = events(|events| {
        assert_eq!(
            list.step(Input::Submit([context(2), NONE]), events),
            Outcome::LiteRestored
        );
    });
    assert_eq!(seen, [(0x8002, 2)]);
    assert_eq!(
        events(|events| assert_eq!(list.step(Input::Complete, events), Outcome::Idle)),
        [(0x18, 2)]
    );
}

#[test]
fn another_context_or_a_forced_restore_waits_for_the_running_pair() {
    for next in [context(3), forced(1)] {
        let mut list = Execlist::Idle;
        events(|events| _ = list.step(Input::Submit([context(1), NONE]), events));
        let seen = events(|events| {
            assert_eq!(
                list.step(Input::Submit([next, NONE]), events),
                Outcome::Waiting
            );
        });
        assert_eq!(seen, []);
        let seen =
            events(|events| assert_eq!(list.step(Input::Complete, events), Outcome::Started));
        assert_eq!(seen, [(0x18, 1), (0x1, next.id())]);
        assert_eq!(list.running(), Some(next));
    }
}

#[test]
fn what_no_driver_does_has_an_answer_without_events() {
    let mut list = Execlist::Idle;
    let seen = events(|events| {
        assert_eq!(
            list.step(Input::Submit([NONE, context(1)]), events),
            Outcome::Empty
        );
        assert_eq!(list.step(Input::Complete, events), Outcome::Idle);
    });
    assert_eq!(seen, []);
    events(|events| _ = list.step(Input::Submit([context(1), NONE]), events));
    events(|events| _ = list.step(Input::Submit([context(2), NONE]), events));
    let seen = events(|events| {
        assert_eq!(
            list.step(Input::Submit([context(3), NONE]), events),
            Outcome::Full
        );
    });
    assert_eq!(seen, []);
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
        let mut port = Port::new();
        let tell = |port: &mut Port, events: Events| {
            for event in events {
                port.event(event.status, event.context);
            }
        };
        for act in acts {
            let mut events = Events::new();
            match act {
                Act::Write(first, second, force) if port.pending().is_empty() => {
                    let first = if force { forced(first) } else { context(first) };
                    let second = match second {
                        0 => NONE,
                        same if same == first.id() => NONE,
                        other => context(other),
                    };
                    let valid = [first, second].into_iter().filter(|element| element.valid());
                    let elements: Vec<_> =
                        valid.map(|element| Element { id: element.id(), request: 0 }).collect();
                    port.submit(&elements);
                    list.step(Input::Submit([first, second]), &mut events);
                }
                Act::Write(..) => {}
                Act::Complete => _ = list.step(Input::Complete, &mut events),
                Act::Reset => {
                    list.step(Input::Reset, &mut events);
                    prop_assert!(events.is_empty());
                    port.forget();
                }
            }
            tell(&mut port, events);
            prop_assert_eq!(list.owes(), !port.pending().is_empty());
            let running = list.running().map(|running| running.id());
            prop_assert_eq!(port.active().front().map(|element| element.id), running);
        }
        // Nothing is owed once everything has run.
        for _ in 0..4 {
            let mut events = Events::new();
            list.step(Input::Complete, &mut events);
            tell(&mut port, events);
        }
        port.settled();
    }
}
