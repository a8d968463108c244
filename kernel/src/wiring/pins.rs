//! One guest's pinned pages: which window slot each frame sits in, and how often it is held.
//!
//! A fixed open-addressing table per guest, sized by its quota when the guest is attached, so that
//! a pin never allocates. A slot stays mapped while its count is above zero.
//!
//! When the guest's frames change (Xen's invalidate request), what was pinned before keeps the old
//! page, as the GPU may still use it; a new pin of the same frame maps afresh. So a frame may be
//! here more than once, told apart by its slot.

use alloc::vec::Vec;

/// A frame that is mapped, or a free place. Sixteen bytes: there are many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pin {
    frame: u32,
    slot: u32,
    /// 0 marks a free place.
    count: u32,
    /// May wrap: the guest would find a page of its own that it gave away 2^32 changes ago.
    epoch: u32,
}

impl Pin {
    const FREE: Self = Self {
        frame: 0,
        slot: 0,
        count: 0,
        epoch: 0,
    };
}

/// What [`PinTable::hold`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Already mapped in this slot; the count went up.
    Again(u32),
    /// Not there: map it, then [`PinTable::insert`] it.
    New,
    /// The quota is used up.
    Full,
    /// No guest has a frame of this number.
    Beyond,
}

/// The table of one guest.
pub struct PinTable {
    /// A power of two, at most half full: probing ends.
    places: Vec<Pin>,
    quota: u32,
    used: u32,
    pins: u32,
    /// Counts invalidations.
    epoch: u32,
}

impl PinTable {
    /// Room for `quota` distinct frames.
    pub fn new(quota: u32) -> Self {
        let places = (quota as usize * 2).next_power_of_two();
        Self {
            places: alloc::vec![Pin::FREE; places],
            quota,
            used: 0,
            pins: 0,
            epoch: 0,
        }
    }

    /// Distinct frames allowed.
    pub fn quota(&self) -> u32 {
        self.quota
    }

    /// Distinct frames mapped.
    pub fn used(&self) -> u32 {
        self.used
    }

    /// Pins held, counting each hold.
    pub fn pins(&self) -> u32 {
        self.pins
    }

    /// How often they have.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Frames may mean other pages from now on.
    pub fn invalidate(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// Counts one more hold of `frame` if it is mapped and current.
    pub fn hold(&mut self, frame: u64) -> Held {
        let Ok(frame) = u32::try_from(frame) else {
            return Held::Beyond;
        };
        let epoch = self.epoch;
        let place = self.find(frame, |pin| pin.frame == frame && pin.epoch == epoch);
        match self.places.get_mut(place) {
            Some(pin) if pin.count > 0 => {
                pin.count += 1;
                self.pins += 1;
                Held::Again(pin.slot)
            }
            _ if self.used >= self.quota => Held::Full,
            _ => Held::New,
        }
    }

    /// Records that `frame`, which `hold` called new, is mapped in `slot`, held once.
    pub fn insert(&mut self, frame: u64, slot: u32) {
        let Ok(frame) = u32::try_from(frame) else {
            return;
        };
        let place = self.find(frame, |_| false);
        if let Some(entry) = self.places.get_mut(place) {
            *entry = Pin {
                frame,
                slot,
                count: 1,
                epoch: self.epoch,
            };
            self.used += 1;
            self.pins += 1;
        }
    }

    /// Counts one hold of `frame` in `slot` less; true if it was the last, so the slot goes.
    pub fn release(&mut self, frame: u64, slot: u32) -> bool {
        let Ok(frame) = u32::try_from(frame) else {
            return false;
        };
        let place = self.find(frame, |pin| pin.slot == slot);
        let Some(pin) = self.places.get_mut(place).filter(|pin| pin.count > 0) else {
            return false;
        };
        self.pins -= 1;
        pin.count -= 1;
        let last = pin.count == 0;
        if last {
            self.remove(place);
        }
        last
    }

    /// Empties the table whatever the counts, for tearing a guest down; `unmap` gets each slot.
    pub fn drain(&mut self, mut unmap: impl FnMut(u32)) {
        for pin in self.places.iter_mut().filter(|pin| pin.count > 0) {
            unmap(pin.slot);
            *pin = Pin::FREE;
        }
        self.used = 0;
        self.pins = 0;
    }

    /// Where the wanted pin of `frame` is, or the free place where it would go.
    fn find(&self, frame: u32, wanted: impl Fn(&Pin) -> bool) -> usize {
        let mask = self.places.len() - 1;
        let mut place = home(frame) & mask;
        while let Some(pin) = self.places.get(place)
            && pin.count > 0
            && !wanted(pin)
        {
            place = (place + 1) & mask;
        }
        place
    }

    /// Empties a place and moves later ones of its run back, so that probing needs no marks.
    fn remove(&mut self, place: usize) {
        let mask = self.places.len() - 1;
        let mut hole = place;
        let mut next = (hole + 1) & mask;
        while let Some(pin) = self.places.get(next)
            && pin.count > 0
        {
            let from_home = next.wrapping_sub(home(pin.frame)) & mask;
            let from_hole = next.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                self.places.swap(hole, next);
                hole = next;
            }
            next = (next + 1) & mask;
        }
        if let Some(entry) = self.places.get_mut(hole) {
            *entry = Pin::FREE;
        }
        self.used -= 1;
    }
}

/// Spreads neighbouring frames (Fibonacci hashing).
fn home(frame: u32) -> usize {
    (u64::from(frame).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}
