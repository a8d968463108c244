//! How often a domain may be spoken about: a token bucket each, in a fixed table.
//!
//! A guest decides how often its offences happen; it must not decide how fast the console of
//! everyone else scrolls, nor what the ring of recent lines still holds when something matters.

/// Lines a quiet domain may cause at once.
pub const BURST: u32 = 10;

/// Nanoseconds for one more line.
pub const PERIOD: u64 = 200_000_000;

/// Domains told apart; the one heard of longest ago makes room.
const DOMAINS: usize = 32;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    domain: Option<u16>,
    tokens: u32,
    /// When the tokens were last counted, nanoseconds.
    counted: u64,
    /// Lines withheld since the last one that was let through.
    withheld: u32,
}

/// A token bucket for each domain.
#[derive(Debug)]
pub struct Limiter {
    buckets: [Bucket; DOMAINS],
}

impl Limiter {
    /// A limiter that has heard of nobody.
    pub const fn new() -> Self {
        let unused = Bucket {
            domain: None,
            tokens: BURST,
            counted: 0,
            withheld: 0,
        };
        Self {
            buckets: [unused; DOMAINS],
        }
    }

    /// Whether a line about `domain` may be said at `now`: `Some` with the number of lines
    /// withheld before it, or `None` if this one is to be withheld as well.
    pub fn admit(&mut self, domain: u16, now: u64) -> Option<u32> {
        let bucket = self.bucket(domain, now)?;
        let earned = now.saturating_sub(bucket.counted) / PERIOD;
        let room = u64::from(BURST - bucket.tokens);
        if earned >= room {
            bucket.tokens = BURST;
            bucket.counted = bucket.counted.max(now);
        } else {
            bucket.tokens += earned as u32;
            bucket.counted += earned * PERIOD;
        }
        if bucket.tokens == 0 {
            bucket.withheld = bucket.withheld.saturating_add(1);
            return None;
        }
        bucket.tokens -= 1;
        Some(core::mem::take(&mut bucket.withheld))
    }

    fn bucket(&mut self, domain: u16, now: u64) -> Option<&mut Bucket> {
        let known = self
            .buckets
            .iter()
            .position(|bucket| bucket.domain == Some(domain));
        if let Some(index) = known {
            return self.buckets.get_mut(index);
        }
        let bucket = self
            .buckets
            .iter_mut()
            .min_by_key(|bucket| (bucket.domain.is_some(), bucket.counted))?;
        *bucket = Bucket {
            domain: Some(domain),
            tokens: BURST,
            counted: now,
            withheld: 0,
        };
        Some(bucket)
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_passes_then_one_line_each_period() {
        let mut limiter = Limiter::new();
        let admitted = (0..100).filter(|_| limiter.admit(5, 0).is_some()).count();
        assert_eq!(admitted, BURST as usize);
        assert_eq!(limiter.admit(5, PERIOD - 1), None);
        assert_eq!(limiter.admit(5, PERIOD), Some(91));
        assert_eq!(limiter.admit(5, PERIOD), None);
    }

    #[test]
    fn a_noisy_domain_takes_nothing_from_a_quiet_one() {
        let mut limiter = Limiter::new();
        for _ in 0..1000 {
            limiter.admit(1, 7);
        }
        assert_eq!(limiter.admit(2, 7), Some(0));
    }

    #[test]
    fn the_domain_heard_of_longest_ago_makes_room() {
        let mut limiter = Limiter::new();
        for domain in 0..=DOMAINS as u16 {
            assert_eq!(limiter.admit(domain, u64::from(domain)), Some(0));
        }
        assert!(
            limiter
                .buckets
                .iter()
                .all(|bucket| bucket.domain != Some(0))
        );
    }

    proptest! {
        #[test]
        fn no_window_lets_more_through_than_its_budget_and_nothing_is_lost(
            steps in prop::collection::vec(0u64..PERIOD, 1..500),
        ) {
            let mut limiter = Limiter::new();
            let (mut now, mut admitted, mut reported, mut refused) = (0u64, 0u64, 0u64, 0u64);
            for step in steps {
                now += step;
                match limiter.admit(9, now) {
                    Some(withheld) => {
                        admitted += 1;
                        reported += u64::from(withheld);
                    }
                    None => refused += 1,
                }
                prop_assert!(admitted <= u64::from(BURST) + now / PERIOD);
                prop_assert!(reported <= refused);
            }
            let last = limiter.admit(9, now + PERIOD);
            prop_assert_eq!(reported + u64::from(last.unwrap()), refused);
        }

        #[test]
        fn a_clock_that_jumps_about_breaks_nothing(
            calls in prop::collection::vec(any::<(u16, u64)>(), 0..200),
        ) {
            let mut limiter = Limiter::new();
            for (domain, now) in calls {
                limiter.admit(domain, now);
                prop_assert!(limiter.buckets.iter().all(|bucket| bucket.tokens <= BURST));
            }
        }
    }
}
