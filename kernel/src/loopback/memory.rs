//! A loopback guest's memory: frames of this image, and what the mediator holds of them.

use arrayvec::ArrayVec;
use gpu::DmaPage;
use mediator::{DomainId, GuestFrame, PageError};

/// Pages of one loopback guest: status page, PPGTT, context, ring, batch and a 64 KiB surface.
pub const PAGES: usize = 32;

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
        let page = usize::try_from(frame.0)
            .ok()
            .and_then(|frame| self.pages.get(frame));
        let page = *page.ok_or(PageError::Absent(frame))?;
        self.pins += 1;
        Ok(page)
    }

    /// One pin less.
    pub fn unpin(&mut self) {
        self.pins = self.pins.saturating_sub(1);
    }
}
