//! Accesses that may not be over: what is told of them, and which pages they keep protected.

extern crate alloc;

#[path = "../src/wiring/protect.rs"]
mod protect;
#[path = "../src/wiring/underway.rs"]
mod underway;

use std::collections::BTreeSet;

use proptest::prelude::*;
use protect::Protection;
use underway::Underway;

#[derive(Debug, Clone)]
enum Told {
    Request(u32, Option<u64>),
    Taken,
    Recalled,
}

fn told() -> impl Strategy<Value = Vec<Told>> {
    let request = (0u32..4, prop::option::of(0u64..4)).prop_map(|(cpu, at)| Told::Request(cpu, at));
    let others = prop_oneof![Just(Told::Taken), Just(Told::Recalled)];
    prop::collection::vec(prop_oneof![2 => request, 1 => others], 1..60)
}

proptest! {
    #[test]
    fn an_access_lasts_until_its_vcpu_asks_again(events in told()) {
        // vCPU 3 does not exist.
        let mut underway = Underway::new(3);
        for end in 0..events.len() {
            match events[end] {
                Told::Request(cpu, frame) => underway.begins(cpu, frame),
                Told::Taken => underway.memory_taken(),
                Told::Recalled => underway.recalled(),
            }
            for cpu in 0..3 {
                let since = events[..=end]
                    .iter()
                    .rposition(|event| matches!(event, Told::Request(who, _) if *who == cpu));
                let since = &events[since.map_or(0, |last| last + 1)..=end];
                let any = |wanted: fn(&Told) -> bool| since.iter().any(wanted);
                let only = any(|told| matches!(told, Told::Recalled))
                    && !any(|told| matches!(told, Told::Taken));
                prop_assert_eq!(underway.only_recalled(cpu), only);
            }
            for frame in 0..4 {
                let mut reports = Vec::new();
                for cpu in 0..3 {
                    let past = &events[..=end];
                    let last = past.iter().rposition(|event| {
                        matches!(event, Told::Request(who, _) if *who == cpu)
                    });
                    if let Some(last) = last
                        && matches!(past[last], Told::Request(_, Some(at)) if at == frame)
                    {
                        let taken = past[last..]
                            .iter()
                            .any(|event| matches!(event, Told::Taken | Told::Recalled));
                        reports.push(taken);
                    }
                }
                let want = (!reports.is_empty()).then(|| reports.contains(&false));
                prop_assert_eq!(underway.at(frame), want);
            }
        }
    }
}

/// Where a vCPU's access is, with the protected page that it writes, if it is one.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Vcpu {
    Runs,
    Asked(Option<u64>),
    Answered(Option<u64>),
    /// Xen has taken the answer and will issue the access again.
    Repeats(Option<u64>),
    /// Through with its instruction, it waits until its report is answered.
    Reports,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Writes(usize, u64),
    Elsewhere(usize),
    Served(usize),
    Taken(usize),
    Repeated(usize),
    Protected(u64),
    Released(u64),
    Settled,
    /// From now on the guest is refused memory, so that nobody reports.
    Refused,
}

fn event() -> impl Strategy<Value = Event> {
    let (vcpu, frame) = (0..VCPUS, 0..3u64);
    prop_oneof![
        4 => (vcpu.clone(), frame.clone()).prop_map(|(vcpu, frame)| Event::Writes(vcpu, frame)),
        1 => vcpu.clone().prop_map(Event::Elsewhere),
        4 => vcpu.clone().prop_map(Event::Served),
        4 => vcpu.clone().prop_map(Event::Taken),
        4 => vcpu.prop_map(Event::Repeated),
        2 => frame.clone().prop_map(Event::Protected),
        1 => frame.prop_map(Event::Released),
        2 => Just(Event::Settled),
        1 => prop::bool::weighted(0.1).prop_map(|refused| if refused {
            Event::Refused
        } else {
            Event::Settled
        }),
    ]
}

const VCPUS: usize = 3;

/// What Xen does, as far as it matters, and the service domain around a [`Protection`].
struct Bed {
    protection: Protection,
    underway: Underway,
    vcpus: [Vcpu; VCPUS],
    /// Frames of the type, and those that are meant to be.
    typed: BTreeSet<u64>,
    wanted: BTreeSet<u64>,
    /// vCPUs that report as soon as they can.
    flagged: [bool; VCPUS],
    refused: bool,
}

impl Bed {
    fn repeat(&mut self, vcpu: usize) {
        if let Vcpu::Repeats(written) = self.vcpus[vcpu] {
            let found = written.is_none_or(|frame| self.typed.contains(&frame));
            assert!(found, "the guest is crashed");
            self.vcpus[vcpu] = Vcpu::Runs;
        }
        if self.vcpus[vcpu] == Vcpu::Runs && std::mem::take(&mut self.flagged[vcpu]) {
            self.vcpus[vcpu] = Vcpu::Reports;
        }
    }

    fn change_back(&mut self) {
        while let Some(frame) = self.protection.next(&self.underway) {
            assert!(self.typed.remove(&frame));
        }
    }

    /// Nobody goes on before the page that it wrote is memory, unless another vCPU writes there too.
    fn nobody_goes_on_too_early(&self, vcpu: usize, written: u64) {
        let others = self.underway.at(written).is_some();
        let memory = !self.typed.contains(&written) || self.wanted.contains(&written);
        assert!(memory || others || self.refused, "vCPU {vcpu} goes on");
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Writes(vcpu, frame) => {
                if self.vcpus[vcpu] == Vcpu::Runs && self.typed.contains(&frame) {
                    self.vcpus[vcpu] = Vcpu::Asked(Some(frame));
                }
            }
            Event::Elsewhere(vcpu) => {
                if self.vcpus[vcpu] == Vcpu::Runs {
                    self.vcpus[vcpu] = Vcpu::Asked(None);
                }
            }
            Event::Refused => self.refused = true,
            Event::Served(vcpu) if self.vcpus[vcpu] == Vcpu::Reports => {
                let written = self.underway.frame(vcpu as u32);
                self.underway.begins(vcpu as u32, None);
                self.vcpus[vcpu] = Vcpu::Runs;
                if let Some(written) = written {
                    // No other page: more may wait than one round changes back.
                    if self.protection.take(written, &self.underway) {
                        assert!(self.typed.remove(&written));
                    }
                    self.nobody_goes_on_too_early(vcpu, written);
                }
            }
            Event::Served(vcpu) => {
                let Vcpu::Asked(written) = self.vcpus[vcpu] else {
                    return;
                };
                self.underway.begins(vcpu as u32, written);
                if let Some(frame) = written {
                    self.happens(Event::Released(frame));
                    if !self.protection.leaves(frame) && self.typed.insert(frame) {
                        self.protection.leave(frame);
                    }
                    if self.protection.leaves(frame) && !self.refused {
                        self.underway.recalled();
                        self.flagged = [true; VCPUS];
                    }
                }
                self.vcpus[vcpu] = Vcpu::Answered(written);
            }
            Event::Taken(vcpu) => {
                if let Vcpu::Answered(written) = self.vcpus[vcpu] {
                    self.vcpus[vcpu] = Vcpu::Repeats(written);
                }
            }
            Event::Repeated(vcpu) => self.repeat(vcpu),
            Event::Protected(frame) if !self.protection.room() => {
                unreachable!("{frame}: room for more than there are")
            }
            Event::Protected(frame) => {
                self.protection.stay(frame);
                self.typed.insert(frame);
                self.wanted.insert(frame);
            }
            Event::Released(frame) => {
                if self.wanted.remove(&frame) {
                    self.protection.leave(frame);
                    self.change_back();
                }
            }
            Event::Settled => {
                let empty = |vcpu: &u32| {
                    matches!(self.vcpus[*vcpu as usize], Vcpu::Runs | Vcpu::Repeats(_))
                };
                let over: Vec<u32> = self
                    .protection
                    .in_the_way(&self.underway)
                    .filter(empty)
                    .collect();
                if !over.is_empty() {
                    (0..VCPUS).for_each(|vcpu| self.repeat(vcpu));
                }
                for vcpu in over {
                    self.underway.begins(vcpu, None);
                }
                self.change_back();
            }
        }
    }
}

proptest! {
    #[test]
    fn an_access_that_is_repeated_finds_its_page_protected_and_in_the_end_none_is_that_need_not(
        events in prop::collection::vec(event(), 0..200),
    ) {
        let mut bed = Bed {
            protection: Protection::new(),
            underway: Underway::new(VCPUS as u32),
            vcpus: [Vcpu::Runs; VCPUS],
            typed: BTreeSet::new(),
            wanted: BTreeSet::new(),
            flagged: [false; VCPUS],
            refused: false,
        };
        for event in events {
            bed.happens(event);
        }
        for vcpu in 0..VCPUS {
            bed.happens(Event::Served(vcpu));
            bed.happens(Event::Taken(vcpu));
        }
        // All are through with their instructions, and those that report are answered.
        for vcpu in 0..VCPUS {
            bed.happens(Event::Repeated(vcpu));
        }
        for vcpu in 0..VCPUS {
            if bed.vcpus[vcpu] == Vcpu::Reports {
                bed.happens(Event::Served(vcpu));
            }
        }
        bed.happens(Event::Settled);
        prop_assert!(!bed.protection.waits());
        prop_assert_eq!(bed.typed, bed.wanted);
    }
}
