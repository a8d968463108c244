//! The walk: from a root down, each table once, only what differs.

use arrayvec::ArrayVec;
use gpu::spec::gtt::PpgttEntry;
use gpu::{DmaPage, Gpu};

use super::table::{
    Child, ENTRIES, Key, Raw, Shape, Table, child, directory_entry, entry, expand, raw, value,
};
use super::{Hands, PpgttSpace, RETIRED, Trouble, copy};
use crate::{GuestFrame, Guests, PageError};

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
            return Ok(Some(place));
        }
        table.visited = stamp;
        let guest = table.guest;

        // The walk goes on below while this level's entries are in use, so they leave `self`.
        let level = match key.shape {
            Shape::Directory(level) => usize::from(level),
            _ => 1,
        };
        let Some(buffer) = self.buffers.get_mut(level) else {
            return Ok(None);
        };
        let mut now = core::mem::take(buffer);
        let result = match guest {
            Some(page) if !copy(hands.guests, page, &mut now) => Ok(()),
            _ => {
                expand(key, &mut now);
                match key.shape {
                    Shape::Directory(level) => self.directory(hands, place, level, &now),
                    _ => self.pages(hands, place, &now),
                }
            }
        };
        if let Some(buffer) = self.buffers.get_mut(level) {
            *buffer = now;
        }
        result.map(|()| Some(place))
    }

    /// A new table, nothing in it yet. None if the guest has no RAM there.
    fn create<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        key: Key,
    ) -> Result<Option<u16>, Trouble> {
        let seen = loop {
            match self.pool.reserve() {
                Some(entries) => break entries,
                None if self.evict(hands) => {}
                None => return Err(Trouble::Tables),
            }
        };
        let guest = match key.shape {
            Shape::Split(_) => None,
            _ => match self.pin(hands, key.frame) {
                Ok(Some(page)) => Some(page),
                other => {
                    self.pool.unreserve(seen);
                    return other.map(|_| None);
                }
            },
        };
        let shadow = loop {
            match hands.guests.allocate(Some(hands.domain)) {
                Ok(page) => break page,
                Err(PageError::OutOfMemory) if self.evict(hands) => {}
                Err(error) => {
                    if let Some(page) = guest {
                        hands.guests.unpin(hands.domain, key.frame, page);
                    }
                    self.pool.unreserve(seen);
                    return Err(Trouble::Page(error));
                }
            }
        };
        let table = Table {
            key,
            shadow,
            guest,
            seen,
            pinned: [0; ENTRIES / 64],
            visited: self.stamp.wrapping_sub(1),
            used: self.stamp,
            children: None,
        };
        Ok(Some(self.pool.insert(table)))
    }

    /// Pins a frame; none if it is no RAM. A full quota costs the roots used longest ago first.
    fn pin<G: Gpu, H: Guests>(
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

    fn directory<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        place: u16,
        level: u8,
        now: &[Raw],
    ) -> Result<(), Trouble> {
        let Some(table) = self.pool.get(place) else {
            return Ok(());
        };
        if table.seen == now
            && let Some(children) = table.children.clone()
        {
            for child in children {
                if let Some(key) = self.pool.get(child).map(|table| table.key) {
                    self.visit(hands, key)?;
                }
            }
            return Ok(());
        }
        self.directories = self.directories.checked_sub(1).ok_or(Trouble::Tables)?;
        // Until the list is complete again, a sweep must read the entries.
        if let Some(table) = self.pool.get_mut(place) {
            table.children = None;
        }
        let mut children = Some(ArrayVec::<u16, 8>::new());
        let mut last = (PpgttEntry::default(), None);
        for (index, wanted) in now.iter().map(|raw| value(*raw)).enumerate() {
            let Some(seen) = self.pool.get(place).map(|table| table.entry(index)) else {
                break;
            };
            if !wanted.present() && !seen.present() {
                continue;
            }
            if wanted != last.0 {
                last = match child(level, wanted) {
                    Child::Table(key) => (wanted, self.visit(hands, key)?),
                    Child::Absent | Child::Refused => (wanted, None),
                };
            }
            if let Some(child) = last.1
                && let Some(list) = &mut children
                && !list.contains(&child)
                && list.try_push(child).is_err()
            {
                children = None;
            }
            if wanted != seen {
                let shadow = last.1.and_then(|child| Some(self.pool.get(child)?.shadow));
                let ours = shadow
                    .map(|page| directory_entry(wanted, page))
                    .unwrap_or_default();
                // An entry that leads nowhere is not remembered, so that it is tried again.
                let remember = if shadow.is_some() {
                    wanted
                } else {
                    PpgttEntry::default()
                };
                self.change(hands, place, index, remember, ours, false)?;
            }
        }
        if let Some(table) = self.pool.get_mut(place) {
            table.children = children;
        }
        Ok(())
    }

    fn pages<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        place: u16,
        now: &[Raw],
    ) -> Result<(), Trouble> {
        if self.pool.get(place).is_none_or(|table| table.seen == now) {
            return Ok(());
        }
        for (index, wanted) in now.iter().map(|raw| value(*raw)).enumerate() {
            let Some(seen) = self.pool.get(place).map(|table| table.entry(index)) else {
                break;
            };
            if wanted == seen {
                continue;
            }
            if !wanted.present() {
                self.change(hands, place, index, wanted, PpgttEntry::default(), false)?;
                continue;
            }
            let page = self.pin(hands, GuestFrame(wanted.frame()))?;
            let ours = entry(wanted, page.unwrap_or(hands.scratch));
            let changed = self.change(hands, place, index, wanted, ours, page.is_some());
            if let Err(trouble) = changed {
                if let Some(page) = page {
                    hands
                        .guests
                        .unpin(hands.domain, GuestFrame(wanted.frame()), page);
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
        let Some(table) = self.pool.get_mut(place) else {
            return Ok(());
        };
        let at = table.shadow.at(index as u64 * 8);
        if table.holds_pin(index) {
            let mut before = [0; 8];
            // Our own page: there is no way for this to miss, nor for the write below.
            let _ = hands.guests.read(at, &mut before);
            let page = DmaPage(PpgttEntry(u64::from_le_bytes(before)).frame());
            self.retired
                .push((GuestFrame(table.entry(index).frame()), page));
        }
        let _ = hands.guests.write(at, &ours.0.to_le_bytes());
        table.set_pin(index, pinned);
        if let Some(seen) = table.seen.get_mut(index) {
            *seen = raw(wanted);
        }
        Ok(())
    }
}
