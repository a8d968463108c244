//! Pins that the device may still use: a ring of fixed size.

use alloc::boxed::Box;
use alloc::vec::Vec;

use gpu::DmaPage;

use crate::GuestFrame;

/// Places of the ring; a guest that replaces more entries between two rounds of background work
/// pays for a flush of the device.
const PLACES: usize = 512;

/// Pins in the order they were put aside.
pub(super) struct Deferred {
    pins: Box<[(GuestFrame, DmaPage)]>,
    first: usize,
    count: usize,
}

impl Deferred {
    /// Memory it takes.
    pub const BYTES: usize = PLACES * size_of::<(GuestFrame, DmaPage)>();

    /// An empty ring, or nothing if there is no memory.
    pub fn new() -> Option<Self> {
        let mut pins = Vec::new();
        pins.try_reserve_exact(PLACES).ok()?;
        pins.resize(PLACES, (GuestFrame(0), DmaPage(0)));
        Some(Self {
            pins: pins.into_boxed_slice(),
            first: 0,
            count: 0,
        })
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_full(&self) -> bool {
        self.count == self.pins.len()
    }

    /// Puts a pin aside. The caller made room: a full ring takes no more.
    pub fn put(&mut self, frame: GuestFrame, page: DmaPage) {
        let place = (self.first + self.count) % PLACES;
        if !self.is_full()
            && let Some(slot) = self.pins.get_mut(place)
        {
            *slot = (frame, page);
            self.count += 1;
        }
    }

    /// The pin that waits longest.
    pub fn take(&mut self) -> Option<(GuestFrame, DmaPage)> {
        self.count = self.count.checked_sub(1)?;
        let pin = self.pins.get(self.first).copied();
        self.first = (self.first + 1) % PLACES;
        pin
    }
}
