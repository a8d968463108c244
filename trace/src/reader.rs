//! From bytes to records.

use arrayvec::ArrayString;
use mediator::{Access, Display, DomainId, GuestFrame, PageError, Space, VgpuConfig, Window};

use crate::code::Source;
use crate::layout::*;
use crate::record::{Header, Record, Repeat, Request, TraceError};

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
