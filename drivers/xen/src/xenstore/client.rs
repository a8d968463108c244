//! Requests and their replies, with watch events kept aside.
//!
//! One request at a time. [`Client::ask`] sends it and [`Client::look`] finds its reply later,
//! without waiting; what `operations` has does both and waits in between. What is left of a request
//! that timed out still goes out before the next one, and its late reply is dropped. Events wait in a
//! bounded queue; when it overflows, that is noted, and whoever watches must look at everything
//! again.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};

use super::XenstoreError;
use super::stream::{Stream, Transport};
use super::wire::{self, Header, Request};
use crate::abi::xenstore::MessageType;

/// Watch events kept until somebody takes them.
pub const EVENTS_MAX: usize = 64;

/// Messages looked at while waiting for one reply.
const MESSAGES_MAX: u32 = 1024;

/// A node changed, or a watch was just set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchEvent {
    /// The node, absolute or relative as in the watch.
    pub path: String,
    /// The watch's token.
    pub token: String,
}

/// What a look for a reply found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look<'p> {
    /// The reply, with this payload.
    Reply(&'p [u8]),
    /// Another message, which has been dealt with. There may be more.
    Other,
    /// No whole message.
    Nothing,
}

/// The request whose reply is to come.
#[derive(Debug, Clone, Copy)]
struct Asked {
    number: u32,
    kind: MessageType,
    deadline: u64,
    /// Other messages that came in its time.
    others: u32,
}

/// One message received.
enum Arrival {
    Reply(Asked, Header),
    Other,
    Nothing,
}

/// A connection to Xenstore.
#[derive(Debug)]
pub struct Client<T> {
    stream: Stream<T>,
    // Of requests.
    number: u32,
    asked: Option<Asked>,
    // Of events.
    events: VecDeque<WatchEvent>,
    events_lost: bool,
}

impl<T: Transport> Client<T> {
    /// Over a stream that stands at a message boundary.
    pub fn new(transport: T) -> Self {
        Self {
            stream: Stream::new(transport),
            number: 0,
            asked: None,
            events: VecDeque::with_capacity(EVENTS_MAX),
            events_lost: false,
        }
    }

    /// The byte stream.
    pub const fn transport(&self) -> &T {
        &self.stream.transport
    }

    /// Makes the connection anew. Watches and transactions are gone with the old one; events are
    /// reported as lost.
    pub fn reconnect(&mut self) -> Result<(), XenstoreError> {
        self.stream.reconnect()?;
        self.asked = None;
        self.events.clear();
        self.events_lost = true;
        Ok(())
    }

    /// Sends a request, as far as there is room now, and does not wait: the reply is found by
    /// [`Self::look`], until `deadline`. One that was asked before is given up.
    pub fn ask(&mut self, request: &Request<'_>, deadline: u64) -> Result<(), XenstoreError> {
        self.stream.usable()?;
        self.give_up();
        self.number = self.number.checked_add(1).unwrap_or(1);
        self.stream.add(request, self.number);
        self.asked = Some(Asked {
            number: self.number,
            kind: request.kind,
            deadline,
            others: 0,
        });
        self.stream.send(false).inspect_err(|_| self.give_up())
    }

    /// Sends more of the request, takes in at most one message, and does not wait. With no whole
    /// message and `now` past the deadline the request has timed out; this or any other error
    /// ends it.
    pub fn look(&mut self, now: u64) -> Result<Look<'_>, XenstoreError> {
        self.look_until(now, false)
    }

    /// The deadline of the request whose reply is to come.
    pub fn deadline(&self) -> Option<u64> {
        self.asked.map(|asked| asked.deadline)
    }

    /// The oldest event not yet taken, without waiting for one. While a reply is to come, only
    /// looks for that receive events.
    pub fn next_event(&mut self) -> Result<Option<WatchEvent>, XenstoreError> {
        for _ in 0..MESSAGES_MAX {
            if !self.events.is_empty() || self.asked.is_some() {
                break;
            }
            if matches!(self.receive(false)?, Arrival::Nothing) {
                break;
            }
        }
        Ok(self.events.pop_front())
    }

    /// The events not yet taken, as far as they have been received.
    pub fn events(&self) -> impl Iterator<Item = &WatchEvent> {
        self.events.iter()
    }

    /// Bytes that are kept to be sent.
    #[cfg(test)]
    pub(super) fn outgoing(&self) -> usize {
        self.stream.outgoing()
    }

    /// Whether events were dropped since this was last asked.
    pub fn take_events_lost(&mut self) -> bool {
        core::mem::take(&mut self.events_lost)
    }

    /// Sends a request and waits for its reply, as long as the transport allows.
    pub(super) fn request<R>(
        &mut self,
        request: &Request<'_>,
        parse: impl FnOnce(&[u8]) -> Result<R, XenstoreError>,
    ) -> Result<R, XenstoreError> {
        self.stream.transport.begin();
        self.ask(request, u64::MAX)?;
        loop {
            if let Look::Reply(payload) = self.look_until(0, true)? {
                return parse(payload);
            }
        }
    }

    fn look_until(&mut self, now: u64, wait: bool) -> Result<Look<'_>, XenstoreError> {
        let late = |asked: Asked| wait || now >= asked.deadline;
        let error = match self.receive(wait) {
            Ok(Arrival::Reply(asked, header)) => {
                let payload = self.stream.payload();
                return wire::reply(asked.kind, asked.number, &header, payload).map(Look::Reply);
            }
            Ok(Arrival::Other) => return Ok(Look::Other),
            Ok(Arrival::Nothing) if self.asked.is_some_and(late) => XenstoreError::TimedOut,
            Ok(Arrival::Nothing) => return Ok(Look::Nothing),
            Err(error) => error,
        };
        self.give_up();
        Err(error)
    }

    /// Sends what is left to be sent and takes in one message.
    fn receive(&mut self, wait: bool) -> Result<Arrival, XenstoreError> {
        self.stream.usable()?;
        self.stream.send(wait)?;
        let Some(header) = self.stream.receive(wait)? else {
            return Ok(Arrival::Nothing);
        };
        let event = header.kind == MessageType::WatchEvent as u32;
        if event {
            self.keep_event();
        }
        let Some(asked) = &mut self.asked else {
            // Nothing is asked for: all but events is late or a surprise, and dropped.
            return Ok(Arrival::Other);
        };
        // Numbers go up, and may wrap: a lower one is of a request that was given up.
        let ahead = header.request.wrapping_sub(asked.number).cast_signed();
        if !event && ahead == 0 {
            let reply = Arrival::Reply(*asked, header);
            self.asked = None;
            return Ok(reply);
        }
        if !event && ahead > 0 {
            return Err(XenstoreError::WrongReply {
                expected: asked.number,
                found: header.request,
                kind: header.kind,
            });
        }
        asked.others += 1;
        if asked.others > MESSAGES_MAX {
            return Err(XenstoreError::Flooded);
        }
        Ok(Arrival::Other)
    }

    /// Expects the reply no more. A daemon that does not read, or answers what it was not asked,
    /// makes no queue of what was not sent.
    fn give_up(&mut self) {
        self.asked = None;
        self.stream.take_back();
    }

    fn keep_event(&mut self) {
        match wire::watch_event(self.stream.payload()) {
            Ok((path, token)) if self.events.len() < EVENTS_MAX => {
                self.events.push_back(WatchEvent {
                    path: path.to_string(),
                    token: token.to_string(),
                });
            }
            // Full, or unreadable: either way something changed that nobody will be told.
            _ => self.events_lost = true,
        }
    }
}
