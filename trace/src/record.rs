//! One record, to bytes and back. The layout is in docs/trace.md.
//!
//! Encoder and reader keep the same [`State`], so that a record tells only what is new: how far
//! from the last address, which frame after the last, a domain when it is another one.

use arrayvec::ArrayString;
use mediator::{Access, Display, DomainId, GuestFrame, PageError, Space, VgpuConfig, Window};

use crate::code::{Bytes, Source};

/// First bytes of a trace.
const MAGIC: &[u8; 4] = b"GSDT";
/// Version of the layout.
const VERSION: u8 = 1;
/// Longest label, bytes.
const LABEL: usize = 48;

/// What a trace begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// MiB that the global GTT maps.
    pub gtt_mib: u32,
    /// The clock when the mediator was started, nanoseconds.
    pub start: u64,
    /// Whose driver this is, in the words of whoever recorded it.
    pub label: ArrayString<LABEL>,
}

/// How often an access came in a row, and what each adds to the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// At least 1.
    pub count: u64,
    /// Bytes.
    pub address: u64,
    /// To what is written, or to the answer.
    pub value: u64,
}

impl Repeat {
    /// An access that came once.
    pub const ONCE: Self = Self {
        count: 1,
        address: 0,
        value: 0,
    };
}

/// What the mediator asked the outside world for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// A pin of a guest's frame.
    Pin(GuestFrame),
    /// A page of the service domain.
    Allocate,
    /// Routing of BAR0, or of BAR2.
    Trap(bool),
    /// Write protection of a guest's frame.
    Protect(GuestFrame),
    /// A real aperture at a guest's frame.
    Place(GuestFrame),
    /// Memory at a trapped frame.
    Open(GuestFrame),
}

/// One thing that crossed the boundary. Those that are no calls concern the call that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// The clock said this.
    Time(u64),
    /// Guest memory held these `count` qwords from qword `first` of a frame: `value`, and `step`
    /// more each.
    Memory {
        /// Whose.
        domain: DomainId,
        /// Which frame.
        frame: u64,
        /// Which qword of it.
        first: u16,
        /// How many.
        count: u16,
        /// The first.
        value: u64,
        /// Added to each next one.
        step: u64,
    },
    /// From now on such requests are refused, or met again. Until told otherwise they are met.
    Outcome {
        /// For whom.
        domain: DomainId,
        /// What.
        request: Request,
        /// With what result.
        result: Result<(), PageError>,
    },
    /// [`Guests::generation`](mediator::Guests::generation) is this from now on; 0 before.
    Generation {
        /// Whose.
        domain: DomainId,
        /// Its number.
        generation: u32,
    },
    /// A message-signalled interrupt was sent.
    Message {
        /// To whom.
        domain: DomainId,
        /// Where.
        address: u64,
        /// What.
        data: u32,
    },
    /// A window was routed here, or no more.
    Window {
        /// Whose.
        domain: DomainId,
        /// Which.
        window: Window,
        /// First byte and size.
        range: Option<(u64, u64)>,
    },
    /// Call: a guest was given a vGPU.
    Added {
        /// Who.
        domain: DomainId,
        /// Of what size.
        config: VgpuConfig,
        /// Whether the mediator could.
        accepted: bool,
    },
    /// Call: a vGPU was taken away.
    Removed(DomainId),
    /// Call: an access is over.
    Settled(DomainId),
    /// Call: accesses.
    Access {
        /// Whose.
        domain: DomainId,
        /// The first.
        access: Access,
        /// What it was answered; a write is answered 0.
        answer: u64,
        /// The others.
        repeat: Repeat,
    },
    /// Call: a round that did something; whether more is left.
    Service {
        /// The mediator said so.
        busy: bool,
    },
    /// At the end a frame holds bytes with this [`hash`](crate::hash).
    Page {
        /// Whose.
        domain: DomainId,
        /// Which frame.
        frame: u64,
        /// Of its bytes.
        hash: u32,
    },
    /// The last record. If it is not complete the log was full before the recording ended.
    End {
        /// Whether it is.
        complete: bool,
    },
}

/// A trace cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceError {
    /// It ends too early.
    Short,
    /// It is no trace, or of another version.
    Foreign,
    /// A record at this byte makes no sense.
    Malformed(usize),
}

impl core::fmt::Display for TraceError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Short => write!(f, "ends too early"),
            Self::Foreign => write!(f, "no trace of version {VERSION}"),
            Self::Malformed(at) => write!(f, "makes no sense at byte {at:#x}"),
        }
    }
}

const END: u8 = 0;
const DOMAIN: u8 = 1;
const TIME: u8 = 2;
const FILL: u8 = 3;
const NEXT: u8 = 4;
const OUTCOME: u8 = 5;
const MESSAGE: u8 = 6;
const WINDOW: u8 = 7;
const ADDED: u8 = 8;
const REMOVED: u8 = 9;
const IDLE: u8 = 10;
const BUSY: u8 = 11;
const PAGE: u8 = 12;
const GENERATION: u8 = 13;
const SETTLED: u8 = 14;
/// Accesses have this bit, and the ones below say which kind.
const ACCESS: u8 = 0x40;
const MEMORY_SPACE: u8 = 1;
const WRITE: u8 = 2;
/// Bits 3:2: log2 of 1, 2, 4 or 8 bytes.
const SIZE_SHIFT: u32 = 2;
const RUN: u8 = 1 << 4;
/// The size follows.
const ODD_SIZE: u8 = 1 << 5;

/// The clock is told in these, nanoseconds.
pub const TICK: u64 = 1024;

/// What both sides know from the records so far.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    domain: u16,
    config: u64,
    memory: u64,
    tick: u64,
    frame: u64,
    qword: u16,
}

/// From records to bytes.
#[derive(Debug, Clone, Default)]
pub struct Encoder(State);

impl Encoder {
    /// The bytes that a trace with this header begins with.
    pub fn header(header: &Header) -> Bytes {
        let mut out = Bytes::default();
        MAGIC.iter().for_each(|byte| out.push(*byte));
        out.push(VERSION);
        out.put(header.gtt_mib.into());
        out.put(header.start);
        out.put(header.label.len() as u64);
        header.label.bytes().for_each(|byte| out.push(byte));
        out
    }

    /// The bytes of the next record.
    pub fn record(&mut self, record: &Record) -> Bytes {
        let mut out = Bytes::default();
        let state = &mut self.0;
        match *record {
            Record::Time(now) => {
                let tick = now / TICK;
                out.push(TIME);
                out.put_distance(state.tick, tick);
                state.tick = tick;
            }
            Record::Memory {
                domain,
                frame,
                first,
                count,
                value,
                step,
            } => {
                state.switch(&mut out, domain);
                if (count, frame, first) == (1, state.frame, state.qword) {
                    out.push(NEXT);
                    out.put_value(value);
                } else {
                    out.push(FILL);
                    out.put_distance(state.frame, frame);
                    out.put(first.into());
                    out.put(count.into());
                    out.put_value(value);
                    out.put_value(step);
                }
                (state.frame, state.qword) = (frame, first.wrapping_add(count));
            }
            Record::Outcome {
                domain,
                request,
                result,
            } => {
                state.switch(&mut out, domain);
                out.push(OUTCOME);
                let (kind, key) = match request {
                    Request::Pin(frame) => (0, frame.0),
                    Request::Allocate => (1, 0),
                    Request::Trap(aperture) => (2, aperture.into()),
                    Request::Protect(frame) => (3, frame.0),
                    Request::Place(frame) => (4, frame.0),
                    Request::Open(frame) => (5, frame.0),
                };
                out.push(kind);
                out.put(key);
                let (kind, value) = match result {
                    Ok(()) => (0, 0),
                    Err(PageError::Absent(frame)) => (1, frame.0),
                    Err(PageError::Quota { limit }) => (2, limit.into()),
                    Err(PageError::OutOfMemory) => (3, 0),
                    Err(PageError::Refused(errno)) => (4, errno as u32 as u64),
                    Err(PageError::Busy(frame)) => (5, frame.0),
                };
                out.push(kind);
                out.put(value);
            }
            Record::Generation { domain, generation } => {
                state.switch(&mut out, domain);
                out.push(GENERATION);
                out.put(generation.into());
            }
            Record::Message {
                domain,
                address,
                data,
            } => {
                state.switch(&mut out, domain);
                out.push(MESSAGE);
                out.put_value(address);
                out.put_value(data.into());
            }
            Record::Window {
                domain,
                window,
                range,
            } => {
                state.switch(&mut out, domain);
                out.push(WINDOW);
                out.push((window == Window::Aperture).into());
                let (first, size) = range.unwrap_or((0, 0));
                out.put_value(first);
                out.put_value(size);
            }
            Record::Added {
                domain,
                config,
                accepted,
            } => {
                state.switch(&mut out, domain);
                out.push(ADDED);
                for number in [
                    config.low_mib,
                    config.high_mib,
                    config.fences,
                    config.weight,
                    config.huge_gtt.into(),
                    accepted.into(),
                ] {
                    out.put(number.into());
                }
            }
            Record::Removed(domain) => {
                state.switch(&mut out, domain);
                out.push(REMOVED);
            }
            Record::Settled(domain) => {
                state.switch(&mut out, domain);
                out.push(SETTLED);
            }
            Record::Access {
                domain,
                access,
                answer,
                repeat,
            } => {
                state.switch(&mut out, domain);
                state.access(&mut out, access, answer, repeat);
            }
            Record::Service { busy } => out.push(if busy { BUSY } else { IDLE }),
            Record::Page {
                domain,
                frame,
                hash,
            } => {
                state.switch(&mut out, domain);
                out.push(PAGE);
                out.put_distance(state.frame, frame);
                out.put_value(hash.into());
                state.frame = frame;
            }
            Record::End { complete } => {
                out.push(END);
                out.push(complete.into());
            }
        }
        out
    }
}

impl State {
    /// Says that the next record is another domain's.
    fn switch(&mut self, out: &mut Bytes, domain: DomainId) {
        if self.domain != domain.0 {
            self.domain = domain.0;
            out.push(DOMAIN);
            out.put(domain.0.into());
        }
    }

    /// The address that the next one of a space is told relative to.
    fn last(&mut self, memory: bool) -> &mut u64 {
        if memory {
            &mut self.memory
        } else {
            &mut self.config
        }
    }

    fn access(&mut self, out: &mut Bytes, access: Access, answer: u64, repeat: Repeat) {
        let (memory, address) = match access.space {
            Space::Config(offset) => (false, offset.into()),
            Space::Memory(address) => (true, address),
        };
        let plain = access.size.is_power_of_two() && access.size <= 8;
        let mut tag = ACCESS;
        tag |= if memory { MEMORY_SPACE } else { 0 };
        tag |= if access.write.is_some() { WRITE } else { 0 };
        tag |= if plain {
            (access.size.trailing_zeros() as u8) << SIZE_SHIFT
        } else {
            ODD_SIZE
        };
        tag |= if repeat.count > 1 { RUN } else { 0 };
        out.push(tag);
        if !plain {
            out.push(access.size);
        }
        out.put_distance(*self.last(memory), address);
        out.put_value(access.write.unwrap_or(answer));
        if repeat.count > 1 {
            out.put(repeat.count);
            out.put_distance(0, repeat.address);
            out.put_value(repeat.value);
        }
        let beyond = repeat.address.wrapping_mul(repeat.count - 1);
        *self.last(memory) = address.wrapping_add(beyond);
    }
}

/// From bytes to records.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    source: Source<'a>,
    state: State,
    ended: bool,
}

impl<'a> Reader<'a> {
    /// Reads the header.
    pub fn new(bytes: &'a [u8]) -> Result<(Header, Self), TraceError> {
        let mut source = Source::new(bytes);
        if source.take(MAGIC.len())? != MAGIC || source.byte()? != VERSION {
            return Err(TraceError::Foreign);
        }
        let (gtt_mib, start) = (source.small()?, source.number()?);
        let length = source.small()?;
        let label = core::str::from_utf8(source.take(length)?).ok();
        let label = label.and_then(|label| ArrayString::from(label).ok());
        let header = Header {
            gtt_mib,
            start,
            label: label.ok_or(TraceError::Malformed(source.position()))?,
        };
        let reader = Self {
            source,
            state: State::default(),
            ended: false,
        };
        Ok((header, reader))
    }

    fn advance(&mut self) -> Result<Record, TraceError> {
        let mut tag = self.source.byte()?;
        if tag == DOMAIN {
            self.state.domain = self.source.small()?;
            tag = self.source.byte()?;
        }
        self.record(tag)
    }

    fn record(&mut self, tag: u8) -> Result<Record, TraceError> {
        let Self { source, state, .. } = self;
        let domain = DomainId(state.domain);
        Ok(match tag {
            END => {
                self.ended = true;
                Record::End {
                    complete: source.byte()? != 0,
                }
            }
            TIME => {
                state.tick = source.near(state.tick)?;
                Record::Time(state.tick.wrapping_mul(TICK))
            }
            FILL => {
                state.frame = source.near(state.frame)?;
                let (first, count): (u16, u16) = (source.small()?, source.small()?);
                state.qword = first.wrapping_add(count);
                Record::Memory {
                    domain,
                    frame: state.frame,
                    first,
                    count,
                    value: source.value()?,
                    step: source.value()?,
                }
            }
            NEXT => {
                let first = state.qword;
                state.qword = first.wrapping_add(1);
                Record::Memory {
                    domain,
                    frame: state.frame,
                    first,
                    count: 1,
                    value: source.value()?,
                    step: 0,
                }
            }
            OUTCOME => {
                let (kind, key) = (source.byte()?, source.number()?);
                let request = match kind {
                    0 => Request::Pin(GuestFrame(key)),
                    1 => Request::Allocate,
                    2 => Request::Trap(key != 0),
                    3 => Request::Protect(GuestFrame(key)),
                    4 => Request::Place(GuestFrame(key)),
                    5 => Request::Open(GuestFrame(key)),
                    _ => return Err(TraceError::Malformed(source.position())),
                };
                let (kind, value) = (source.byte()?, source.number()?);
                let result = match kind {
                    0 => Ok(()),
                    1 => Err(PageError::Absent(GuestFrame(value))),
                    2 => Err(PageError::Quota {
                        limit: value as u32,
                    }),
                    3 => Err(PageError::OutOfMemory),
                    4 => Err(PageError::Refused(value as u32 as i32)),
                    5 => Err(PageError::Busy(GuestFrame(value))),
                    _ => return Err(TraceError::Malformed(source.position())),
                };
                Record::Outcome {
                    domain,
                    request,
                    result,
                }
            }
            GENERATION => Record::Generation {
                domain,
                generation: source.small()?,
            },
            MESSAGE => Record::Message {
                domain,
                address: source.value()?,
                data: source.value()? as u32,
            },
            WINDOW => {
                let window = if source.byte()? == 0 {
                    Window::Registers
                } else {
                    Window::Aperture
                };
                let (first, size) = (source.value()?, source.value()?);
                Record::Window {
                    domain,
                    window,
                    range: (size != 0).then_some((first, size)),
                }
            }
            ADDED => Record::Added {
                domain,
                config: VgpuConfig {
                    low_mib: source.small()?,
                    high_mib: source.small()?,
                    fences: source.small()?,
                    weight: source.small()?,
                    display: Display::None,
                    huge_gtt: source.byte()? != 0,
                },
                accepted: source.byte()? != 0,
            },
            REMOVED => Record::Removed(domain),
            SETTLED => Record::Settled(domain),
            IDLE | BUSY => Record::Service { busy: tag == BUSY },
            PAGE => {
                state.frame = source.near(state.frame)?;
                Record::Page {
                    domain,
                    frame: state.frame,
                    hash: source.value()? as u32,
                }
            }
            tag if tag & ACCESS != 0 => return self.access(tag),
            _ => return Err(TraceError::Malformed(source.position())),
        })
    }

    fn access(&mut self, tag: u8) -> Result<Record, TraceError> {
        let Self { source, state, .. } = self;
        let domain = DomainId(state.domain);
        let memory = tag & MEMORY_SPACE != 0;
        let size = if tag & ODD_SIZE != 0 {
            source.byte()?
        } else {
            1 << (tag >> SIZE_SHIFT & 3)
        };
        let address = source.near(*state.last(memory))?;
        let value = source.value()?;
        let repeat = if tag & RUN != 0 {
            Repeat {
                count: source.number()?.max(1),
                address: source.near(0)?,
                value: source.value()?,
            }
        } else {
            Repeat::ONCE
        };
        let beyond = repeat.address.wrapping_mul(repeat.count - 1);
        *state.last(memory) = address.wrapping_add(beyond);
        let space = if memory {
            Space::Memory(address)
        } else {
            Space::Config(address as u16)
        };
        let write = (tag & WRITE != 0).then_some(value);
        Ok(Record::Access {
            domain,
            access: Access { space, size, write },
            answer: if write.is_some() { 0 } else { value },
            repeat,
        })
    }
}

/// All records, the last one included; or up to an error.
impl Iterator for Reader<'_> {
    type Item = Result<Record, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let record = self.advance();
        self.ended |= record.is_err();
        Some(record)
    }
}
