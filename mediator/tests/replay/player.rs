//! Plays a trace to a fresh mediator over a fresh software GPU, and compares everything.
//!
//! The world around it is as the trace tells: guests whose memory appears when it is named, a
//! clock that stands still between two calls, requests that are refused when they were.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use gpu::model::Model;
use gpu::ram::Ram;
use gpu::{DmaAddress, DmaFault, DmaPage, Owner, PAGE_SIZE, Progress};
use mediator::{Clock, DomainId, GuestFrame, Guests, Mediator, PageError, Window};
use trace::{Names, Reader, Record, Request, TraceError, hash};

/// Pages of the replay's machine; only those written to take memory.
const PAGES: usize = 1 << 17;
/// Entries that map one MiB.
const ENTRIES_PER_MIB: u32 = 256;

/// Where a replay differs from what was recorded.
#[derive(Debug)]
pub struct Difference {
    /// Number of the record, from 0.
    pub index: usize,
    /// What was done, and what was wrong with it.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}: {}", self.index, self.what)
    }
}

/// What was compared.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Played {
    /// In whose words.
    pub label: String,
    /// Accesses, all of them answered alike.
    pub accesses: u64,
    /// Rounds of service.
    pub rounds: u64,
    /// Interrupt messages.
    pub messages: u64,
    /// Pages of guest memory that ended alike.
    pub pages: u64,
    /// Whether the recording was ended, not cut off.
    pub complete: bool,
    /// What no driver does that we support: registers without a row, violations, breaches.
    pub offences: Vec<String>,
}

/// Plays it to its end.
pub fn play(trace: &[u8]) -> Result<Played, Difference> {
    let unreadable = |index, error: TraceError| Difference {
        index,
        what: format!("the trace {error}"),
    };
    let (header, records) = Reader::new(trace).map_err(|error| unreadable(0, error))?;
    let ram = Ram::new(PAGES);
    let clock = StandingClock(Rc::new(Cell::new(header.start)));
    let gpu = Model::new(ram.clone(), header.gtt_mib * ENTRIES_PER_MIB);
    let mediator = Mediator::new(gpu, Told::new(ram), clock.clone());
    let mediator = mediator.map_err(|error| Difference {
        index: 0,
        what: error.to_string(),
    })?;
    let mut player = Player {
        mediator,
        clock,
        names: Names::default(),
        expected: Vec::new(),
        played: Played {
            label: header.label.to_string(),
            ..Played::default()
        },
    };
    for (index, record) in records.enumerate() {
        let record = record.map_err(|error| unreadable(index, error))?;
        player.names.note(&record);
        player.record(&record).map_err(|what| Difference {
            index,
            what: format!("{}: {what}", player.names.line(&record)),
        })?;
    }
    Ok(player.played)
}

struct Player {
    mediator: Mediator<Model<Ram>, Told, StandingClock>,
    clock: StandingClock,
    names: Names,
    /// What the next call must send.
    expected: Vec<Record>,
    played: Played,
}

impl Player {
    fn record(&mut self, record: &Record) -> Result<(), String> {
        match *record {
            Record::Time(now) => self.clock.0.set(now),
            Record::Memory {
                domain,
                frame,
                first,
                count,
                value,
                step,
            } => {
                let page = self.world().page(domain, frame);
                for place in 0..u64::from(count) {
                    let value = value.wrapping_add(step.wrapping_mul(place));
                    let at = DmaAddress(page.at(0).0 + (u64::from(first) + place) * 8);
                    let inside = at.page() == page;
                    let written = self.world().ram.write(at, &value.to_le_bytes());
                    if !inside || written.is_err() {
                        return Err("no such memory".to_owned());
                    }
                }
            }
            Record::Outcome {
                domain,
                request,
                result,
            } => match result {
                Ok(()) => drop(self.world().refused.remove(&(domain, request))),
                Err(error) => drop(self.world().refused.insert((domain, request), error)),
            },
            Record::Generation { domain, generation } => {
                self.world().generations.insert(domain, generation);
            }
            Record::Message { .. } | Record::Window { .. } => self.expected.push(*record),
            Record::Added {
                domain,
                config,
                accepted,
            } => {
                let got = self.mediator.domain_added(domain, config);
                if got.is_ok() != accepted {
                    return Err(format!("now {got:?}"));
                }
                self.sent()?;
            }
            Record::Removed(domain) => {
                self.judge();
                self.mediator.domain_removed(domain);
                self.sent()?;
            }
            Record::Settled(domain) => {
                self.mediator.access_settled(domain);
                self.sent()?;
            }
            Record::Access {
                domain,
                access,
                answer,
                repeat,
            } => {
                for element in 0..repeat.count {
                    let (access, wanted) = repeat.element(access, answer, element);
                    let got = self.mediator.access(domain, access);
                    if got != wanted {
                        let place = self.names.place(domain, access.space);
                        return Err(format!("{place} wanted {wanted:#x}, got {got:#x}"));
                    }
                    self.sent()?;
                    self.played.accesses += 1;
                }
            }
            Record::Service { busy } => {
                let got = self.mediator.service();
                if (got == Progress::Busy) != busy {
                    return Err(format!("now {got:?}"));
                }
                self.sent()?;
                self.played.rounds += 1;
            }
            Record::Page {
                domain,
                frame,
                hash: wanted,
            } => {
                let page = self.world().page(domain, frame);
                let mut bytes = [0; PAGE_SIZE as usize];
                let read = self.world().ram.read(page.at(0), &mut bytes);
                let got = hash(&bytes);
                if read.is_err() || got != wanted {
                    return Err(format!("now {got:#010x}"));
                }
                self.played.pages += 1;
            }
            Record::End { complete } => {
                self.judge();
                self.played.complete = complete;
            }
        }
        Ok(())
    }

    fn world(&mut self) -> &mut Told {
        &mut self.mediator.host_mut().guests
    }

    /// The call sent what it sent when it was recorded.
    fn sent(&mut self) -> Result<(), String> {
        let sent = std::mem::take(&mut self.world().sent);
        let expected = std::mem::take(&mut self.expected);
        if sent != expected {
            return Err(format!("wanted to see {expected:x?}, saw {sent:x?}"));
        }
        let messages = sent
            .iter()
            .filter(|record| matches!(record, Record::Message { .. }));
        self.played.messages += messages.count() as u64;
        Ok(())
    }

    /// Before vGPUs go away: whether any of them, or the GPU, did what must not happen.
    fn judge(&mut self) {
        let offences = &mut self.played.offences;
        let gpu = &self.mediator.host().gpu;
        if let Some(breach) = gpu.last_breach() {
            offences.push(format!("{} breaches, the last: {breach}", gpu.breaches()));
        }
        for vgpu in self.mediator.vgpus() {
            let (domain, counters) = (vgpu.domain(), vgpu.counters());
            if counters.violations != 0 {
                offences.push(format!("{domain}: {} violations", counters.violations));
            }
            if counters.untracked != 0 {
                let first = counters.first_untracked();
                let count = counters.untracked;
                offences.push(format!(
                    "{domain}: {count} without a row, first {first:#x?}"
                ));
            }
        }
    }
}

/// A clock that says what the trace says.
#[derive(Clone)]
struct StandingClock(Rc<Cell<u64>>);

impl Clock for StandingClock {
    fn now(&self) -> u64 {
        self.0.get()
    }
}

/// A hypervisor that does what the trace says.
struct Told {
    ram: Ram,
    /// Page and pins of every frame that was named.
    frames: BTreeMap<(DomainId, u64), (DmaPage, u32)>,
    refused: BTreeMap<(DomainId, Request), PageError>,
    generations: BTreeMap<DomainId, u32>,
    sent: Vec<Record>,
}

impl Told {
    fn new(ram: Ram) -> Self {
        Self {
            ram,
            frames: BTreeMap::new(),
            refused: BTreeMap::new(),
            generations: BTreeMap::new(),
            sent: Vec::new(),
        }
    }

    fn page(&mut self, domain: DomainId, frame: u64) -> DmaPage {
        let ram = &self.ram;
        let entry = self.frames.entry((domain, frame));
        let fresh = || (ram.allocate(Owner::Nobody).expect("a larger PAGES"), 0);
        entry.or_insert_with(fresh).0
    }

    fn answer(&self, domain: DomainId, request: Request) -> Result<(), PageError> {
        self.refused
            .get(&(domain, request))
            .map_or(Ok(()), |error| Err(*error))
    }
}

impl Guests for Told {
    fn pin(&mut self, domain: DomainId, frame: GuestFrame) -> Result<DmaPage, PageError> {
        self.answer(domain, Request::Pin(frame))?;
        let page = self.page(domain, frame.0);
        if let Some((_, pins)) = self.frames.get_mut(&(domain, frame.0)) {
            *pins += 1;
        }
        self.ram.set_owner(page, Owner::Guest(domain.0));
        Ok(page)
    }

    fn unpin(&mut self, domain: DomainId, frame: GuestFrame, page: DmaPage) {
        let (_, pins) = self
            .frames
            .get_mut(&(domain, frame.0))
            .expect("a page that was pinned");
        *pins = pins.checked_sub(1).expect("a page that is pinned");
        if *pins == 0 {
            self.ram.set_owner(page, Owner::Nobody);
        }
    }

    fn allocate(&mut self, domain: Option<DomainId>) -> Result<DmaPage, PageError> {
        self.answer(DomainId(0), Request::Allocate)?;
        let owner = domain.map_or(Owner::Host, |domain| Owner::HostFor(domain.0));
        self.ram.allocate(owner).ok_or(PageError::OutOfMemory)
    }

    fn hand_over(&mut self, page: DmaPage, domain: Option<DomainId>) {
        let owner = domain.map_or(Owner::Host, |domain| Owner::HostFor(domain.0));
        self.ram.set_owner(page, owner);
    }

    fn free(&mut self, page: DmaPage) {
        self.ram.release(page);
    }

    fn read(&self, address: DmaAddress, data: &mut [u8]) -> Result<(), DmaFault> {
        match gpu::Dma::owner(&self.ram, address.page()) {
            Owner::Nobody => Err(DmaFault(address)),
            _ => self.ram.read(address, data),
        }
    }

    fn write(&mut self, address: DmaAddress, data: &[u8]) -> Result<(), DmaFault> {
        match gpu::Dma::owner(&self.ram, address.page()) {
            Owner::Nobody => Err(DmaFault(address)),
            _ => self.ram.write(address, data),
        }
    }

    fn inject(&mut self, domain: DomainId, address: u64, data: u32) {
        self.sent.push(Record::Message {
            domain,
            address,
            data,
        });
    }

    fn trap(
        &mut self,
        domain: DomainId,
        window: Window,
        range: Option<(u64, u64)>,
    ) -> Result<(), PageError> {
        self.sent.push(Record::Window {
            domain,
            window,
            range,
        });
        self.answer(domain, Request::Trap(window == Window::Aperture))
    }

    fn write_protect(
        &mut self,
        domain: DomainId,
        frame: GuestFrame,
        _on: bool,
    ) -> Result<(), PageError> {
        self.answer(domain, Request::Protect(frame))
    }

    fn map_frames(
        &mut self,
        domain: DomainId,
        at: GuestFrame,
        _first: DmaPage,
        _count: u64,
        _on: bool,
    ) -> Result<(), PageError> {
        self.answer(domain, Request::Place(at))
    }

    fn open_page(
        &mut self,
        domain: DomainId,
        frame: GuestFrame,
        contents: &[u8; 4096],
    ) -> Result<DmaPage, PageError> {
        self.answer(domain, Request::Open(frame))?;
        let page = self.page(domain, frame.0);
        self.ram.set_owner(page, Owner::Guest(domain.0));
        let written = self.ram.write(page.at(0), contents);
        written.map(|()| page).map_err(|_| PageError::OutOfMemory)
    }

    fn close_page(
        &mut self,
        _: DomainId,
        _: GuestFrame,
        page: DmaPage,
        contents: &mut [u8; 4096],
    ) -> Result<(), DmaFault> {
        self.ram.set_owner(page, Owner::Nobody);
        self.ram.read(page.at(0), contents)
    }

    fn generation(&self, domain: DomainId) -> u32 {
        self.generations.get(&domain).copied().unwrap_or(0)
    }

    fn pins(&self, domain: DomainId) -> u32 {
        let frames = self
            .frames
            .iter()
            .filter(|((owner, _), _)| *owner == domain);
        frames.map(|(_, (_, pins))| pins).sum()
    }
}
