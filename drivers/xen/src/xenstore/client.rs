//! Requests and their replies over any byte stream, with watch events kept aside.
//!
//! One request at a time. A request that timed out is remembered: the rest of it still goes out
//! before the next one, or the stream would lose its message boundaries, and its late reply is
//! dropped. Events wait in a bounded queue; when it overflows, that is noted, and whoever watches
//! must look at everything again.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use arrayvec::ArrayVec;

use super::XenstoreError;
use super::permission::{self, Permission};
use super::wire::{self, HEADER_SIZE, Header, Request, Transaction};
use crate::abi::Errno;
use crate::abi::xenstore::{MessageType, PAYLOAD_MAX};

/// Watch events kept until somebody takes them.
pub const EVENTS_MAX: usize = 64;

/// Messages looked at while waiting for one reply.
const MESSAGES_MAX: u32 = 1024;

/// Timed-out requests whose reply may still come.
const ABANDONED_MAX: usize = 8;

/// A byte stream to and from the daemon.
pub trait Transport {
    /// Sends some of `bytes` and returns how many; 0 when the time for this request is up.
    fn put(&mut self, bytes: &[u8]) -> Result<usize, XenstoreError>;

    /// Receives some bytes and returns how many; 0 when the time for this request is up or, with
    /// `wait` false, when none are there.
    fn get(&mut self, into: &mut [u8], wait: bool) -> Result<usize, XenstoreError>;

    /// A new request begins: its time starts now.
    fn begin(&mut self) {}

    /// Makes the connection anew, if that is possible.
    fn reconnect(&mut self) -> Result<(), XenstoreError> {
        Err(XenstoreError::Broken)
    }
}

/// A node changed, or a watch was just set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchEvent {
    /// The node, absolute or relative as in the watch.
    pub path: String,
    /// The watch's token.
    pub token: String,
}

/// A connection to Xenstore.
#[derive(Debug)]
pub struct Client<T> {
    transport: T,
    // Of the stream, both ways: what has been moved of the message under way.
    outgoing: Vec<u8>,
    sent: usize,
    header: [u8; HEADER_SIZE],
    payload: Vec<u8>,
    received: usize,
    // Of requests.
    number: u32,
    abandoned: ArrayVec<u32, ABANDONED_MAX>,
    broken: bool,
    // Of events.
    events: VecDeque<WatchEvent>,
    events_lost: bool,
}

impl<T: Transport> Client<T> {
    /// Over a stream that stands at a message boundary.
    pub fn new(transport: T) -> Self {
        Self {
            transport,
            outgoing: Vec::with_capacity(HEADER_SIZE + PAYLOAD_MAX),
            sent: 0,
            header: [0; HEADER_SIZE],
            payload: Vec::with_capacity(PAYLOAD_MAX),
            received: 0,
            number: 0,
            abandoned: ArrayVec::new(),
            broken: false,
            events: VecDeque::with_capacity(EVENTS_MAX),
            events_lost: false,
        }
    }

    /// The stream.
    pub const fn transport(&self) -> &T {
        &self.transport
    }

    /// Makes the connection anew. Watches and transactions are gone with the old one; events are
    /// reported as lost.
    pub fn reconnect(&mut self) -> Result<(), XenstoreError> {
        self.transport.begin();
        self.transport.reconnect()?;
        self.outgoing.clear();
        self.sent = 0;
        self.received = 0;
        self.abandoned.clear();
        self.broken = false;
        self.events.clear();
        self.events_lost = true;
        Ok(())
    }

    /// A node's value.
    pub fn read(&mut self, tx: Transaction, path: &str) -> Result<Vec<u8>, XenstoreError> {
        self.request(&Request::read(tx, path)?, |payload| Ok(payload.to_vec()))
    }

    /// A node's value as text.
    pub fn read_text(&mut self, tx: Transaction, path: &str) -> Result<String, XenstoreError> {
        self.request(&Request::read(tx, path)?, |payload| {
            core::str::from_utf8(payload)
                .map(ToString::to_string)
                .map_err(|_| XenstoreError::NotText)
        })
    }

    /// Sets a node's value, making it and its parents if need be.
    pub fn write(
        &mut self,
        tx: Transaction,
        path: &str,
        value: &[u8],
    ) -> Result<(), XenstoreError> {
        self.request(&Request::write(tx, path, value)?, done)
    }

    /// Makes a node; one that exists is left alone.
    pub fn mkdir(&mut self, tx: Transaction, path: &str) -> Result<(), XenstoreError> {
        self.request(&Request::mkdir(tx, path)?, done)
    }

    /// Removes a node and everything below; one that does not exist is fine.
    pub fn rm(&mut self, tx: Transaction, path: &str) -> Result<(), XenstoreError> {
        self.request(&Request::rm(tx, path)?, done)
    }

    /// The names of a node's children.
    pub fn directory(&mut self, tx: Transaction, path: &str) -> Result<Vec<String>, XenstoreError> {
        self.request(&Request::directory(tx, path)?, |payload| {
            wire::strings(payload)
                .map(|name| name.map(ToString::to_string))
                .collect()
        })
    }

    /// Who may do what with a node; the first is its owner.
    pub fn get_permissions(
        &mut self,
        tx: Transaction,
        path: &str,
    ) -> Result<Vec<Permission>, XenstoreError> {
        self.request(&Request::get_perms(tx, path)?, |payload| {
            let permissions: Vec<_> = wire::strings(payload)
                .map(|text| Permission::parse(text?))
                .collect::<Result<_, _>>()?;
            if permissions.is_empty() {
                return Err(XenstoreError::Malformed);
            }
            Ok(permissions)
        })
    }

    /// Sets who may do what with a node.
    pub fn set_permissions(
        &mut self,
        tx: Transaction,
        path: &str,
        permissions: &[Permission],
    ) -> Result<(), XenstoreError> {
        let encoded = permission::encode(permissions);
        self.request(&Request::set_perms(tx, path, &encoded)?, done)
    }

    /// Asks for events on `path` and below. One comes at once.
    pub fn watch(&mut self, path: &str, token: &str) -> Result<(), XenstoreError> {
        self.request(&Request::watch(path, token)?, done)
    }

    /// Ends a watch. Events already on their way may still come.
    pub fn unwatch(&mut self, path: &str, token: &str) -> Result<(), XenstoreError> {
        self.request(&Request::unwatch(path, token)?, done)
    }

    /// Ends all watches and transactions, for a restart that remembers none.
    pub fn reset_watches(&mut self) -> Result<(), XenstoreError> {
        self.request(&Request::reset_watches(), done)
    }

    /// The directory of a domain.
    pub fn domain_path(&mut self, domain: crate::abi::DomainId) -> Result<String, XenstoreError> {
        let number = alloc::format!("{}", domain.0);
        self.request(&Request::get_domain_path(&number)?, |payload| {
            let mut names = wire::strings(payload);
            let path = names.next().ok_or(XenstoreError::Malformed)??;
            Ok(path.to_string())
        })
    }

    /// Starts a transaction, to be ended by [`Self::commit`] or [`Self::abort`].
    pub fn start(&mut self) -> Result<Transaction, XenstoreError> {
        self.request(&Request::transaction_start(), wire::transaction_id)
    }

    /// Makes a transaction's changes happen, all or, with EAGAIN, none.
    pub fn commit(&mut self, tx: Transaction) -> Result<(), XenstoreError> {
        self.request(&Request::transaction_end(tx, true), done)
    }

    /// Drops a transaction's changes.
    pub fn abort(&mut self, tx: Transaction) -> Result<(), XenstoreError> {
        self.request(&Request::transaction_end(tx, false), done)
    }

    /// Runs `changes` in a transaction, again while it collides with other writers, at most
    /// `attempts` times. An error in `changes` drops them.
    pub fn transaction<R>(
        &mut self,
        attempts: u32,
        mut changes: impl FnMut(&mut Self, Transaction) -> Result<R, XenstoreError>,
    ) -> Result<R, XenstoreError> {
        for _ in 0..attempts {
            let tx = self.start()?;
            let result = match changes(self, tx) {
                Ok(result) => result,
                Err(error) => {
                    // The first error is the one that explains.
                    let _ = self.abort(tx);
                    return Err(error);
                }
            };
            match self.commit(tx) {
                Ok(()) => return Ok(result),
                Err(XenstoreError::Refused(Errno::EAGAIN)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(XenstoreError::Conflict { attempts })
    }

    /// The oldest event not yet taken, without waiting for one.
    pub fn next_event(&mut self) -> Result<Option<WatchEvent>, XenstoreError> {
        if self.events.is_empty() {
            self.poll()?;
        }
        Ok(self.events.pop_front())
    }

    /// Whether events were dropped since this was last asked.
    pub fn take_events_lost(&mut self) -> bool {
        core::mem::take(&mut self.events_lost)
    }

    /// Takes in what has arrived, without waiting.
    fn poll(&mut self) -> Result<(), XenstoreError> {
        self.usable()?;
        for _ in 0..MESSAGES_MAX {
            let Some(header) = self.message(false)? else {
                return Ok(());
            };
            // Nothing is asked for now: all but late replies is a surprise, and dropped.
            self.unasked(&header);
        }
        Ok(())
    }

    fn usable(&self) -> Result<(), XenstoreError> {
        if self.broken {
            return Err(XenstoreError::Broken);
        }
        Ok(())
    }

    fn request<R>(
        &mut self,
        request: &Request<'_>,
        parse: impl FnOnce(&[u8]) -> Result<R, XenstoreError>,
    ) -> Result<R, XenstoreError> {
        self.usable()?;
        self.transport.begin();
        // What is left of a request that timed out goes first.
        self.flush()?;
        self.number = self.number.checked_add(1).unwrap_or(1);
        let number = self.number;
        request.encode(number, &mut self.outgoing);
        let result = self.flush().and_then(|()| self.await_reply(number));
        match result {
            Ok(header) => parse(wire::reply(request.kind, number, &header, &self.payload)?),
            Err(error) => {
                if self.abandoned.is_full() {
                    self.abandoned.remove(0);
                }
                self.abandoned.push(number);
                Err(error)
            }
        }
    }

    /// Sends what is to be sent.
    fn flush(&mut self) -> Result<(), XenstoreError> {
        while let Some(rest) = self
            .outgoing
            .get(self.sent..)
            .filter(|rest| !rest.is_empty())
        {
            match self.transport.put(rest) {
                Ok(0) => return Err(XenstoreError::TimedOut),
                Ok(put) => self.sent += put,
                Err(error) => return Err(self.fail(error)),
            }
        }
        self.outgoing.clear();
        self.sent = 0;
        Ok(())
    }

    fn await_reply(&mut self, number: u32) -> Result<Header, XenstoreError> {
        for _ in 0..MESSAGES_MAX {
            let header = self.message(true)?.ok_or(XenstoreError::TimedOut)?;
            if header.request == number && header.kind != MessageType::WatchEvent as u32 {
                return Ok(header);
            }
            if !self.unasked(&header) {
                return Err(XenstoreError::WrongReply {
                    expected: number,
                    found: header.request,
                    kind: header.kind,
                });
            }
        }
        Err(XenstoreError::Flooded)
    }

    /// Receives one whole message; its payload is in `self.payload` until the next one.
    fn message(&mut self, wait: bool) -> Result<Option<Header>, XenstoreError> {
        while let Some(rest) = self
            .header
            .get_mut(self.received..)
            .filter(|rest| !rest.is_empty())
        {
            match self.transport.get(rest, wait) {
                Ok(0) => return Ok(None),
                Ok(got) => self.received += got,
                Err(error) => return Err(self.fail(error)),
            }
        }
        let header = match Header::decode(&self.header) {
            Ok(header) => header,
            Err(error) => return Err(self.fail(error)),
        };
        let length = header.length as usize;
        self.payload.resize(length, 0);
        while let Some(rest) = self
            .payload
            .get_mut(self.received - HEADER_SIZE..)
            .filter(|rest| !rest.is_empty())
        {
            match self.transport.get(rest, wait) {
                Ok(0) => return Ok(None),
                Ok(got) => self.received += got,
                Err(error) => return Err(self.fail(error)),
            }
        }
        self.received = 0;
        Ok(Some(header))
    }

    /// Deals with a message that is no awaited reply; false if it makes no sense.
    fn unasked(&mut self, header: &Header) -> bool {
        if header.kind == MessageType::WatchEvent as u32 {
            match wire::watch_event(&self.payload) {
                Ok((path, token)) if self.events.len() < EVENTS_MAX => {
                    self.events.push_back(WatchEvent {
                        path: path.to_string(),
                        token: token.to_string(),
                    });
                }
                // Full, or unreadable: either way something changed that nobody will be told.
                _ => self.events_lost = true,
            }
            return true;
        }
        let late = self
            .abandoned
            .iter()
            .position(|number| *number == header.request);
        match late {
            Some(index) => {
                self.abandoned.remove(index);
                true
            }
            None => false,
        }
    }

    fn fail(&mut self, error: XenstoreError) -> XenstoreError {
        self.broken |= error.is_fatal();
        error
    }
}

/// For replies whose contents say no more than that they came.
fn done(_payload: &[u8]) -> Result<(), XenstoreError> {
    Ok(())
}
