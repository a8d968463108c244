//! Memory that somebody else writes at the same time: windows, pages, single accesses.
//!
//! Such memory is never behind a Rust reference to plain data. Each method is one access of one
//! size, done once and never repeated by the compiler: loads acquire, stores release (both free
//! on x86), read-modify-write operations are locked. Whoever needs a value twice keeps the copy.
//!
//! [`SharedPage`] is a trait so that tests can change the memory between any two accesses.
#![expect(
    unsafe_code,
    reason = "the one place that touches memory shared with others"
)]

use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use crate::abi::PAGE_SIZE;

/// One page shared with Xen or another domain.
///
/// Offsets are in bytes and aligned to the access. An access that does not fit the page is a bug
/// of ours; it reads all-ones and writes nothing, as an empty bus would.
pub trait SharedPage {
    /// Reads one byte.
    fn load_u8(&self, offset: usize) -> u8;
    /// Reads two bytes.
    fn load_u16(&self, offset: usize) -> u16;
    /// Reads four bytes.
    fn load_u32(&self, offset: usize) -> u32;
    /// Reads eight bytes.
    fn load_u64(&self, offset: usize) -> u64;
    /// Writes one byte.
    fn store_u8(&self, offset: usize, value: u8);
    /// Writes two bytes.
    fn store_u16(&self, offset: usize, value: u16);
    /// Writes four bytes.
    fn store_u32(&self, offset: usize, value: u32);
    /// Writes eight bytes.
    fn store_u64(&self, offset: usize, value: u64);
    /// Replaces `current` by `new`; the error is what was there instead.
    fn compare_exchange_u16(&self, offset: usize, current: u16, new: u16) -> Result<u16, u16>;
    /// Adds, returning what was there.
    fn fetch_add_u32(&self, offset: usize, value: u32) -> u32;
    /// Replaces, returning what was there.
    fn swap_u64(&self, offset: usize, value: u64) -> u64;
    /// Clears the bits not in `mask`, returning what was there.
    fn fetch_and_u64(&self, offset: usize, mask: u64) -> u64;
    /// Sets the bits in `mask`, returning what was there.
    fn fetch_or_u64(&self, offset: usize, mask: u64) -> u64;

    /// Copies bytes out, each read exactly once.
    fn read_bytes(&self, offset: usize, into: &mut [u8]) {
        // Word by word where the page allows it; the ends byte by byte.
        let head = into.len().min(offset.wrapping_neg() % 8);
        let (head, rest) = into.split_at_mut(head);
        let mut place = offset;
        for byte in head {
            *byte = self.load_u8(place);
            place = place.saturating_add(1);
        }
        let (words, tail) = rest.as_chunks_mut::<8>();
        for word in words {
            *word = self.load_u64(place).to_le_bytes();
            place = place.saturating_add(8);
        }
        for byte in tail {
            *byte = self.load_u8(place);
            place = place.saturating_add(1);
        }
    }

    /// Copies bytes in, each written exactly once.
    fn write_bytes(&self, offset: usize, from: &[u8]) {
        let head = from.len().min(offset.wrapping_neg() % 8);
        let (head, rest) = from.split_at(head);
        let mut place = offset;
        for byte in head {
            self.store_u8(place, *byte);
            place = place.saturating_add(1);
        }
        let (words, tail) = rest.as_chunks::<8>();
        for word in words {
            self.store_u64(place, u64::from_le_bytes(*word));
            place = place.saturating_add(8);
        }
        for byte in tail {
            self.store_u8(place, *byte);
            place = place.saturating_add(1);
        }
    }
}

/// Frames of this domain's address space set aside for pages of others.
///
/// A window is a place, not its contents: until something is mapped there, it reads all-ones.
/// Copies of one window are the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    first: u64,
    frames: u64,
}

impl Window {
    /// The frames `first .. first + frames`.
    ///
    /// # Safety
    ///
    /// The frames hold no memory that Rust code uses otherwise, now or later: they lie above the
    /// end of RAM, in a hole, or are pages that Xen and the toolstack gave as shared. They are
    /// mapped writable at the virtual address that equals their physical one.
    pub const unsafe fn new(first: u64, frames: u64) -> Self {
        Self { first, frames }
    }

    /// First frame number.
    pub const fn first(self) -> u64 {
        self.first
    }

    /// How many frames.
    pub const fn frames(self) -> u64 {
        self.frames
    }

    /// The frame number at `index`.
    pub fn frame(self, index: u64) -> Option<u64> {
        (index < self.frames).then(|| self.first.wrapping_add(index))
    }

    /// A part of the window.
    pub fn part(self, offset: u64, frames: u64) -> Option<Self> {
        let end = offset.checked_add(frames)?;
        (end <= self.frames).then(|| Self {
            first: self.first.wrapping_add(offset),
            frames,
        })
    }

    /// Access to the page at `index`.
    pub fn page(self, index: u64) -> Option<MappedPage> {
        let frame = self.frame(index)?;
        let address = usize::try_from(frame.checked_mul(PAGE_SIZE as u64)?).ok()?;
        Some(MappedPage { address })
    }
}

/// A page of a [`Window`], at its identity-mapped address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappedPage {
    address: usize,
}

impl MappedPage {
    /// A pointer for an access of `T` at `offset`, if it fits the page.
    fn pointer<T>(self, offset: usize) -> Option<*mut T> {
        let end = offset.checked_add(size_of::<T>())?;
        let fits = end <= PAGE_SIZE && offset.is_multiple_of(align_of::<T>());
        debug_assert!(fits, "shared page offset {offset:#x}");
        fits.then(|| core::ptr::with_exposed_provenance_mut(self.address.wrapping_add(offset)))
    }
}

/// One atomic access of `$atomic` at `$offset`, or `$outside` if it does not fit.
macro_rules! access {
    ($page:expr, $offset:expr, $atomic:ty, $outside:expr, $operation:expr) => {
        match $page.pointer($offset) {
            // SAFETY: `pointer` checked range and alignment; the maker of the `Window` vouched
            // that the frame is mapped and used through accesses like this one only.
            Some(pointer) => $operation(unsafe { <$atomic>::from_ptr(pointer) }),
            None => $outside,
        }
    };
}

impl SharedPage for MappedPage {
    fn load_u8(&self, offset: usize) -> u8 {
        access!(self, offset, AtomicU8, !0, |cell: &AtomicU8| cell
            .load(Ordering::Acquire))
    }

    fn load_u16(&self, offset: usize) -> u16 {
        access!(self, offset, AtomicU16, !0, |cell: &AtomicU16| cell
            .load(Ordering::Acquire))
    }

    fn load_u32(&self, offset: usize) -> u32 {
        access!(self, offset, AtomicU32, !0, |cell: &AtomicU32| cell
            .load(Ordering::Acquire))
    }

    fn load_u64(&self, offset: usize) -> u64 {
        access!(self, offset, AtomicU64, !0, |cell: &AtomicU64| cell
            .load(Ordering::Acquire))
    }

    fn store_u8(&self, offset: usize, value: u8) {
        access!(self, offset, AtomicU8, (), |cell: &AtomicU8| cell
            .store(value, Ordering::Release));
    }

    fn store_u16(&self, offset: usize, value: u16) {
        access!(self, offset, AtomicU16, (), |cell: &AtomicU16| cell
            .store(value, Ordering::Release));
    }

    fn store_u32(&self, offset: usize, value: u32) {
        access!(self, offset, AtomicU32, (), |cell: &AtomicU32| cell
            .store(value, Ordering::Release));
    }

    fn store_u64(&self, offset: usize, value: u64) {
        access!(self, offset, AtomicU64, (), |cell: &AtomicU64| cell
            .store(value, Ordering::Release));
    }

    fn compare_exchange_u16(&self, offset: usize, current: u16, new: u16) -> Result<u16, u16> {
        access!(self, offset, AtomicU16, Err(!0), |cell: &AtomicU16| cell
            .compare_exchange(
                current,
                new,
                Ordering::SeqCst,
                Ordering::SeqCst
            ))
    }

    fn fetch_add_u32(&self, offset: usize, value: u32) -> u32 {
        access!(self, offset, AtomicU32, !0, |cell: &AtomicU32| cell
            .fetch_add(value, Ordering::SeqCst))
    }

    fn swap_u64(&self, offset: usize, value: u64) -> u64 {
        access!(self, offset, AtomicU64, 0, |cell: &AtomicU64| cell
            .swap(value, Ordering::SeqCst))
    }

    fn fetch_and_u64(&self, offset: usize, mask: u64) -> u64 {
        access!(self, offset, AtomicU64, 0, |cell: &AtomicU64| cell
            .fetch_and(mask, Ordering::SeqCst))
    }

    fn fetch_or_u64(&self, offset: usize, mask: u64) -> u64 {
        access!(self, offset, AtomicU64, 0, |cell: &AtomicU64| cell
            .fetch_or(mask, Ordering::SeqCst))
    }
}

/// Orders everything before against everything after, stores before loads included.
///
/// Needed where both sides write one word and then read the other's: a ring's producer that looks
/// whether the consumer sleeps, a poller that looks once more before it sleeps.
pub fn full_barrier() {
    core::sync::atomic::fence(Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Arena, TestPage};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn copies_touch_each_byte_once_and_no_other(
            offset in 0_usize..64, bytes in prop::collection::vec(1_u8.., 0..80),
        ) {
            let page = TestPage::new();
            page.write_bytes(offset, &bytes);
            let mut whole = [0; 256];
            page.read_bytes(0, &mut whole);
            prop_assert!(whole[..offset].iter().all(|byte| *byte == 0));
            prop_assert_eq!(&whole[offset..offset + bytes.len()], &bytes[..]);
            prop_assert!(whole[offset + bytes.len()..].iter().all(|byte| *byte == 0));
            let stored: usize = page.stores().iter().map(|(_, size)| size).sum();
            prop_assert_eq!(stored, bytes.len());
            let mut back = vec![0; bytes.len()];
            page.read_bytes(offset, &mut back);
            prop_assert_eq!(back, bytes);
        }
    }

    #[test]
    fn a_window_gives_out_only_what_is_inside() {
        let arena = Arena::new(4);
        let window = arena.window();
        let part = window.part(1, 2).expect("inside");
        assert_eq!(part.frame(0), Some(window.first() + 1));
        assert_eq!(part.frame(2), None);
        assert_eq!(part.part(1, 2), None);
        let page = part.page(1).expect("inside");
        page.store_u32(8, 0xabcd);
        assert_eq!(window.page(2).expect("the same").load_u32(8), 0xabcd);
        assert_eq!(page.swap_u64(8, 1), 0xabcd);
        assert_eq!(page.fetch_or_u64(8, 6), 1);
        assert_eq!(page.fetch_and_u64(8, 3), 7);
        assert_eq!(page.fetch_add_u32(8, 5), 3);
        assert_eq!(page.compare_exchange_u16(8, 1, 2), Err(8));
        assert_eq!(page.compare_exchange_u16(8, 8, 2), Ok(8));
        assert_eq!(page.load_u64(8), 2);
    }
}
