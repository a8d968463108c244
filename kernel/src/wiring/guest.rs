//! What this domain holds of one Xen guest: IOREQ server, claimed ranges, pinned and protected
//! pages.

use gpu::PAGE_SIZE;
use log::warn;
use mediator::{DomainId, GuestFrame, PageError, Window};
use xen::abi::ioreq::MAX_VCPUS;
use xen::device_model::{Buffering, MemoryType, Range, Sbdf};
use xen::ioreq::{Direction, IoreqError, Kind, Request};
use xen::{DeviceModel, Errno, HypercallPage, IoreqServer, XenError};

use super::open;
use super::pins::PinTable;
use super::protect::Protection;
use super::underway::Underway;

/// Where a guest finds its GPU: 00:02.0, the only place i915 accepts.
pub const FUNCTION: Sbdf = Sbdf::new(0, 0, 2, 0);

/// One guest.
pub struct XenGuest {
    /// The way into Xen.
    pub xen: HypercallPage,
    /// Its IOREQ server.
    pub server: IoreqServer<HypercallPage>,
    /// Its pinned pages.
    pub pins: PinTable,
    /// Where its vCPUs may have accesses under way.
    pub underway: Underway,
    /// How many pages of its own memory were put at trapped frames.
    pub open: u32,
    /// What of its address space is claimed now, by [`Window`].
    claimed: [Option<(u64, u64)>; 2],
    /// Which pair of frames its server's pages sit in.
    pub pair: usize,
    /// Whether its server owns the write-protected page type; unknown before it is wanted.
    protects: Option<bool>,
    /// Protected pages on their way back.
    protection: Protection,
    /// When one of them was written last.
    written: u64,
    /// Whether vCPUs can be had to report.
    recalls: bool,
    /// Whether the present request is such a report and nothing else.
    report: bool,
    /// The frame of the access before it, of the same vCPU.
    before: Option<u64>,
    /// Pages that the present request may still have changed back at once.
    budget: usize,
}

/// Where vCPUs cannot be had to report, pages without a write for so long are changed back,
/// nanoseconds.
const REST: u64 = 500_000;
/// Pages changed back in one round.
const BATCH: usize = 32;

impl XenGuest {
    /// Creates and enables the guest's server and claims its PCI function. On error nothing is
    /// left behind.
    pub fn new(
        xen: HypercallPage,
        domain: DomainId,
        pages: xen::memory::Window,
        pair: usize,
        quota: u32,
    ) -> Result<Self, IoreqError> {
        let model = DeviceModel::new(xen, xen::DomainId(domain.0));
        let mut server = IoreqServer::create(model, pages, Buffering::Atomic)?;
        let ready = server
            .map(Range::Pci(FUNCTION))
            .map_err(IoreqError::from)
            .and_then(|()| server.enable());
        if let Err(error) = ready {
            if let Err(second) = server.destroy() {
                warn!("{domain} xen: server could not be taken down: {second}");
            }
            return Err(error);
        }
        let pins = PinTable::new(quota);
        Ok(Self {
            xen,
            underway: Underway::new(server.vcpus()),
            open: 0,
            server,
            pins,
            claimed: [None; 2],
            pair,
            protects: None,
            protection: Protection::new(),
            written: 0,
            recalls: true,
            report: false,
            before: None,
            budget: 0,
        })
    }

    /// The guest's number.
    pub fn domain(&self) -> DomainId {
        DomainId(self.server.domain().0)
    }

    /// The claimed part of the guest's address space for `window`: start and size.
    pub fn claimed(&self, window: Window) -> Option<(u64, u64)> {
        *self.claimed.get(window as usize)?
    }

    /// Makes `range` the claimed part of the guest's address space for `window`.
    pub fn claim(&mut self, window: Window, range: Option<(u64, u64)>) -> Result<(), PageError> {
        let Self {
            server, claimed, ..
        } = self;
        let Some(place) = claimed.get_mut(window as usize) else {
            return Ok(());
        };
        if *place == range {
            return Ok(());
        }
        if let Some((start, size)) = place.take()
            && let Some(old) = Range::memory(start, size)
        {
            server.unmap(old).map_err(refused)?;
        }
        if let Some((start, size)) = range
            && let Some(new) = Range::memory(start, size)
        {
            server.map(new).map_err(refused)?;
            *place = range;
        }
        Ok(())
    }

    /// Has writes to a frame arrive as requests, or stops that, as soon as it is safe.
    pub fn write_protect(&mut self, frame: GuestFrame, on: bool) -> Result<(), PageError> {
        if !on {
            self.protection.leave(frame.0);
            if self.budget != 0 {
                self.budget = self.budget.saturating_sub(self.change_back());
            }
            return Ok(());
        }
        if !self.protection.room() {
            return Err(PageError::OutOfMemory);
        }
        let model = self.server.model();
        let owns = *self.protects.get_or_insert_with(|| {
            let claimed = model.claim_write_protection(self.server.id());
            claimed.map_err(refused).is_ok()
        });
        if !owns {
            return Err(PageError::Refused(Errno::EBUSY.0));
        }
        let still = self.protection.stay(frame.0);
        match model.set_memory_type(frame.0, 1, MemoryType::IoreqServer) {
            // Xen says that too of a page that has the type.
            Err(error) if !(still && error.errno == Errno::EINVAL) => {
                log::debug!("{} xen: {error}", self.domain());
                Err(PageError::Refused(error.errno.0))
            }
            _ => Ok(()),
        }
    }

    /// The frame of a request that can only be a write to a protected page.
    fn protected_write(&self, request: &Request) -> Option<u64> {
        let inside = |(first, size): &(u64, u64)| request.address.wrapping_sub(*first) < *size;
        let memory = request.kind == Kind::Memory && request.direction == Direction::Write;
        (memory && !self.claimed.iter().flatten().any(inside))
            .then_some(request.address / PAGE_SIZE)
    }

    /// Before a request is served.
    pub fn requested(&mut self, request: &Request, now: u64) {
        let memory = request.kind == Kind::Memory;
        let frame = memory.then_some(request.address / PAGE_SIZE);
        self.report = request.kind == Kind::Invalidate && self.underway.only_recalled(request.vcpu);
        self.before = self.underway.frame(request.vcpu);
        self.budget = BATCH;
        self.underway.begins(request.vcpu, frame);
        if self.protected_write(request).is_some() {
            self.written = now;
        }
    }

    /// The present request says that frames of the guest may have become other pages.
    pub fn invalidated(&self) -> bool {
        !self.report
    }

    /// When it was served, and before it is answered: Xen must find the page protected then, and
    /// the guest must not go on before it is memory again.
    pub fn served(&mut self, request: &Request) {
        if request.kind == Kind::Invalidate {
            // What the vCPU did before is over, and it waits. Others may be many.
            if let Some(frame) = self.before
                && self.protection.take(frame, &self.underway)
            {
                self.make_memory(frame);
            }
            self.change_back();
        }
        let Some(frame) = self.protected_write(request) else {
            return;
        };
        if self.protects == Some(true) && !self.protection.leaves(frame) {
            let model = self.server.model();
            // Refused if it has the type, and if it is no RAM any more; both are as well.
            if model
                .set_memory_type(frame, 1, MemoryType::IoreqServer)
                .is_ok()
            {
                self.protection.leave(frame);
            }
        }
        if self.recalls && self.protection.leaves(frame) {
            match open::recall(self) {
                Ok(()) | Err(PageError::Busy(_)) => {}
                // Told once: from now on the page follows a while after the write.
                Err(_) => self.recalls = false,
            }
        }
    }

    /// Changes pages back where that is safe; bounded. True if there is more to do at once.
    pub fn unprotect(&mut self, now: u64) -> bool {
        if !self.protection.waits() {
            return false;
        }
        if self.change_back() == BATCH {
            return true;
        }
        if now < self.written.saturating_add(REST) {
            return false;
        }
        let server = &self.server;
        let mut over = [false; MAX_VCPUS];
        for vcpu in self.protection.in_the_way(&self.underway) {
            if let Some(over) = over.get_mut(vcpu as usize) {
                *over = server.taken(vcpu);
            }
        }
        if over.contains(&true) && server.pass().is_ok() {
            for (vcpu, _) in (0..).zip(over).filter(|(_, over)| *over) {
                self.underway.begins(vcpu, None);
            }
        }
        self.change_back() == BATCH
    }

    /// Changes pages back at which no access is under way; how many, at most [`BATCH`].
    fn change_back(&mut self) -> usize {
        for done in 0..BATCH {
            let Some(frame) = self.protection.next(&self.underway) else {
                return done;
            };
            self.make_memory(frame);
        }
        BATCH
    }

    fn make_memory(&self, frame: u64) {
        let model = self.server.model();
        if let Err(error) = model.set_memory_type(frame, 1, MemoryType::RamRw) {
            // Gone, and its type with it.
            log::debug!("{} xen: {error}", self.domain());
        }
    }

    /// When the next look at pages to change back is due.
    pub fn deadline(&self, now: u64) -> Option<u64> {
        let due = self.written.saturating_add(REST);
        self.protection.waits().then_some(due.max(now + REST))
    }

    /// Lets go of the server. Pins are given back by whoever owns the window.
    pub fn close(&mut self) {
        let domain = self.domain();
        if self.protects == Some(true)
            && let Err(error) = self
                .server
                .model()
                .release_write_protection(self.server.id())
        {
            // A dying guest refuses this; its pages go with it.
            log::debug!("{domain} xen: {error}");
        }
        if let Err(error) = self.server.destroy() {
            warn!("{domain} xen: server not wholly released: {error}");
        }
    }
}

/// A refused call as the mediator understands it; the line names call and remedy.
pub fn refused(error: XenError) -> PageError {
    warn!("xen: {error}");
    PageError::Refused(error.errno.0)
}
