//! Recordings made here, of loopback guests and of random ones, replay exactly.

use gpu::model::Model;
use gpu::ram::Ram;
use gpu::spec::registers::{GFX_FLSH_CNTL, GTT_BASE};
use gpu::{DmaPage, Progress};
use mediator::{Access, DomainId, GuestFrame, Mediator, Space};
use proptest::prelude::*;
use trace::{Reader, Record, Recorder, Tape, Taped};

use crate::common::{BAR0, BAR2, MESSAGE, SMALL, Simulated, VirtualClock};
use crate::memory::PAGES;
use crate::player::play;
use crate::program::{Guest, Outcome};

const GTT_MIB: u32 = 512;
const RECTANGLES: u32 = 12;

/// A mediator whose boundary is recorded.
struct Machine {
    mediator: Mediator<Model<Taped<Ram>>, Taped<Simulated>, Taped<VirtualClock>>,
    tape: Tape,
    clock: VirtualClock,
}

impl Machine {
    fn new(memory: usize) -> Self {
        let (tape, ram, clock) = (Tape::default(), Ram::new(1 << 15), VirtualClock::default());
        clock.advance(123_456_789);
        let recorder = Recorder::new(memory, GTT_MIB, mediator::Clock::now(&clock));
        tape.start(recorder.expect("there is memory"));
        let mediator = Mediator::new(
            Model::new(tape.around(ram.clone()), GTT_MIB * 256),
            tape.around(Simulated::new(ram)),
            tape.around(clock.clone()),
        );
        Self {
            mediator: mediator.expect("starts"),
            tape,
            clock,
        }
    }

    fn guest(&mut self, number: u16, frames: u64) -> DomainId {
        let domain = DomainId(number);
        self.mediator.host_mut().guests.add(domain, frames);
        self.mediator.domain_added(domain, SMALL).expect("fits");
        domain
    }

    fn page(&mut self, domain: DomainId, frame: u64) -> DmaPage {
        let guest = self.mediator.host_mut().guests.get(domain);
        guest.page(GuestFrame(frame)).expect("guest RAM")
    }

    /// What a guest's CPU does: where memory is open it writes there, else the access arrives.
    fn access(&mut self, domain: DomainId, space: Space, size: u8, write: Option<u64>) {
        let place = match space {
            Space::Memory(address) => Some((GuestFrame(address / 4096), address % 4096)),
            Space::Config(_) => None,
        };
        let services = &mut self.mediator.host_mut().guests;
        let ram = services.ram().clone();
        let guest = services.get(domain);
        if let (Some((frame, offset)), Some(value)) = (place, write)
            && let Some(page) = guest.opened(frame)
        {
            let length = usize::from(size).min(8).min((4096 - offset) as usize);
            let written = ram.write(page.at(offset), &value.to_le_bytes()[..length]);
            return written.expect("RAM");
        }
        guest.under_way = place.map(|(frame, _)| frame);
        self.mediator.access(domain, Access { space, size, write });
        let guest = self.mediator.host_mut().guests.get(domain);
        guest.under_way = None;
        if std::mem::take(&mut guest.awaited) {
            self.mediator.access_settled(domain);
        }
    }

    fn service(&mut self) -> Progress {
        self.clock.advance(777);
        self.mediator.service()
    }

    fn trace(&self, label: &str) -> Vec<u8> {
        self.tape.finish(label);
        let bytes = self.tape.with(|recorder| {
            let header = recorder.header();
            header.iter().chain(recorder.log()).copied().collect()
        });
        bytes.expect("a recorder")
    }
}

/// What firmware does with the function.
fn boot(machine: &mut Machine, domain: DomainId) {
    let writes = [
        (0x10, BAR0),
        (0x14, 0),
        (0x18, BAR2),
        (0x1c, 0),
        (0xb0, MESSAGE.0),
        (0xb4, MESSAGE.1.into()),
        (0xac, 1 << 16),
        (0x04, 6),
    ];
    for (offset, value) in writes {
        machine.access(domain, Space::Config(offset), 4, Some(value));
    }
}

#[test]
fn two_loopback_guests_replay_exactly() {
    let mut machine = Machine::new(4 << 20);
    let mut guests: Vec<Guest> = (0..2)
        .map(|number| {
            let domain = machine.guest(0x7f00 + number, PAGES as u64);
            let pages = std::array::from_fn(|frame| machine.page(domain, frame as u64));
            Guest::new(domain, pages, RECTANGLES)
        })
        .collect();
    for _ in 0..100_000 {
        machine.service();
        for guest in &mut guests {
            let domain = guest.domain();
            let services = &mut machine.mediator.host_mut().guests;
            let messages = services.get(domain).messages.len() as u64;
            guest.step(&mut machine.mediator, messages);
        }
        if guests
            .iter()
            .all(|guest| guest.outcome() != Outcome::Running)
        {
            break;
        }
    }
    for guest in &guests {
        assert_eq!(
            (guest.outcome(), guest.drawn()),
            (Outcome::Done, RECTANGLES)
        );
    }
    machine.mediator.domain_removed(DomainId(0x7f00));
    let trace = machine.trace("two-guests");
    let played = play(&trace).unwrap_or_else(|difference| panic!("{difference}"));
    assert!(played.complete && played.label == "two-guests");
    assert!(played.offences.is_empty(), "{played:?}");
    assert!(
        played.messages >= 2 * u64::from(RECTANGLES) && played.pages > 20,
        "{played:?}"
    );
    assert!(trace.len() < 40_000, "{} bytes for {played:?}", trace.len());
}

/// Writes all entries of the low part, one after another; how many, the trace, and how long it was
/// before.
fn fill_entries(open_pages: bool) -> (u32, Vec<u8>, usize) {
    let mut machine = Machine::new(1 << 20);
    let domain = machine.guest(5, 8);
    if !open_pages {
        let services = &mut machine.mediator.host_mut().guests;
        services.get(domain).spare.clear();
    }
    boot(&mut machine, domain);
    let [first, _] = machine
        .mediator
        .vgpus()
        .next()
        .expect("one")
        .graphics_memory();
    let before = machine
        .tape
        .with(|recorder| recorder.log().len())
        .expect("a recorder");
    for index in 0..first.1 {
        let entry = BAR0 + u64::from(GTT_BASE) + u64::from(first.0.0 + index) * 8;
        machine.access(domain, Space::Memory(entry), 8, Some(0x3001));
        machine.service();
    }
    let flush = BAR0 + u64::from(GFX_FLSH_CNTL);
    machine.access(domain, Space::Memory(flush), 4, Some(1));
    assert!(first.1 >= 512, "{first:?}");
    (first.1, machine.trace("gtt"), before)
}

#[test]
fn entries_written_one_after_another_are_one_record() {
    let (count, trace, before) = fill_entries(false);
    let (_, records) = Reader::new(&trace).expect("a trace");
    let runs = records.filter_map(|record| match record {
        Ok(Record::Access { repeat, .. }) => Some(repeat.count),
        _ => None,
    });
    // But for the first few: behind them memory for the others is refused once.
    assert!(runs.max() > Some(u64::from(count) - 16));
    assert!(trace.len() < before + 100, "{} bytes", trace.len());
    play(&trace).unwrap_or_else(|difference| panic!("{difference}"));
}

#[test]
fn entries_written_to_open_pages_are_told_when_those_close() {
    let (count, trace, before) = fill_entries(true);
    let (_, records) = Reader::new(&trace).expect("a trace");
    let told = records.map(|record| match record.expect("a record") {
        Record::Memory {
            count,
            value: 0x3001,
            step: 0,
            ..
        } => u32::from(count),
        _ => 0,
    });
    assert!(told.sum::<u32>() > count - 32);
    assert!(trace.len() < before + 400, "{} bytes", trace.len());
    play(&trace).unwrap_or_else(|difference| panic!("{difference}"));
}

#[test]
fn a_full_log_ends_at_a_whole_call_and_what_is_there_replays() {
    let mut machine = Machine::new(64 << 10);
    let domain = machine.guest(5, 8);
    boot(&mut machine, domain);
    for number in 0..20_000u64 {
        let fence = BAR0 + 0x10_0000 + number * 8 % 16;
        machine.access(
            domain,
            Space::Memory(fence),
            8,
            Some((number * number) << 32),
        );
    }
    let trace = machine.trace("full");
    let played = play(&trace).unwrap_or_else(|difference| panic!("{difference}"));
    assert!(!played.complete);
    assert!((1_000..20_000).contains(&played.accesses), "{played:?}");
    let status = machine.tape.with(|recorder| {
        let mut text = String::new();
        recorder.status(&mut text).map(|()| text)
    });
    assert!(status.expect("a recorder").expect("text").contains("calls"));
}

#[derive(Debug, Clone)]
enum Step {
    Register {
        row: usize,
        write: Option<u32>,
    },
    Entries {
        index: u32,
        count: u32,
        value: u64,
    },
    Aperture {
        offset: u64,
        write: Option<u64>,
    },
    Poke {
        frame: u64,
        offset: u64,
        value: u64,
    },
    Balloon {
        frame: u64,
    },
    Odd {
        address: u64,
        size: u8,
        write: Option<u64>,
    },
    Service,
    Removed,
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop::option::of(any::<u64>());
    prop_oneof![
        8 => (any::<usize>(), prop::option::of(any::<u32>()))
            .prop_map(|(row, write)| Step::Register { row, write }),
        8 => (0u32..600, prop_oneof![Just(1u32), 1u32..700], 0u64..70)
            .prop_map(|(index, count, frame)| Step::Entries { index, count, value: frame << 12 | 1 }),
        8 => (0u64..0x20_0000, value.clone())
            .prop_map(|(offset, write)| Step::Aperture { offset, write }),
        4 => (0u64..64, 0u64..512, any::<u64>())
            .prop_map(|(frame, qword, value)| Step::Poke { frame, offset: qword * 8, value }),
        1 => (0u64..64).prop_map(|frame| Step::Balloon { frame }),
        2 => (0u64..0x1800_0000, 1u8..=8, value)
            .prop_map(|(address, size, write)| Step::Odd { address: BAR0 + address, size, write }),
        4 => Just(Step::Service),
        1 => Just(Step::Removed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_drivers_replay_exactly(steps in prop::collection::vec(step(), 1..200)) {
        let mut machine = Machine::new(2 << 20);
        let domain = machine.guest(5, 64);
        boot(&mut machine, domain);
        let [(low, _), _] = machine.mediator.vgpus().next().expect("one").graphics_memory();
        for step in steps {
            match step {
                Step::Register { row, write } => {
                    let rows = &gpu::spec::registers::REGISTERS;
                    let offset = rows[row % rows.len()].offset;
                    let space = Space::Memory(BAR0 + u64::from(offset));
                    machine.access(domain, space, 4, write.map(u64::from));
                }
                Step::Entries { index, count, value } => {
                    for index in index..index + count {
                        let at = u64::from(GTT_BASE) + u64::from(low.0 + index) * 8;
                        machine.access(domain, Space::Memory(BAR0 + at), 8, Some(value));
                    }
                }
                Step::Aperture { offset, write } => {
                    let at = BAR2 + u64::from(low.0) * 4096 + offset;
                    machine.access(domain, Space::Memory(at), 8, write);
                }
                Step::Poke { frame, offset, value } => {
                    let guest = machine.mediator.host_mut().guests.get(domain).page(GuestFrame(frame));
                    if let Some(page) = guest {
                        let ram = machine.mediator.host_mut().guests.ram().clone();
                        ram.write(page.at(offset), &value.to_le_bytes()).expect("RAM");
                    }
                }
                Step::Balloon { frame } => {
                    let guests = &mut machine.mediator.host_mut().guests;
                    guests.get(domain).balloon_out(GuestFrame(frame));
                }
                Step::Odd { address, size, write } => {
                    machine.access(domain, Space::Memory(address), size, write);
                }
                Step::Service => drop(machine.service()),
                Step::Removed => {
                    machine.mediator.domain_removed(domain);
                    machine.mediator.domain_added(domain, SMALL).expect("fits again");
                    boot(&mut machine, domain);
                }
            }
        }
        let trace = machine.trace("random");
        let difference = play(&trace).err().map(|difference| difference.to_string());
        prop_assert_eq!(difference, None);
    }
}
