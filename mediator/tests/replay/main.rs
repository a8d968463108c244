//! Recorded drivers, played again: every file in `tests/traces` must go as it went (docs/trace.md).

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "replays use a part of it")]
mod common;

mod player;
mod recording;

/// What the loopback guest's program needs of its crate.
mod memory {
    /// Pages of a loopback guest.
    pub const PAGES: usize = 32;
}
#[path = "../../../kernel/src/loopback/program.rs"]
mod program;

use std::fs;
use std::path::Path;

use player::{Difference, Played, play};
use trace::{Encoder, Reader, Record, Repeat};

/// Every trace that is committed, by file name.
fn traces() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut traces: Vec<_> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "trace")
        })
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            (name.into_owned(), bytes)
        })
        .collect();
    traces.sort();
    assert!(!traces.is_empty(), "no trace in {folder:?}");
    traces
}

#[test]
fn every_recorded_driver_is_answered_as_it_was() {
    for (name, trace) in traces() {
        match play(&trace) {
            Ok(played) => {
                println!("{name}: {played:?}");
                assert!(played.complete, "{name} was cut off");
                assert!(played.offences.is_empty(), "{name}: {:?}", played.offences);
                assert!(played.accesses > 0, "{name} is empty");
            }
            Err(difference) => panic!("{name}: {difference}"),
        }
    }
}

/// The trace of the image's own test guest, for tests that need to know what is in it.
fn loopback() -> Vec<u8> {
    let mut traces = traces().into_iter();
    let found = traces.find(|(name, _)| name == "loopback.trace");
    found.expect("the loopback guest's trace").1
}

/// The trace with some records changed.
fn changed(trace: &[u8], mut change: impl FnMut(usize, &mut Record)) -> Vec<u8> {
    let (header, records) = Reader::new(trace).expect("a trace");
    let mut encoder = Encoder::default();
    let mut bytes = Encoder::header(&header).to_vec();
    for (index, record) in records.enumerate() {
        let mut record = record.expect("a record");
        change(index, &mut record);
        bytes.extend_from_slice(&encoder.record(&record));
    }
    bytes
}

/// What a replay says about it.
fn complaint(trace: &[u8]) -> Difference {
    match play(trace) {
        Ok(Played { label, .. }) => panic!("{label} was replayed without a difference"),
        Err(difference) => difference,
    }
}

#[test]
fn a_trace_written_again_is_the_same_bytes() {
    for (name, trace) in traces() {
        assert!(changed(&trace, |_, _| ()) == trace, "{name}");
    }
}

#[test]
fn one_answer_changed_is_reported_with_index_register_and_both_values() {
    let trace = loopback();
    // The last read of a register: all before it has to be right for this to be found.
    let (_, records) = Reader::new(&trace).expect("a trace");
    let reads = records.map(|record| record.expect("a record")).enumerate();
    let (index, answer) = reads
        .filter_map(|(index, record)| match record {
            Record::Access {
                access,
                answer,
                repeat: Repeat::ONCE,
                ..
            } if access.write.is_none() && access.size == 4 => Some((index, answer)),
            _ => None,
        })
        .last()
        .expect("a read");
    let wrong = changed(&trace, |at, record| {
        if let Record::Access { answer, .. } = record
            && at == index
        {
            *answer ^= 0x10;
        }
    });
    let difference = complaint(&wrong);
    assert_eq!(difference.index, index);
    let (wanted, got) = (answer ^ 0x10, answer);
    let values = format!("wanted {wanted:#x}, got {got:#x}");
    assert!(difference.what.contains(&values), "{difference}");
    assert!(difference.what.contains("GT_INTERRUPT[2]"), "{difference}");
}

#[test]
fn another_message_another_round_and_other_memory_are_reported() {
    let trace = loopback();
    let first = |wanted: fn(&Record) -> bool| {
        let (_, mut records) = Reader::new(&trace).expect("a trace");
        let found = records.position(|record| wanted(&record.expect("a record")));
        found.expect("there is one")
    };
    let message = first(|record| matches!(record, Record::Message { .. }));
    let wrong = changed(&trace, |at, record| {
        if let (Record::Message { data, .. }, true) = (record, at == message) {
            *data += 1;
        }
    });
    assert!(complaint(&wrong).what.contains("wanted to see"), "message");
    let round = first(|record| matches!(record, Record::Service { .. }));
    let wrong = changed(&trace, |at, record| {
        if let (Record::Service { busy }, true) = (record, at == round) {
            *busy = !*busy;
        }
    });
    assert_eq!(complaint(&wrong).index, round);
    let page = first(|record| matches!(record, Record::Page { .. }));
    let wrong = changed(&trace, |at, record| {
        if let (Record::Page { hash, .. }, true) = (record, at == page) {
            *hash ^= 1;
        }
    });
    assert_eq!(complaint(&wrong).index, page);
}

#[test]
fn a_damaged_trace_is_no_panic() {
    let trace = loopback();
    for length in (0..trace.len()).step_by(trace.len() / 10 + 1) {
        let difference = complaint(&trace[..length]);
        assert!(difference.what.contains("the trace"), "{difference}");
    }
}
