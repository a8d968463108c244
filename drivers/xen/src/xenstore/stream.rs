//! Messages over any byte stream, moved as far as it takes and gives them.

use alloc::vec::Vec;

use super::XenstoreError;
use super::wire::{HEADER_SIZE, Header, Request};
use crate::abi::xenstore::PAYLOAD_MAX;

/// A byte stream to and from the daemon.
pub trait Transport {
    /// Sends some of `bytes` and returns how many; 0 when the time for this request is up or, with
    /// `wait` false, when there is no room.
    fn put(&mut self, bytes: &[u8], wait: bool) -> Result<usize, XenstoreError>;

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

/// The messages under way on a [`Transport`].
#[derive(Debug)]
pub(super) struct Stream<T> {
    pub(super) transport: T,
    // What is left of an earlier request, without which the stream would lose its message
    // boundaries, then the latest one. Never more than these two.
    outgoing: Vec<u8>,
    latest: usize,
    sent: usize,
    // The message that is being received.
    header: [u8; HEADER_SIZE],
    payload: Vec<u8>,
    received: usize,
    broken: bool,
}

impl<T: Transport> Stream<T> {
    /// At a message boundary.
    pub(super) fn new(transport: T) -> Self {
        Self {
            transport,
            outgoing: Vec::with_capacity(2 * (HEADER_SIZE + PAYLOAD_MAX)),
            latest: 0,
            sent: 0,
            header: [0; HEADER_SIZE],
            payload: Vec::with_capacity(PAYLOAD_MAX),
            received: 0,
            broken: false,
        }
    }

    /// Makes the connection anew.
    pub(super) fn reconnect(&mut self) -> Result<(), XenstoreError> {
        self.transport.begin();
        self.transport.reconnect()?;
        self.outgoing.clear();
        self.latest = 0;
        self.sent = 0;
        self.received = 0;
        self.broken = false;
        Ok(())
    }

    /// Whether the connection is of any use.
    pub(super) fn usable(&self) -> Result<(), XenstoreError> {
        if self.broken {
            return Err(XenstoreError::Broken);
        }
        Ok(())
    }

    /// Adds a request to what is to be sent; the one before was sent in part, or
    /// [taken back](Self::take_back).
    pub(super) fn add(&mut self, request: &Request<'_>, number: u32) {
        self.outgoing.drain(..self.sent);
        self.sent = 0;
        self.latest = self.outgoing.len();
        request.encode(number, &mut self.outgoing);
    }

    /// Forgets the latest request, unless some of it was sent.
    pub(super) fn take_back(&mut self) {
        if self.sent <= self.latest {
            self.outgoing.truncate(self.latest);
        }
    }

    /// Sends what is to be sent, as far as there is room; with `wait`, all of it.
    pub(super) fn send(&mut self, wait: bool) -> Result<(), XenstoreError> {
        while let Some(rest) = self
            .outgoing
            .get(self.sent..)
            .filter(|rest| !rest.is_empty())
        {
            match self.transport.put(rest, wait) {
                Ok(0) if wait => return Err(XenstoreError::TimedOut),
                Ok(0) => return Ok(()),
                Ok(put) => self.sent += put,
                Err(error) => return Err(self.fail(error)),
            }
        }
        Ok(())
    }

    /// Receives one whole message; its payload stands until the next call.
    pub(super) fn receive(&mut self, wait: bool) -> Result<Option<Header>, XenstoreError> {
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

    /// Bytes that are kept to be sent.
    #[cfg(test)]
    pub(super) fn outgoing(&self) -> usize {
        self.outgoing.len()
    }

    /// The payload of the message received last.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    fn fail(&mut self, error: XenstoreError) -> XenstoreError {
        self.broken |= error.is_fatal();
        error
    }
}
