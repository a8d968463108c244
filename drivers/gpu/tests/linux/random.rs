//! Random numbers that are the same everywhere, and how many sequences a long run takes.

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % end
    }

    /// True once in `of` times.
    pub fn once_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// Runs `sequence` for each of so many seeds, times what `CONTRACT_SCALE` says. A failure names
/// the seed; `CONTRACT_SEED` runs that one alone.
pub fn seeds(count: u64, mut sequence: impl FnMut(&mut Random)) {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().expect("a number"))
    };
    let all = count * number("CONTRACT_SCALE").unwrap_or(1);
    let range = match number("CONTRACT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..all,
    };
    for seed in range {
        let name = Seed(seed);
        sequence(&mut Random(seed.wrapping_mul(0x1_0000_0001)));
        std::mem::forget(name);
    }
}

/// Says which seed it was when a sequence panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        eprintln!("CONTRACT_SEED={}", self.0);
    }
}
