//! Our copy of what a guest submitted, checked, patched, and what the GPU really executes.
//!
//! ```text
//! guest's memory                 slot of (vGPU, engine), in the host's part of the global GTT
//! context page 0, 1, 2..   --->  context   page 1 rebuilt from checked fields (image.rs)
//! ring, head to tail       --->  ring      audited, from offset 0 (commands.rs)
//! batches                  --->  arena     privileged ones, and all of BCS (batch.rs, copies.rs)
//! batches beyond that      --->  the one large arena of the host, in turn (large.rs)
//! ```
//!
//! Everything of a slot is set aside at attach and tagged with the domain, so that neither a
//! submission nor a mistake in here can allocate, or reach another guest. One piece of work of a
//! vGPU is on an engine at a time; a ring longer than ours runs in several chunks, cut between
//! two commands.

mod batch;
mod commands;
mod copies;
mod image;
mod large;
mod layout;
mod load;
mod memory;
mod prepare;
mod watch;
mod write_back;

#[cfg(test)]
mod tests;

pub use large::{LARGE_PAGES, Large};
pub use prepare::{Prepared, Work, prepare, reread_tail};
pub use watch::watch;
pub use write_back::write_back;

use core::fmt;

use alloc::vec::Vec;
use arrayvec::ArrayVec;
use gpu::spec::engine::HWS_PGA;
use gpu::spec::gtt::GttEntry;
use gpu::{DmaPage, Engine, Gpu, GraphicsAddress, GttIndex, PAGE_SIZE};

use copies::Copies;
use large::LargeBatch;

use crate::ppgtt::{Root, Trouble};
use crate::scan;
use crate::vgpu::Vgpu;
use crate::{DomainId, Guests, PageError};

/// Dwords of a page.
const PAGE: usize = PAGE_SIZE as usize / 4;
/// Most pages of a context image.
const CONTEXT_PAGES: usize = 22;
/// Pages of a shadow ring.
pub const RING_PAGES: usize = 16;
/// Pages of a batch arena; larger batches take turns in [`Large`]. BCS copies all its batches, RCS
/// has state to set up, and no driver is known to run a privileged batch on the others.
const ARENA_PAGES: usize = 8;
const RENDER_ARENA_PAGES: usize = 16;
const BLITTER_ARENA_PAGES: usize = 64;

/// Pages that a slot of `engine` takes, of memory and of the global GTT.
pub const fn slot_pages(engine: Engine) -> u32 {
    engine.context_pages() + RING_PAGES as u32 + arena_pages(engine) as u32
}

const fn arena_pages(engine: Engine) -> usize {
    match engine {
        Engine::Bcs => BLITTER_ARENA_PAGES,
        Engine::Rcs => RENDER_ARENA_PAGES,
        _ => ARENA_PAGES,
    }
}

/// Pages that all slots of one vGPU take.
pub const VGPU_PAGES: u32 = {
    let mut pages = 0;
    let mut index = 0;
    while index < Engine::COUNT {
        pages += slot_pages(Engine::ALL[index]);
        index += 1;
    }
    pages
};

/// A run of our pages at consecutive global addresses.
#[derive(Debug)]
pub struct Pages<const N: usize> {
    /// First entry of the global GTT.
    first: GttIndex,
    pages: ArrayVec<DmaPage, N>,
}

impl<const N: usize> Pages<N> {
    /// Where the GPU sees the first byte.
    pub fn address(&self) -> GraphicsAddress {
        self.first.address()
    }

    /// Bytes.
    pub fn bytes(&self) -> usize {
        self.pages.len() * PAGE_SIZE as usize
    }

    /// One page.
    pub fn page(&self, index: usize) -> Option<DmaPage> {
        self.pages.get(index).copied()
    }
}

/// What one engine of one vGPU executes from.
#[derive(Debug)]
pub struct Slot {
    context: Pages<CONTEXT_PAGES>,
    ring: Pages<RING_PAGES>,
    arena: Pages<BLITTER_ARENA_PAGES>,
    /// What the arena holds.
    copies: Copies,
    /// The chunk is one batch in the large arena instead.
    large: Option<LargeBatch>,
    /// Where the chunk's batches are read from, once it is ready.
    root: Option<Root>,
}

impl Slot {
    /// Allocates the pages and maps them from `first` on; on an error nothing stays taken.
    pub fn new<G: Gpu, H: Guests>(
        gpu: &mut G,
        guests: &mut H,
        domain: DomainId,
        engine: Engine,
        first: GttIndex,
    ) -> Result<Self, PageError> {
        let copies = Copies::new(arena_pages(engine) * PAGE)?;
        let ring = GttIndex(first.0 + engine.context_pages());
        let arena = GttIndex(ring.0 + RING_PAGES as u32);
        let mut slot = Self {
            context: Pages {
                first,
                pages: ArrayVec::new(),
            },
            ring: Pages {
                first: ring,
                pages: ArrayVec::new(),
            },
            arena: Pages {
                first: arena,
                pages: ArrayVec::new(),
            },
            copies,
            large: None,
            root: None,
        };
        let counts = [
            engine.context_pages() as usize,
            RING_PAGES,
            arena_pages(engine),
        ];
        let result = fill(guests, domain, &mut slot.context.pages, counts[0])
            .and_then(|()| fill(guests, domain, &mut slot.ring.pages, counts[1]))
            .and_then(|()| fill(guests, domain, &mut slot.arena.pages, counts[2]));
        match result {
            Ok(()) => {
                for (index, page) in (first.0..).zip(slot.pages()) {
                    gpu.write_gtt(GttIndex(index), GttEntry::new(page.0));
                }
                Ok(slot)
            }
            Err(error) => {
                slot.pages().for_each(|page| guests.free(page));
                Err(error)
            }
        }
    }

    /// Gives everything back: the entries lead to `scratch` first. The GPU runs nothing of it.
    pub fn release<G: Gpu, H: Guests>(self, gpu: &mut G, guests: &mut H, scratch: DmaPage) {
        for (index, _) in (self.context.first.0..).zip(self.pages()) {
            gpu.write_gtt(GttIndex(index), GttEntry::new(scratch.0));
        }
        gpu.flush_gtt();
        self.pages().for_each(|page| guests.free(page));
    }

    /// The chunk is none, or over.
    pub fn forget_large(&mut self) {
        self.large = None;
    }

    fn pages(&self) -> impl Iterator<Item = DmaPage> {
        let (context, ring, arena) = (&self.context, &self.ring, &self.arena);
        context
            .pages
            .iter()
            .chain(&ring.pages)
            .chain(&arena.pages)
            .copied()
    }

    /// What the GPU is to run: our image in the global GTT.
    pub fn image(&self) -> GraphicsAddress {
        self.context.address()
    }
}

fn fill<H: Guests, const N: usize>(
    guests: &mut H,
    domain: DomainId,
    pages: &mut ArrayVec<DmaPage, N>,
    count: usize,
) -> Result<(), PageError> {
    while pages.len() < count {
        let page = guests.allocate(Some(domain))?;
        if pages.try_push(page).is_err() {
            guests.free(page);
            return Err(PageError::OutOfMemory);
        }
    }
    Ok(())
}

impl Vgpu {
    /// Where the hardware executes this engine's work from.
    pub(crate) fn slot(&self, engine: Engine) -> Option<&Slot> {
        self.engines.get(engine.index())?.slot.as_ref()
    }
}

/// The guest's own status page of an engine, where stores by index are to land.
fn status_page(vgpu: &Vgpu, engine: Engine) -> Option<GraphicsAddress> {
    let raw = u64::from(vgpu.registers.at(engine.base() + HWS_PGA));
    let page = GraphicsAddress(raw & !(PAGE_SIZE - 1));
    vgpu.slice.contains(page, PAGE_SIZE).then_some(page)
}

/// Room to work in, shared by all vGPUs: nothing in it outlives one call.
#[derive(Debug, Default)]
pub struct Workspace {
    /// A page of register state, as read.
    pub state: Vec<u32>,
    /// A page of register state, as written.
    pub image: Vec<u32>,
    /// A ring segment.
    pub ring: Vec<u32>,
    /// The arena being filled, or a window of the large one.
    pub arena: Vec<u32>,
}

impl Workspace {
    /// Sets all of it aside.
    pub fn new() -> Result<Self, PageError> {
        Ok(Self {
            state: zeroed(PAGE)?,
            image: zeroed(PAGE)?,
            ring: zeroed(RING_PAGES * PAGE)?,
            arena: zeroed(BLITTER_ARENA_PAGES * PAGE)?,
        })
    }
}

fn zeroed<T: Copy + Default>(count: usize) -> Result<Vec<T>, PageError> {
    let mut all = Vec::new();
    all.try_reserve_exact(count)
        .map_err(|_| PageError::OutOfMemory)?;
    all.resize(count, T::default());
    Ok(all)
}

/// Why a context is not run. It alone suffers: a command-streamer error, until its guest resets
/// the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The descriptor asks for something a vGPU has not; the descriptor.
    Descriptor(u64),
    /// The context image is not in the guest's own graphics memory.
    Image(GraphicsAddress),
    /// A register pair of the image names another register than belongs there.
    ContextRegister {
        /// Dword of page 1.
        dword: u32,
        /// What it names.
        register: u32,
    },
    /// The ring is impossible.
    Ring {
        /// What is wrong.
        what: &'static str,
        /// The register's value in the image.
        value: u32,
    },
    /// Graphics memory that commands are to be read from is not there.
    Unreadable(GraphicsAddress),
    /// A command, at this offset of its buffer.
    Command {
        /// Where.
        buffer: Buffer,
        /// Byte offset in the ring, or graphics address.
        at: u64,
        /// What the audit says.
        what: scan::Violation,
    },
    /// Batches reach further than the large arena.
    Arena(GraphicsAddress),
    /// The page tables cannot be followed.
    Ppgtt(Trouble),
}

/// What kind of buffer a command stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buffer {
    /// The ring.
    Ring,
    /// A batch.
    Batch,
    /// The image: executed at each restore.
    Context,
}

impl fmt::Display for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ring => "ring",
            Self::Batch => "batch",
            Self::Context => "context image",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Descriptor(raw) => write!(f, "descriptor {raw:#x} is not a 64-bit PPGTT context"),
            Self::Image(at) => write!(f, "context image at {:#x} is not its own memory", at.0),
            Self::ContextRegister { dword, register } => {
                write!(
                    f,
                    "context image names register {register:#x} at dword {dword:#x}"
                )
            }
            Self::Ring { what, value } => write!(f, "ring: {what} ({value:#x})"),
            Self::Unreadable(at) => write!(f, "no memory to read commands from at {:#x}", at.0),
            Self::Command { buffer, at, what } => write!(f, "{buffer} {at:#x}: {what}"),
            Self::Arena(at) => write!(f, "batch at {:#x} is larger than can be audited", at.0),
            Self::Ppgtt(trouble) => write!(f, "{trouble}"),
        }
    }
}
