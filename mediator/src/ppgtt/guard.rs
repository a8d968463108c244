//! Which tables need no look: their pages are write-protected, and nobody wrote.
//!
//! ```text
//! out of sync --unchanged a few times--> guarded --copied, compared, followed--> clean
//!      ^------------------- a trapped write, or frames that changed ---------------'
//! ```
//!
//! The page is protected first and compared then, so that no write falls in between. The first
//! write that arrives is carried out for the guest and takes the protection away: what follows
//! costs nothing until the next resynchronisation. A guest's page is protected once, whichever
//! of its shadows asked for it. It may have been freed and be anything by now: a write of any
//! size at any place is carried out, and never understood.
//!
//! What is not seen: writes by devices and by other domains through grants, which no guest uses
//! to build page tables. Such a page keeps its last translations until its guest's CPU writes.

use gpu::{Gpu, PAGE_SIZE};

use super::{Hands, PpgttSpace};
use crate::{GuestFrame, Guests};

/// Patience with a table whose page the hypervisor does not protect.
const LONG: u8 = u8::MAX;

impl PpgttSpace {
    /// Carries out a write of the guest's CPU to its RAM, inside one page. False if there is none.
    pub fn write<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        address: u64,
        bytes: &[u8],
    ) -> bool {
        let frame = GuestFrame(address / PAGE_SIZE);
        let current = self.generation == hands.guests.generation(hands.domain);
        let known = self.pool.at_frame(frame);
        let known = known.iter().find_map(|place| self.pool.get(*place)?.guest);
        let offset = address % PAGE_SIZE;
        let done = match known.filter(|_| current) {
            Some(page) => hands.guests.write(page.at(offset), bytes).is_ok(),
            // Protected a moment ago, or another page by now.
            None => match self.pin(hands, frame) {
                Ok(Some(page)) => {
                    let written = hands.guests.write(page.at(offset), bytes).is_ok();
                    hands.guests.unpin(hands.domain, frame, page);
                    written
                }
                _ => false,
            },
        };
        // Once it is written: whoever compares from here on sees it.
        self.release_frame(hands, frame, true);
        done
    }

    /// Protects a table's page. A refusal costs nothing but the copies that go on.
    pub(super) fn guard<G: Gpu, H: Guests>(&mut self, hands: &mut Hands<'_, G, H>, place: u16) {
        let Some(frame) = self.pool.get(place).map(|table| table.key.frame) else {
            return;
        };
        let protected = self.protected(frame)
            || hands
                .guests
                .write_protect(hands.domain, frame, true)
                .is_ok();
        if let Some(table) = self.pool.get_mut(place) {
            table.guarded = protected;
            if !protected {
                table.quiet = 0;
                table.patience = LONG;
            }
        }
    }

    /// Takes a page's protection away: all its shadows are out of sync from now on. `written` is
    /// whether its guest was the reason.
    pub(super) fn release_frame<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        frame: GuestFrame,
        written: bool,
    ) {
        let mut guarded = false;
        for place in self.pool.at_frame(frame) {
            if let Some(table) = self.pool.get_mut(place) {
                guarded |= table.guarded;
                table.out_of_sync();
                if written {
                    table.patience = table.patience.saturating_mul(2);
                }
            }
        }
        if guarded {
            self.version += 1;
            self.unprotect(hands, frame);
        }
    }

    /// A table that is no more needs no protection, unless its page is shadowed in another way.
    pub(super) fn unguard_removed<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        frame: GuestFrame,
    ) {
        if !self.protected(frame) {
            self.unprotect(hands, frame);
        }
    }

    fn unprotect<G: Gpu, H: Guests>(&self, hands: &mut Hands<'_, G, H>, frame: GuestFrame) {
        // Refused where the page is gone, and its protection with it.
        let _ = hands.guests.write_protect(hands.domain, frame, false);
    }

    fn protected(&self, frame: GuestFrame) -> bool {
        let places = self.pool.at_frame(frame);
        let mut tables = places.iter().filter_map(|place| self.pool.get(*place));
        tables.any(|table| table.guarded)
    }

    /// Protected tables that no root leads to, now that directories have changed: their pages are
    /// the guest's again, for whatever it likes.
    pub(super) fn release_orphans<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        without: Option<u16>,
    ) {
        if !self.pool.iter().any(|(_, table)| table.guarded) {
            return;
        }
        self.pool
            .mark(|place, table| table.key.is_root() && without != Some(place));
        while let Some(place) = self.pool.unmarked(|table| table.guarded)
            && let Some(table) = self.pool.get_mut(place)
        {
            let frame = table.key.frame;
            table.out_of_sync();
            self.version += 1;
            self.unguard_removed(hands, frame);
        }
    }

    /// Frames of the guest became other pages: nothing pinned or protected can be relied on.
    pub(super) fn distrust<G: Gpu, H: Guests>(&mut self, hands: &mut Hands<'_, G, H>) {
        self.version += 1;
        for place in 0..self.pool.places() {
            let Some(table) = self.pool.get_mut(place) else {
                continue;
            };
            table.stale = true;
            table.clean = false;
            let (frame, guarded) = (table.key.frame, table.guarded);
            if guarded {
                self.release_frame(hands, frame, false);
            }
        }
    }

    /// Pins a stale table's page anew; false if there is none any more.
    pub(super) fn renew<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        place: u16,
    ) -> Result<bool, super::Trouble> {
        let Some((frame, old)) = self
            .pool
            .get(place)
            .and_then(|table| Some((table.key.frame, table.guest?)))
        else {
            return Ok(true); // a split page: no table in the guest
        };
        let Some(page) = self.pin(hands, frame)? else {
            return Ok(false);
        };
        // The GPU never reaches a guest's own table: no flush.
        hands.guests.unpin(hands.domain, frame, old);
        if let Some(table) = self.pool.get_mut(place) {
            table.guest = Some(page);
        }
        Ok(true)
    }
}
