//! Requests that nobody waits for: asked now, their replies found later.

use super::NONE;
use super::daemon::{Daemon, Mood, TestClient, connect};
use crate::abi::Errno;
use crate::xenstore::wire::{Header, Request};
use crate::xenstore::{Look, XenstoreError};

const DEADLINE: u64 = 100;

fn read(path: &str) -> Request<'_> {
    Request::read(NONE, path).expect("a path")
}

/// A client whose daemon has a node `a` of 1.
fn connected() -> (Daemon, TestClient) {
    let daemon = Daemon::new();
    let mut client = connect(&daemon);
    client.write(NONE, "a", b"1").expect("written");
    daemon.forbid_waiting();
    (daemon, client)
}

/// Looks until there is nothing more; the reply, if it was there.
fn reply(client: &mut TestClient, now: u64) -> Result<Option<Vec<u8>>, XenstoreError> {
    loop {
        match client.look(now)? {
            Look::Reply(payload) => return Ok(Some(payload.to_vec())),
            Look::Other => {}
            Look::Nothing => return Ok(None),
        }
    }
}

#[test]
fn a_reply_is_found_when_it_has_come_and_not_before() {
    let (daemon, mut client) = connected();
    client.ask(&read("a"), DEADLINE).expect("asked");
    assert_eq!(client.deadline(), Some(DEADLINE));
    for now in 0..DEADLINE {
        assert_eq!(client.look(now), Ok(Look::Nothing));
    }
    daemon.run();
    // Late for us, but it is there.
    assert_eq!(client.look(DEADLINE), Ok(Look::Reply(b"1")));
    assert_eq!(client.deadline(), None);
    assert_eq!(client.look(DEADLINE + 1), Ok(Look::Nothing));
    client.ask(&read("absent"), DEADLINE).expect("asked");
    daemon.run();
    let refusal = XenstoreError::Refused(Errno::ENOENT);
    assert_eq!(client.look(0), Err(refusal));
    assert_eq!(client.deadline(), None, "a refusal is a reply");
}

#[test]
fn a_reply_that_comes_in_pieces_is_found_whole() {
    let (daemon, mut client) = connected();
    let value = vec![7; 4000];
    let request = Request::write(NONE, "b", &value).expect("fits a message");
    client.ask(&request, DEADLINE).expect("asked");
    client.ask(&read("b"), DEADLINE).expect("asked instead");
    // Four times the ring, both ways.
    for now in 0.. {
        daemon.run();
        if let Some(found) = reply(&mut client, now).expect("in time") {
            assert_eq!(found, value, "what was sent in part goes on to its end");
            assert!(now > 8, "in pieces");
            return;
        }
    }
}

#[test]
fn an_overdue_reply_is_an_error_and_dropped_when_it_comes() {
    let (daemon, mut client) = connected();
    client.ask(&read("a"), DEADLINE).expect("asked");
    assert_eq!(client.look(DEADLINE - 1), Ok(Look::Nothing));
    assert_eq!(client.look(DEADLINE), Err(XenstoreError::TimedOut));
    assert_eq!(client.look(DEADLINE), Ok(Look::Nothing), "told once");
    client
        .ask(&read("absent"), 2 * DEADLINE)
        .expect("asked after it");
    daemon.run();
    assert_eq!(client.look(DEADLINE), Ok(Look::Other), "the late one");
    let refusal = XenstoreError::Refused(Errno::ENOENT);
    assert_eq!(client.look(DEADLINE), Err(refusal));
}

#[test]
fn any_number_of_overdue_replies_is_dropped() {
    let (daemon, mut client) = connected();
    daemon.set_mood(Mood::Asleep);
    // More than the ring holds, in the end.
    for _ in 0..100 {
        client.ask(&read("absent"), DEADLINE).expect("asked");
        assert_eq!(client.look(DEADLINE), Err(XenstoreError::TimedOut));
    }
    client.ask(&read("a"), DEADLINE).expect("asked");
    daemon.set_mood(Mood::Good);
    for _ in 0..100 {
        daemon.run();
        if let Some(found) = reply(&mut client, 0).expect("none of them disturbs") {
            assert_eq!(found, b"1");
            assert!((40..100).contains(&daemon.requests()));
            return;
        }
    }
    panic!("no reply");
}

#[test]
fn events_between_a_request_and_its_reply_are_kept_in_order() {
    let (daemon, mut client) = connected();
    client
        .ask(&Request::watch("a", "t").expect("short"), DEADLINE)
        .expect("asked");
    daemon.run();
    assert_eq!(reply(&mut client, 0), Ok(Some(b"OK\0".to_vec())));
    for index in 0..3 {
        daemon.inject_event(&format!("a/{index}"), "t");
    }
    client.ask(&read("a"), DEADLINE).expect("asked");
    daemon.run();
    assert_eq!(client.next_event().expect("connected").map(path), None);
    assert_eq!(reply(&mut client, DEADLINE), Ok(Some(b"1".to_vec())));
    assert_eq!(client.events().count(), 4);
    for expected in ["a", "a/0", "a/1", "a/2"] {
        let event = client.next_event().expect("connected");
        assert_eq!(event.map(path).as_deref(), Some(expected));
    }
    assert_eq!(client.next_event(), Ok(None));
    assert!(!client.take_events_lost());
}

#[test]
fn an_event_that_bears_the_requests_number_is_an_event() {
    let (daemon, mut client) = connected();
    client.ask(&read("a"), DEADLINE).expect("asked");
    daemon.inject_reply(15, 2, b"a\0t\0");
    daemon.run();
    assert_eq!(client.look(0), Ok(Look::Other));
    assert_eq!(client.look(0), Ok(Look::Reply(b"1")));
    assert_eq!(client.events().count(), 1);
}

fn path(event: crate::xenstore::WatchEvent) -> String {
    event.path
}

#[test]
fn a_full_ring_is_not_waited_for_and_what_was_not_sent_is_forgotten() {
    let (daemon, mut client) = connected();
    daemon.set_mood(Mood::Asleep);
    let value = [8; 3000];
    let large = Request::write(NONE, "b", &value).expect("fits a message");
    client.ask(&large, DEADLINE).expect("sent in part");
    assert_eq!(client.look(DEADLINE), Err(XenstoreError::TimedOut));
    // Not a byte of these fits; none is remembered, or they would be a queue.
    for _ in 0..1000 {
        client.ask(&large, DEADLINE).expect("nothing sent");
        assert_eq!(client.look(0), Ok(Look::Nothing));
        assert_eq!(client.look(DEADLINE), Err(XenstoreError::TimedOut));
    }
    client.ask(&read("a"), DEADLINE).expect("nothing sent");
    daemon.set_mood(Mood::Good);
    let mut found = None;
    for _ in 0..20 {
        daemon.run();
        found = found.or(reply(&mut client, 0).expect("in time"));
    }
    assert_eq!(found, Some(b"1".to_vec()));
    assert_eq!(daemon.requests(), 3, "the first, the large one, the last");
}

#[test]
fn answers_to_what_was_never_sent_do_not_make_a_queue() {
    let (daemon, mut client) = connected();
    daemon.set_mood(Mood::Asleep);
    let value = [8; 4000];
    let large = Request::write(NONE, "b", &value).expect("fits a message");
    client.ask(&large, DEADLINE).expect("sent in part");
    for number in 2..200 {
        daemon.inject_reply(11, number, b"OK\0");
        daemon.push();
        assert_eq!(client.look(0), Ok(Look::Reply(b"OK\0")));
        client.ask(&large, DEADLINE).expect("nothing sent");
    }
    assert!(client.outgoing() <= 2 * 4096 + 32, "{}", client.outgoing());
}

#[test]
fn garbage_ends_the_request_with_a_name() {
    let head = |kind, request, length| {
        Header {
            kind,
            request,
            transaction: 0,
            length,
        }
        .encode()
    };
    for (bytes, expected) in [
        (
            head(2, 77, 0),
            XenstoreError::WrongReply {
                expected: 2,
                found: 77,
                kind: 2,
            },
        ),
        (
            head(0xffff, 2, 0),
            XenstoreError::WrongReply {
                expected: 2,
                found: 2,
                kind: 0xffff,
            },
        ),
        (head(16, 2, 0), XenstoreError::Malformed),
        (head(2, 2, 4097), XenstoreError::Oversize { length: 4097 }),
    ] {
        let (daemon, mut client) = connected();
        client.ask(&read("a"), DEADLINE).expect("asked");
        daemon.inject(&bytes);
        daemon.push();
        assert_eq!(client.look(0), Err(expected));
        assert_eq!(client.deadline(), None);
        daemon.run();
        let again = client.ask(&read("a"), DEADLINE);
        if expected.is_fatal() {
            assert_eq!(again, Err(XenstoreError::Broken));
            continue;
        }
        daemon.run();
        // A reply to the request above comes first. It is expected no more, but where it was
        // taken for answered it is a surprise.
        let late = client.look(0);
        let surprise = matches!(late, Err(XenstoreError::WrongReply { found: 2, .. }));
        assert!(late == Ok(Look::Other) || surprise, "{late:?}");
        if surprise {
            client.ask(&read("a"), DEADLINE).expect("asked");
            daemon.run();
        }
        assert_eq!(reply(&mut client, 0), Ok(Some(b"1".to_vec())));
    }
}

#[test]
fn a_flood_of_events_ends_the_request() {
    let (daemon, mut client) = connected();
    daemon.set_mood(Mood::Flood);
    client.ask(&read("a"), DEADLINE).expect("asked");
    for _ in 0..2000 {
        daemon.run();
        match client.look(0) {
            Ok(Look::Other) => {}
            result => {
                assert_eq!(result, Err(XenstoreError::Flooded));
                return;
            }
        }
    }
    panic!("no end");
}
