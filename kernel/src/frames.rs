//! Page frames: who has which 4 KiB of RAM.
//!
//! Each usable range of RAM is a zone; its bitmap lies in its own first frames, so that a sparse
//! memory map costs nothing for its holes. Searching starts at the lowest free frame: taking and
//! giving back are short, runs are for set-up.
#![expect(unsafe_code, reason = "zeroing frames and placing bitmaps in RAM")]

mod bitmap;

use core::ops::Range;

use arrayvec::ArrayVec;
use boot::PAGE_SIZE;
use spin::Mutex;

use bitmap::Bitmap;

/// Most ranges of RAM used; a real machine has fewer than five.
const ZONES: usize = 16;

static FRAMES: Mutex<ArrayVec<Zone, ZONES>> = Mutex::new(ArrayVec::new_const());

/// Number of a page frame: its physical address divided by 4096.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame(pub u64);

impl Frame {
    /// The frame that holds a physical address.
    pub const fn containing(address: u64) -> Self {
        Self(address / PAGE_SIZE)
    }

    /// First byte; equal to its virtual address.
    pub const fn address(self) -> u64 {
        self.0 * PAGE_SIZE
    }
}

/// How many frames there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Frames under management.
    pub total: u64,
    /// Those nobody has.
    pub free: u64,
}

struct Zone {
    first: u64,
    frames: usize,
    bitmap: Bitmap<'static>,
}

impl Zone {
    /// Manages whole pages of RAM; `None` if nothing would be left beside the bitmap.
    ///
    /// # Safety
    /// The range is RAM that is mapped writable and that nobody else uses, from now on for good.
    unsafe fn new(range: &Range<u64>) -> Option<Self> {
        let pages = (range.end - range.start) / PAGE_SIZE;
        let words = Bitmap::words(usize::try_from(pages).ok()?);
        let own = (words as u64 * 8).div_ceil(PAGE_SIZE);
        let frames = usize::try_from(pages.checked_sub(own)?)
            .ok()
            .filter(|&frames| frames > 0)?;
        // SAFETY: `words` words lie in the first `own` pages of the range, which the caller gave
        // us alone and for good; the range starts on a page boundary, above the first MiB.
        let words = unsafe { core::slice::from_raw_parts_mut(range.start as *mut u64, words) };
        Some(Self {
            first: range.start / PAGE_SIZE + own,
            frames,
            bitmap: Bitmap::new(words, frames),
        })
    }
}

/// Takes ranges of RAM under management.
///
/// # Safety
/// As for each range of whole pages: RAM, mapped writable, used by nobody else and never given
/// twice.
pub unsafe fn add(ranges: impl Iterator<Item = Range<u64>>) {
    let mut zones = FRAMES.lock();
    for range in ranges {
        if zones.is_full() {
            log::warn!(
                "RAM from {:#x} on is not used: more than {ZONES} ranges",
                range.start
            );
            return;
        }
        // SAFETY: passed on from our caller.
        if let Some(zone) = unsafe { Zone::new(&range) } {
            zones.push(zone);
        }
    }
}

/// A zeroed frame.
pub fn allocate() -> Option<Frame> {
    allocate_run(1, 1)
}

/// `count` adjacent zeroed frames, the first of which is a multiple of `alignment`. For set-up:
/// the search is linear.
pub fn allocate_run(count: usize, alignment: usize) -> Option<Frame> {
    let frame = allocate_run_uncleared(count, alignment)?;
    // SAFETY: the frames are RAM of a zone, mapped writable by the promise made to `add`, and
    // were free until now: nobody else has them.
    unsafe { core::ptr::write_bytes(frame.address() as *mut u8, 0, count * PAGE_SIZE as usize) };
    Some(frame)
}

/// As [`allocate_run`], holding whatever was there before.
pub fn allocate_run_uncleared(count: usize, alignment: usize) -> Option<Frame> {
    FRAMES.lock().iter_mut().find_map(|zone| {
        let index = zone
            .bitmap
            .take_run(count, alignment, zone.first as usize)?;
        Some(Frame(zone.first + index as u64))
    })
}

/// Gives a frame back.
///
/// # Panics
/// If it is not one that is taken: then two owners believe in it, and no page is safe any more.
pub fn free(frame: Frame) {
    let given = FRAMES.lock().iter_mut().any(|zone| {
        frame
            .0
            .checked_sub(zone.first)
            .filter(|&index| index < zone.frames as u64)
            .is_some_and(|index| zone.bitmap.give(index as usize))
    });
    assert!(given, "page frame {:#x} given back but not taken", frame.0);
}

/// How many frames there are now.
pub fn counts() -> Counts {
    FRAMES
        .lock()
        .iter()
        .fold(Counts { total: 0, free: 0 }, |counts, zone| Counts {
            total: counts.total + zone.frames as u64,
            free: counts.free + zone.bitmap.free() as u64,
        })
}
