//! Where a guest's vCPUs may have accesses under way, against a plain list of what happened.

#[path = "../src/wiring/underway.rs"]
mod underway;

extern crate alloc;

use proptest::prelude::*;
use underway::Underway;

#[derive(Debug, Clone)]
enum Event {
    Request(u32, Option<u64>),
    Taken,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let request =
        (0u32..4, prop::option::of(0u64..4)).prop_map(|(cpu, at)| Event::Request(cpu, at));
    prop::collection::vec(prop_oneof![4 => request, 1 => Just(Event::Taken)], 1..60)
}

proptest! {
    #[test]
    fn an_access_lasts_until_its_vcpu_asks_again(events in events()) {
        // vCPU 3 does not exist.
        let mut underway = Underway::new(3);
        for end in 0..events.len() {
            match events[end] {
                Event::Request(cpu, frame) => underway.begins(cpu, frame),
                Event::Taken => underway.memory_taken(),
            }
            for frame in 0..4 {
                let mut reports = Vec::new();
                for cpu in 0..3 {
                    let past = &events[..=end];
                    let last = past.iter().rposition(|event| {
                        matches!(event, Event::Request(who, _) if *who == cpu)
                    });
                    if let Some(last) = last
                        && matches!(past[last], Event::Request(_, Some(at)) if at == frame)
                    {
                        let taken = past[last..].iter().any(|event| matches!(event, Event::Taken));
                        reports.push(taken);
                    }
                }
                let want = (!reports.is_empty()).then(|| reports.contains(&false));
                prop_assert_eq!(underway.at(frame), want);
            }
        }
    }
}
