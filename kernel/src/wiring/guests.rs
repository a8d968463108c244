//! The mediator's hypervisor services, over Xen's guests and loopback ones.

use alloc::boxed::Box;
use alloc::vec::Vec;

use arrayvec::ArrayVec;
use gpu::{DmaAddress, DmaFault, DmaPage, Owner};
use log::{debug, warn};
use mediator::{DomainId, GuestFrame, Guests, MAX_VGPUS, PageError, Window};
use xen::aperture::{Aperture, ApertureError, Change, Slice};
use xen::memory;
use xen::{Errno, HypercallPage};

use super::guest::{XenGuest, refused};
use super::open::{self, Contents};
use super::pages;
use super::pins::Held;
use crate::frames::{self, Frame};
use crate::loopback::Domains;

/// Everything that hypervisors do for the mediator.
pub struct DomainServices {
    /// Guests inside this image.
    pub loopback: Domains,
    /// Guests of the Xen underneath.
    pub guests: ArrayVec<Box<XenGuest>, MAX_VGPUS>,
    window: Option<PinWindow>,
    allocated: u32,
}

/// The window that guests' pages are mapped in, one slot for each.
pub(super) struct PinWindow {
    xen: HypercallPage,
    window: memory::Window,
    free: Vec<u32>,
    aperture: Aperture<HypercallPage>,
}

impl DomainServices {
    /// Without Xen: loopback guests only.
    pub fn new() -> Self {
        Self {
            loopback: Domains::default(),
            guests: ArrayVec::new(),
            window: None,
            allocated: 0,
        }
    }

    /// With Xen, and `window` for pinned pages.
    pub fn with_xen(xen: HypercallPage, window: memory::Window) -> Self {
        let slots = u32::try_from(window.frames()).unwrap_or(u32::MAX);
        let window = PinWindow {
            xen,
            window,
            free: (0..slots).rev().collect(),
            aperture: Aperture::new(xen),
        };
        Self {
            window: Some(window),
            ..Self::new()
        }
    }

    /// The Xen guest with this number.
    pub fn guest_mut(&mut self, domain: DomainId) -> Option<&mut XenGuest> {
        self.guests
            .iter_mut()
            .find(|guest| guest.domain() == domain)
            .map(|guest| &mut **guest)
    }

    /// Lets go of everything of a Xen guest; its vGPU is gone already.
    pub fn remove(&mut self, domain: DomainId) {
        let Some(place) = self
            .guests
            .iter()
            .position(|guest| guest.domain() == domain)
        else {
            return;
        };
        let mut guest = self.guests.remove(place);
        if guest.pins.used() > 0 {
            warn!(
                "{domain} pins: {} left behind, taken back",
                guest.pins.used()
            );
        }
        if let Some(window) = &mut self.window {
            guest.pins.drain(|slot| window.unmap(slot));
        }
        guest.close();
    }

    /// Window slots (in use, all).
    pub fn slots(&self) -> (u64, u64) {
        self.window.as_ref().map_or((0, 0), |window| {
            let all = window.window.frames();
            (all - window.free.len() as u64, all)
        })
    }

    /// Service-domain pages that the mediator holds.
    pub fn allocated(&self) -> u32 {
        self.allocated
    }
}

impl PinWindow {
    /// The way to Xen.
    pub fn xen(&self) -> &HypercallPage {
        &self.xen
    }

    /// Maps one frame of a guest; its slot.
    pub fn map(&mut self, domain: DomainId, frame: u64) -> Result<u32, PageError> {
        let slot = *self.free.last().ok_or(PageError::OutOfMemory)?;
        let place = self
            .window
            .part(slot.into(), 1)
            .ok_or(PageError::OutOfMemory)?;
        let mut results = [Ok(())];
        let guest = xen::DomainId(domain.0);
        memory::map_foreign(&self.xen, guest, &[frame], place, &mut results).map_err(|error| {
            match error {
                memory::MemoryError::Xen(error) => refused(error),
                other => {
                    warn!("xen: {other}");
                    PageError::OutOfMemory
                }
            }
        })?;
        let [result] = results;
        result.map_err(|errno| match errno {
            Errno::ENOMEM => PageError::OutOfMemory,
            Errno::EPERM | Errno::EACCES => PageError::Refused(errno.0),
            _ => PageError::Absent(GuestFrame(frame)),
        })?;
        self.free.pop();
        pages::set_owner(self.page(slot), Owner::Guest(domain.0));
        Ok(slot)
    }

    /// Unmaps a slot.
    pub fn unmap(&mut self, slot: u32) {
        pages::set_owner(self.page(slot), Owner::Nobody);
        match memory::unmap(&self.xen, self.window, slot.into()) {
            Ok(()) => self.free.push(slot), // never more than the window has: no reallocation
            // The slot stays out of use: what it shows is not known.
            Err(error) => warn!("xen: window slot {slot:#x} lost: {error}"),
        }
    }

    /// The page that a slot shows.
    pub fn page(&self, slot: u32) -> DmaPage {
        DmaPage(self.window.first() + u64::from(slot))
    }

    /// The slot that shows a page.
    pub fn slot(&self, page: DmaPage) -> Option<u32> {
        u32::try_from(page.0.checked_sub(self.window.first())?).ok()
    }
}

impl Guests for DomainServices {
    fn pin(&mut self, domain: DomainId, frame: GuestFrame) -> Result<DmaPage, PageError> {
        if let Some(domain) = self.loopback.get_mut(domain) {
            return domain.pin(frame);
        }
        let guest = self
            .guests
            .iter_mut()
            .find(|guest| guest.domain() == domain);
        let (Some(guest), Some(window)) = (guest, &mut self.window) else {
            return Err(PageError::Absent(frame));
        };
        match guest.pins.hold(frame.0) {
            Held::Again(slot) => Ok(window.page(slot)),
            Held::Beyond => Err(PageError::Absent(frame)),
            Held::Full => Err(PageError::Quota {
                limit: guest.pins.quota(),
            }),
            Held::New => {
                let slot = window.map(domain, frame.0)?;
                guest.pins.insert(frame.0, slot);
                Ok(window.page(slot))
            }
        }
    }

    fn unpin(&mut self, domain: DomainId, frame: GuestFrame, page: DmaPage) {
        if let Some(domain) = self.loopback.get_mut(domain) {
            return domain.unpin();
        }
        let guest = self
            .guests
            .iter_mut()
            .find(|guest| guest.domain() == domain);
        if let (Some(guest), Some(window)) = (guest, &mut self.window)
            && let Some(slot) = window.slot(page)
            && guest.pins.release(frame.0, slot)
        {
            window.unmap(slot);
        }
    }

    fn allocate(&mut self, domain: Option<DomainId>) -> Result<DmaPage, PageError> {
        let frame = frames::allocate().ok_or(PageError::OutOfMemory)?;
        let page = DmaPage(frame.0);
        self.hand_over(page, domain);
        self.allocated += 1;
        Ok(page)
    }

    fn hand_over(&mut self, page: DmaPage, domain: Option<DomainId>) {
        let owner = domain.map_or(Owner::Host, |domain| Owner::HostFor(domain.0));
        pages::set_owner(page, owner);
    }

    fn free(&mut self, page: DmaPage) {
        pages::set_owner(page, Owner::Nobody);
        frames::free(Frame(page.0));
        self.allocated -= 1;
    }

    fn read(&self, address: DmaAddress, data: &mut [u8]) -> Result<(), DmaFault> {
        pages::read(address, data)
    }

    fn write(&mut self, address: DmaAddress, data: &[u8]) -> Result<(), DmaFault> {
        pages::write(address, data)
    }

    fn inject(&mut self, domain: DomainId, address: u64, data: u32) {
        if let Some(domain) = self.loopback.get_mut(domain) {
            domain.messages += 1;
            domain.last_message = data;
        } else if let Some(guest) = self.guest_mut(domain)
            && let Err(error) = guest.server.model().inject_msi(address, data)
        {
            debug!("{domain} msi: {error}");
        }
    }

    fn trap(
        &mut self,
        domain: DomainId,
        window: Window,
        range: Option<(u64, u64)>,
    ) -> Result<(), PageError> {
        self.guest_mut(domain)
            .map_or(Ok(()), |guest| guest.claim(window, range))
    }

    fn write_protect(
        &mut self,
        domain: DomainId,
        frame: GuestFrame,
        on: bool,
    ) -> Result<(), PageError> {
        self.guest_mut(domain)
            .ok_or(PageError::Absent(frame))
            .and_then(|guest| guest.write_protect(frame, on))
    }

    fn generation(&self, domain: DomainId) -> u32 {
        self.guests
            .iter()
            .find(|guest| guest.domain() == domain)
            .map_or(0, |guest| guest.pins.epoch())
    }

    fn map_frames(
        &mut self,
        domain: DomainId,
        at: GuestFrame,
        first: DmaPage,
        count: u64,
        on: bool,
    ) -> Result<(), PageError> {
        let Some(window) = &mut self.window else {
            return Err(PageError::Absent(at));
        };
        let change = if on { Change::Map } else { Change::Unmap };
        let slice = Slice {
            first_gfn: at.0,
            first_mfn: first.0,
            frames: count,
        };
        window
            .aperture
            .change(xen::DomainId(domain.0), change, slice)
            .map_err(|error| {
                warn!("xen: {error}");
                match error {
                    ApertureError::Refused(error) | ApertureError::Stopped { error, .. } => {
                        PageError::Refused(error.errno.0)
                    }
                    ApertureError::Nonsense { .. } => PageError::Refused(Errno::EINVAL.0),
                }
            })
    }

    fn open_page(
        &mut self,
        domain: DomainId,
        frame: GuestFrame,
        contents: &Contents,
    ) -> Result<DmaPage, PageError> {
        if let Some(domain) = self.loopback.get_mut(domain) {
            let page = domain.open(frame).ok_or(PageError::OutOfMemory)?;
            // It has just got its owner.
            let _ = pages::write(page.at(0), contents);
            return Ok(page);
        }
        match (
            &mut self.window,
            self.guests
                .iter_mut()
                .find(|guest| guest.domain() == domain),
        ) {
            (Some(window), Some(guest)) => open::open(window, guest, frame, contents),
            _ => Err(PageError::Absent(frame)),
        }
    }

    fn close_page(
        &mut self,
        domain: DomainId,
        frame: GuestFrame,
        page: DmaPage,
        contents: &mut Contents,
    ) -> Result<(), DmaFault> {
        if let Some(domain) = self.loopback.get_mut(domain) {
            let read = pages::read(page.at(0), contents);
            domain.close(frame);
            return read;
        }
        match (
            &mut self.window,
            self.guests
                .iter_mut()
                .find(|guest| guest.domain() == domain),
        ) {
            (Some(window), Some(guest)) => open::close(window, guest, frame, page, contents),
            _ => Err(DmaFault(page.at(0))),
        }
    }

    fn pins(&self, domain: DomainId) -> u32 {
        match self.loopback.get(domain) {
            Some(domain) => domain.pins,
            None => self
                .guests
                .iter()
                .find(|guest| guest.domain() == domain)
                .map_or(0, |guest| guest.pins.pins()),
        }
    }
}
