//! The IOREQ server of one guest: takes its trapped accesses and answers them.
//!
//! Order that works (Xen 4.19 and later, `common/ioreq.c`): create, acquire the pages (this also
//! allocates them), ask for the buffered port, claim ranges, enable, and only then read each
//! vCPU's `vp_eport`, which enabling fills in, and bind it. Undone backwards: ports, pages,
//! server; Xen frees the pages only when our mappings are gone too.
//!
//! A guest's vCPU sleeps, without any time-out, until its request is answered. So every request
//! gets an answer, also one that makes no sense, and a restart in place finds the server by
//! probing ids ([`find_own`]), takes it over ([`IoreqServer::adopt`]) and serves requests that
//! were in progress again.

mod buffered;
mod error;
mod request;
mod serving;

use arrayvec::ArrayVec;

use crate::abi::ioreq::{MAX_SERVERS, MAX_VCPUS, STATE_INPROCESS, STATE_NONE, STATE_READY};
use crate::abi::memory::{RESOURCE_FRAME_BUFIOREQ, RESOURCE_FRAME_IOREQ};
use crate::abi::{DomainId, Errno};
use crate::device_model::{Buffering, DeviceModel, Range, ServerId};
use crate::events::{self, Port};
use crate::hypercall::{Hypervisor, XenError};
use crate::memory::{self, MemoryError, Window};
use crate::shared::MappedPage;
use serving::ServingSet;

pub use buffered::BufferedRing;
pub use error::IoreqError;
pub use request::{
    Direction, Element, Kind, MAX_COUNT, Refusal, Request, RequestPage, Slot, Undecodable,
};

/// Frames a server needs: the buffered ring and the requests, in that order.
pub const FRAMES: u64 = 2;

/// What the next look at a vCPU's slot found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing to do.
    Idle,
    /// An access to serve and then [`IoreqServer::complete`].
    Request(Request),
    /// A request that makes no sense; it has been answered with all-ones. For the log.
    Refused(Refusal),
}

/// The server ids of `domain` that belong to this domain, as a bit set.
///
/// Costs eight calls; any other error than "not yours" and "none" ends the search.
pub fn find_own<H: Hypervisor>(model: &DeviceModel<H>) -> Result<u8, XenError> {
    let mut own = 0;
    for id in 0..MAX_SERVERS {
        match model.buffered_port(ServerId(id)) {
            Ok(_) => own |= 1 << id,
            // Without the privilege every id answers EPERM as well; `vcpus` tells them apart.
            Err(error) if matches!(error.errno, Errno::EPERM | Errno::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(own)
}

/// One guest's IOREQ server, at any stage between just created and all given back.
///
/// Dropping it releases nothing: call [`Self::destroy`], which may be repeated.
#[derive(Debug)]
pub struct IoreqServer<H> {
    // Fixed.
    model: DeviceModel<H>,
    id: ServerId,
    window: Window,
    vcpus: u32,
    // What we hold, each to be given back once.
    exists: bool,
    pages: [Option<MappedPage>; FRAMES as usize],
    ports: ArrayVec<Port, MAX_VCPUS>,
    buffered_port: Option<Port>,
    // Wiring.
    remote_buffered_port: Option<Port>,
    // vCPUs whose request we have taken and not yet answered.
    serving: ServingSet,
}

impl<H: Hypervisor> IoreqServer<H> {
    /// Creates a server with its pages over the two frames of `window`. It claims nothing yet and
    /// is disabled. On error nothing is left behind.
    pub fn create(
        model: DeviceModel<H>,
        window: Window,
        buffering: Buffering,
    ) -> Result<Self, IoreqError> {
        let vcpus = checked_vcpus(&model)?;
        let id = model.create_server(buffering)?;
        let mut server = Self::bare(model, id, window, vcpus);
        match server.acquire(buffering != Buffering::Off) {
            Ok(()) => Ok(server),
            Err(error) => {
                // The first error is the one that explains; what remains dies with the guest.
                let _ = server.destroy();
                Err(error)
            }
        }
    }

    /// Takes over the server `id` that this domain created before it restarted: drops what is
    /// still mapped at `window` and every port still open to the guest, then maps the pages
    /// again. Call [`Self::enable`] afterwards. On error the server is destroyed.
    pub fn adopt(model: DeviceModel<H>, window: Window, id: ServerId) -> Result<Self, IoreqError> {
        let vcpus = checked_vcpus(&model)?;
        let mut server = Self::bare(model, id, window, vcpus);
        match server.take_over() {
            Ok(()) => Ok(server),
            Err(error) => {
                // The first error is the one that explains.
                let _ = server.forget_previous();
                let _ = server.destroy();
                Err(error)
            }
        }
    }

    fn take_over(&mut self) -> Result<(), IoreqError> {
        self.forget_previous()?;
        let buffered = self.model.buffered_port(self.id)?.is_some();
        self.acquire(buffered)
    }

    /// Drops the mappings and ports from before a restart, which nobody remembers.
    fn forget_previous(&self) -> Result<(), IoreqError> {
        let hypervisor = self.model.hypervisor();
        for index in 0..FRAMES.min(self.window.frames()) {
            memory::unmap(hypervisor, self.window, index)?;
        }
        events::close_all_with(hypervisor, self.domain())?;
        Ok(())
    }

    fn bare(model: DeviceModel<H>, id: ServerId, window: Window, vcpus: u32) -> Self {
        Self {
            model,
            id,
            window,
            vcpus,
            exists: true,
            pages: [None; FRAMES as usize],
            ports: ArrayVec::new(),
            buffered_port: None,
            remote_buffered_port: None,
            serving: ServingSet::default(),
        }
    }

    fn acquire(&mut self, buffered: bool) -> Result<(), IoreqError> {
        let first = if buffered {
            RESOURCE_FRAME_BUFIOREQ
        } else {
            RESOURCE_FRAME_IOREQ
        };
        let wanted = self
            .window
            .part(first, FRAMES - first)
            .ok_or(MemoryError::DoesNotFit {
                asked: FRAMES,
                room: self.window.frames(),
            })?;
        let hypervisor = self.model.hypervisor();
        memory::acquire_ioreq_pages(hypervisor, self.domain(), self.id.0, first, wanted)?;
        for (index, page) in self.pages.iter_mut().enumerate().skip(first as usize) {
            *page = self.window.page(index as u64);
        }
        if buffered {
            self.remote_buffered_port = self.model.buffered_port(self.id)?;
        }
        Ok(())
    }

    /// The guest.
    pub const fn domain(&self) -> DomainId {
        self.model.domain()
    }

    /// The device-model calls on the guest.
    pub const fn model(&self) -> &DeviceModel<H> {
        &self.model
    }

    /// Its number within the guest.
    pub const fn id(&self) -> ServerId {
        self.id
    }

    /// vCPUs of the guest.
    pub const fn vcpus(&self) -> u32 {
        self.vcpus
    }

    /// Our port for each vCPU, in order; empty until enabled.
    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// Our port for the buffered ring.
    pub const fn buffered_port(&self) -> Option<Port> {
        self.buffered_port
    }

    /// Claims a range; again is fine.
    pub fn map(&self, range: Range) -> Result<(), XenError> {
        self.model.map_range(self.id, range)
    }

    /// Gives a range back; again is fine.
    pub fn unmap(&self, range: Range) -> Result<(), XenError> {
        self.model.unmap_range(self.id, range)
    }

    /// Lets requests in and binds one port per vCPU and one for the buffered ring. On error the
    /// server is as good as before, for another try or [`Self::destroy`].
    pub fn enable(&mut self) -> Result<(), IoreqError> {
        self.model.set_server_state(self.id, true)?;
        let Some(page) = self.requests() else {
            return Ok(());
        };
        for vcpu in self.ports.len()..self.vcpus as usize {
            let hypervisor = self.model.hypervisor();
            let port = events::bind_interdomain(hypervisor, self.domain(), page.port(vcpu))?;
            if self.ports.try_push(port).is_err() {
                // Not reached: `checked_vcpus` bounds the loop. Give back rather than forget.
                events::close(hypervisor, port)?;
            }
        }
        if let (None, Some(remote)) = (self.buffered_port, self.remote_buffered_port) {
            let hypervisor = self.model.hypervisor();
            self.buffered_port = Some(events::bind_interdomain(hypervisor, self.domain(), remote)?);
        }
        Ok(())
    }

    /// Takes the request of `vcpu`, if it has one: copies it once, marks it in progress.
    ///
    /// A request in progress that this server has not taken is one from before a restart; it is
    /// taken again.
    pub fn next(&mut self, vcpu: u32) -> Next {
        let Some(page) = self.requests().filter(|_| vcpu < self.vcpus) else {
            return Next::Idle;
        };
        match page.state(vcpu as usize) {
            STATE_READY => {}
            STATE_INPROCESS if !self.serving.contains(vcpu) => {}
            _ => return Next::Idle,
        }
        match page.take(vcpu as usize) {
            Ok(request) => {
                self.serving.insert(vcpu);
                Next::Request(request)
            }
            Err(undecodable) => {
                page.respond(vcpu as usize, undecodable.bits, !0);
                Next::Refused(Refusal {
                    domain: self.domain(),
                    vcpu,
                    what: undecodable,
                    // The vCPU runs on when notified; without a port it was never to be woken.
                    notified: self.notify(vcpu).is_ok(),
                })
            }
        }
    }

    /// Whether Xen has taken the last answer for `vcpu`, or there was none. It may be about to
    /// issue the access again even so: see [`Self::pass`].
    pub fn taken(&self, vcpu: u32) -> bool {
        self.requests()
            .is_none_or(|page| page.state(vcpu as usize) == STATE_NONE)
    }

    /// Returns once every vCPU has left what it was doing inside of Xen, accesses whose answer
    /// was [taken](Self::taken) among it: enabling what is enabled pauses the domain for a moment
    /// (`common/ioreq.c:ioreq_server_set_state`) and changes nothing.
    pub fn pass(&self) -> Result<(), XenError> {
        self.model.set_server_state(self.id, true)
    }

    /// Answers the request of `vcpu`: stores `data` (ignored by Xen for writes), marks the answer
    /// ready, notifies. Answering twice, or unasked, does nothing.
    pub fn complete(&mut self, request: &Request, data: u64) -> Result<(), XenError> {
        let vcpu = request.vcpu;
        let Some(page) = self.requests() else {
            return Ok(());
        };
        if !self.serving.remove(vcpu) {
            return Ok(());
        }
        page.respond(vcpu as usize, request.bits, data);
        self.notify(vcpu)
    }

    fn notify(&self, vcpu: u32) -> Result<(), XenError> {
        match self.ports.get(vcpu as usize) {
            Some(port) => events::send(self.model.hypervisor(), *port),
            None => Ok(()),
        }
    }

    fn requests(&self) -> Option<RequestPage<MappedPage>> {
        self.pages[RESOURCE_FRAME_IOREQ as usize].map(RequestPage::new)
    }

    /// The buffered ring, if the server has one.
    pub fn buffered(&self) -> Option<BufferedRing<MappedPage>> {
        self.pages[RESOURCE_FRAME_BUFIOREQ as usize].map(BufferedRing::new)
    }

    /// Gives everything back: ports, pages, server. Whatever cannot be given back stays noted, so
    /// that another call tries again; the first error is returned. A guest that is gone already
    /// has taken its server with it.
    pub fn destroy(&mut self) -> Result<(), IoreqError> {
        let mut outcome = Ok(());
        let mut note = |error: IoreqError| {
            if outcome.is_ok() {
                outcome = Err(error);
            }
        };
        if self.exists {
            // No new requests while we stop listening. Destroying disables as well; this is
            // for the case that it cannot be destroyed.
            match self.model.set_server_state(self.id, false) {
                Ok(()) => {}
                Err(error) if is_gone(error) => {}
                Err(error) => note(error.into()),
            }
        }
        let hypervisor = self.model.hypervisor();
        self.ports
            .retain(|port| match events::close(hypervisor, *port) {
                Ok(()) => false,
                Err(error) => {
                    note(error.into());
                    true
                }
            });
        if let Some(port) = self.buffered_port {
            match events::close(hypervisor, port) {
                Ok(()) => self.buffered_port = None,
                Err(error) => note(error.into()),
            }
        }
        for (index, page) in self.pages.iter_mut().enumerate() {
            if page.is_some() {
                match memory::unmap(hypervisor, self.window, index as u64) {
                    Ok(()) => *page = None,
                    Err(error) => note(error.into()),
                }
            }
        }
        if self.exists {
            match self.model.destroy_server(self.id) {
                Ok(()) => self.exists = false,
                Err(error) if is_gone(error) => self.exists = false,
                Err(error) => note(error.into()),
            }
        }
        self.serving = ServingSet::default();
        outcome
    }
}

fn is_gone(error: XenError) -> bool {
    matches!(error.errno, Errno::ESRCH | Errno::ENOENT)
}

fn checked_vcpus<H: Hypervisor>(model: &DeviceModel<H>) -> Result<u32, IoreqError> {
    let vcpus = model.vcpus()?;
    if vcpus as usize > MAX_VCPUS {
        return Err(IoreqError::TooManyVcpus {
            domain: model.domain(),
            vcpus,
        });
    }
    Ok(vcpus)
}

#[cfg(test)]
mod tests;
