//! Reading what a guest wrote, once, from either of its address spaces; and our own pages.

use gpu::{DmaAddress, DmaPage, GraphicsAddress, PAGE_SIZE};

use super::{PAGE, Refusal};
use crate::Guests;
use crate::gtt::VirtualGtt;
use crate::ppgtt::{PpgttSpace, Root};

/// Dwords moved at once: small enough that clearing the buffer first costs next to nothing.
const PIECE: usize = 256;

/// The guest's memory as its commands name it.
pub struct Memory<'a, H> {
    pub guests: &'a H,
    pub gtt: &'a VirtualGtt,
    pub ppgtts: &'a PpgttSpace,
    /// The context's PPGTT, as it is resynchronised for this submission.
    pub root: Root,
}

impl<H: Guests> Memory<'_, H> {
    fn locate(&self, global: bool, at: GraphicsAddress) -> Option<DmaAddress> {
        if global {
            self.gtt.translate(at).map(|(_, page)| page.at(at.offset()))
        } else {
            self.ppgtts.translate(self.guests, self.root, at)
        }
    }

    /// Copies dwords from `at` on, across pages.
    pub fn read(&self, global: bool, at: GraphicsAddress, out: &mut [u32]) -> Result<(), Refusal> {
        let (mut at, mut out) = (at, out);
        while !out.is_empty() {
            let inside = (PAGE_SIZE - at.offset()) as usize / 4;
            if inside == 0 {
                return Err(Refusal::Unreadable(at));
            }
            let (now, rest) = out.split_at_mut(inside.min(out.len()));
            let from = self.locate(global, at).ok_or(Refusal::Unreadable(at))?;
            read(self.guests, from, now).ok_or(Refusal::Unreadable(at))?;
            at = GraphicsAddress(at.0 + now.len() as u64 * 4);
            out = rest;
        }
        Ok(())
    }
}

/// Copies dwords out of one page.
pub fn read<H: Guests>(guests: &H, from: DmaAddress, out: &mut [u32]) -> Option<()> {
    let mut at = from;
    for dwords in out.chunks_mut(PIECE) {
        let mut bytes = [0; PIECE * 4];
        let bytes = bytes.get_mut(..dwords.len() * 4)?;
        guests.read(at, bytes).ok()?;
        for (bytes, dword) in bytes.as_chunks::<4>().0.iter().zip(dwords) {
            *dword = u32::from_le_bytes(*bytes);
        }
        at = DmaAddress(at.0 + bytes.len() as u64);
    }
    Some(())
}

/// Copies dwords into one page.
pub fn write<H: Guests>(guests: &mut H, to: DmaAddress, dwords: &[u32]) -> Option<()> {
    let mut at = to;
    for dwords in dwords.chunks(PIECE) {
        let mut bytes = [0; PIECE * 4];
        let bytes = bytes.get_mut(..dwords.len() * 4)?;
        for (bytes, dword) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(dwords) {
            *bytes = dword.to_le_bytes();
        }
        guests.write(at, bytes).ok()?;
        at = DmaAddress(at.0 + bytes.len() as u64);
    }
    Some(())
}

/// Copies a whole page.
pub fn copy_page<H: Guests>(guests: &mut H, from: DmaPage, to: DmaPage) -> Option<()> {
    let mut bytes = [0; PAGE_SIZE as usize / 2];
    for offset in (0..PAGE_SIZE).step_by(bytes.len()) {
        guests.read(from.at(offset), &mut bytes).ok()?;
        guests.write(to.at(offset), &bytes).ok()?;
    }
    Some(())
}

/// The parts of a run of dwords from `first` of some pages on: page, byte in it, dwords.
fn parts(
    pages: &[DmaPage],
    first: usize,
    count: usize,
) -> impl Iterator<Item = (DmaAddress, usize)> {
    let mut at = first;
    let end = first + count;
    core::iter::from_fn(move || {
        let page = pages.get(at / PAGE).filter(|_| at < end)?;
        let now = (PAGE - at % PAGE).min(end - at);
        let address = page.at((at % PAGE) as u64 * 4);
        at += now;
        Some((address, now))
    })
}

/// Copies dwords out of pages of ours, from dword `first` of them on.
pub fn load_pages<H: Guests>(guests: &H, pages: &[DmaPage], first: usize, out: &mut [u32]) {
    let mut out = out;
    for (from, count) in parts(pages, first, out.len()) {
        let (now, rest) = out.split_at_mut(count);
        // Pages of ours can always be read and written.
        let _ = read(guests, from, now);
        out = rest;
    }
}

/// Copies dwords into pages of ours, from dword `first` of them on.
pub fn store_pages<H: Guests>(guests: &mut H, pages: &[DmaPage], first: usize, dwords: &[u32]) {
    let mut dwords = dwords;
    for (to, count) in parts(pages, first, dwords.len()) {
        let (now, rest) = dwords.split_at(count);
        let _ = write(guests, to, now);
        dwords = rest;
    }
}
