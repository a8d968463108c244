//! All shadow tables of one guest: found by key, capped, and swept when they run out.
//!
//! Everything is set aside at attach: for each place a page that the GPU walks and room for what
//! the guest's table says. Tables are shared: a driver's scratch tables are named by thousands of
//! entries. There is no reference count to get wrong; when room is needed, what no kept root
//! reaches is given back.

use alloc::vec::Vec;
use arrayvec::ArrayVec;
use gpu::DmaPage;
use gpu::spec::gtt::PpgttEntry;

use super::table::{Child, ENTRIES, Key, Raw, Shape, Table, child, value};
use crate::{DomainId, GuestFrame, Guests, PageError};

/// Most shadow tables of one guest (each costs two pages of the service domain).
pub const MAX_TABLES: usize = 1024;
/// Ways in which one guest page can be read as a table.
const SHAPES: usize = 5;
/// An empty bucket.
const EMPTY: u16 = u16::MAX;

/// The shadow tables of a vGPU with so much graphics memory: enough to map twice as much in 4 KiB
/// pages, or less of it in buffers that a program scatters over its address space (three tables
/// each), and the directories of a few dozen contexts.
pub const fn tables_for(graphics_mib: u32) -> usize {
    let tables = 3 * graphics_mib as usize + 64;
    if tables < MAX_TABLES {
        tables
    } else {
        MAX_TABLES
    }
}

/// One place for a table.
#[derive(Debug)]
struct Place {
    /// What the GPU walks.
    shadow: DmaPage,
    table: Option<Table>,
    /// The last sweep that found it reachable.
    marked: u32,
}

/// All tables of one guest.
#[derive(Debug, Default)]
pub struct Pool {
    places: Vec<Place>,
    /// By place: the guest's entries, expanded, that the shadow stands for.
    seen: Vec<[Raw; ENTRIES]>,
    /// Empty places.
    free: Vec<u16>,
    /// Open addressing with linear probing, by frame; rebuilt after each sweep.
    buckets: Vec<u16>,
    mark: u32,
}

impl Pool {
    pub const fn new() -> Self {
        Self {
            places: Vec::new(),
            seen: Vec::new(),
            free: Vec::new(),
            buckets: Vec::new(),
            mark: 0,
        }
    }

    /// Sets `count` places aside; on an error, [`Self::give_back`] those that there are.
    pub fn set_aside<H: Guests>(
        &mut self,
        guests: &mut H,
        domain: DomainId,
        count: usize,
    ) -> Result<(), PageError> {
        let count = count.min(MAX_TABLES);
        // Twice the tables, so that chains stay short.
        let buckets = (2 * count).next_power_of_two();
        self.places
            .try_reserve_exact(count)
            .and_then(|()| self.seen.try_reserve_exact(count))
            .and_then(|()| self.free.try_reserve_exact(count))
            .and_then(|()| self.buckets.try_reserve_exact(buckets))
            .map_err(|_| PageError::OutOfMemory)?;
        self.seen.resize(count, [Raw::default(); ENTRIES]);
        self.buckets.resize(buckets, EMPTY);
        for place in 0..count as u16 {
            let shadow = guests.allocate(Some(domain))?;
            self.places.push(Place {
                shadow,
                table: None,
                marked: 0,
            });
            self.free.push(place);
        }
        Ok(())
    }

    /// Gives the pages back; there are no tables any more.
    pub fn give_back<H: Guests>(&mut self, guests: &mut H) {
        self.free.clear();
        for place in self.places.drain(..) {
            guests.free(place.shadow);
        }
    }

    /// Tables in use.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// The table at a place.
    pub fn get(&self, place: u16) -> Option<&Table> {
        self.places
            .get(usize::from(place))
            .and_then(|place| place.table.as_ref())
    }

    /// The table at a place.
    pub fn get_mut(&mut self, place: u16) -> Option<&mut Table> {
        self.places
            .get_mut(usize::from(place))
            .and_then(|place| place.table.as_mut())
    }

    /// What the GPU walks.
    pub fn shadow(&self, place: u16) -> Option<DmaPage> {
        Some(self.places.get(usize::from(place))?.shadow)
    }

    /// The guest's entries, as last seen.
    pub fn seen(&self, place: u16) -> &[Raw] {
        self.seen
            .get(usize::from(place))
            .map_or(&[], <[Raw; ENTRIES]>::as_slice)
    }

    /// One of them.
    pub fn entry(&self, place: u16, index: usize) -> PpgttEntry {
        value(self.seen(place).get(index).copied().unwrap_or_default())
    }

    /// Notes that the shadow stands for this entry now.
    pub fn remember(&mut self, place: u16, index: usize, entry: Raw) {
        let entries = self.seen.get_mut(usize::from(place));
        if let Some(seen) = entries.and_then(|entries| entries.get_mut(index)) {
            *seen = entry;
        }
    }

    /// The place of a key's table.
    pub fn find(&self, key: Key) -> Option<u16> {
        self.chain(key.frame)
            .find(|place| self.get(*place).is_some_and(|table| table.key == key))
    }

    /// The shadows of the guest's page at `frame`, in all its ways to be a table.
    pub fn at_frame(&self, frame: GuestFrame) -> ArrayVec<u16, SHAPES> {
        let ours = |place: &u16| {
            self.get(*place)
                .is_some_and(|table| table.key.frame == frame && table.guest.is_some())
        };
        self.chain(frame).filter(ours).take(SHAPES).collect()
    }

    /// Puts an empty table in, if there is room. Its shadow page still holds what it held.
    pub fn insert(&mut self, table: Table) -> Option<u16> {
        let place = self.free.pop()?;
        let frame = table.key.frame;
        if let Some(entry) = self.places.get_mut(usize::from(place)) {
            entry.table = Some(table);
        }
        if let Some(seen) = self.seen.get_mut(usize::from(place)) {
            seen.fill(Raw::default());
        }
        self.index(frame, place);
        Some(place)
    }

    /// All tables with their places.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Table)> {
        (0..)
            .zip(&self.places)
            .filter_map(|(place, entry)| Some((place, entry.table.as_ref()?)))
    }

    /// Places, with or without a table.
    pub fn places(&self) -> u16 {
        self.places.len() as u16
    }

    /// Marks everything that the tables for which `kept` holds lead to.
    pub fn mark(&mut self, kept: impl Fn(u16, &Table) -> bool) {
        self.mark = self.mark.wrapping_add(1);
        for place in 0..self.places.len() as u16 {
            if self.get(place).is_some_and(|table| kept(place, table)) {
                self.reach(place);
            }
        }
    }

    /// One table that the last [`Self::mark`] did not reach, and for which `wanted` holds.
    pub fn unmarked(&self, wanted: impl Fn(&Table) -> bool) -> Option<u16> {
        let place = self.places.iter().position(|place| {
            place.marked != self.mark && place.table.as_ref().is_some_and(&wanted)
        })?;
        Some(place as u16)
    }

    /// Takes a table out. [`Self::reindex`] must follow before the next [`Self::find`].
    pub fn remove(&mut self, place: u16) -> Option<Table> {
        let table = self.places.get_mut(usize::from(place))?.table.take()?;
        self.free.push(place); // as many as there are places: no allocation
        Some(table)
    }

    /// Makes the index agree with the tables again.
    pub fn reindex(&mut self) {
        self.buckets.fill(EMPTY);
        for place in 0..self.places.len() as u16 {
            if let Some(frame) = self.get(place).map(|table| table.key.frame) {
                self.index(frame, place);
            }
        }
    }

    fn index(&mut self, frame: GuestFrame, place: u16) {
        let bucket = probe(frame, self.buckets.len())
            .find(|bucket| self.buckets.get(*bucket) == Some(&EMPTY));
        if let Some(entry) = bucket.and_then(|bucket| self.buckets.get_mut(bucket)) {
            *entry = place;
        }
    }

    /// The places in a frame's chain; some are other frames'.
    fn chain(&self, frame: GuestFrame) -> impl Iterator<Item = u16> {
        probe(frame, self.buckets.len())
            .map_while(|bucket| self.buckets.get(bucket).copied())
            .take_while(|place| *place != EMPTY)
    }

    /// Depth is bounded by the levels: a child's shape is always one further down.
    fn reach(&mut self, place: u16) {
        let mark = self.mark;
        match self.places.get_mut(usize::from(place)) {
            Some(entry) if entry.marked != mark => entry.marked = mark,
            _ => return,
        }
        let Some(table) = self.get(place) else { return };
        let Shape::Directory(level) = table.key.shape else {
            return;
        };
        if let Some(children) = table.children.clone() {
            children.iter().for_each(|child| self.reach(*child));
            return;
        }
        let mut last = PpgttEntry::default();
        for index in 0..ENTRIES {
            let entry = self.entry(place, index);
            if entry != last
                && let Child::Table(key) = child(level, entry)
                && let Some(place) = self.find(key)
            {
                self.reach(place);
            }
            last = entry;
        }
    }
}

/// Buckets to look at for a frame, in order; each once. Their number is a power of two.
fn probe(frame: GuestFrame, buckets: usize) -> impl Iterator<Item = usize> {
    let start = (frame.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
    (0..buckets).map(move |step| start.wrapping_add(step) & (buckets - 1))
}
