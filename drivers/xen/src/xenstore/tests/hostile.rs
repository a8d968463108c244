//! Daemons that make no sense: each ends in a named error, in bounded time.

use std::mem::offset_of;

use proptest::prelude::*;

use super::NONE;
use super::daemon::{Daemon, Mood, connect};
use crate::abi::Errno;
use crate::abi::xenstore::{DomainInterface, SERVER_FEATURE_ERROR, SERVER_FEATURE_RECONNECTION};
use crate::ring::RingError;
use crate::shared::SharedPage;
use crate::xenstore::XenstoreError;
use crate::xenstore::ring::{REPLIES, REQUESTS};
use crate::xenstore::wire::Header;

#[test]
fn a_reply_to_something_else_is_refused_and_the_right_one_dropped_later() {
    let daemon = Daemon::new();
    let mut client = connect(&daemon);
    client.write(NONE, "a", b"1").expect("written");
    daemon.set_mood(Mood::WrongNumber(9));
    let error = client.read(NONE, "a").expect_err("not ours");
    assert!(matches!(error, XenstoreError::WrongReply { .. }), "{error}");
    assert!(!error.is_fatal());
    daemon.set_mood(Mood::Good);
    // The reply to the request above comes after all.
    let late = Header {
        kind: 2,
        request: 2,
        transaction: 0,
        length: 1,
    };
    daemon.inject(&late.encode());
    daemon.inject(b"x");
    assert_eq!(client.read(NONE, "a"), Ok(b"1".to_vec()));
}

#[test]
fn a_reply_of_another_type_is_refused() {
    for kind in [0, 1, 99, 0xffff, u32::MAX] {
        let daemon = Daemon::new();
        let mut client = connect(&daemon);
        daemon.set_mood(Mood::WrongType(kind));
        let error = client.write(NONE, "a", b"1").expect_err("not a reply");
        let expected = XenstoreError::WrongReply {
            expected: 1,
            found: 1,
            kind,
        };
        assert_eq!(error, expected);
    }
}

#[test]
fn an_oversize_message_ends_the_connection_until_it_is_made_anew() {
    let daemon = Daemon::new();
    let mut client = connect(&daemon);
    daemon.set_mood(Mood::Length(4097));
    let error = client.read(NONE, "a").expect_err("too long");
    assert_eq!(error, XenstoreError::Oversize { length: 4097 });
    daemon.set_mood(Mood::Good);
    assert_eq!(client.read(NONE, "a"), Err(XenstoreError::Broken));
    assert_eq!(client.next_event(), Err(XenstoreError::Broken));
    assert_eq!(
        client.reconnect(),
        Err(XenstoreError::Broken),
        "not offered"
    );
    daemon.page.poke_u32(
        offset_of!(DomainInterface, server_features),
        SERVER_FEATURE_RECONNECTION,
    );
    client.reconnect().expect("offered");
    assert!(
        client.take_events_lost(),
        "watches are gone with the old connection"
    );
    client.write(NONE, "a", b"1").expect("as new");
    assert_eq!(client.read(NONE, "a"), Ok(b"1".to_vec()));
}

#[test]
fn a_reconnection_nobody_serves_times_out() {
    let daemon = Daemon::new();
    let mut client = connect(&daemon);
    daemon.page.poke_u32(
        offset_of!(DomainInterface, server_features),
        SERVER_FEATURE_RECONNECTION,
    );
    daemon.never_reconnect();
    assert_eq!(client.reconnect(), Err(XenstoreError::TimedOut));
}

#[test]
fn a_message_that_never_ends_times_out() {
    let daemon = Daemon::new();
    let mut client = connect(&daemon);
    daemon.set_mood(Mood::Length(4000));
    assert_eq!(client.read(NONE, "a"), Err(XenstoreError::TimedOut));
}

#[test]
fn a_flood_of_events_ends_the_request_not_the_service() {
    let daemon = Daemon::new();
    let mut client = connect(&daemon);
    daemon.set_mood(Mood::Flood);
    let error = client.read(NONE, "a").expect_err("no reply among them");
    assert!(
        matches!(error, XenstoreError::Flooded | XenstoreError::TimedOut),
        "{error}"
    );
    assert!(client.take_events_lost());
}

#[test]
fn ring_indices_out_of_range_are_an_error_naming_them() {
    for (offset, index) in [(REQUESTS.consumer, 5_u32), (REPLIES.producer, 0x7777_7777)] {
        let daemon = Daemon::new();
        let mut client = connect(&daemon);
        daemon.set_mood(Mood::Asleep);
        daemon.page.poke_u32(offset, index);
        let error = client.read(NONE, "a").expect_err("nonsense");
        assert!(
            matches!(error, XenstoreError::Ring(RingError { theirs, .. }) if theirs == index),
            "{error}"
        );
        assert_eq!(client.read(NONE, "a"), Err(XenstoreError::Broken));
    }
}

#[test]
fn the_daemons_error_word_is_believed_only_where_it_exists() {
    let daemon = Daemon::new();
    let mut client = connect(&daemon);
    daemon.page.poke_u32(offset_of!(DomainInterface, error), 3);
    client
        .write(NONE, "a", b"1")
        .expect("an old daemon has no such word");
    daemon.page.poke_u32(
        offset_of!(DomainInterface, server_features),
        SERVER_FEATURE_ERROR,
    );
    let error = client.read(NONE, "a").expect_err("given up");
    assert_eq!(error, XenstoreError::Server(3));
    assert!(error.to_string().contains("protocol violation"), "{error}");
}

#[test]
fn payloads_that_do_not_parse_are_named_errors() {
    let daemon = Daemon::new();
    let mut client = connect(&daemon);
    client.write(NONE, "a", b"1").expect("written");
    daemon.forge(b"\xff\xfe");
    assert_eq!(client.read_text(NONE, "a"), Err(XenstoreError::NotText));
    daemon.forge(b"no NUL");
    assert_eq!(client.directory(NONE, "a"), Err(XenstoreError::Malformed));
    daemon.forge(b"ok\0\xff\0");
    assert_eq!(client.directory(NONE, "a"), Err(XenstoreError::NotText));
    daemon.forge(b"");
    assert_eq!(client.start(), Err(XenstoreError::Malformed));
    for forged in [&b"0\0"[..], b"-1\0", b"4294967296\0", b"1\x001\0", b"one\0"] {
        daemon.forge(forged);
        assert_eq!(client.start(), Err(XenstoreError::Malformed));
    }
    daemon.forge(b"EWHAT\0");
    assert_eq!(
        client.read(NONE, "absent"),
        Err(XenstoreError::Refused(Errno::EIO)),
        "a reason without a number is a refusal"
    );
    daemon.forge(b"");
    assert_eq!(client.read(NONE, "absent"), Err(XenstoreError::Malformed));
    assert_eq!(
        client.read(NONE, "a"),
        Ok(b"1".to_vec()),
        "and life goes on"
    );
}

#[test]
fn a_malformed_event_counts_as_a_lost_one() {
    let daemon = Daemon::new();
    let mut client = connect(&daemon);
    let head = Header {
        kind: 15,
        request: 0,
        transaction: 0,
        length: 3,
    };
    daemon.inject(&head.encode());
    daemon.inject(b"abc");
    client.mkdir(NONE, "a").expect("made");
    assert_eq!(client.next_event(), Ok(None));
    assert!(client.take_events_lost());
}

proptest! {
    #[test]
    fn any_bytes_from_the_daemon_are_survived_in_bounded_time(
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
        plausible in any::<bool>(),
        requests in 1_usize..6,
    ) {
        let daemon = Daemon::new();
        let mut client = connect(&daemon);
        let mut stream = bytes;
        if plausible {
            // Small types, numbers and lengths get past the first checks.
            for chunk in stream.chunks_mut(4) {
                if let [low, high @ ..] = chunk {
                    *low %= 24;
                    high.fill(0);
                }
            }
        }
        daemon.inject(&stream);
        for _ in 0..requests {
            let _ = client.read_text(NONE, "a");
            let _ = client.directory(NONE, "a");
            let _ = client.get_permissions(NONE, "a");
            let _ = client.transaction(2, |client, tx| client.write(tx, "a", b"1"));
            let _ = client.next_event();
        }
    }

    #[test]
    fn indices_that_jump_while_we_read_are_survived(
        jumps in prop::collection::vec((any::<bool>(), any::<u32>()), 1..20),
    ) {
        let daemon = Daemon::new();
        let mut client = connect(&daemon);
        for (requests, index) in jumps {
            let offset = if requests { REQUESTS.consumer } else { REPLIES.producer };
            let near = daemon.page.load_u32(offset).wrapping_add(index % 1500);
            daemon.page.poke_u32(offset, if index & 1 == 0 { near } else { index });
            let _ = client.read(NONE, "a");
            let _ = client.next_event();
        }
    }
}
