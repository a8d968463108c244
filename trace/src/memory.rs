//! Guest memory as the replay will have it: which frame each pinned page is, and what it holds.
//!
//! A replay's guests begin with empty memory and change it in two ways: by what the trace tells,
//! and by what mediator and GPU write, which the replay does by itself. [`Memory`] keeps copies in
//! step with that, so that only differences have to be told. The first touch of a page in each
//! call compares all of it; until the call ends it is read from the copy. So a guest that writes
//! meanwhile is seen as if it had written afterwards, and the replay sees the same.
//!
//! Everything has a fixed size; what does not fit ends the recording.

use alloc::boxed::Box;
use alloc::vec::Vec;

use gpu::{DmaPage, PAGE_SIZE};
use mediator::DomainId;

/// Bytes of a page.
pub const SIZE: usize = PAGE_SIZE as usize;
/// Fewest equal steps that are told as one.
const SHORTEST_FILL: usize = 3;

/// Copies a page out; false if that cannot be done. Not generic: this is in the image only once.
pub type Look<'a> = dyn FnMut(&mut [u8; SIZE]) -> bool + 'a;

/// No room for another page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Qwords that the replay does not have yet: `count` from `first`, `value` and `step` more each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    pub first: u16,
    pub count: u16,
    pub value: u64,
    pub step: u64,
}

/// A page that was pinned; page 0 marks a free place, as it is never handed out.
#[derive(Debug, Clone, Copy)]
struct Place {
    page: u64,
    frame: u64,
    domain: DomainId,
    /// Where its copy is, if there is one.
    copy: Option<u32>,
    /// Whether it is still the guest's.
    held: bool,
}

const FREE: Place = Place {
    page: 0,
    frame: 0,
    domain: DomainId(0),
    copy: None,
    held: false,
};

/// One frame of a guest in the replay.
struct Copy {
    domain: DomainId,
    frame: u64,
    /// The call in which it was last compared.
    call: u64,
    bytes: [u8; SIZE],
}

/// What the replay will have.
pub struct Memory {
    /// By page number; a power of two, filled to three quarters.
    places: Vec<Place>,
    used: usize,
    copies: Vec<Copy>,
    /// A page as it is now.
    fresh: Box<[u8; SIZE]>,
}

impl Memory {
    /// Room for at least so many pinned pages and copies; none if there is no memory for it.
    pub fn new(places: usize, copies: usize) -> Option<Self> {
        let places = places.max(16).next_power_of_two();
        let mut memory = Self {
            places: Vec::new(),
            used: 0,
            copies: Vec::new(),
            fresh: Box::new([0; SIZE]),
        };
        memory.places.try_reserve_exact(places).ok()?;
        memory.places.resize(places, FREE);
        memory.copies.try_reserve_exact(copies).ok()?;
        Some(memory)
    }

    /// Copies in use, and room for them.
    pub fn copies(&self) -> (usize, usize) {
        (self.copies.len(), self.copies.capacity())
    }

    /// Domain, frame and contents of every copy.
    pub fn contents(&self) -> impl Iterator<Item = (DomainId, u64, &[u8; SIZE])> {
        let contents = self.copies.iter();
        contents.map(|copy| (copy.domain, copy.frame, &copy.bytes))
    }

    /// `page` is this frame of the guest from now on.
    pub fn pinned(&mut self, domain: DomainId, frame: u64, page: DmaPage) -> Result<(), Full> {
        let place = self.find(page.0);
        let room = self.used * 4 < self.places.len() * 3;
        if let Some(place) = self.places.get_mut(place)
            && (place.page, place.frame, place.domain, place.held) != (page.0, frame, domain, true)
        {
            if place.page == 0 {
                if !room {
                    return Err(Full);
                }
                self.used += 1;
            }
            *place = Place {
                page: page.0,
                frame,
                domain,
                copy: None,
                held: true,
            };
        }
        Ok(())
    }

    /// `page` is the guest's no more, and may become anything else.
    pub fn gone(&mut self, page: DmaPage) {
        let place = self.find(page.0);
        if let Some(place) = self.places.get_mut(place) {
            place.held = false;
        }
    }

    /// Whether a copy was brought up to date in this call.
    pub fn is_current(&self, page: DmaPage, call: u64) -> bool {
        let place = self.places.get(self.find(page.0));
        let number = place
            .filter(|place| place.held)
            .and_then(|place| place.copy);
        let copy = number.and_then(|number| self.copies.get(number as usize));
        copy.is_some_and(|copy| copy.call == call)
    }

    /// Before the first touch in `call` of a page that some guest's frame is: finds what the
    /// replay lacks. `look` copies the page out. The copy's number; none for other pages.
    pub fn touch(
        &mut self,
        page: DmaPage,
        call: u64,
        look: &mut Look<'_>,
        tell: &mut dyn FnMut(DomainId, u64, Difference),
    ) -> Result<Option<usize>, Full> {
        let at = self.find(page.0);
        let Some(place) = self.places.get(at).filter(|place| place.held) else {
            return Ok(None);
        };
        let (domain, frame) = (place.domain, place.frame);
        let number = match place.copy {
            Some(number) => number as usize,
            None => self.copy_of(domain, frame)?,
        };
        if let Some(place) = self.places.get_mut(at) {
            place.copy = Some(number as u32);
        }
        let Some(copy) = self.copies.get_mut(number) else {
            return Ok(None);
        };
        if copy.call != call {
            if !look(&mut self.fresh) {
                return Ok(None);
            }
            copy.call = call;
            compare(&mut copy.bytes, &self.fresh, domain, frame, tell);
        }
        Ok(Some(number))
    }

    /// Some bytes of a copy.
    pub fn bytes(&mut self, number: usize, offset: u64, length: usize) -> Option<&mut [u8]> {
        let offset = offset as usize;
        let copy = self.copies.get_mut(number)?;
        copy.bytes.get_mut(offset..offset.checked_add(length)?)
    }

    fn copy_of(&mut self, domain: DomainId, frame: u64) -> Result<usize, Full> {
        let mut copies = self.copies.iter();
        if let Some(known) = copies.position(|copy| (copy.domain, copy.frame) == (domain, frame)) {
            return Ok(known);
        }
        if self.copies.len() == self.copies.capacity() {
            return Err(Full);
        }
        self.copies.push(Copy {
            domain,
            frame,
            call: 0,
            bytes: [0; SIZE],
        });
        Ok(self.copies.len() - 1)
    }

    /// Where a page is, or would go.
    fn find(&self, page: u64) -> usize {
        let mask = self.places.len() - 1;
        // Spreads neighbours (Fibonacci hashing).
        let mut at = (page.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & mask;
        while let Some(place) = self.places.get(at)
            && place.page != 0
            && place.page != page
        {
            at = (at + 1) & mask;
        }
        at
    }
}

/// Makes `copy` like `fresh` and tells how.
fn compare(
    copy: &mut [u8; SIZE],
    fresh: &[u8; SIZE],
    domain: DomainId,
    frame: u64,
    tell: &mut dyn FnMut(DomainId, u64, Difference),
) {
    if copy == fresh {
        return;
    }
    let (old, _) = copy.as_chunks::<8>();
    let (new, _) = fresh.as_chunks::<8>();
    let qword = |at: usize| new.get(at).map(|bytes| u64::from_le_bytes(*bytes));
    let mut at = 0;
    while let Some(value) = qword(at) {
        if old.get(at) == new.get(at) {
            at += 1;
            continue;
        }
        let step = qword(at + 1).map_or(0, |next| next.wrapping_sub(value));
        let expected = |more: usize| value.wrapping_add(step.wrapping_mul(more as u64));
        let run = (0..).take_while(|more| qword(at + more) == Some(expected(*more)));
        let (count, step) = match run.count() {
            count if count >= SHORTEST_FILL => (count, step),
            _ => (1, 0),
        };
        tell(
            domain,
            frame,
            Difference {
                first: at as u16,
                count: count as u16,
                value,
                step,
            },
        );
        at += count;
    }
    *copy = *fresh;
}

/// A short number for a page's contents (FNV-1a over qwords, folded).
pub fn hash(bytes: &[u8]) -> u32 {
    let (qwords, _) = bytes.as_chunks::<8>();
    let hash = qwords
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, bytes| {
            let mixed = (hash ^ u64::from_le_bytes(*bytes)).wrapping_mul(0x0000_0100_0000_01b3);
            mixed ^ mixed >> 29
        });
    (hash ^ hash >> 32) as u32
}
