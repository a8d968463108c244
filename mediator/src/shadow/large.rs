//! Batches that fit into no slot: one arena of the host, for one engine of one guest at a time.
//!
//! ```text
//! queue:  d1 bcs | d3 rcs | d1 rcs        the first one's batch is audited, executed, and gone;
//!           |                             the others wait, their engines prepare nothing
//!         arena, WINDOW dwords a round
//! ```
//!
//! Linux i915 copies its users' blitter batches, too, and expects them below 256 KiB
//! (`i915_cmd_parser.c`); 4 MiB is what its tests take to fill 1 GiB (`igt_emit_store_dw`, 16 bytes
//! for each page). So this is rare, and an arena of that size for every engine of every guest would
//! be waste. The piece of ring that leads here is one command long: all before it has run, nothing
//! behind it was looked at.
//!
//! The arena's pages work for the guest whose batch is in them, and for nobody in between.

use alloc::vec::Vec;
use arrayvec::ArrayVec;
use gpu::spec::gtt::GttEntry;
use gpu::{DmaPage, Engine, Gpu, GraphicsAddress, GttIndex};

use super::batch::{Arena, Failure, Progress};
use super::copies::Copies;
use super::memory::{Memory, load_pages, store_pages};
use super::{PAGE, Refusal, status_page};
use crate::ppgtt::Root;
use crate::scan::{BatchStart, Limits};
use crate::vgpu::Vgpu;
use crate::{Clock, DomainId, Guests, Host, MAX_VGPUS, PageError};

/// Pages of the arena: 4 MiB, and 192 KiB for what such a batch calls.
pub const LARGE_PAGES: usize = 1024 + 48;
/// Dwords audited in one round: a fraction of a millisecond.
pub const WINDOW: usize = 16 * PAGE;

/// A piece of ring that starts such a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargeBatch {
    /// The command, as the guest wrote it.
    pub command: [u32; 3],
    pub start: BatchStart,
    /// Where the batch is read from: held until the work is over.
    pub root: Root,
}

/// The arena, and who wants it.
#[derive(Debug, Default)]
pub struct Large {
    /// First entry of the global GTT.
    first: u32,
    pub(super) pages: Vec<DmaPage>,
    pub(super) copies: Copies,
    /// Whoever is first has the arena.
    queue: ArrayVec<(DomainId, Engine), { MAX_VGPUS * Engine::COUNT }>,
    /// How far the first one's audit is, once it began.
    progress: Option<Progress>,
    /// Pages that work for the first one's guest.
    handed: usize,
}

impl Large {
    /// Sets the arena aside, and maps it from `first` on.
    pub fn new<G: Gpu, H: Guests>(
        gpu: &mut G,
        guests: &mut H,
        first: GttIndex,
    ) -> Result<Self, PageError> {
        let mut pages = Vec::new();
        pages
            .try_reserve_exact(LARGE_PAGES)
            .map_err(|_| PageError::OutOfMemory)?;
        for index in first.0..first.0 + LARGE_PAGES as u32 {
            let page = guests.allocate(None)?;
            gpu.write_gtt(GttIndex(index), GttEntry::new(page.0));
            pages.push(page);
        }
        Ok(Self {
            first: first.0,
            pages,
            copies: Copies::new(LARGE_PAGES * PAGE)?,
            ..Self::default()
        })
    }

    /// Where the GPU sees the batch.
    pub fn address(&self) -> GraphicsAddress {
        GttIndex(self.first).address()
    }

    /// An engine of a guest wants the arena.
    pub(super) fn wait(&mut self, domain: DomainId, engine: Engine) {
        if !self.queue.contains(&(domain, engine)) {
            // One place for each engine there can be.
            let _ = self.queue.try_push((domain, engine));
        }
    }

    /// Whether others are before it.
    pub fn blocked(&self, domain: DomainId, engine: Engine) -> bool {
        let mut queue = self.queue.iter();
        queue.position(|waiting| *waiting == (domain, engine)) > Some(0)
    }

    /// It wants the arena no more; the GPU executes nothing of it.
    pub fn leave<H: Guests>(&mut self, guests: &mut H, domain: DomainId, engine: Engine) {
        if self.queue.is_empty() {
            return;
        }
        if self.queue.first() == Some(&(domain, engine)) {
            for page in self.pages.iter().take(self.handed) {
                guests.hand_over(*page, None);
            }
            self.handed = 0;
            self.progress = None;
        }
        self.queue.retain(|waiting| *waiting != (domain, engine));
    }

    /// The pages below dword `end` work for this guest.
    fn hand_over<H: Guests>(&mut self, guests: &mut H, domain: DomainId, end: usize) {
        let wanted = end.div_ceil(PAGE);
        for page in self.pages.iter().take(wanted).skip(self.handed) {
            guests.hand_over(*page, Some(domain));
        }
        self.handed = self.handed.max(wanted);
    }
}

/// Goes on with an audit; true if the batch may be executed.
pub fn go_on<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
    batch: &LargeBatch,
) -> Result<bool, Refusal> {
    let large = &mut host.engines.large;
    large.wait(vgpu.domain, engine);
    if large.blocked(vgpu.domain, engine) {
        return Ok(false);
    }
    let mut progress = large.progress.unwrap_or_else(|| {
        large.copies.clear();
        Progress::new(batch.start)
    });
    let address = large.address();
    let base = progress.position(&large.copies);
    let Some(window) = host.engines.workspace.arena.get_mut(..WINDOW) else {
        return Ok(false);
    };
    // What is there already may be patched.
    let known = large.copies.used().clamp(base, base + WINDOW);
    let loaded = window.get_mut(..known - base);
    load_pages(&host.guests, &large.pages, base, loaded.unwrap_or(&mut []));

    let memory = Memory {
        guests: &host.guests,
        gtt: &vgpu.gtt,
        ppgtts: &vgpu.ppgtts,
        root: batch.root,
    };
    let mut arena = Arena {
        memory: &memory,
        engine,
        limits: Limits::new(&vgpu.slice),
        address,
        room: large.pages.len() * PAGE,
        base,
        window,
        judged: known,
        copies: &mut large.copies,
        status_page: status_page(vgpu, engine),
    };
    let result = arena.run(&mut progress);
    let judged = arena.judged;
    large.progress = Some(progress);
    vgpu.counters.scanned_bytes += (judged - base) as u64 * 4;
    match result {
        Err(Failure::Refused(refusal)) => return Err(refusal),
        Err(Failure::Full) => return Err(Refusal::Arena(batch.start.address)),
        Ok(()) | Err(Failure::Later) => {}
    }
    large.hand_over(&mut host.guests, vgpu.domain, judged);
    let window = host.engines.workspace.arena.get(..judged - base);
    let window = window.unwrap_or(&[]);
    store_pages(&mut host.guests, &large.pages, base, window);
    Ok(result.is_ok())
}
