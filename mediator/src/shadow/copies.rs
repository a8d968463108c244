//! What an arena holds: which batches, and which of its dwords start a judged command.
//!
//! It stays as long as the arena is executed: whoever patches a running copy (`watch.rs`) asks it
//! where a command starts.

use alloc::vec::Vec;
use arrayvec::ArrayVec;

use super::zeroed;
use crate::PageError;
use crate::scan::BatchStart;

/// Most batches of one arena.
const BATCHES: usize = 32;

/// One batch in an arena.
#[derive(Debug, Clone, Copy)]
pub struct Copied {
    /// Where the guest has it.
    pub start: BatchStart,
    /// First dword in the arena.
    pub at: usize,
    pub dwords: usize,
    /// Its first command that starts a batch of which there has to be a copy.
    pub calls: Option<usize>,
}

impl Copied {
    /// Nothing of it yet.
    pub const fn at(start: BatchStart, at: usize) -> Self {
        Self {
            start,
            at,
            dwords: 0,
            calls: None,
        }
    }

    /// One past its last dword in the arena.
    pub const fn end(&self) -> usize {
        self.at + self.dwords
    }
}

/// A state to return to.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    used: usize,
    batches: usize,
    loops: bool,
}

/// What an arena holds.
#[derive(Debug, Default)]
pub struct Copies {
    batches: ArrayVec<Copied, BATCHES>,
    used: usize,
    /// One bit for each dword of the arena.
    starts: Vec<u64>,
    /// No dword from here on is marked.
    marked: usize,
    loops: bool,
    /// Where the next look at the guest's own batches begins.
    pub(super) cursor: usize,
}

impl Copies {
    /// For an arena of so many dwords.
    pub fn new(dwords: usize) -> Result<Self, PageError> {
        Ok(Self {
            starts: zeroed(dwords.div_ceil(64))?,
            ..Self::default()
        })
    }

    /// Nothing any more.
    pub fn clear(&mut self) {
        self.return_to(Mark {
            used: 0,
            batches: 0,
            loops: false,
        });
        self.cursor = 0;
    }

    /// Dwords filled.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Batches.
    pub fn len(&self) -> usize {
        self.batches.len()
    }

    /// One batch.
    pub fn get(&self, index: usize) -> Option<Copied> {
        self.batches.get(index).copied()
    }

    /// The first batch that reaches beyond a dword.
    pub fn beyond(&self, dword: usize) -> Option<Copied> {
        let mut batches = self.batches.iter();
        batches.find(|copied| copied.end() > dword).copied()
    }

    /// Whether a batch can execute one of its commands twice without coming back from a call.
    pub fn loops(&self) -> bool {
        self.loops
    }

    /// It can.
    pub fn set_loop(&mut self) {
        self.loops = true;
    }

    /// Adds a batch; none if there are too many.
    pub fn push(&mut self, copied: Copied) -> Option<()> {
        self.batches.try_push(copied).ok()?;
        self.extend(copied.end());
        Some(())
    }

    /// Dwords before `end` are filled.
    pub fn extend(&mut self, end: usize) {
        self.used = end;
    }

    /// The dword of the arena that a start leads to, if it is a judged command.
    pub fn find(&self, start: &BatchStart) -> Option<usize> {
        self.batches.iter().find_map(|copied| {
            let inside = start.address.0.wrapping_sub(copied.start.address.0);
            let at = copied.at + inside as usize / 4;
            let hit = (copied.start.global, copied.start.level) == (start.global, start.level)
                && inside < copied.dwords as u64 * 4
                && inside.is_multiple_of(4)
                && self.is_start(at);
            hit.then_some(at)
        })
    }

    /// Whether a dword of the arena starts a judged command.
    pub fn is_start(&self, dword: usize) -> bool {
        self.starts
            .get(dword / 64)
            .is_some_and(|word| word >> (dword % 64) & 1 != 0)
    }

    /// It does.
    pub fn mark_start(&mut self, dword: usize) {
        self.marked = self.marked.max(dword + 1);
        if let Some(word) = self.starts.get_mut(dword / 64) {
            *word |= 1 << (dword % 64);
        }
    }

    /// The state now.
    pub fn mark(&self) -> Mark {
        Mark {
            used: self.used,
            batches: self.batches.len(),
            loops: self.loops,
        }
    }

    /// Forgets what came since.
    pub fn return_to(&mut self, mark: Mark) {
        self.used = mark.used;
        self.batches.truncate(mark.batches);
        self.loops = mark.loops;
        let end = (self.marked / 64 + 1).min(self.starts.len());
        self.marked = mark.used;
        let words = self.starts.iter_mut().enumerate().take(end);
        for (index, word) in words.skip(mark.used / 64) {
            let kept = mark.used.saturating_sub(index * 64).min(63) as u32;
            *word &= (1 << kept) - 1;
        }
    }
}
