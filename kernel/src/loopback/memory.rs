//! A loopback guest's memory: frames of this image, and what the mediator holds of them.

use arrayvec::ArrayVec;
use gpu::{DmaPage, Owner};
use mediator::{DomainId, GuestFrame, PageError};

use crate::frames::{self, Frame};
use crate::wiring::pages;

/// Pages of one loopback guest: status page, PPGTT, context, ring, batch and a 64 KiB surface.
pub const PAGES: usize = 32;

/// Pages of it that a guest may have at trapped frames.
const OPEN: usize = 16;

/// Most loopback guests.
pub const MAX: usize = 8;

/// One guest's side of the hypervisor services.
pub struct Domain {
    /// Its number.
    pub id: DomainId,
    /// Guest frame `n` is page `pages[n]`.
    pub pages: [DmaPage; PAGES],
    /// Pins the mediator holds.
    pub pins: u32,
    /// Message-signalled interrupts delivered so far.
    pub messages: u64,
    /// Data of the last one.
    pub last_message: u32,
    /// Pages put at frames that trap otherwise.
    pub open: ArrayVec<(GuestFrame, DmaPage), OPEN>,
}

/// All of them.
#[derive(Default)]
pub struct Domains(ArrayVec<Domain, MAX>);

impl Domains {
    /// Adds a guest; false if there are [`MAX`] already.
    pub fn add(&mut self, id: DomainId, pages: [DmaPage; PAGES]) -> bool {
        self.0
            .try_push(Domain {
                id,
                pages,
                pins: 0,
                messages: 0,
                last_message: 0,
                open: ArrayVec::new(),
            })
            .is_ok()
    }

    /// The guest with this number.
    pub fn get_mut(&mut self, id: DomainId) -> Option<&mut Domain> {
        self.0.iter_mut().find(|domain| domain.id == id)
    }

    /// The guest with this number.
    pub fn get(&self, id: DomainId) -> Option<&Domain> {
        self.0.iter().find(|domain| domain.id == id)
    }
}

impl Domain {
    /// The page behind a frame, with one more pin on it.
    pub fn pin(&mut self, frame: GuestFrame) -> Result<DmaPage, PageError> {
        let ram = usize::try_from(frame.0).ok();
        let ram = ram.and_then(|frame| self.pages.get(frame)).copied();
        let mut open = self.open.iter();
        let page = ram.or_else(|| Some(open.find(|(at, _)| *at == frame)?.1));
        let page = page.ok_or(PageError::Absent(frame))?;
        self.pins += 1;
        Ok(page)
    }

    /// Puts a page at a frame that traps.
    pub fn open(&mut self, frame: GuestFrame) -> Option<DmaPage> {
        if self.open.is_full() {
            return None;
        }
        let page = DmaPage(frames::allocate()?.0);
        pages::set_owner(page, Owner::Guest(self.id.0));
        self.open.push((frame, page));
        Some(page)
    }

    /// Takes it away.
    pub fn close(&mut self, frame: GuestFrame) {
        if let Some(place) = self.open.iter().position(|(at, _)| *at == frame) {
            let (_, page) = self.open.swap_remove(place);
            pages::set_owner(page, Owner::Nobody);
            frames::free(Frame(page.0));
        }
    }

    /// One pin less.
    pub fn unpin(&mut self) {
        self.pins = self.pins.saturating_sub(1);
    }
}
