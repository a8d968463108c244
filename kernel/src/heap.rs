//! The global allocator: one region of RAM, first fit, for set-up.
//!
//! Serving an access, a submission or a scan never allocates; `statistics` shows it.
#![expect(unsafe_code, reason = "GlobalAlloc, and handing RAM to the allocator")]

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use boot::PAGE_SIZE;
use linked_list_allocator::Heap;
use spin::Mutex;

use crate::frames;

/// Usable RAM without which there is no point in going on, bytes.
const LEAST_RAM: u64 = 8 << 20;
/// Most that the heap takes of a big machine, bytes.
const MOST_HEAP: u64 = 128 << 20;

#[global_allocator]
static HEAP: Locked = Locked(Mutex::new(Heap::empty()));

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Bytes of the last request that was not met.
static REFUSED: AtomicUsize = AtomicUsize::new(0);

struct Locked(Mutex<Heap>);

/// Figures for diagnostics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes given to the heap at start.
    pub size: usize,
    /// Bytes in use.
    pub used: usize,
    /// Allocations ever made; the difference over a path says whether it allocates.
    pub allocations: u64,
    /// Bytes of the last request that was not met, or 0.
    pub refused: usize,
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (used, size) = (self.used / 1024, self.size / 1024);
        write!(
            f,
            "{used} of {size} KiB used, {} allocations",
            self.allocations
        )?;
        if self.refused != 0 {
            write!(f, ", {} bytes refused", self.refused)?;
        }
        Ok(())
    }
}

/// The machine has less RAM than the image can work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLittleMemory {
    usable: u64,
}

impl fmt::Display for TooLittleMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "too little memory: {} KiB usable beside the image, at least {} KiB needed (give the \
             domain 32 MiB)",
            self.usable / 1024,
            LEAST_RAM / 1024
        )
    }
}

/// Gives half of the free RAM to the allocator, up to a bound. Call once.
pub fn init() -> Result<(), TooLittleMemory> {
    let usable = frames::counts().free * PAGE_SIZE;
    if usable < LEAST_RAM {
        return Err(TooLittleMemory { usable });
    }
    let mut pages = (usable / 2).min(MOST_HEAP) / PAGE_SIZE;
    // RAM may be in pieces: take the largest run that there is.
    let first = loop {
        match frames::allocate_run_uncleared(pages as usize, 1) {
            Some(first) => break first,
            None => pages /= 2,
        }
        if pages == 0 {
            return Err(TooLittleMemory { usable });
        }
    };
    let size = (pages * PAGE_SIZE) as usize;
    // SAFETY: the run is RAM, mapped writable, ours alone, and never given back.
    unsafe { HEAP.0.lock().init(first.address() as *mut u8, size) };
    Ok(())
}

/// Figures as they are now; `None` while the heap is in use, which only a fault can see.
pub fn statistics() -> Option<Statistics> {
    let heap = HEAP.0.try_lock()?;
    Some(Statistics {
        size: heap.size(),
        used: heap.used(),
        allocations: ALLOCATIONS.load(Ordering::Relaxed),
        refused: REFUSED.load(Ordering::Relaxed),
    })
}

// SAFETY: defers to `Heap`, whose blocks are disjoint and aligned.
unsafe impl GlobalAlloc for Locked {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        self.0.lock().allocate_first_fit(layout).map_or_else(
            |()| {
                REFUSED.store(layout.size(), Ordering::Relaxed);
                null_mut()
            },
            NonNull::as_ptr,
        )
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if let Some(pointer) = NonNull::new(pointer) {
            // SAFETY: the caller got `pointer` from `alloc` with this layout.
            unsafe { self.0.lock().deallocate(pointer, layout) };
        }
    }
}
