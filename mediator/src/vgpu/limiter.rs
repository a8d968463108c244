//! A token bucket: so many at once, then so many per second.

/// Console lines a guest may cause at once.
const LINES: u32 = 16;
/// And then one per this many nanoseconds.
const LINE_INTERVAL: u64 = 1_000_000_000;

/// A token bucket.
#[derive(Debug, Clone, Copy)]
pub struct Limiter {
    capacity: u32,
    /// Nanoseconds per token; not zero.
    interval: u64,
    tokens: u32,
    /// Up to here tokens were handed out.
    since: u64,
}

impl Limiter {
    /// A full bucket.
    pub const fn new(capacity: u32, interval: u64, now: u64) -> Self {
        let interval = if interval == 0 { 1 } else { interval };
        Self {
            capacity,
            interval,
            tokens: capacity,
            since: now,
        }
    }

    /// For console lines about one guest.
    pub const fn console(now: u64) -> Self {
        Self::new(LINES, LINE_INTERVAL, now)
    }

    /// Takes one token, if there is one.
    pub fn take(&mut self, now: u64) -> bool {
        let earned = now.saturating_sub(self.since) / self.interval;
        if earned != 0 {
            let missing = self.capacity - self.tokens;
            if earned >= u64::from(missing) {
                self.tokens = self.capacity;
                self.since = now;
            } else {
                self.tokens += earned as u32;
                self.since += earned * self.interval;
            }
        }
        match self.tokens.checked_sub(1) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_passes_then_one_per_interval() {
        let mut limiter = Limiter::new(3, 10, 100);
        assert_eq!(
            [0; 5].map(|_| limiter.take(100)),
            [true, true, true, false, false]
        );
        assert!(!limiter.take(109));
        assert!(limiter.take(110));
        assert!(!limiter.take(119));
        assert!(limiter.take(120));
        assert!(!limiter.take(0), "a clock that jumps back gives nothing");
        assert_eq!(
            [0; 4].map(|_| limiter.take(u64::MAX)),
            [true, true, true, false]
        );
    }

    proptest! {
        #[test]
        fn never_more_than_burst_plus_rate(
            capacity in 1u32..50, interval in 1u64..1000, steps in prop::collection::vec(0u64..3000, 200),
        ) {
            let mut limiter = Limiter::new(capacity, interval, 0);
            let mut now = 0;
            let mut taken = 0u64;
            for step in steps {
                now += step;
                taken += u64::from(limiter.take(now));
                prop_assert!(taken <= u64::from(capacity) + now / interval);
            }
        }
    }
}
