//! From records to bytes.

use mediator::{Access, DomainId, PageError, Space, Window};

use crate::code::Bytes;
use crate::layout::*;
use crate::record::{Header, Record, Repeat, Request};

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
