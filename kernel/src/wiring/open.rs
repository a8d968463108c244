//! Memory of a guest's own at frames of its BAR that are trapped otherwise.
//!
//! Xen lets a device model give its guest memory (`XENMEM_populate_physmap`, in the guest's own
//! account) and map it, not put its own there. In this order nobody ever sees half of it:
//!
//! ```text
//! open   populate at the parking frame, map it here, fill it, move it to its place (relocate)
//! close  take it from its place (decrease), which waits for all vCPUs' translations; read it here
//!        through our mapping, which holds the page; clear it, for its next owner; unmap: it is free
//! ```
//!
//! The parking frame is in the reserved part of BAR0, where no driver looks. `underway` tells why a
//! page never opens at a frame that may have an access under way; the mediator closes a page
//! before it answers an access there.

use gpu::spec::registers::REGISTER_SPACE;
use gpu::{DmaFault, DmaPage, PAGE_SIZE};
use log::{Level, warn};
use mediator::{DomainId, GuestFrame, PageError, Window};
use xen::memory::{self, MemoryError};
use xen::{Errno, HypercallPage};

use super::guest::{XenGuest, refused};
use super::guests::PinWindow;
use super::pages;

/// Bytes of a page.
pub type Contents = [u8; PAGE_SIZE as usize];

/// See [`mediator::Guests::open_page`].
pub fn open(
    window: &mut PinWindow,
    guest: &mut XenGuest,
    frame: GuestFrame,
    contents: &Contents,
) -> Result<DmaPage, PageError> {
    let domain = guest.domain();
    let parking = parking(guest).ok_or(PageError::Absent(frame))?;
    let busy = guest.underway.at(frame.0);
    if guest.underway.at(parking).is_some() || busy == Some(false) {
        return Err(PageError::Busy(frame));
    }
    populate(window.xen(), domain, parking)?;
    if busy == Some(true) {
        // It goes at once, only to have the vCPUs report.
        take(window.xen(), guest, parking);
        return Err(PageError::Busy(frame));
    }
    let placed = window.map(domain, parking).and_then(|slot| {
        let page = window.page(slot);
        // It was mapped a moment ago, so it has an owner.
        let _ = pages::write(page.at(0), contents);
        let moved = guest.server.model().relocate_memory(parking, frame.0, 1);
        moved.map(|()| page).map_err(|error| {
            window.unmap(slot);
            refused(error)
        })
    });
    match placed {
        Ok(_) => {
            guest.underway.memory_taken();
            guest.open += 1;
        }
        Err(_) => take(window.xen(), guest, parking),
    }
    placed
}

/// See [`mediator::Guests::close_page`].
pub fn close(
    window: &mut PinWindow,
    guest: &mut XenGuest,
    frame: GuestFrame,
    page: DmaPage,
    contents: &mut Contents,
) -> Result<(), DmaFault> {
    take(window.xen(), guest, frame.0);
    let read = pages::read(page.at(0), contents);
    // As above; and if it had none, nothing of it was shown.
    let _ = pages::write(page.at(0), &[0; PAGE_SIZE as usize]);
    if let Some(slot) = window.slot(page) {
        window.unmap(slot);
    }
    guest.open = guest.open.saturating_sub(1);
    read
}

/// Has each vCPU of the guest report as soon as it is through with its instruction, before it goes
/// on, which it does when memory was taken from the guest: one page that it got for that.
pub fn recall(guest: &mut XenGuest) -> Result<(), PageError> {
    let frame = parking(guest).ok_or(PageError::OutOfMemory)?;
    if guest.underway.at(frame).is_some() {
        return Err(PageError::Busy(GuestFrame(frame)));
    }
    let xen = guest.xen;
    populate(&xen, guest.domain(), frame)?;
    if decrease(&xen, guest.domain(), frame) {
        guest.underway.recalled();
    }
    Ok(())
}

/// Where pages are made ready.
fn parking(guest: &XenGuest) -> Option<u64> {
    let (start, _) = guest.claimed(Window::Registers)?;
    Some((start + u64::from(REGISTER_SPACE)) / PAGE_SIZE)
}

/// Gives the guest a page at a frame.
fn populate(xen: &HypercallPage, domain: DomainId, frame: u64) -> Result<(), PageError> {
    memory::populate(xen, xen::DomainId(domain.0), &mut [frame]).map_err(|error| match error {
        MemoryError::Xen(error) => refused(error),
        other => {
            warn!("xen: {other}");
            PageError::Refused(Errno::ENOMEM.0)
        }
    })
}

/// Takes the page at a frame from the guest.
fn take(xen: &HypercallPage, guest: &mut XenGuest, frame: u64) {
    if decrease(xen, guest.domain(), frame) {
        guest.underway.memory_taken();
    }
}

/// Whether there was a page to be taken.
fn decrease(xen: &HypercallPage, domain: DomainId, frame: u64) -> bool {
    let taken = memory::decrease(xen, xen::DomainId(domain.0), &mut [frame]);
    if let Err(error) = &taken {
        // The guest has removed it itself, or is dying. Should it still be there, only this guest
        // lacks what it writes to it.
        console::report(Level::Warn, domain.0, "gtt", format_args!("{error}"));
    }
    taken.is_ok()
}
