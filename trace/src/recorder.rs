//! From what crosses the boundary to records, in memory that was set aside before.
//!
//! Between [`Recorder::entered`] and [`Recorder::left`] everything concerns one call. A round of
//! service in which nothing outside was touched leaves no record: it changed nothing. A call that
//! does not fit any more ends the recording, and is left out.

use alloc::vec::Vec;

use arrayvec::{ArrayString, ArrayVec};
use gpu::{DmaAddress, DmaPage, Progress};
use mediator::{Access, Call, DomainId, GuestFrame, PageError, Space, Window};

use crate::code::{Bytes, LONGEST};
use crate::layout::TICK;
use crate::memory::{self, Full, Look, Memory};
use crate::record::{Header, Record, Repeat, Request};
use crate::writer::Encoder;

/// Least memory that is of any use, bytes.
const LEAST: usize = 64 << 10;
/// Requests that may be refused at the same time.
const REFUSALS: usize = 512;
/// Guests that come and go in one recording.
const GUESTS: usize = 32;
/// Fewest accesses in a row that are told as one.
const SHORTEST_RUN: u64 = 3;
/// Bytes kept free for the hash of each copied page.
const HASH_BYTES: usize = 24;

/// Accesses that follow a rule so far.
#[derive(Debug, Clone, Copy)]
struct Run {
    domain: DomainId,
    access: Access,
    answer: u64,
    repeat: Repeat,
}

/// Where records go.
struct Tape {
    log: Vec<u8>,
    limit: usize,
    full: bool,
    encoder: Encoder,
    run: Option<Run>,
}

/// A recording.
pub struct Recorder {
    tape: Tape,
    memory: Memory,
    header: Header,
    refused: Vec<(DomainId, Request, PageError)>,
    /// What was told of each guest that has one.
    generations: ArrayVec<(DomainId, u32), GUESTS>,
    /// Number of the present call, from 1.
    call: u64,
    /// Whether it touched anything outside.
    touched: bool,
    /// What the clock said in it.
    now: Option<u64>,
    /// What the clock said last, as far as it was told.
    told: u64,
    /// Bytes of the log when the present call began.
    whole: usize,
    ended: bool,
}

impl Recorder {
    /// Sets memory aside: half for copies of guest pages, a quarter each for their numbers and for
    /// the log. None if there is not so much, or it is too little.
    pub fn new(bytes: usize, gtt_mib: u32, now: u64) -> Option<Self> {
        let bytes = Some(bytes).filter(|bytes| *bytes >= LEAST)?;
        let copies = bytes / 2 / memory::SIZE;
        let mut log = Vec::new();
        log.try_reserve_exact(bytes / 4).ok()?;
        let limit = log.capacity().checked_sub(copies * HASH_BYTES + LONGEST)?;
        let mut refused = Vec::new();
        refused.try_reserve_exact(REFUSALS).ok()?;
        let start = now / TICK * TICK;
        Some(Self {
            tape: Tape {
                log,
                limit,
                full: false,
                encoder: Encoder::default(),
                run: None,
            },
            memory: Memory::new(bytes / 4 / 32, copies)?,
            header: Header {
                gtt_mib,
                start,
                label: ArrayString::new(),
            },
            refused,
            generations: ArrayVec::new(),
            call: 0,
            touched: false,
            now: None,
            told: start,
            whole: 0,
            ended: false,
        })
    }

    /// A call into the mediator begins.
    pub fn entered(&mut self) {
        self.call += 1;
        self.whole = self.tape.log.len();
        self.touched = false;
        self.now = None;
    }

    /// It ended. False if there is no room for more.
    pub fn left(&mut self, call: Call) -> bool {
        let quiet = matches!(call, Call::Service(_)) && !self.touched;
        if !quiet {
            if let Some(now) = self.now.filter(|now| *now != self.told) {
                self.told = now;
                self.tape.record(&Record::Time(now));
            }
            match call {
                Call::Access {
                    domain,
                    access,
                    answer,
                } => self.tape.access(domain, access, answer),
                Call::Service(progress) => self.tape.record(&Record::Service {
                    busy: progress == Progress::Busy,
                }),
                Call::Added {
                    domain,
                    config,
                    accepted,
                } => self.tape.record(&Record::Added {
                    domain,
                    config,
                    accepted,
                }),
                Call::Settled(domain) => self.tape.record(&Record::Settled(domain)),
                Call::Removed(domain) => self.tape.record(&Record::Removed(domain)),
            }
        }
        if self.tape.full {
            self.tape.log.truncate(self.whole);
            self.tape.run = None;
            return false;
        }
        true
    }

    /// The clock is read: what the mediator is told, in whole ticks of a microsecond.
    pub fn clock(&mut self, now: u64) -> u64 {
        let now = now / TICK * TICK;
        self.now = Some(now);
        now
    }

    /// Something outside was touched that needs no telling.
    pub fn touch(&mut self) {
        self.touched = true;
    }

    /// A pin was answered.
    pub fn pinned(
        &mut self,
        domain: DomainId,
        frame: GuestFrame,
        answer: Result<DmaPage, PageError>,
    ) {
        self.asked(domain, Request::Pin(frame), answer.map(drop));
        if let Ok(page) = answer {
            let known = self.memory.pinned(domain, frame.0, page);
            self.tape.full |= known.is_err();
        }
    }

    /// Another request was answered.
    pub fn asked(&mut self, domain: DomainId, request: Request, result: Result<(), PageError>) {
        self.touched = true;
        let known =
            |refused: &(DomainId, Request, PageError)| (refused.0, refused.1) == (domain, request);
        let place = self.refused.iter().position(known);
        let before = place.map(|place| self.refused.swap_remove(place).2);
        if let Err(error) = result {
            let entry = (domain, request, error);
            if self.refused.len() < REFUSALS {
                self.refused.push(entry);
            } else {
                self.tape.full = true;
            }
        }
        if before == result.err() {
            return;
        }
        self.tape.record(&Record::Outcome {
            domain,
            request,
            result,
        });
    }

    /// How often a guest's frames may have become other pages.
    pub fn generation(&mut self, domain: DomainId, generation: u32) {
        let known = self.generations.iter_mut().find(|known| known.0 == domain);
        match known {
            Some(known) if known.1 == generation => return,
            Some(known) => known.1 = generation,
            None if generation == 0 => return,
            None => {
                let entry = (domain, generation);
                self.tape.full |= self.generations.try_push(entry).is_err();
            }
        }
        self.touched = true;
        self.tape.record(&Record::Generation { domain, generation });
    }

    /// Memory of the guest's own was put at a frame, which the replay does as well.
    pub fn opened(
        &mut self,
        domain: DomainId,
        frame: GuestFrame,
        answer: Result<DmaPage, PageError>,
        contents: &[u8; memory::SIZE],
    ) {
        self.asked(domain, Request::Open(frame), answer.map(drop));
        let Ok(page) = answer else { return };
        let mut fill = |bytes: &mut [u8; memory::SIZE]| {
            *bytes = *contents;
            true
        };
        let known = self.memory.pinned(domain, frame.0, page);
        let copy = known.and_then(|()| {
            self.memory
                .touch(page, self.call, &mut fill, &mut |_, _, _| ())
        });
        match copy {
            Ok(Some(copy)) => {
                if let Some(bytes) = self.memory.bytes(copy, 0, memory::SIZE) {
                    bytes.copy_from_slice(contents);
                }
            }
            Ok(None) => {}
            Err(Full) => self.tape.full = true,
        }
    }

    /// It was taken away, with these contents.
    pub fn closed(&mut self, page: DmaPage, contents: &[u8; memory::SIZE]) {
        self.touched = true;
        // Opened in the same call, and written since: the replay has no moment for that.
        self.tape.full |= self.memory.is_current(page, self.call);
        self.guest_page(page, &mut |bytes| {
            *bytes = *contents;
            true
        });
        self.memory.gone(page);
    }

    /// A message was sent.
    pub fn message(&mut self, domain: DomainId, address: u64, data: u32) {
        self.touched = true;
        self.tape.record(&Record::Message {
            domain,
            address,
            data,
        });
    }

    /// Routing of a window was asked for.
    pub fn window(
        &mut self,
        domain: DomainId,
        window: Window,
        range: Option<(u64, u64)>,
        result: Result<(), PageError>,
    ) {
        self.asked(domain, Request::Trap(window == Window::Aperture), result);
        self.tape.record(&Record::Window {
            domain,
            window,
            range,
        });
    }

    /// `data` was read; if it is guest memory it becomes what the replay will read. `look` copies
    /// the page out.
    pub fn read(&mut self, address: DmaAddress, data: &mut [u8], look: &mut Look<'_>) {
        if let Some(copy) = self.guest_page(address.page(), look)
            && let Some(bytes) = self.memory.bytes(copy, address.offset(), data.len())
        {
            data.copy_from_slice(bytes);
        }
    }

    /// Something will be written there.
    pub fn before_write(&mut self, page: DmaPage, look: &mut Look<'_>) {
        self.touched = true;
        self.guest_page(page, look);
    }

    /// It was written.
    pub fn written(&mut self, address: DmaAddress, data: &[u8]) {
        if let Some(copy) = self.guest_page(address.page(), &mut |_| false)
            && let Some(bytes) = self.memory.bytes(copy, address.offset(), data.len())
        {
            bytes.copy_from_slice(data);
        }
    }

    /// The copy of a page of a guest, brought up to date at the first touch in each call.
    fn guest_page(&mut self, page: DmaPage, look: &mut Look<'_>) -> Option<usize> {
        let Self {
            tape, memory, call, ..
        } = self;
        let copy = memory.touch(page, *call, look, &mut |domain, frame, difference| {
            tape.record(&Record::Memory {
                domain,
                frame,
                first: difference.first,
                count: difference.count,
                value: difference.value,
                step: difference.step,
            });
        });
        let copy = copy.unwrap_or_else(|Full| {
            tape.full = true;
            None
        });
        self.touched |= copy.is_some();
        copy
    }

    /// Ends the recording, under a name; a second time only the name is changed.
    pub fn finish(&mut self, label: &str) {
        self.header.label.clear();
        // It becomes a file's name.
        let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let characters = label.chars().filter(plain);
        for character in characters {
            // What is longer is cut.
            if self.header.label.try_push(character).is_err() {
                break;
            }
        }
        if core::mem::replace(&mut self.ended, true) {
            return;
        }
        self.tape.flush();
        let complete = !self.tape.full;
        // The room for these was kept.
        self.tape.limit = self.tape.log.capacity();
        self.tape.full = false;
        if complete {
            for (domain, frame, bytes) in self.memory.contents() {
                let hash = memory::hash(bytes);
                self.tape.record(&Record::Page {
                    domain,
                    frame,
                    hash,
                });
            }
        }
        self.tape.record(&Record::End { complete });
    }

    /// Whether [`Recorder::finish`] was called.
    pub fn is_finished(&self) -> bool {
        self.ended
    }

    /// The first bytes of the trace; [`Recorder::log`] are the others.
    pub fn header(&self) -> Bytes {
        Encoder::header(&self.header)
    }

    /// The records.
    pub fn log(&self) -> &[u8] {
        &self.tape.log
    }

    /// What the recording is called.
    pub fn label(&self) -> &str {
        &self.header.label
    }

    /// One line for the person at the console.
    pub fn status(&self, out: &mut dyn core::fmt::Write) -> core::fmt::Result {
        let (copies, room) = self.memory.copies();
        let state = match (self.ended, self.tape.full) {
            (true, _) => "ended",
            (false, true) => "full",
            (false, false) => "recording",
        };
        writeln!(
            out,
            "trace: {state}, {} of {} bytes, {} calls, {copies} of {room} guest pages",
            self.tape.log.len(),
            self.tape.limit,
            self.call,
        )
    }
}

impl Tape {
    fn record(&mut self, record: &Record) {
        self.flush();
        self.append(record);
    }

    fn append(&mut self, record: &Record) {
        if self.full {
            return;
        }
        let bytes = self.encoder.record(record);
        if self.log.len() + bytes.len() > self.limit {
            self.full = true;
        } else {
            self.log.extend_from_slice(&bytes);
        }
    }

    /// Adds an access to the present run, or begins another one.
    fn access(&mut self, domain: DomainId, access: Access, answer: u64) {
        if let Some(run) = &mut self.run
            && run.take(domain, access, answer)
        {
            return;
        }
        self.flush();
        self.run = Some(Run {
            domain,
            access,
            answer,
            repeat: Repeat::ONCE,
        });
    }

    /// Writes the present run.
    fn flush(&mut self) {
        let Some(run) = self.run.take() else { return };
        if run.repeat.count >= SHORTEST_RUN {
            return self.append(&run.record());
        }
        for element in 0..run.repeat.count {
            let (access, answer) = run.repeat.element(run.access, run.answer, element);
            let single = Run {
                access,
                answer,
                repeat: Repeat::ONCE,
                ..run
            };
            self.append(&single.record());
        }
    }
}

impl Run {
    fn record(&self) -> Record {
        Record::Access {
            domain: self.domain,
            access: self.access,
            answer: self.answer,
            repeat: self.repeat,
        }
    }

    /// Whether the access continues the run; if so it is part of it.
    fn take(&mut self, domain: DomainId, access: Access, answer: u64) -> bool {
        let alike = (domain, access.size, access.write.is_some())
            == (self.domain, self.access.size, self.access.write.is_some());
        let distance = match (self.access.space, access.space) {
            (Space::Config(first), Space::Config(next)) => {
                u64::from(next).wrapping_sub(first.into())
            }
            (Space::Memory(first), Space::Memory(next)) => next.wrapping_sub(first),
            _ => return false,
        };
        if !alike {
            return false;
        }
        let told = |access: Access, answer| access.write.unwrap_or(answer);
        let change = told(access, answer).wrapping_sub(told(self.access, self.answer));
        if self.repeat.count == 1 {
            // One register again, or a neighbour.
            if ![0, 4, 8].contains(&(distance as i64).unsigned_abs()) {
                return false;
            }
            (self.repeat.address, self.repeat.value) = (distance, change);
        } else if distance != self.repeat.address.wrapping_mul(self.repeat.count)
            || change != self.repeat.value.wrapping_mul(self.repeat.count)
        {
            return false;
        }
        self.repeat.count += 1;
        true
    }
}

impl Repeat {
    /// Access number `element` of those that begin with this one.
    pub fn element(&self, access: Access, answer: u64, element: u64) -> (Access, u64) {
        let beyond = self.address.wrapping_mul(element);
        let space = match access.space {
            Space::Config(offset) => Space::Config(offset.wrapping_add(beyond as u16)),
            Space::Memory(address) => Space::Memory(address.wrapping_add(beyond)),
        };
        let change = self.value.wrapping_mul(element);
        let write = access.write.map(|value| value.wrapping_add(change));
        let answer = match write {
            Some(_) => answer,
            None => answer.wrapping_add(change),
        };
        let size = access.size;
        (Access { space, size, write }, answer)
    }
}
