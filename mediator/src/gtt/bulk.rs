//! Bulk writes: pages of entries that are the guest's memory while it fills them.
//!
//! Linux i915 writes entries in ascending runs and flushes at their end (`gen8_ggtt_insert_entries`),
//! or never (`gen8_ggtt_clear_range`: all of its partition when 6.1 loads, what is unbound later).
//! Hardware promises nothing about entries before GFX_FLSH_CNTL, so a run may go to memory:
//!
//! ```text
//! BURST entries in a row -> the page of the next one opens -> the guest writes on, untrapped
//! first entry behind it  -> it closes, two open -> four -> ... -> MOST
//! close: the memory goes, is read once, and what differs is written as if it had trapped
//! ```
//!
//! Open pages close at every point where hardware would have noticed, at any trapped access to an
//! entry, before the window moves, and after [`LONGEST`]. A page cannot open at the very frame of
//! the access that asks for it: it is wanted then, and opens when that access is over.
//!
//! Entries outside the slice share pages with the guest's own: they are 0 in memory, and what the
//! guest writes there is refused when the page closes. An entry whose value is what it was counts as
//! not written.

use alloc::boxed::Box;
use alloc::vec::Vec;

use arrayvec::ArrayVec;
use gpu::spec::registers::GTT_BASE;
use gpu::{DmaPage, Gpu, GttIndex, PAGE_SIZE};

use super::translate;
use crate::pci::Bar;
use crate::vgpu::Vgpu;
use crate::{AttachError, Clock, GuestFrame, Guests, Host, PageError};

/// Bytes of a page.
const BYTES: usize = PAGE_SIZE as usize;
/// Entries in a page.
const ENTRIES: u32 = PAGE_SIZE as u32 / 8;
/// Entries in a row that start it: opening and closing a page costs as much as trapping them.
const BURST: u32 = 8;
/// Most open pages of a vGPU. They count against its domain's memory limit, of which the toolstack
/// leaves 1 MiB unused, and all their entries may be due in one access.
const MOST: usize = 16;
/// Longest that pages stay open, nanoseconds.
const LONGEST: u64 = 20_000_000;

/// One open page.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// Which one: its first entry is `number * ENTRIES`.
    number: u32,
    frame: GuestFrame,
    page: DmaPage,
}

/// Runs of written entries, and the pages that are open for one.
pub struct Bulk {
    open: ArrayVec<Open, MOST>,
    /// Clock when they opened.
    since: u64,
    /// Most that may be open; less than [`MOST`] once the hypervisor refused.
    limit: usize,
    /// How many to open next time.
    next: usize,
    /// The page to begin with, when nothing is under way there any more.
    wanted: Option<u32>,
    /// Entry behind the last one of the run.
    end: u32,
    /// Entries trapped in the run.
    run: u32,
    /// A private copy of one page; away only while it is used.
    copy: Option<Box<[u8; BYTES]>>,
}

impl Bulk {
    /// Nothing open.
    pub fn new() -> Result<Self, AttachError> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(BYTES)
            .map_err(|_| AttachError::OutOfMemory { asked: BYTES })?;
        copy.resize(BYTES, 0);
        Ok(Self {
            open: ArrayVec::new(),
            since: 0,
            limit: MOST,
            next: 1,
            wanted: None,
            end: 0,
            run: 0,
            copy: copy.into_boxed_slice().try_into().ok(),
        })
    }

    pub fn open(&self) -> usize {
        self.open.len()
    }

    pub fn limit(&self) -> usize {
        self.limit
    }
}

/// An entry was written, trapped: opens pages if that makes a burst.
#[inline]
pub(super) fn follow<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    index: GttIndex,
) {
    let bulk = &mut vgpu.gtt.bulk;
    let run = if index.0 == bulk.end {
        bulk.run.saturating_add(1)
    } else {
        1
    };
    bulk.run = run;
    bulk.end = index.0.wrapping_add(1);
    if run >= BURST {
        burst(host, vgpu);
    }
}

#[cold]
fn burst<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu) {
    let bulk = &mut vgpu.gtt.bulk;
    if bulk.run == BURST {
        bulk.next = 1;
    }
    bulk.wanted = Some(bulk.end / ENTRIES);
    open(host, vgpu);
}

/// An access of the guest is over, so a page that was wanted may be possible now.
pub fn access_settled<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu) {
    if vgpu.gtt.bulk.wanted.is_some() {
        open(host, vgpu);
    }
}

/// Closes all open pages and does what was written there. Wanted ones are not any more.
#[inline]
pub fn close<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu) {
    vgpu.gtt.bulk.wanted = None;
    if !vgpu.gtt.bulk.open.is_empty() {
        close_open(host, vgpu, true);
    }
}

/// Closes all open pages; what was written there does not matter any more.
pub fn discard<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu) {
    vgpu.gtt.bulk.wanted = None;
    close_open(host, vgpu, false);
}

/// Closes pages that were open long enough.
pub(super) fn expire<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu) {
    let bulk = &vgpu.gtt.bulk;
    if !bulk.open.is_empty() && host.clock.now().saturating_sub(bulk.since) >= LONGEST {
        close(host, vgpu);
    }
}

/// Opens the wanted page and those behind it, as many as are due.
fn open<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu) {
    let (Some(first), Some(base), Some(mut copy)) = (
        vgpu.gtt.bulk.wanted.take(),
        vgpu.pci.window(Bar::Registers),
        vgpu.gtt.bulk.copy.take(),
    ) else {
        return;
    };
    let due = vgpu.gtt.bulk.next.min(vgpu.gtt.bulk.limit);
    for number in (first..).take(due) {
        if !fill(vgpu, number, &mut copy) {
            break;
        }
        let frame = (base + u64::from(GTT_BASE)) / PAGE_SIZE + u64::from(number);
        let frame = GuestFrame(frame);
        match host.guests.open_page(vgpu.domain, frame, &copy) {
            Ok(page) => {
                let open = Open {
                    number,
                    frame,
                    page,
                };
                // Never full: all were closed before, and no more than `MOST` are due.
                if vgpu.gtt.bulk.open.try_push(open).is_err() {
                    break;
                }
            }
            Err(PageError::Busy(_)) => {
                if number == first {
                    vgpu.gtt.bulk.wanted = Some(first);
                }
                break;
            }
            Err(error) => {
                refused(host, vgpu, error);
                break;
            }
        }
    }
    let bulk = &mut vgpu.gtt.bulk;
    bulk.copy = Some(copy);
    if let Some(last) = bulk.open.last() {
        // The run goes on behind them.
        bulk.end = (last.number + 1) * ENTRIES;
        bulk.next = (2 * bulk.open.len()).min(MOST);
        bulk.since = host.clock.now();
        vgpu.counters.opened += bulk.open.len() as u64;
    }
}

/// The hypervisor gives no more than there are: that many it is from now on. Told once.
fn refused<G: Gpu, H: Guests, C: Clock>(host: &Host<G, H, C>, vgpu: &mut Vgpu, error: PageError) {
    let (limit, told) = (vgpu.gtt.bulk.open(), vgpu.gtt.bulk.limit < MOST);
    vgpu.gtt.bulk.limit = limit;
    if !told {
        vgpu.report(
            host.clock.now(),
            log::Level::Info,
            format_args!("gtt: bulk writes in {limit} pages at once, not {MOST}: {error}"),
        );
    }
}

/// What the guest reads in a page of entries; false if none of them is its own. No entry is half
/// written: the run's last one was whole, and any access since would have made the page unwanted.
fn fill(vgpu: &Vgpu, number: u32, copy: &mut [u8; BYTES]) -> bool {
    let first = number * ENTRIES;
    let parts = [vgpu.slice.mappable, vgpu.slice.nonmappable];
    if !parts
        .iter()
        .any(|part| part.first < first + ENTRIES && first < part.end())
    {
        return false;
    }
    for (place, index) in copy.as_chunks_mut().0.iter_mut().zip(first..) {
        *place = vgpu.gtt.read(GttIndex(index)).to_le_bytes();
    }
    true
}

#[cold]
#[inline(never)]
fn close_open<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu, apply: bool) {
    let Some(mut copy) = vgpu.gtt.bulk.copy.take() else {
        return;
    };
    for open in core::mem::take(&mut vgpu.gtt.bulk.open) {
        let closed = host
            .guests
            .close_page(vgpu.domain, open.frame, open.page, &mut copy);
        match closed {
            Ok(()) if apply => take_over(host, vgpu, open.number, &copy),
            Ok(()) => {}
            Err(fault) => {
                let now = host.clock.now();
                vgpu.warn(now, format_args!("gtt: entries lost: {fault}"));
            }
        }
    }
    vgpu.gtt.bulk.copy = Some(copy);
}

/// Does what was written to a page of entries.
fn take_over<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    number: u32,
    copy: &[u8; BYTES],
) {
    let mut foreign = None;
    for (bytes, index) in copy.as_chunks().0.iter().zip(number * ENTRIES..) {
        let value = u64::from_le_bytes(*bytes);
        match vgpu.slice.position(GttIndex(index)) {
            Some(position) if vgpu.gtt.entries.get(position as usize) != Some(&value) => {
                vgpu.counters.bulk += 1;
                translate(host, vgpu, position, value);
            }
            None if value != 0 => {
                foreign.get_or_insert(index);
            }
            _ => {}
        }
    }
    // The first of them stands for all.
    if let Some(index) = foreign {
        super::foreign(host, vgpu, GttIndex(index));
    }
}
