//! What this domain holds of one Xen guest: IOREQ server, claimed ranges, pinned pages.

use log::warn;
use mediator::{DomainId, GuestFrame, PageError, Window};
use xen::device_model::{Buffering, MemoryType, Range, Sbdf};
use xen::ioreq::IoreqError;
use xen::{DeviceModel, HypercallPage, IoreqServer, XenError};

use super::pins::PinTable;
use super::underway::Underway;

/// Where a guest finds its GPU: 00:02.0, the only place i915 accepts.
pub const FUNCTION: Sbdf = Sbdf::new(0, 0, 2, 0);

/// One guest.
pub struct XenGuest {
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
    /// Whether its server owns the write-protected page type already.
    protects: bool,
}

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
            underway: Underway::new(server.vcpus()),
            open: 0,
            server,
            pins,
            claimed: [None; 2],
            pair,
            protects: false,
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

    /// Has writes to a frame arrive as requests, or stops that.
    pub fn write_protect(&mut self, frame: GuestFrame, on: bool) -> Result<(), PageError> {
        let model = self.server.model();
        if on && !self.protects {
            model
                .claim_write_protection(self.server.id())
                .map_err(refused)?;
            self.protects = true;
        }
        let kind = if on {
            MemoryType::IoreqServer
        } else {
            MemoryType::RamRw
        };
        model.set_memory_type(frame.0, 1, kind).map_err(refused)
    }

    /// Lets go of the server. Pins are given back by whoever owns the window.
    pub fn close(&mut self) {
        let domain = self.domain();
        if self.protects
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
