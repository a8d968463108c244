//! The walk: from a root down, each table once, only what differs.

use arrayvec::ArrayVec;
use gpu::spec::gtt::PpgttEntry;
use gpu::{DmaPage, Gpu};

use super::table::{
    Child, ENTRIES, Key, Raw, Shape, Table, child, directory_entry, entry, expand, raw, value,
};
use super::{Hands, PpgttSpace, RETIRED, Trouble, copy};
use crate::{GuestFrame, Guests, PageError};

/// Entries that are compared at once; a table has a whole number of such runs.
const RUN: usize = 16;
/// An empty table.
static EMPTY: [u8; ENTRIES * 8] = [0; ENTRIES * 8];

impl PpgttSpace {
    /// Brings a table and all below it up to date; its place, or none if it is no RAM.
    pub(super) fn visit<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        key: Key,
    ) -> Result<Option<u16>, Trouble> {
        let place = match self.pool.find(key) {
            Some(place) => place,
            None => match self.create(hands, key)? {
                Some(place) => place,
                None => return Ok(None),
            },
        };
        let stamp = self.stamp;
        let Some(table) = self.pool.get_mut(place) else {
            return Ok(None);
        };
        if table.visited == stamp {
            // Stale still means: its page is gone.
            return Ok((!table.stale).then_some(place));
        }
        table.visited = stamp;
        if table.stale && !self.renew(hands, place)? {
            self.unsettled += 1;
            return Ok(None);
        }
        self.update(hands, place, key)?;
        Ok(Some(place))
    }

    /// Compares a table with what was seen of it, unless it is clean, and follows it.
    fn update<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        place: u16,
        key: Key,
    ) -> Result<(), Trouble> {
        let Some(table) = self.pool.get(place) else {
            return Ok(());
        };
        if table.clean {
            if let Shape::Directory(level) = key.shape {
                self.directory(hands, place, level, None)?;
            }
            return Ok(());
        }
        let (guest, stale) = (table.guest, table.stale);
        if guest.is_some() && !table.guarded && table.quiet >= table.patience {
            self.guard(hands, place);
        }
        // The walk goes on below while this level's entries are in use, so they leave `self`.
        let level = match key.shape {
            Shape::Directory(level) => usize::from(level),
            _ => 1,
        };
        let Some(buffer) = self.buffers.get_mut(level) else {
            return Ok(());
        };
        let mut now = core::mem::take(buffer);
        let copied = guest.is_none_or(|page| copy(hands.guests, page, &mut now));
        let mut same = false;
        let whole = if copied {
            expand(key, &mut now);
            same = !stale && self.pool.seen(place) == now;
            match key.shape {
                Shape::Directory(level) => self.directory(hands, place, level, Some((&now, same))),
                _ if same => Ok(true),
                _ => self.pages(hands, place, &now, stale).map(|()| true),
            }
        } else {
            Ok(false)
        };
        if let Some(buffer) = self.buffers.get_mut(level) {
            *buffer = now;
        }
        let whole = whole?;
        let Some(table) = self.pool.get_mut(place) else {
            return Ok(());
        };
        table.stale = false;
        table.quiet = if same && whole {
            table.quiet.saturating_add(1)
        } else {
            0
        };
        table.clean = whole && (table.guarded || guest.is_none());
        self.unsettled += u32::from(!table.clean);
        Ok(())
    }

    /// A new table, nothing in it yet. None if the guest has no RAM there.
    fn create<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        key: Key,
    ) -> Result<Option<u16>, Trouble> {
        let guest = match key.shape {
            Shape::Split(_) => None,
            _ => match self.pin(hands, key.frame)? {
                Some(page) => Some(page),
                None => return Ok(None),
            },
        };
        let place = loop {
            let table = Table::new(key, guest, self.stamp);
            match self.pool.insert(table) {
                Some(place) => break place,
                None if self.evict(hands) => {}
                None => {
                    if let Some(page) = guest {
                        hands.guests.unpin(hands.domain, key.frame, page);
                    }
                    return Err(Trouble::Tables);
                }
            }
        };
        match key.shape {
            Shape::Split(_) => self.large.pages_2m += 1,
            Shape::Pages64K => self.large.tables_64k += 1,
            Shape::Directory(_) | Shape::Pages => {}
        }
        if let Some(page) = self.pool.shadow(place) {
            // Our own page: there is no way for this to miss.
            let _ = hands.guests.write(page.at(0), &EMPTY);
        }
        Ok(Some(place))
    }

    /// Pins a frame; none if it is no RAM. A full quota costs the roots used longest ago first.
    pub(super) fn pin<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        frame: GuestFrame,
    ) -> Result<Option<DmaPage>, Trouble> {
        loop {
            match hands.guests.pin(hands.domain, frame) {
                Ok(page) => return Ok(Some(page)),
                Err(PageError::Absent(_) | PageError::Refused(_)) => return Ok(None),
                Err(_) if !self.retired.is_empty() => self.drain(hands),
                Err(_) if self.evict(hands) => {}
                Err(error) => return Err(Trouble::Page(error)),
            }
        }
    }

    /// Follows a directory, and brings our entries up to date; `now` is what the guest has and
    /// whether that is what was seen, none if nothing can have changed. False if an entry leads
    /// nowhere that may lead somewhere later.
    fn directory<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        place: u16,
        level: u8,
        now: Option<(&[Raw], bool)>,
    ) -> Result<bool, Trouble> {
        let Some(table) = self.pool.get(place) else {
            return Ok(false);
        };
        if now.is_none_or(|(_, same)| same)
            && let Some(children) = table.children.clone()
        {
            let mut there = true;
            for child in children {
                if let Some(key) = self.pool.get(child).map(|table| table.key) {
                    there &= self.visit(hands, key)?.is_some();
                }
            }
            if there {
                return Ok(true);
            }
        }
        self.directories = self.directories.checked_sub(1).ok_or(Trouble::Tables)?;
        // Until the list is complete again, a sweep must read the entries.
        if let Some(table) = self.pool.get_mut(place) {
            table.children = None;
        }
        let mut children = Some(ArrayVec::<u16, 8>::new());
        let mut whole = true;
        // The last entry, the place it leads to, and whether it may lead somewhere later.
        let mut last = (PpgttEntry::default(), None, false);
        for index in 0..ENTRIES {
            let seen = self.pool.entry(place, index);
            let wanted = match now {
                Some((now, _)) => value(now.get(index).copied().unwrap_or_default()),
                None => seen,
            };
            if !wanted.present() && !seen.present() {
                if wanted != seen {
                    self.pool.remember(place, index, raw(wanted));
                }
                continue;
            }
            if wanted != last.0 {
                last = match child(level, wanted) {
                    Child::Table(key) => {
                        let child = self.visit(hands, key)?;
                        (wanted, child, child.is_none())
                    }
                    Child::Absent | Child::Refused => (wanted, None, false),
                };
            }
            let (_, child, nowhere) = last;
            whole &= !nowhere;
            if let Some(child) = child
                && let Some(list) = &mut children
                && !list.contains(&child)
                && list.try_push(child).is_err()
            {
                children = None;
            }
            // An entry that leads nowhere is not remembered, so that it is tried again.
            let remember = if nowhere {
                PpgttEntry::default()
            } else {
                wanted
            };
            if remember != seen {
                let shadow = child.and_then(|child| self.pool.shadow(child));
                let ours = shadow
                    .map(|page| directory_entry(wanted, page))
                    .unwrap_or_default();
                self.unlinked |= seen.present();
                self.change(hands, place, index, remember, ours, false)?;
            }
        }
        if let Some(table) = self.pool.get_mut(place) {
            table.children = children;
        }
        Ok(whole)
    }

    /// Brings the entries of a last-level table up to date, all of them if it is `stale`.
    fn pages<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        place: u16,
        now: &[Raw],
        stale: bool,
    ) -> Result<(), Trouble> {
        let mut index = 0;
        while let Some(wanted) = now.get(index).map(|raw| value(*raw)) {
            // Usually a few of many differ.
            let run = index..index + RUN;
            if !stale
                && index.is_multiple_of(RUN)
                && now.get(run.clone()) == self.pool.seen(place).get(run)
            {
                index += RUN;
                continue;
            }
            let at = index;
            index += 1;
            if wanted == self.pool.entry(place, at) && !(stale && wanted.present()) {
                continue;
            }
            if !wanted.present() {
                self.change(hands, place, at, wanted, PpgttEntry::default(), false)?;
                continue;
            }
            let frame = GuestFrame(wanted.frame());
            let page = self.pin(hands, frame)?;
            let ours = entry(wanted, page.unwrap_or(hands.scratch));
            let changed = self.change(hands, place, at, wanted, ours, page.is_some());
            if let Err(trouble) = changed {
                if let Some(page) = page {
                    hands.guests.unpin(hands.domain, frame, page);
                }
                return Err(trouble);
            }
        }
        Ok(())
    }

    /// Writes one shadow entry and retires the pin of the one before.
    fn change<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        place: u16,
        index: usize,
        wanted: PpgttEntry,
        ours: PpgttEntry,
        pinned: bool,
    ) -> Result<(), Trouble> {
        self.left = self.left.checked_sub(1).ok_or(Trouble::Later)?;
        if self.retired.len() >= RETIRED {
            self.drain(hands);
        }
        let seen = self.pool.entry(place, index);
        let Some(shadow) = self.pool.shadow(place) else {
            return Ok(());
        };
        let Some(table) = self.pool.get_mut(place) else {
            return Ok(());
        };
        let at = shadow.at(index as u64 * 8);
        if table.holds_pin(index) {
            let mut before = [0; 8];
            // Our own page: there is no way for this to miss, nor for the write below.
            let _ = hands.guests.read(at, &mut before);
            let page = DmaPage(PpgttEntry(u64::from_le_bytes(before)).frame());
            self.retired.push((GuestFrame(seen.frame()), page));
        }
        table.set_pin(index, pinned);
        let _ = hands.guests.write(at, &ours.0.to_le_bytes());
        self.pool.remember(place, index, raw(wanted));
        Ok(())
    }
}
