//! Shadow PPGTTs of one guest: our copies of its page tables, with our frames in them.
//!
//! ```text
//! guest's memory            ours                     what the GPU walks
//! PML4 -> PDP -> PD -> PT   seen (the last copy)     shadow PML4 -> PDP -> PD -> PT -> pinned page
//! ```
//!
//! At each submission the tables that a root leads to are copied once, each compared with the
//! last copy, and what differs is changed in the shadow. Between submissions a guest may do with
//! its tables what it likes, as on hardware between TLB invalidations. A guest's table has one
//! shadow for each way it is read (`Key`), so that aliases and loops cost nothing: the depth is
//! four, and the number of tables is capped. A replaced page stays pinned until the GPU's TLBs
//! are flushed.
//!
//! Write-protection would add one flag to a table ("clean") that spares its copy.

mod pool;
mod table;
mod walk;

use core::fmt;

use alloc::vec::Vec;
use gpu::spec::gtt::PpgttEntry;
use gpu::{DmaAddress, DmaPage, Engine, Gpu, GraphicsAddress};

use crate::{DomainId, GuestFrame, Guests, PageError};
use pool::{MAX_TABLES, Pool};
use table::{ENTRIES, Raw, Shape};

/// Replaced pins kept until a flush.
const RETIRED: usize = 1024;
/// Entries changed by one call; more are continued in the next one.
const BUDGET: u32 = 4096;
/// Most directories of one root. A driver has one per GiB and its scratch; each costs a look at
/// every entry whenever something changed.
const DIRECTORIES: u32 = 256;
/// TLB invalidation registers by [`Engine::index`]; writing 1 starts, reading 0 is done.
const TLB_INVALIDATE: [u32; Engine::COUNT] = [0x4260, 0x426c, 0x4264, 0x4270];
/// How often such a register is read before we go on.
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
                write!(
                    f,
                    "PPGTT of more than {MAX_TABLES} tables or {DIRECTORIES} directories"
                )
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
        }
    }

    /// Sets aside what every walk needs.
    pub fn attach(&mut self) -> Result<(), PageError> {
        for buffer in &mut self.buffers {
            buffer
                .try_reserve_exact(ENTRIES)
                .map_err(|_| PageError::OutOfMemory)?;
            buffer.resize(ENTRIES, Raw::default());
        }
        self.retired
            .try_reserve_exact(RETIRED)
            .map_err(|_| PageError::OutOfMemory)
    }

    /// The shadow of the four-level PPGTT whose PML4 the guest has at `frame`, as its tables are
    /// now.
    pub fn resync<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        frame: GuestFrame,
    ) -> Result<Root, Trouble> {
        self.stamp = self.stamp.wrapping_add(1);
        self.left = BUDGET;
        self.directories = DIRECTORIES;
        let key = table::Key {
            frame,
            shape: Shape::Directory(4),
        };
        let place = self.visit(hands, key)?.ok_or(Trouble::Root(frame))?;
        let stamp = self.stamp;
        let table = self.pool.get_mut(place).ok_or(Trouble::Root(frame))?;
        table.used = stamp;
        Ok(Root {
            page: table.shadow,
            place,
        })
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

    /// The guest gave this PML4 up. Idempotent; its tables go when nothing uses them.
    pub fn forget<G: Gpu, H: Guests>(&mut self, hands: &mut Hands<'_, G, H>, frame: GuestFrame) {
        let key = table::Key {
            frame,
            shape: Shape::Directory(4),
        };
        if let Some(place) = self.pool.find(key)
            && !self.held.contains(&Some(place))
        {
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
        flush(hands.gpu);
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
    }

    /// Shadow tables now, for status and leak checks.
    pub fn tables(&self) -> usize {
        self.pool.len()
    }

    /// Gives back what only `victim`, or nothing, leads to. True if that was anything.
    fn sweep<G: Gpu, H: Guests>(
        &mut self,
        hands: &mut Hands<'_, G, H>,
        victim: Option<u16>,
    ) -> bool {
        let (held, stamp) = (self.held, self.stamp);
        self.pool.mark(|place, table| {
            let root = table.key.shape == Shape::Directory(4);
            // What the walk under way has come by is not linked to its parent yet.
            let wanted = root && victim != Some(place) || table.visited == stamp;
            wanted && victim != Some(place) || held.contains(&Some(place))
        });
        self.collect(hands)
    }

    fn collect<G: Gpu, H: Guests>(&mut self, hands: &mut Hands<'_, G, H>) -> bool {
        if self.pool.unmarked().is_none() {
            return false;
        }
        flush(hands.gpu);
        while let Some(table) = self
            .pool
            .unmarked()
            .and_then(|place| self.pool.remove(place))
        {
            let mut ours = [Raw::default(); ENTRIES];
            if table.pinned != [0; ENTRIES / 64] {
                copy(hands.guests, table.shadow, &mut ours);
            }
            for (index, ours) in ours.into_iter().enumerate() {
                if table.holds_pin(index) {
                    let frame = GuestFrame(table.entry(index).frame());
                    let page = DmaPage(table::value(ours).frame());
                    hands.guests.unpin(hands.domain, frame, page);
                }
            }
            if let Some(page) = table.guest {
                hands.guests.unpin(hands.domain, table.key.frame, page);
            }
            hands.guests.free(table.shadow);
            self.pool.recycle(table);
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
            table.key.shape == Shape::Directory(4)
                && table.visited != self.stamp
                && !self.held.contains(&Some(*place))
        });
        let age = |table: &table::Table| self.stamp.wrapping_sub(table.used);
        let oldest = idle
            .max_by_key(|(_, table)| age(table))
            .map(|(place, _)| place);
        oldest.is_some_and(|place| self.sweep(hands, Some(place)))
    }
}

/// Makes all engines forget cached translations.
fn flush<G: Gpu>(gpu: &mut G) {
    for register in TLB_INVALIDATE {
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
