//! Xenstore over the page that Xen gave this domain for it.
//!
//! Two rings of 1024 bytes, one event channel, and three words with which either side says that
//! the connection is broken or should be made anew (`docs/misc/xenstore-ring.txt`).

use core::mem::offset_of;

use super::XenstoreError;
use super::stream::Transport;
use crate::abi::xenstore::{
    CONNECTED, DomainInterface, ERROR_NONE, RECONNECT, RING_SIZE, SERVER_FEATURE_ERROR,
    SERVER_FEATURE_RECONNECTION,
};
use crate::events::{self, EventChannels, Port};
use crate::hypercall::Hypervisor;
use crate::ring::{Layout, Receiver, Sender};
use crate::scheduling;
use crate::shared::SharedPage;

pub(super) const REQUESTS: Layout = Layout {
    data: offset_of!(DomainInterface, req),
    size: RING_SIZE as u32,
    consumer: offset_of!(DomainInterface, req_cons),
    producer: offset_of!(DomainInterface, req_prod),
};

pub(super) const REPLIES: Layout = Layout {
    data: offset_of!(DomainInterface, rsp),
    size: RING_SIZE as u32,
    consumer: offset_of!(DomainInterface, rsp_cons),
    producer: offset_of!(DomainInterface, rsp_prod),
};

/// Telling the daemon, and waiting for it.
pub trait Doorbell {
    /// Something changed in the ring.
    fn notify(&mut self);

    /// Sleeps a little, until the daemon may have done something; false ends the request.
    /// `waits` counts this request's earlier sleeps.
    fn wait(&mut self, waits: u32) -> bool;
}

/// The two rings in their page.
#[derive(Debug)]
pub struct RingTransport<P, D> {
    page: P,
    doorbell: D,
    sender: Sender,
    receiver: Receiver,
    waits: u32,
}

impl<P: SharedPage, D: Doorbell> RingTransport<P, D> {
    /// Over the page of parameter `StorePfn`, going on where its indices stand.
    pub fn new(page: P, doorbell: D) -> Self {
        let sender = Sender::resume(&page, REQUESTS);
        let receiver = Receiver::resume(&page, REPLIES);
        Self {
            page,
            doorbell,
            sender,
            receiver,
            waits: 0,
        }
    }

    fn features(&self) -> u32 {
        self.page
            .load_u32(offset_of!(DomainInterface, server_features))
    }

    /// Whether the daemon has given the connection up.
    fn check(&self) -> Result<(), XenstoreError> {
        if self.features() & SERVER_FEATURE_ERROR == 0 {
            return Ok(());
        }
        match self.page.load_u32(offset_of!(DomainInterface, error)) {
            ERROR_NONE => Ok(()),
            code => Err(XenstoreError::Server(code)),
        }
    }

    fn wait(&mut self) -> bool {
        let waits = self.waits;
        self.waits = waits.saturating_add(1);
        self.doorbell.wait(waits)
    }
}

impl<P: SharedPage, D: Doorbell> Transport for RingTransport<P, D> {
    fn put(&mut self, bytes: &[u8], wait: bool) -> Result<usize, XenstoreError> {
        loop {
            self.check()?;
            let put = self.sender.put(&self.page, bytes)?;
            if put > 0 || bytes.is_empty() {
                self.doorbell.notify();
                return Ok(put);
            }
            if !wait || !self.wait() {
                return Ok(0);
            }
        }
    }

    fn get(&mut self, into: &mut [u8], wait: bool) -> Result<usize, XenstoreError> {
        loop {
            self.check()?;
            let got = self.receiver.get(&self.page, into)?;
            if got > 0 || into.is_empty() {
                // The daemon may be waiting for room.
                self.doorbell.notify();
                return Ok(got);
            }
            if !wait || !self.wait() {
                return Ok(0);
            }
        }
    }

    fn begin(&mut self) {
        self.waits = 0;
    }

    fn reconnect(&mut self) -> Result<(), XenstoreError> {
        if self.features() & SERVER_FEATURE_RECONNECTION == 0 {
            return Err(XenstoreError::Broken);
        }
        let connection = offset_of!(DomainInterface, connection);
        self.page.store_u32(connection, RECONNECT);
        self.doorbell.notify();
        while self.page.load_u32(connection) != CONNECTED {
            if !self.wait() {
                return Err(XenstoreError::TimedOut);
            }
        }
        self.sender = Sender::resume(&self.page, REQUESTS);
        self.receiver = Receiver::resume(&self.page, REPLIES);
        self.check()
    }
}

/// Nanoseconds of one sleep.
const SLICE: u64 = 10_000_000;

/// A [`Doorbell`] by event channel and `SCHEDOP_poll`, for start-up; a service that must not sleep
/// here never lets it wait.
#[derive(Debug)]
pub struct PollDoorbell<H, P> {
    channels: EventChannels<H, P>,
    hypervisor: H,
    port: Port,
    now: fn() -> u64,
    waits_max: u32,
}

impl<H: Hypervisor, P: SharedPage> PollDoorbell<H, P> {
    /// Over the port of parameter `StoreEvtchn`. `now` is system time in nanoseconds; a request
    /// may take `seconds`. Other events do not end its sleep, unmasked ones excepted.
    pub const fn new(
        channels: EventChannels<H, P>,
        hypervisor: H,
        port: Port,
        now: fn() -> u64,
        seconds: u32,
    ) -> Self {
        Self {
            channels,
            hypervisor,
            port,
            now,
            waits_max: seconds.saturating_mul(100),
        }
    }
}

impl<H: Hypervisor, P: SharedPage> Doorbell for PollDoorbell<H, P> {
    fn notify(&mut self) {
        // A port that cannot be sent on shows as a time-out.
        let _ = events::send(&self.hypervisor, self.port);
    }

    fn wait(&mut self, waits: u32) -> bool {
        if waits >= self.waits_max {
            return false;
        }
        let deadline = (self.now)().saturating_add(SLICE);
        // An event that came since the ring was looked at is still pending: poll returns at once.
        let polled = scheduling::poll(&self.hypervisor, &[self.port], Some(deadline));
        self.channels.take(self.port);
        polled.is_ok()
    }
}
