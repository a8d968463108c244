//! The client over a ring, against a daemon that behaves and daemons that do not.

mod daemon;
mod hostile;
mod unwaited;
mod wire;

use super::*;
use crate::abi::{DomainId, Errno};
use daemon::{Daemon, Mood, connect};

const NONE: Transaction = Transaction::NONE;

#[test]
fn values_larger_than_the_ring_make_the_round_trip() {
    let daemon = Daemon::new();
    let mut client = connect(&daemon);
    for length in [0, 1, 1023, 1024, 1025, 4000] {
        let value: Vec<u8> = (0..length).map(|index| index as u8).collect();
        client.write(NONE, "data/blob", &value).expect("written");
        assert_eq!(client.read(NONE, "data/blob"), Ok(value));
    }
    assert_eq!(
        client.write(NONE, "data/blob", &[0; 4096]),
        Err(XenstoreError::TooLarge { length: 4106 })
    );
}

#[test]
fn nodes_are_made_listed_and_removed() {
    let daemon = Daemon::new();
    let mut client = connect(&daemon);
    client.write(NONE, "/gpu/1/size", b"128").expect("written");
    client.mkdir(NONE, "/gpu/2").expect("made");
    assert_eq!(
        client.directory(NONE, "/gpu"),
        Ok(vec!["1".to_string(), "2".to_string()])
    );
    assert_eq!(client.directory(NONE, "/gpu/2"), Ok(Vec::new()));
    assert_eq!(client.read_text(NONE, "/gpu/1/size"), Ok("128".to_string()));
    client.rm(NONE, "/gpu/1").expect("removed");
    let error = client.read(NONE, "/gpu/1/size").expect_err("gone");
    assert!(error.is_not_found() && !error.is_fatal());
    assert_eq!(error.to_string(), "Xenstore: ENOENT");
    assert_eq!(
        client.domain_path(DomainId(7)),
        Ok("/local/domain/7".to_string())
    );
}

#[test]
fn permissions_are_set_and_read_back() {
    let daemon = Daemon::new();
    let mut client = connect(&daemon);
    client.mkdir(NONE, "/gpu").expect("made");
    let permissions = [
        Permission {
            domain: DomainId(0),
            access: Access::None,
        },
        Permission {
            domain: DomainId(5),
            access: Access::Both,
        },
    ];
    client
        .set_permissions(NONE, "/gpu", &permissions)
        .expect("set");
    assert_eq!(
        client.get_permissions(NONE, "/gpu"),
        Ok(permissions.to_vec())
    );
}

#[test]
fn events_wait_for_whoever_asks_and_do_not_disturb_replies() {
    let daemon = Daemon::new();
    let mut client = connect(&daemon);
    client.watch("data", "targets").expect("set");
    client.write(NONE, "data/target", b"5").expect("written");
    let event = |client: &mut daemon::TestClient| client.next_event().expect("connected");
    let expected = |path: &str| {
        Some(WatchEvent {
            path: path.to_string(),
            token: "targets".to_string(),
        })
    };
    assert_eq!(event(&mut client), expected("data"), "one at once");
    assert_eq!(event(&mut client), expected("data/target"));
    assert_eq!(event(&mut client), None);
    client.unwatch("data", "targets").expect("ended");
    client.write(NONE, "data/target", b"6").expect("written");
    assert_eq!(event(&mut client), None);
    assert!(!client.take_events_lost());
}

#[test]
fn more_events_than_fit_are_reported_as_lost_once() {
    let daemon = Daemon::new();
    let mut client = connect(&daemon);
    client.watch("data", "t").expect("set");
    for index in 0..EVENTS_MAX + 10 {
        client
            .write(NONE, "data/x", format!("{index}").as_bytes())
            .expect("written");
    }
    assert!(client.take_events_lost());
    assert!(!client.take_events_lost());
    let mut kept = 0;
    while let Ok(Some(_)) = client.next_event() {
        kept += 1;
    }
    // The last one may still have been in the ring.
    assert!((EVENTS_MAX..=EVENTS_MAX + 1).contains(&kept), "{kept}");
}

#[test]
fn a_transaction_is_tried_again_when_it_collides_and_only_so_often() {
    let daemon = Daemon::new();
    let mut client = connect(&daemon);
    daemon.collide(2);
    let mut runs = 0;
    client
        .transaction(5, |client, tx| {
            runs += 1;
            client.write(tx, "/gpu/claim", b"me")
        })
        .expect("committed");
    assert_eq!(runs, 3);
    assert_eq!(client.read(NONE, "/gpu/claim"), Ok(b"me".to_vec()));
    daemon.collide(100);
    assert_eq!(
        client.transaction(4, |client, tx| client.write(tx, "/gpu/claim", b"you")),
        Err(XenstoreError::Conflict { attempts: 4 })
    );
    assert_eq!(client.read(NONE, "/gpu/claim"), Ok(b"me".to_vec()));
}

#[test]
fn an_error_inside_a_transaction_drops_its_changes() {
    let daemon = Daemon::new();
    let mut client = connect(&daemon);
    let outcome = client.transaction(5, |client, tx| {
        client.write(tx, "/gpu/claim", b"me")?;
        client.read(tx, "/gpu/absent").map(drop)
    });
    assert_eq!(outcome, Err(XenstoreError::Refused(Errno::ENOENT)));
    assert!(client.read(NONE, "/gpu/claim").is_err());
    assert_eq!(daemon.open_transactions(), 0);
}

#[test]
fn a_silent_daemon_ends_in_a_time_out_and_its_late_reply_confuses_nobody() {
    let daemon = Daemon::new();
    let mut client = connect(&daemon);
    client.write(NONE, "a", b"1").expect("written");
    daemon.set_mood(Mood::Asleep);
    assert_eq!(client.read(NONE, "a"), Err(XenstoreError::TimedOut));
    // This one does not even fit the ring any more: half a message is out.
    assert_eq!(
        client.write(NONE, "b", &[7; 3000]),
        Err(XenstoreError::TimedOut)
    );
    assert_eq!(client.read(NONE, "a"), Err(XenstoreError::TimedOut));
    daemon.set_mood(Mood::Good);
    assert_eq!(client.read(NONE, "a"), Ok(b"1".to_vec()));
    assert_eq!(
        client.read(NONE, "b"),
        Ok(vec![7; 3000]),
        "the late request was whole"
    );
}
