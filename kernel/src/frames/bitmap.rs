//! One bit for each page frame of a range: free or taken.

/// The state of `frames` frames, a set bit for each that is taken.
pub struct Bitmap<'a> {
    words: &'a mut [u64],
    frames: usize,
    free: usize,
    /// No frame below this one is free.
    hint: usize,
}

impl<'a> Bitmap<'a> {
    /// Words needed for `frames` frames.
    pub const fn words(frames: usize) -> usize {
        frames.div_ceil(64)
    }

    /// All frames free; `words` holds [`Bitmap::words`] words of anything.
    pub fn new(words: &'a mut [u64], frames: usize) -> Self {
        words.fill(0);
        let frames = frames.min(words.len() * 64);
        Self {
            words,
            frames,
            free: frames,
            hint: 0,
        }
    }

    /// Frames that are free.
    pub fn free(&self) -> usize {
        self.free
    }

    /// Takes `count` adjacent frames, the first of which, counted from `base`, is a multiple of
    /// `alignment`.
    pub fn take_run(&mut self, count: usize, alignment: usize, base: usize) -> Option<usize> {
        if count == 0 || count > self.free || alignment == 0 {
            return None;
        }
        let aligned = |index: usize| {
            (base + index)
                .checked_next_multiple_of(alignment)
                .map(|frame| frame - base)
        };
        let mut start = aligned(self.hint)?;
        while start.checked_add(count)? <= self.frames {
            match (start..start + count)
                .rev()
                .find(|&index| self.is_taken(index))
            {
                Some(taken) => start = aligned(taken + 1)?,
                None => {
                    (start..start + count).for_each(|index| self.set(index, true));
                    self.free -= count;
                    self.advance_hint();
                    return Some(start);
                }
            }
        }
        None
    }

    /// Gives a frame back. False if it was not taken.
    #[must_use]
    pub fn give(&mut self, index: usize) -> bool {
        if index >= self.frames || !self.is_taken(index) {
            return false;
        }
        self.set(index, false);
        self.free += 1;
        self.hint = self.hint.min(index);
        true
    }

    fn is_taken(&self, index: usize) -> bool {
        self.words[index / 64] & 1 << (index % 64) != 0
    }

    fn set(&mut self, index: usize, taken: bool) {
        let bit = 1 << (index % 64);
        if taken {
            self.words[index / 64] |= bit;
        } else {
            self.words[index / 64] &= !bit;
        }
    }

    /// Moves the hint over taken frames, a word at a time.
    fn advance_hint(&mut self) {
        while self.hint < self.frames {
            let taken = self.words[self.hint / 64] >> (self.hint % 64);
            let ones = taken.trailing_ones() as usize;
            self.hint += ones;
            if ones < 64 - (self.hint - ones) % 64 {
                break;
            }
        }
    }
}
