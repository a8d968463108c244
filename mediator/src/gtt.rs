//! One guest's view of the global GTT: its own entries, pinned pages behind them.
//!
//! Source: Kaby Lake PRM volume 5 (GGTT page-table entry: bit 0 present, 38:12 address), and how
//! i915 writes entries (8 bytes through a write-combining map, 6.1 clears all of them one by one).
//!
//! An entry of the guest names a guest frame; the device's entry at the same index names the
//! pinned page. What cannot be pinned, or is absent, leads to the vGPU's scratch page. The pin of
//! a replaced entry is given back only after the device dropped the old translation (`deferred`).
//!
//! A partial write changes at once what the guest reads back, and the translation when all eight
//! bytes came, or at the next point where the hardware must have noticed: another entry's write,
//! the flush register, a submission.
//!
//! Many entries in a row are written to memory instead (`bulk`).

mod bulk;
mod deferred;

use alloc::boxed::Box;
use alloc::vec::Vec;

use gpu::spec::gtt::GttEntry;
use gpu::{DmaPage, Gpu, GraphicsAddress, GttIndex};

use crate::partition::Slice;
use crate::vgpu::Vgpu;
use crate::{AttachError, Clock, DomainId, GuestFrame, Guests, Host, PageError};
use bulk::Bulk;
pub use bulk::{access_settled, close, discard};
use deferred::Deferred;

/// In [`VirtualGtt::pages`]: nothing pinned.
const NO_PAGE: u32 = u32::MAX;
/// Pins given back in one round of background work.
const ROUND: usize = 64;

/// An entry of which some bytes were written.
#[derive(Debug, Clone, Copy)]
struct Partial {
    position: u32,
    /// Bits written so far.
    lanes: u64,
    value: u64,
}

/// The entries of one slice, by [`Slice::position`].
pub struct VirtualGtt {
    slice: Slice,
    /// As the guest wrote them, when last translated.
    entries: Box<[u64]>,
    /// Number of the pinned page behind each, or [`NO_PAGE`].
    pages: Box<[u32]>,
    partial: Option<Partial>,
    deferred: Deferred,
    mapped: u32,
    bulk: Bulk,
}

impl VirtualGtt {
    /// All entries absent.
    pub fn new(slice: &Slice) -> Result<Self, AttachError> {
        let pages = slice.pages() as usize;
        Ok(Self {
            slice: *slice,
            entries: filled(pages, 0)?,
            pages: filled(pages, NO_PAGE)?,
            partial: None,
            deferred: Deferred::new().ok_or(AttachError::OutOfMemory {
                asked: Deferred::BYTES,
            })?,
            mapped: 0,
            bulk: Bulk::new()?,
        })
    }

    /// What the guest reads; 0 outside its slice.
    fn read(&self, index: GttIndex) -> u64 {
        let Some(position) = self.slice.position(index) else {
            return 0;
        };
        match self.partial {
            Some(partial) if partial.position == position => partial.value,
            _ => self.entries.get(position as usize).copied().unwrap_or(0),
        }
    }

    /// The guest's frame behind a global address and the page that is pinned for it.
    pub fn translate(&self, address: GraphicsAddress) -> Option<(GuestFrame, DmaPage)> {
        let position = self.slice.position(address.gtt_index()?)? as usize;
        let page = self
            .pages
            .get(position)
            .copied()
            .filter(|&page| page != NO_PAGE)?;
        let entry = GttEntry(self.entries.get(position).copied()?);
        Some((GuestFrame(entry.frame()), DmaPage(page.into())))
    }

    /// How many entries lead to a guest's page.
    pub fn mapped(&self) -> u32 {
        self.mapped
    }

    /// How many pages of entries are memory now, and how many may be at most.
    pub fn open(&self) -> (usize, usize) {
        (self.bulk.open(), self.bulk.limit())
    }

    /// How many pins wait for the device to forget them.
    pub fn deferred(&self) -> usize {
        self.deferred.len()
    }

    /// Points all of the device's entries of a slice at one page.
    pub fn fill<G: Gpu>(&self, gpu: &mut G, slice: &Slice, page: DmaPage) {
        for position in 0..slice.pages() {
            gpu.write_gtt(slice.index(position), GttEntry::new(page.0));
        }
    }

    /// Gives all pins back. The device's entries lead elsewhere and it was told so.
    pub fn release<H: Guests>(&mut self, guests: &mut H, domain: DomainId) {
        for (page, entry) in self.pages.iter_mut().zip(&mut self.entries) {
            if *page != NO_PAGE {
                let frame = GuestFrame(GttEntry(*entry).frame());
                guests.unpin(domain, frame, DmaPage((*page).into()));
                *page = NO_PAGE;
            }
            *entry = 0;
        }
        while let Some((frame, page)) = self.deferred.take() {
            guests.unpin(domain, frame, page);
        }
        self.partial = None;
        self.mapped = 0;
    }

    /// Takes the bits `lanes` of an entry; the whole new value if its translation is due.
    fn merge(&mut self, position: u32, lanes: u64, value: u64) -> Option<u64> {
        if lanes == !0 {
            self.partial = self.partial.filter(|partial| partial.position != position);
            return Some(value);
        }
        let old = Partial {
            position,
            lanes: 0,
            value: self.entries.get(position as usize).copied().unwrap_or(0),
        };
        let mut partial = self
            .partial
            .filter(|p| p.position == position)
            .unwrap_or(old);
        partial.value = partial.value & !lanes | value & lanes;
        partial.lanes |= lanes;
        let complete = partial.lanes == !0;
        self.partial = (!complete).then_some(partial);
        complete.then_some(partial.value)
    }
}

/// A guest's read of one entry.
pub fn read<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    index: GttIndex,
) -> u64 {
    close(host, vgpu);
    vgpu.gtt.read(index)
}

/// A guest's write of the bits `lanes` of one entry.
pub fn write<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    index: GttIndex,
    lanes: u64,
    value: u64,
) {
    close(host, vgpu);
    let Some(position) = vgpu.slice.position(index) else {
        return foreign(host, vgpu, index);
    };
    if vgpu
        .gtt
        .partial
        .is_some_and(|partial| partial.position != position)
    {
        settle(host, vgpu);
    }
    if let Some(value) = vgpu.gtt.merge(position, lanes, value) {
        translate(host, vgpu, position, value);
        bulk::follow(host, vgpu, index);
    }
}

/// A point where hardware would have noticed: translates what is pending and tells the device.
pub fn synchronise<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu) {
    close(host, vgpu);
    settle(host, vgpu);
    host.flush_gtt();
}

/// Gives back pins that are safe to give back, a bounded number; true if some are left.
pub fn background<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu) -> bool {
    bulk::expire(host, vgpu);
    if vgpu.gtt.deferred.len() == 0 {
        return false;
    }
    host.flush_gtt();
    give_back(host, vgpu, ROUND);
    vgpu.gtt.deferred.len() != 0
}

/// Translates a partially written entry with the bytes that came.
fn settle<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu) {
    if let Some(partial) = vgpu.gtt.partial.take() {
        translate(host, vgpu, partial.position, partial.value);
    }
}

/// Makes the device's entry follow the guest's.
fn translate<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    position: u32,
    value: u64,
) {
    let new = GttEntry(value);
    let frame = GuestFrame(new.frame());
    let (Some(entry), Some(page)) = (
        vgpu.gtt.entries.get_mut(position as usize),
        vgpu.gtt.pages.get_mut(position as usize),
    ) else {
        return;
    };
    let old_frame = GuestFrame(GttEntry(*entry).frame());
    let old_page = *page;
    let pinned = old_page != NO_PAGE;
    *entry = value;
    let mut refusal = None;
    let new_page = if new.present() {
        pin(&mut host.guests, vgpu.domain, frame).unwrap_or_else(|error| {
            refusal = Some(error);
            NO_PAGE
        })
    } else {
        NO_PAGE
    };
    if new_page == old_page && (!pinned || frame == old_frame) {
        // The same once more. The pin was asked for all the same: the guest may have put another
        // page at that frame since.
        if pinned {
            host.guests
                .unpin(vgpu.domain, frame, DmaPage(new_page.into()));
        }
    } else {
        *page = new_page;
        let real = if new_page == NO_PAGE {
            vgpu.scratch
        } else {
            DmaPage(new_page.into())
        };
        host.gpu
            .write_gtt(vgpu.slice.index(position), GttEntry::new(real.0));
        host.gtt_stale = true;
        vgpu.gtt.mapped += u32::from(new_page != NO_PAGE);
        vgpu.gtt.mapped -= u32::from(pinned);
        if pinned {
            if vgpu.gtt.deferred.is_full() {
                host.flush_gtt();
                give_back(host, vgpu, usize::MAX);
            }
            vgpu.gtt.deferred.put(old_frame, DmaPage(old_page.into()));
        }
    }
    if let Some(error) = refusal {
        vgpu.counters.unpinnable += 1;
        let index = vgpu.slice.index(position).0;
        let now = host.clock.now();
        vgpu.warn(
            now,
            format_args!("gtt: entry {index:#x} leads to scratch: {error}"),
        );
    }
}

/// An entry of somebody else was written. Not so the very last one: i915 clears that guard page at
/// every start, whatever it was given (`intel_ggtt.c: init_ggtt`), so it is ignored as on GVT-g.
fn foreign<G: Gpu, H: Guests, C: Clock>(host: &Host<G, H, C>, vgpu: &mut Vgpu, index: GttIndex) {
    if index.0 + 1 == host.partition.total() {
        return;
    }
    let now = host.clock.now();
    let (index, address) = (index.0, index.address().0);
    vgpu.violation(
        now,
        format_args!("gtt: entry {index:#x} ({address:#x}) is not its own"),
    );
}

/// The device was flushed since the pins were put aside.
fn give_back<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu, most: usize) {
    for _ in 0..most {
        let Some((frame, page)) = vgpu.gtt.deferred.take() else {
            return;
        };
        host.guests.unpin(vgpu.domain, frame, page);
    }
}

/// Pins a frame; its page as [`VirtualGtt::pages`] keeps it.
fn pin<H: Guests>(guests: &mut H, domain: DomainId, frame: GuestFrame) -> Result<u32, PageError> {
    let page = guests.pin(domain, frame)?;
    match u32::try_from(page.0) {
        Ok(number) if number != NO_PAGE => Ok(number),
        // Beyond 39 bits of DMA address: the device could not reach it.
        _ => {
            guests.unpin(domain, frame, page);
            Err(PageError::Absent(frame))
        }
    }
}

/// `count` times `value`, or the refusal of the allocator.
fn filled<T: Copy>(count: usize, value: T) -> Result<Box<[T]>, AttachError> {
    let mut all = Vec::new();
    let asked = count.saturating_mul(size_of::<T>());
    all.try_reserve_exact(count)
        .map_err(|_| AttachError::OutOfMemory { asked })?;
    all.resize(count, value);
    Ok(all.into_boxed_slice())
}
