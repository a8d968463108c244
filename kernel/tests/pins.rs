//! The pin table against a plain map.

#[path = "../src/wiring/pins.rs"]
#[expect(
    dead_code,
    reason = "the test uses the table through part of its functions"
)]
mod pins;

extern crate alloc;

use std::collections::BTreeMap;

use pins::{Held, PinTable};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Pin(u64),
    Unpin(usize),
    Invalidate,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..24).prop_map(Step::Pin),
        4 => any::<usize>().prop_map(Step::Unpin),
        1 => Just(Step::Invalidate),
    ]
}

proptest! {
    #[test]
    fn the_table_counts_as_a_plain_map_does(steps in prop::collection::vec(step(), 0..300)) {
        const QUOTA: u32 = 12;
        let mut table = PinTable::new(QUOTA);
        // What is held: (frame, slot) -> (count, current).
        let mut held: BTreeMap<(u64, u32), (u32, bool)> = BTreeMap::new();
        let mut next_slot = 0;
        for step in steps {
            match step {
                Step::Pin(frame) => {
                    let known = held.iter_mut().find(|((f, _), (_, current))| *f == frame && *current);
                    match (table.hold(frame), known) {
                        (Held::Again(slot), Some(((_, expected), (count, _)))) => {
                            prop_assert_eq!(slot, *expected);
                            *count += 1;
                        }
                        (Held::New, None) => {
                            prop_assert!((held.len() as u32) < QUOTA);
                            table.insert(frame, next_slot);
                            held.insert((frame, next_slot), (1, true));
                            next_slot += 1;
                        }
                        (Held::Full, None) => prop_assert_eq!(held.len() as u32, QUOTA),
                        (answer, known) => {
                            prop_assert!(false, "{:?} for a frame held as {:?}", answer, known);
                        }
                    }
                }
                Step::Unpin(which) if !held.is_empty() => {
                    let key = *held.keys().nth(which % held.len()).expect("not empty");
                    let (count, _) = held.get_mut(&key).expect("just found");
                    *count -= 1;
                    let last = *count == 0;
                    prop_assert_eq!(table.release(key.0, key.1), last);
                    if last {
                        held.remove(&key);
                    }
                }
                Step::Unpin(_) => {
                    prop_assert!(!table.release(0, 0), "nothing is held");
                }
                Step::Invalidate => {
                    table.invalidate();
                    held.values_mut().for_each(|(_, current)| *current = false);
                }
            }
            prop_assert_eq!(table.used(), held.len() as u32);
            prop_assert_eq!(table.pins(), held.values().map(|(count, _)| count).sum::<u32>());
        }
        let mut slots = Vec::new();
        table.drain(|slot| slots.push(slot));
        slots.sort_unstable();
        let mut expected: Vec<u32> = held.keys().map(|(_, slot)| *slot).collect();
        expected.sort_unstable();
        prop_assert_eq!(slots, expected);
        prop_assert_eq!((table.used(), table.pins()), (0, 0));
    }
}
