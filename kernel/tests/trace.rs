//! A recording made by the image, taken out of its console, plays again on the host.

#[expect(dead_code, reason = "recordings need one kind of machine only")]
mod qemu;

#[path = "../../mediator/tests/replay/player.rs"]
mod player;

use player::play;
use qemu::{DONE, Machine, Run};

/// Boots with recording on, lets `guests` loopback guests draw, and dumps.
fn recorded(memory: &str, guests: u32) -> Run {
    Machine::new()
        .typed_after(" loopback: done, ", "trace\r")
        .typed_after(" calls, ", "status\rtrace dump loopback\r")
        .typed_after("TRACE-END", "reboot\r")
        .boot(&format!("loopback={guests} record={memory}"))
}

#[test]
fn a_loopback_guest_recorded_in_the_image_replays_on_the_host() {
    let run = recorded("4M", 1);
    run.expect(
        Some(0),
        &[
            "trace: recording in 4096 KiB",
            "trace: recording, ",
            "trace: ended, ",
            "\r\nuntracked: d32512 0\r\n",
        ],
    );
    let dumps = trace::dumps(&run.log);
    let [(label, Ok(bytes))] = dumps.as_slice() else {
        panic!("{dumps:?}; the console:\n{}", run.log);
    };
    assert_eq!(label, "loopback");
    let played = play(bytes).unwrap_or_else(|difference| panic!("{difference}"));
    assert!(played.complete && played.offences.is_empty(), "{played:?}");
    // 50 rectangles: each is submitted by four writes and answered by a message.
    assert!(
        played.accesses >= 400 && played.messages >= 50,
        "{played:?}"
    );
    assert!(bytes.len() < 16 << 10, "{} bytes", bytes.len());
}

#[test]
fn a_recording_that_is_full_says_so_and_serves_on() {
    let run = recorded("64K", 1);
    run.expect(Some(0), &["trace: no room for more", "50 of 50 rectangles"]);
    let dumps = trace::dumps(&run.log);
    let [(_, Ok(bytes))] = dumps.as_slice() else {
        panic!("{dumps:?}; the console:\n{}", run.log);
    };
    let played = play(bytes).unwrap_or_else(|difference| panic!("{difference}"));
    assert!(!played.complete && played.accesses > 0, "{played:?}");
}

#[test]
fn without_the_word_there_is_nothing_to_dump() {
    let run = Machine::new()
        .typed("trace dump x\rreboot\r")
        .boot("loopback=1");
    run.expect(Some(0), &["trace: nothing was recorded"]);
    assert!(trace::dumps(&run.log).is_empty());
    Machine::new()
        .boot("exit record=1")
        .expect(DONE, &["trace: 1 bytes are too few"]);
}
