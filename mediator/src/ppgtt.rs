//! Shadow PPGTTs of one guest: our copies of its page tables, with our frames in them.
//!
//! ```text
//! guest's memory            ours                     what the GPU walks
//! PML4 -> PDP -> PD -> PT   seen (the last copy)     shadow PML4 -> PDP -> PD -> PT -> pinned page
//! ```
//!
//! At each submission, and when the guest invalidates an engine's TLB while its work runs, the
//! tables that a root leads to are brought up to date: each is copied once, compared with the last
//! copy, and what differs is changed in the shadow. A table that was found unchanged a few times is
//! write-protected, and from then on not even copied until the guest writes to it (`guard`).
//! Otherwise a guest may do with its tables what it likes, as on hardware between TLB
//! invalidations. A guest's table has one shadow for each way it is read (`Key`), so that aliases
//! and loops cost nothing: the depth is four, and the number of tables is capped. A replaced page
//! stays pinned until the GPU's TLBs are flushed.
//!
//! An entry that names no RAM leads to scratch until it is written again, and a directory entry
//! that does leads nowhere. When frames of the guest become other pages (`Guests::generation`)
//! everything is pinned and compared anew at the next resynchronisation.

mod guard;
mod pool;
mod table;
mod walk;

use core::fmt;

use alloc::vec::Vec;
use gpu::spec::gtt::PpgttEntry;
use gpu::spec::registers::tlb_invalidate;
use gpu::{DmaAddress, DmaPage, Engine, Gpu, GraphicsAddress};

use crate::{DomainId, GuestFrame, Guests, PageError};
use pool::Pool;
pub use pool::tables_for;
use table::{ENTRIES, Key, Raw};

/// Replaced pins kept until a flush.
const RETIRED: usize = 1024;
/// Entries changed by one call; more are continued in the next one.
const BUDGET: u32 = 4096;
/// Most directories of one root. A driver has one per GiB and its scratch; each costs a look at
/// every entry whenever something changed.
const DIRECTORIES: u32 = 256;
/// How often a TLB invalidation a register is read before we go on.
const POLLS: u32 = 100_000;

/// Why a root could not be shadowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The budget of this call is used up; the next call goes on from here.
    Later,
    /// The PML4 is no RAM of the guest.
    Root(GuestFrame),
    /// One root alone leads to more tables than a guest may have.
    Tables,
    /// A page could not be had.
    Page(PageError),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Later => write!(f, "page tables not followed to the end yet"),
            Self::Root(frame) => write!(f, "no guest RAM at frame {:#x} for the PML4", frame.0),
            Self::Tables => {
                write!(f, "PPGTT of more tables than the vGPU may have")
            }
            Self::Page(error) => write!(f, "PPGTT: {error}"),
        }
    }
}

/// What the walk works with.
pub struct Hands<'a, G, H> {
    /// The device, for its TLBs.
    pub gpu: &'a mut G,
    /// Memory.
    pub guests: &'a mut H,
    /// Whose tables.
    pub domain: DomainId,
    /// Where entries lead that name no RAM of the guest.
    pub scratch: DmaPage,
}

/// All shadow page tables of one guest.
#[derive(Debug)]
pub struct PpgttSpace {
    pool: Pool,
    /// What the table being read holds now, one buffer per level.
    buffers: [Vec<Raw>; 5],
    /// Pins that go at the next flush.
    retired: Vec<(GuestFrame, DmaPage)>,
    /// Number of the last resynchronisation.
    stamp: u32,
    /// Roots that queued or running work uses, by engine.
    held: [Option<u16>; Engine::COUNT],
    /// What is left of the budgets of the call under way: entries, directories.
    left: u32,
    directories: u32,
    /// Counts what puts tables out of sync: a root that was settled at this count still is.
    version: u64,
    /// Tables that the walk under way came by and that are not clean.
    unsettled: u32,
    /// A directory has lost a table since orphans were looked for.
    unlinked: bool,
    /// `Guests::generation` when it was looked at last.
    generation: u32,
    /// Engines whose TLB the guest invalidated, and whose root is not followed to the end yet.
    invalid: [bool; Engine::COUNT],
    /// Resynchronisations so far.
    resyncs: u64,
    /// What was shadowed so far of other than 4 KiB pages.
    large: Large,
}

/// What a guest with HUGE_GTT made use of, counted whenever one is shadowed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Large {
    /// Pages of 2 MiB.
    pub pages_2m: u64,
    /// Tables of 64 KiB pages.
    pub tables_64k: u64,
}

impl fmt::Display for Large {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pages_2m,
            tables_64k,
        } = self;
        write!(f, "{pages_2m} of 2 MiB, {tables_64k} tables of 64 KiB")
    }
}

/// A shadowed root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// The shadow PML4.
    pub page: DmaPage,
    place: u16,
}

impl PpgttSpace {
    /// None yet.
    pub const fn new() -> Self {
        Self {
            pool: Pool::new(),
            buffers: [const { Vec::new() }; 5],
            retired: Vec::new(),
            stamp: 0,
            held: [None; Engine::COUNT],
            left: 0,
            directories: 0,
            version: 0,
            unsettled: 0,
            unlinked: false,
            generation: 0,
            invalid: [false; Engine::COUNT],
            resyncs: 0,
            large: Large {
                pages_2m: 0,
                tables_64k: 0,
            },
        }
    }

    /// Sets aside what every walk needs, and `tables` shadow tables. On an error the caller calls
    /// [`Self::release`].
    pub fn attach<H: Guests>(
        &mut self,
        guests: &mut H,
        domain: DomainId,
        tables: usize,
    ) -> Result<(), PageError> {
        for buffer in &mut self.buffers {
            buffer
                .try_reserve_exact(ENTRIES)
                .map_err(|_| PageError::OutOfMemory)?;
            buffer.resize(ENTRIES, Raw::default());
        }
        self.retired
            .try_reserve_exact(RETIRED)
            .map_err(|_| PageError::OutOfMemory)?;
        self.generation = guests.generation(domain);
        self.pool.set_aside(guests, domain, tables)
    }

    /// The shadow of the four-level PPGTT whose PML4 the guest has at `frame`, as its tables are
    /// now.
    pub fn resync<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        frame: GuestFrame,
    ) -> Result<Root, Trouble> {
        self.resyncs += 1;
        self.stamp = self.stamp.wrapping_add(1);
        let generation = hands.guests.generation(hands.domain);
        if generation != self.generation {
            self.generation = generation;
            self.distrust(hands);
        }
        let key = Key::root(frame);
        let settled = self.pool.find(key).filter(|place| {
            let table = self.pool.get(*place);
            table.is_some_and(|table| table.settled == Some(self.version))
        });
        let place = match settled {
            Some(place) => place,
            None => self.walk(hands, key)?,
        };
        let (stamp, version, whole) = (self.stamp, self.version, self.unsettled == 0);
        let page = self.pool.shadow(place).ok_or(Trouble::Root(frame))?;
        if let Some(table) = self.pool.get_mut(place) {
            table.used = stamp;
            if settled.is_none() {
                table.settled = whole.then_some(version);
            }
        }
        Ok(Root { page, place })
    }

    fn walk<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        root: Key,
    ) -> Result<u16, Trouble> {
        self.left = BUDGET;
        self.directories = DIRECTORIES;
        self.unsettled = 0;
        let result = self.visit(hands, root);
        if core::mem::take(&mut self.unlinked) {
            self.release_orphans(hands, None);
        }
        result?.ok_or(Trouble::Root(root.frame))
    }

    /// The guest invalidated an engine's TLB: work that waits for it or runs on it has to see the
    /// tables as they are now. True if there is more to do, with another call.
    pub fn invalidate<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        engine: Engine,
    ) -> Result<bool, Trouble> {
        let held = self.held.get(engine.index()).copied().flatten();
        let root = held.and_then(|place| Some(self.pool.get(place)?.key.frame));
        let result = root.map_or(Ok(false), |frame| match self.resync(hands, frame) {
            Ok(_) => Ok(false),
            Err(Trouble::Later) => Ok(true),
            Err(trouble) => Err(trouble),
        });
        let more = result == Ok(true);
        if let Some(invalid) = self.invalid.get_mut(engine.index()) {
            *invalid = more;
        }
        if root.is_some() && !more {
            if self.retired.is_empty() {
                flush(hands.gpu, &[engine]);
            } else {
                self.drain(hands);
            }
        }
        result
    }

    /// Whether an invalidation is not done yet.
    pub fn invalid(&self, engine: Engine) -> bool {
        self.invalid.get(engine.index()) == Some(&true)
    }

    /// Work on `engine` uses this root from now on.
    pub fn hold(&mut self, engine: Engine, root: Root) {
        if let Some(held) = self.held.get_mut(engine.index()) {
            *held = Some(root.place);
        }
    }

    /// The work is over.
    pub fn let_go(&mut self, engine: Engine) {
        if let Some(held) = self.held.get_mut(engine.index()) {
            *held = None;
        }
    }

    /// Where the GPU finds the byte at `address` of the root's space.
    pub fn translate<H: Guests>(
        &self,
        guests: &H,
        root: Root,
        address: GraphicsAddress,
    ) -> Option<DmaAddress> {
        let mut page = root.page;
        for shift in [39, 30, 21, 12] {
            let index = address.0 >> shift & (ENTRIES as u64 - 1);
            let mut bytes = [0; 8];
            guests.read(page.at(index * 8), &mut bytes).ok()?;
            let entry = PpgttEntry(u64::from_le_bytes(bytes));
            if !entry.present() {
                return None;
            }
            page = DmaPage(entry.frame());
        }
        Some(page.at(address.offset()))
    }

    /// The guest gave this PML4 up. Idempotent; its tables go when nothing uses them, their
    /// protection at once.
    pub fn forget<G: Gpu, H: Guests>(&mut self, hands: &mut Hands<'_, G, H>, frame: GuestFrame) {
        let Some(place) = self.pool.find(Key::root(frame)) else {
            return;
        };
        if self.held.contains(&Some(place)) {
            self.release_orphans(hands, Some(place));
        } else {
            // No walk is under way.
            self.stamp = self.stamp.wrapping_add(1);
            self.sweep(hands, Some(place));
        }
    }

    /// Whether nothing that is queued or runs uses any root.
    pub fn idle(&self) -> bool {
        self.held == [None; Engine::COUNT]
    }

    /// Flushes the GPU's TLBs and releases the pins that waited for it.
    pub fn drain<G: Gpu, H: Guests>(&mut self, hands: &mut Hands<'_, G, H>) {
        if self.retired.is_empty() {
            return;
        }
        flush(hands.gpu, &Engine::ALL);
        for (frame, page) in self.retired.drain(..) {
            hands.guests.unpin(hands.domain, frame, page);
        }
    }

    /// Gives everything back. Nothing of this guest runs any more.
    pub fn release<G: Gpu, H: Guests>(&mut self, hands: &mut Hands<'_, G, H>) {
        self.held = [None; Engine::COUNT];
        self.stamp = self.stamp.wrapping_add(1);
        self.drain(hands);
        self.pool.mark(|_, _| false);
        self.collect(hands);
        self.pool.give_back(hands.guests);
    }

    /// Shadow tables now, for status and leak checks.
    pub fn tables(&self) -> usize {
        self.pool.len()
    }

    /// How many of them are write-protected.
    pub fn guarded(&self) -> usize {
        self.pool.iter().filter(|(_, table)| table.guarded).count()
    }

    /// Resynchronisations so far.
    pub fn resyncs(&self) -> u64 {
        self.resyncs
    }

    /// Pages of other than 4 KiB that were shadowed so far.
    pub fn large(&self) -> Large {
        self.large
    }

    /// Gives back what only `victim`, or nothing, leads to. True if that was anything.
    fn sweep<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        victim: Option<u16>,
    ) -> bool {
        let (held, stamp) = (self.held, self.stamp);
        self.pool.mark(|place, table| {
            let root = table.key.is_root();
            // What the walk under way has come by is not linked to its parent yet.
            let wanted = root && victim != Some(place) || table.visited == stamp;
            wanted && victim != Some(place) || held.contains(&Some(place))
        });
        self.collect(hands)
    }

    fn collect<G: Gpu, H: Guests>(&mut self, hands: &mut Hands<'_, G, H>) -> bool {
        let places = 0..self.pool.places();
        if !places.clone().any(|place| self.pool.unreached(place)) {
            return false;
        }
        flush(hands.gpu, &Engine::ALL);
        for place in places {
            if !self.pool.unreached(place) {
                continue;
            }
            let mut ours = [Raw::default(); ENTRIES];
            let Some((table, shadow)) = self.pool.remove(place).zip(self.pool.shadow(place)) else {
                break;
            };
            if table.pinned != [0; ENTRIES / 64] {
                copy(hands.guests, shadow, &mut ours);
            }
            for (index, ours) in ours.into_iter().enumerate() {
                if table.holds_pin(index) {
                    let frame = GuestFrame(self.pool.entry(place, index).frame());
                    let page = DmaPage(table::value(ours).frame());
                    hands.guests.unpin(hands.domain, frame, page);
                }
            }
            if table.guarded {
                self.unguard_removed(hands, table.key.frame);
            }
            if let Some(page) = table.guest {
                hands.guests.unpin(hands.domain, table.key.frame, page);
            }
        }
        self.pool.reindex();
        true
    }

    /// Makes room for one table: first what nothing leads to, then the root used longest ago.
    fn evict<G: Gpu, H: Guests>(&mut self, hands: &mut Hands<'_, G, H>) -> bool {
        if self.sweep(hands, None) {
            return true;
        }
        let idle = self.pool.iter().filter(|(place, table)| {
            table.key.is_root() && table.visited != self.stamp && !self.held.contains(&Some(*place))
        });
        let age = |table: &table::Table| self.stamp.wrapping_sub(table.used);
        let oldest = idle
            .max_by_key(|(_, table)| age(table))
            .map(|(place, _)| place);
        oldest.is_some_and(|place| self.sweep(hands, Some(place)))
    }
}

/// Makes engines forget cached translations.
fn flush<G: Gpu>(gpu: &mut G, engines: &[Engine]) {
    for register in engines.iter().copied().map(tlb_invalidate) {
        gpu.write(register, 1);
        let _ = (0..POLLS).any(|_| gpu.read(register) & 1 == 0);
    }
}

/// Copies a table out of memory.
fn copy<H: Guests>(guests: &H, page: DmaPage, entries: &mut [Raw]) -> bool {
    guests.read(page.at(0), entries.as_flattened_mut()).is_ok()
}

#[cfg(test)]
mod tests;
