//! From a graphics address to memory: global GTT, four-level PPGTT, and the owner check.
//!
//! Translations are kept for one quantum of one engine (nobody else runs meanwhile), and
//! dropped earlier when a context is loaded or a command or register invalidates them. So the
//! model never shows a translation older than its last look at the clock, and still walks a
//! table once per page instead of once per dword.

use alloc::boxed::Box;
use alloc::vec;

use super::fault::Fault;
use super::isolation::{Breach, Client, Record};
use crate::address::{DmaAddress, DmaPage, GraphicsAddress, GttIndex, PAGE_SIZE};
use crate::dma::Dma;
use crate::spec::engine::Engine;
use crate::spec::gtt::{GttEntry, PpgttEntry};

/// Which address space an operand means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// The global GTT.
    Global,
    /// The context's own PPGTT; the global one for a context without.
    Process,
}

/// On whose behalf the bus is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// The engine.
    pub engine: Engine,
    /// The context it runs, upper dword of the descriptor.
    pub context: u32,
    /// For whom.
    pub client: Client,
    /// Root of the context's PPGTT, if it has one.
    pub root: Option<DmaPage>,
}

/// Where an access goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Page {
        page: DmaPage,
        writable: bool,
    },
    /// Another owner's: reads zero, swallows writes.
    Refused,
}

/// One kept translation.
#[derive(Debug, Clone, Copy)]
struct Line {
    client: Client,
    space: Space,
    virtual_page: u64,
    page: DmaPage,
    writable: bool,
}

const LINES: usize = 16;

/// Memory as the engines reach it.
pub struct Bus<D> {
    /// The memory.
    pub dma: D,
    /// What was refused.
    pub record: Record,
    gtt: Box<[GttEntry]>,
    lines: [Option<Line>; LINES],
}

impl<D: Dma> Bus<D> {
    /// An empty global GTT of `entries` entries in front of `dma`.
    pub fn new(dma: D, entries: u32) -> Self {
        let gtt = vec![GttEntry::default(); entries as usize].into_boxed_slice();
        Self {
            dma,
            record: Record::default(),
            gtt,
            lines: [None; LINES],
        }
    }

    /// How many entries the global GTT has.
    pub fn entries(&self) -> u32 {
        self.gtt.len() as u32
    }

    /// One entry; zero outside.
    pub fn entry(&self, index: GttIndex) -> GttEntry {
        self.gtt.get(index.0 as usize).copied().unwrap_or_default()
    }

    /// Writes one entry; nothing outside.
    pub fn set_entry(&mut self, index: GttIndex, entry: GttEntry) {
        if let Some(slot) = self.gtt.get_mut(index.0 as usize) {
            *slot = entry;
        }
    }

    /// Forgets all translations.
    pub fn invalidate(&mut self) {
        self.lines = [None; LINES];
    }

    /// Copies out of the space, across pages.
    pub fn read(
        &mut self,
        view: &View,
        space: Space,
        at: GraphicsAddress,
        data: &mut [u8],
    ) -> Result<(), Fault> {
        let (mut at, mut data) = (at, data);
        while !data.is_empty() {
            let (chunk, rest) = data.split_at_mut(until_page_end(at, data.len()));
            match self.translate(view, space, at, false)? {
                Target::Page { page, .. } => self
                    .dma
                    .read(page.at(at.offset()), chunk)
                    .map_err(|_| Fault::NoMemory(at))?,
                Target::Refused => chunk.fill(0),
            }
            at = advanced(at, chunk.len());
            data = rest;
        }
        Ok(())
    }

    /// Copies into the space, across pages. Writes to read-only pages vanish, as on Gen9.
    pub fn write(
        &mut self,
        view: &View,
        space: Space,
        at: GraphicsAddress,
        data: &[u8],
    ) -> Result<(), Fault> {
        let (mut at, mut data) = (at, data);
        while !data.is_empty() {
            let (chunk, rest) = data.split_at(until_page_end(at, data.len()));
            if let Target::Page {
                page,
                writable: true,
            } = self.translate(view, space, at, true)?
            {
                self.dma
                    .write(page.at(at.offset()), chunk)
                    .map_err(|_| Fault::NoMemory(at))?;
            }
            at = advanced(at, chunk.len());
            data = rest;
        }
        Ok(())
    }

    /// Reads one dword.
    pub fn read_u32(&mut self, view: &View, space: Space, at: u64) -> Result<u32, Fault> {
        let mut bytes = [0; 4];
        self.read(view, space, GraphicsAddress(at), &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Reads one qword.
    pub fn read_u64(&mut self, view: &View, space: Space, at: u64) -> Result<u64, Fault> {
        let mut bytes = [0; 8];
        self.read(view, space, GraphicsAddress(at), &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Writes one dword.
    pub fn write_u32(
        &mut self,
        view: &View,
        space: Space,
        at: u64,
        value: u32,
    ) -> Result<(), Fault> {
        self.write(view, space, GraphicsAddress(at), &value.to_le_bytes())
    }

    /// Writes one qword.
    pub fn write_u64(
        &mut self,
        view: &View,
        space: Space,
        at: u64,
        value: u64,
    ) -> Result<(), Fault> {
        self.write(view, space, GraphicsAddress(at), &value.to_le_bytes())
    }

    fn translate(
        &mut self,
        view: &View,
        space: Space,
        at: GraphicsAddress,
        write: bool,
    ) -> Result<Target, Fault> {
        let space = if view.root.is_none() {
            Space::Global
        } else {
            space
        };
        let virtual_page = at.0 / PAGE_SIZE;
        let line = virtual_page as usize % LINES;
        if let Some(Some(line)) = self.lines.get(line)
            && line.client == view.client
            && line.space == space
            && line.virtual_page == virtual_page
        {
            return Ok(Target::Page {
                page: line.page,
                writable: line.writable,
            });
        }
        let found = match (space, view.root) {
            (Space::Process, Some(root)) => self.walk(view, root, at)?,
            _ => self.global(at)?,
        };
        let Some((page, writable)) = found else {
            return Ok(Target::Refused);
        };
        if !self.allowed(view, at, page, write) {
            return Ok(Target::Refused);
        }
        if let Some(line) = self.lines.get_mut(line) {
            *line = Some(Line {
                client: view.client,
                space,
                virtual_page,
                page,
                writable,
            });
        }
        Ok(Target::Page { page, writable })
    }

    fn global(&self, at: GraphicsAddress) -> Result<Option<(DmaPage, bool)>, Fault> {
        let index = at.gtt_index().ok_or(Fault::Unmapped(at))?;
        let entry = self.entry(index);
        if entry.present() {
            Ok(Some((DmaPage(entry.frame()), true)))
        } else {
            Err(Fault::Unmapped(at))
        }
    }

    /// Walks the four levels; `None` if a table belongs to somebody else.
    fn walk(
        &mut self,
        view: &View,
        root: DmaPage,
        at: GraphicsAddress,
    ) -> Result<Option<(DmaPage, bool)>, Fault> {
        let (mut table, mut writable) = (root, true);
        let mut wide = false;
        for level in (0..4u32).rev() {
            let index = (at.0 >> (12 + 9 * level)) % PpgttEntry::PER_TABLE as u64;
            // A table of 64 KiB pages counts every sixteenth entry only.
            let index = if wide { index & !0xf } else { index };
            if !self.allowed(view, at, table, false) {
                return Ok(None);
            }
            let entry = self
                .dma
                .read_u64(table.at(index * 8))
                .map_err(|_| Fault::NoMemory(at))?;
            let entry = PpgttEntry(entry);
            if !entry.present() {
                return Err(Fault::Unmapped(at));
            }
            writable &= entry.writable();
            let huge = matches!(level, 1 | 2) && entry.0 & PpgttEntry::HUGE != 0;
            if level == 0 || huge {
                let bits = if wide { 4 } else { 9 * level };
                let inside = (at.0 / PAGE_SIZE) & ((1 << bits) - 1);
                return Ok(Some((
                    DmaPage(entry.frame() & !((1 << bits) - 1) | inside),
                    writable,
                )));
            }
            wide = level == 1 && entry.0 & PpgttEntry::IPS_64K != 0;
            table = DmaPage(entry.frame());
        }
        Err(Fault::Unmapped(at))
    }

    /// Whether the running context may touch `page`; counts it if not.
    fn allowed(&mut self, view: &View, at: GraphicsAddress, page: DmaPage, write: bool) -> bool {
        let owner = self.dma.owner(page);
        let allowed = view.client.may_touch(owner);
        if !allowed {
            let View {
                engine,
                context,
                client,
                ..
            } = *view;
            self.record.add(Breach {
                engine,
                context,
                client,
                address: at,
                page,
                owner,
                write,
            });
        }
        allowed
    }

    /// For whom a context works whose image page is mapped at `at` in the global GTT.
    pub fn client_at(&self, at: GraphicsAddress) -> Option<Client> {
        let (page, _) = self.global(at).ok()??;
        Client::of(self.dma.owner(page))
    }
}

/// Root page of a PPGTT from its PDP register.
pub fn root(pdp: u64) -> DmaPage {
    DmaAddress(pdp & 0x7f_ffff_f000).page()
}

/// How many of `length` bytes from `at` lie in its page.
fn until_page_end(at: GraphicsAddress, length: usize) -> usize {
    length.min((PAGE_SIZE - at.offset()) as usize)
}

fn advanced(at: GraphicsAddress, bytes: usize) -> GraphicsAddress {
    // Graphics addresses are 48 bits wide and wrap.
    GraphicsAddress(at.0.wrapping_add(bytes as u64) & 0xffff_ffff_ffff)
}
