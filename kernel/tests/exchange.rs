//! Commands by Xenstore, with a loop that goes on whatever Xenstore does.

extern crate alloc;

#[path = "../src/wiring/exchange.rs"]
mod exchange;
#[path = "../src/wiring/nodes.rs"]
mod nodes;
mod service;

use std::mem;

use nodes::{Order, VGPUS};
use proptest::prelude::*;
use service::{Loop, SIZES, attach, store::node};
use xen::xenstore::XenstoreError;

const SECOND: u64 = 1_000_000_000;
/// 1, but longer than any number needs to be.
const LONG_ONE: &str = "0000000000000000000000000000000001";
/// More requests than any of this makes.
const ALWAYS: usize = usize::MAX / 2;

#[test]
fn a_command_is_read_obeyed_and_answered_with_the_state_last() {
    let mut service = Loop::new();
    service.store().patience = ALWAYS;
    service.ask_for_attach(7);
    service.settle();
    assert_eq!(service.obeyed, [attach(7)]);
    let written = [
        (node(7, "reason"), ""),
        (node(7, "state"), "attached"),
        ("data/gpu/free-low-gm".into(), "1"),
        ("data/gpu/free-high-gm".into(), "2"),
        ("data/gpu/free-fences".into(), "3"),
    ]
    .map(|(path, value)| (path, value.to_string()));
    assert_eq!(service.store().written, written);
    // One event more, and it is answered already.
    service.store().event(&node(7, "command"));
    service.settle();
    assert_eq!(service.obeyed.len(), 1);
    let before = service.store().requests;
    service.store().command(7, "detach");
    service.settle();
    assert_eq!(service.obeyed[1].order, Ok(Order::Detach));
    assert_eq!(
        service.store().requests,
        before + 2 + 5,
        "sizes do not matter"
    );
    assert_eq!(service.errors, []);
}

#[test]
fn accesses_are_served_whichever_reply_is_outstanding_and_for_however_long() {
    // Every request of an attach in turn is the one whose reply does not come.
    for answered in 0..13 {
        let mut service = Loop::new();
        service.ask_for_attach(7);
        service.store().patience = answered;
        service.settle();
        assert_eq!(service.store().requests, answered);
        assert_eq!(service.exchange.deadline(), Some(SECOND));
        let before = service.served;
        for now in (0..SECOND).step_by(SECOND as usize / 1000) {
            service.now = now;
            assert!(!service.round(), "nothing to do but to serve accesses");
        }
        assert_eq!(service.served, before + 1000);
        // It comes at the last moment.
        service.store().patience = ALWAYS;
        service.settle();
        assert_eq!(service.value(7, "state").as_deref(), Some("attached"));
        assert_eq!((service.obeyed.len(), service.errors.len()), (1, 0));
        assert_eq!(service.exchange.deadline(), None);
    }
}

#[test]
fn a_reply_that_is_overdue_ends_its_command_and_nothing_else() {
    for answered in 0..13 {
        let mut service = Loop::new();
        service.ask_for_attach(7);
        service.store().patience = answered;
        service.settle();
        service.store().command(8, "detach");
        service.now = SECOND;
        service.settle();
        assert_eq!(service.errors, [XenstoreError::TimedOut], "{answered}");
        // The one of guest 8 is under way now, behind the late reply.
        service.store().patience = ALWAYS;
        service.settle();
        assert_eq!(service.value(8, "state").as_deref(), Some("detached"));
        let attaches = usize::from(answered >= 8);
        assert_eq!(service.obeyed.len(), 1 + attaches, "{answered}");
        // Given once more, it is answered.
        service.store().command(7, "attach");
        service.settle();
        assert_eq!(service.value(7, "state").as_deref(), Some("attached"));
        assert_eq!(service.errors.len(), 1);
    }
}

#[test]
fn commands_before_the_watch_are_found_by_its_first_event() {
    let mut service = Loop::new();
    service.command_unheard(&[3, 4, 5]);
    service
        .store()
        .tree
        .insert(node(4, "state"), "detached".into());
    service.store().tree.insert(node(9, "low-gm"), "1".into());
    service
        .store()
        .tree
        .insert(format!("{VGPUS}/x/command"), "detach".into());
    service.store().event(VGPUS);
    service.store().patience = ALWAYS;
    service.settle();
    assert_eq!(service.obeyed(), [3, 5]);
}

#[test]
fn one_that_gets_no_reply_does_not_keep_the_others_from_theirs() {
    let mut service = Loop::new();
    service.command_unheard(&[3, 4, 5]);
    service.store().event(VGPUS);
    // The names, and one node of the first.
    service.store().patience = 2;
    service.settle();
    service.now = SECOND;
    service.round();
    assert_eq!(service.errors, [XenstoreError::TimedOut]);
    service.store().patience = ALWAYS;
    service.settle();
    assert_eq!(service.obeyed(), [4, 5]);
}

#[test]
fn lost_events_have_all_commands_looked_at_when_those_kept_are_done() {
    let mut service = Loop::new();
    service.store().command(1, "detach");
    service.settle();
    // A reply is outstanding: events can only be kept, and there are more than room.
    for domain in 2..200 {
        service.store().command(domain, "detach");
    }
    service.store().patience = ALWAYS;
    service.settle();
    assert_eq!(service.obeyed.len(), 199);
    for domain in 1..200 {
        assert_eq!(service.value(domain, "state").as_deref(), Some("detached"));
    }
}

#[test]
fn a_second_command_while_one_is_half_read_takes_its_place() {
    for answered in 0..8 {
        let mut service = Loop::new();
        service.ask_for_attach(7);
        service.store().patience = answered;
        service.settle();
        service.store().command(7, "detach");
        service.store().patience = ALWAYS;
        service.settle();
        let names: Vec<_> = service.obeyed.iter().map(|command| command.name).collect();
        assert_eq!(names, ["detach"], "{answered}");
        assert_eq!(service.value(7, "state").as_deref(), Some("detached"));
    }
}

#[test]
fn nodes_that_vanish_while_they_are_read_are_missing() {
    for answered in 0..8 {
        let mut service = Loop::new();
        service.ask_for_attach(7);
        service.store().patience = answered;
        service.settle();
        service.store().tree.clear();
        service.store().patience = ALWAYS;
        service.settle();
        let orders: Vec<_> = service
            .obeyed
            .iter()
            .map(|command| &command.order)
            .collect();
        let missing = |name| Err(format!("{name}: missing, or not a number"));
        match answered {
            0..2 => assert!(orders.is_empty()),
            6 => assert_eq!(orders.len(), 1, "display may be absent"),
            7 => assert_eq!(orders.len(), 1, "huge-gtt may be absent"),
            read => assert_eq!(orders, [&missing(SIZES[read - 2].0)]),
        }
        assert_eq!(service.errors, []);
    }
}

#[test]
fn what_does_not_parse_is_refused_with_the_nodes_name() {
    for (name, value, reason) in [
        ("command", "expl\node", "command: \"expl\\node\" is unknown"),
        ("low-gm", "", "low-gm: missing, or not a number"),
        ("high-gm", "-1", "high-gm: missing, or not a number"),
        ("fences", "4x", "fences: missing, or not a number"),
        ("weight", "4294967296", "weight: missing, or not a number"),
        ("weight", LONG_ONE, "weight: missing, or not a number"),
        (
            "display",
            "1024x768",
            "display: \"1024x768\" is not supported, only \"none\"",
        ),
        ("huge-gtt", "2", "huge-gtt: neither 0 nor 1"),
        ("huge-gtt", "", "huge-gtt: neither 0 nor 1"),
    ] {
        let mut service = Loop::new();
        service.store().patience = ALWAYS;
        service.ask_for_attach(7);
        service.store().tree.insert(node(7, name), value.into());
        service.settle();
        let refusal = service.value(7, "reason").expect("answered");
        assert_eq!(refusal, reason, "{name}");
    }
    let mut service = Loop::new();
    service.store().patience = ALWAYS;
    service.store().command(7, &"detach".repeat(100));
    service.settle();
    let reason = service.value(7, "reason").expect("answered");
    assert_eq!(
        reason,
        "command: \"detachdetachdetachdetachdetachde...\" is unknown"
    );
}

#[test]
fn a_broken_connection_is_an_error_each_time_and_no_reason_to_stop() {
    let mut service = Loop::new();
    service.ask_for_attach(7);
    service.store().patience = 3;
    service.settle();
    service.store().garble(&[0xff; 16]);
    assert!(service.round());
    assert!(matches!(
        service.errors[..],
        [XenstoreError::Oversize { .. }]
    ));
    service.store().patience = ALWAYS;
    for _ in 0..10 {
        service.round();
    }
    assert_eq!(service.errors[1..], [XenstoreError::Broken; 10]);
    assert_eq!(service.exchange.deadline(), None);
}

#[derive(Debug, Clone)]
enum Happens {
    Attach(u16),
    Command(u16, &'static str),
    Removed(u16),
    Rounds(usize),
    Answers(usize),
    Later(u64),
}

fn happens() -> impl Strategy<Value = Happens> {
    let domain = || 1..4_u16;
    let words = prop::sample::select(vec!["attach", "detach", "x"]);
    prop_oneof![
        2 => domain().prop_map(Happens::Attach),
        2 => (domain(), words).prop_map(|(domain, word)| Happens::Command(domain, word)),
        1 => domain().prop_map(Happens::Removed),
        4 => (1..20_usize).prop_map(Happens::Rounds),
        4 => (1..20_usize).prop_map(Happens::Answers),
        1 => (0..2 * SECOND).prop_map(Happens::Later),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_in_between_commands_are_answered_in_the_end(
        events in prop::collection::vec(happens(), 0..60),
    ) {
        let mut service = Loop::new();
        for event in events {
            match event {
                Happens::Attach(domain) => service.ask_for_attach(domain),
                Happens::Command(domain, command) => service.store().command(domain, command),
                Happens::Removed(domain) => {
                    let below = node(domain, "");
                    service.store().tree.retain(|path, _| !path.starts_with(&below));
                }
                Happens::Rounds(rounds) => for _ in 0..rounds {
                    service.round();
                },
                Happens::Answers(more) => service.store().patience += more,
                Happens::Later(time) => service.now += time,
            }
        }
        service.store().patience = ALWAYS;
        service.settle();
        let errors = mem::take(&mut service.errors);
        prop_assert!(errors.iter().all(|error| *error == XenstoreError::TimedOut));
        // What ran out of time is found by whoever looks at everything again.
        service.store().event(VGPUS);
        service.settle();
        prop_assert!(service.errors.is_empty());
        for domain in 1..4 {
            let command = service.value(domain, "command");
            if command.is_some() {
                prop_assert!(service.value(domain, "state").is_some());
            }
        }
    }
}
