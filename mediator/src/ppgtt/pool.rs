//! All shadow tables of one guest: found by key, capped, and swept when they run out.
//!
//! Tables are shared: a driver's scratch tables are named by thousands of entries. There is no
//! reference count to get wrong; when room is needed, what no kept root reaches is given back.

use alloc::vec::Vec;

use super::table::{Child, ENTRIES, Key, Raw, Shape, Table, child};

/// Most shadow tables of one guest (each costs two pages of the service domain).
pub const MAX_TABLES: usize = 1024;
/// Buckets of the key index; twice the tables, so that chains stay short.
const BUCKETS: usize = 2 * MAX_TABLES;
/// An empty bucket.
const EMPTY: u16 = u16::MAX;

/// One place for a table.
#[derive(Debug)]
struct Place {
    table: Option<Table>,
    /// The last sweep that found it reachable.
    marked: u32,
}

/// All tables of one guest.
#[derive(Debug, Default)]
pub struct Pool {
    places: Vec<Place>,
    /// Empty places.
    free: Vec<u16>,
    /// Emptied entry lists, for the next tables.
    spare: Vec<Vec<Raw>>,
    /// Open addressing with linear probing; rebuilt after each sweep.
    buckets: Vec<u16>,
    mark: u32,
}

impl Pool {
    pub const fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            spare: Vec::new(),
            buckets: Vec::new(),
            mark: 0,
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

    /// The place of a key's table.
    pub fn find(&self, key: Key) -> Option<u16> {
        probe(key).find_map(|bucket| match self.buckets.get(bucket).copied() {
            None | Some(EMPTY) => Some(None),
            Some(place) => match self.get(place) {
                Some(table) if table.key == key => Some(Some(place)),
                _ => None,
            },
        })?
    }

    /// A zeroed entry list for a new table, if there is room and memory for one more.
    pub fn reserve(&mut self) -> Option<Vec<Raw>> {
        if self.buckets.is_empty() {
            self.buckets.try_reserve_exact(BUCKETS).ok()?;
            self.buckets.resize(BUCKETS, EMPTY);
        }
        if self.free.is_empty() && self.places.len() >= MAX_TABLES {
            return None;
        }
        // Room for all places, so that neither inserting nor sweeping ever allocates.
        self.places.try_reserve(1).ok()?;
        let capacity = self.places.capacity();
        self.free
            .try_reserve(capacity - self.free.len().min(capacity))
            .ok()?;
        self.spare
            .try_reserve(capacity - self.spare.len().min(capacity))
            .ok()?;
        let mut entries = self.spare.pop().unwrap_or_default();
        entries.clear();
        entries.try_reserve_exact(ENTRIES).ok()?;
        entries.resize(ENTRIES, Raw::default());
        Some(entries)
    }

    /// Takes an entry list from [`Self::reserve`] back unused.
    pub fn unreserve(&mut self, entries: Vec<Raw>) {
        self.spare.push(entries);
    }

    /// Puts a table in; [`Self::reserve`] made the room.
    pub fn insert(&mut self, table: Table) -> u16 {
        let key = table.key;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place {
                table: None,
                marked: 0,
            });
            (self.places.len() - 1) as u16
        });
        if let Some(entry) = self.places.get_mut(usize::from(place)) {
            entry.table = Some(table);
        }
        self.index(key, place);
        place
    }

    /// All tables with their places.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Table)> {
        (0..)
            .zip(&self.places)
            .filter_map(|(place, entry)| Some((place, entry.table.as_ref()?)))
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

    /// One table that the last [`Self::mark`] did not reach.
    pub fn unmarked(&self) -> Option<u16> {
        let place = self
            .places
            .iter()
            .position(|place| place.table.is_some() && place.marked != self.mark)?;
        Some(place as u16)
    }

    /// Takes a table out. [`Self::reindex`] must follow before the next [`Self::find`].
    pub fn remove(&mut self, place: u16) -> Option<Table> {
        let table = self.places.get_mut(usize::from(place))?.table.take()?;
        self.free.push(place);
        Some(table)
    }

    /// Keeps the entry list of a removed table for the next one.
    pub fn recycle(&mut self, table: Table) {
        if self.spare.len() < self.spare.capacity() {
            self.spare.push(table.seen);
        }
    }

    /// Makes the key index agree with the tables again.
    pub fn reindex(&mut self) {
        self.buckets.fill(EMPTY);
        for place in 0..self.places.len() as u16 {
            if let Some(key) = self.get(place).map(|table| table.key) {
                self.index(key, place);
            }
        }
    }

    fn index(&mut self, key: Key, place: u16) {
        let bucket = probe(key).find(|bucket| self.buckets.get(*bucket) == Some(&EMPTY));
        if let Some(entry) = bucket.and_then(|bucket| self.buckets.get_mut(bucket)) {
            *entry = place;
        }
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
        for index in 0..ENTRIES {
            let Some(entry) = self.get(place).map(|table| table.entry(index)) else {
                return;
            };
            if let Child::Table(key) = child(level, entry)
                && let Some(place) = self.find(key)
            {
                self.reach(place);
            }
        }
    }
}

/// Buckets to look at for a key, in order; each once.
fn probe(key: Key) -> impl Iterator<Item = usize> {
    let start = key.hash();
    (0..BUCKETS).map(move |step| start.wrapping_add(step) % BUCKETS)
}
