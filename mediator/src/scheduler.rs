//! Which guest's work an engine runs next, and for how long it may.
//!
//! Each engine has its own queue and never waits for another engine. A vGPU is in a queue at most
//! once: its engine runs one piece of work at a time, and what is left of a long ring queues up
//! again behind the others.

use arrayvec::ArrayVec;
use gpu::Engine;

use crate::{DomainId, MAX_VGPUS};

/// Work that waits for an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Whose it is.
    pub domain: DomainId,
    /// Since when, nanoseconds.
    pub since: u64,
}

/// Decides who is next. Both calls take bounded time.
pub trait Policy {
    /// Position in `waiting` (never empty, oldest first) of the work that an idle engine runs.
    fn pick(&mut self, engine: Engine, waiting: &[Waiting], now: u64) -> usize;

    /// `domain` had the engine for this long.
    fn ran(&mut self, engine: Engine, domain: DomainId, nanoseconds: u64);
}

/// Everybody in turn.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoundRobin;

impl Policy for RoundRobin {
    fn pick(&mut self, _: Engine, _: &[Waiting], _: u64) -> usize {
        0
    }

    fn ran(&mut self, _: Engine, _: DomainId, _: u64) {}
}

/// The queue of one engine.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: ArrayVec<Waiting, MAX_VGPUS>,
}

impl Queue {
    /// Work of `domain` is ready.
    pub fn push(&mut self, domain: DomainId, now: u64) {
        if !self.waiting.iter().any(|waiting| waiting.domain == domain) {
            // One place for each vGPU there can be.
            let _ = self.waiting.try_push(Waiting { domain, since: now });
        }
    }

    /// Who runs next, without taking it out.
    pub fn next<P: Policy>(&self, policy: &mut P, engine: Engine, now: u64) -> Option<Waiting> {
        if self.waiting.is_empty() {
            return None;
        }
        let position = policy.pick(engine, &self.waiting, now);
        self.waiting.get(position).or(self.waiting.first()).copied()
    }

    /// `domain` waits no more.
    pub fn remove(&mut self, domain: DomainId) {
        self.waiting.retain(|waiting| waiting.domain != domain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_domain_waits_once_and_keeps_its_place() {
        let mut queue = Queue::default();
        for (domain, now) in [(1, 10), (2, 20), (1, 30)] {
            queue.push(DomainId(domain), now);
        }
        assert_eq!(queue.waiting.len(), 2);
        let next = queue.next(&mut RoundRobin, Engine::Rcs, 40);
        assert_eq!(
            next,
            Some(Waiting {
                domain: DomainId(1),
                since: 10
            })
        );
    }

    /// A policy that answers nonsense harms nobody but the order.
    struct Nonsense;

    impl Policy for Nonsense {
        fn pick(&mut self, _: Engine, waiting: &[Waiting], _: u64) -> usize {
            waiting.len() + 7
        }
        fn ran(&mut self, _: Engine, _: DomainId, _: u64) {}
    }

    #[test]
    fn a_position_out_of_range_is_the_oldest() {
        let mut queue = Queue::default();
        assert_eq!(queue.next(&mut Nonsense, Engine::Bcs, 0), None);
        queue.push(DomainId(5), 0);
        assert!(queue.next(&mut Nonsense, Engine::Bcs, 0).is_some());
    }

    proptest! {
        #[test]
        fn whoever_always_has_work_runs_as_often_as_the_others(
            guests in 1u16..16, rounds in 1usize..20,
        ) {
            let mut queue = Queue::default();
            (0..guests).for_each(|guest| queue.push(DomainId(guest), 0));
            let mut runs = vec![0usize; guests.into()];
            for now in 0..rounds * usize::from(guests) {
                let next = queue.next(&mut RoundRobin, Engine::Rcs, now as u64).unwrap().domain;
                queue.remove(next);
                runs[usize::from(next.0)] += 1;
                queue.push(next, now as u64);
            }
            prop_assert!(runs.iter().all(|&count| count == rounds));
        }
    }
}
