//! What the guest's driver wrote and what it was told, counted apart.
//!
//! Submissions are counted at the port and contexts where their work ends; events are counted
//! where they reach the guest's status page. The driver relies on one acceptance (idle-to-active or
//! preempted) for each submission and one other event for each context: a surplus one makes it
//! reset the engine at once, a lost one only after ten seconds. So the difference is kept where an
//! operator sees it, and must be zero.

use core::fmt;

use gpu::spec::context::status;

use super::list::Execlist;

/// Never reset, so two readings give a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contract {
    /// Pairs taken from the port.
    pub submissions: u64,
    /// Those whose acceptance nobody waits for any more: the guest reset the engine before.
    pub cancelled: u64,
    /// Acceptances told.
    pub accepted: u64,
    /// Elements that ran to their end.
    pub contexts: u64,
    /// Ends told.
    pub completed: u64,
    /// A pair waits now, and is not accepted yet.
    pub waiting: bool,
}

impl Contract {
    /// Nothing happened.
    pub const fn new() -> Self {
        Self {
            submissions: 0,
            cancelled: 0,
            accepted: 0,
            contexts: 0,
            completed: 0,
            waiting: false,
        }
    }

    /// An event reached the guest.
    pub const fn told(&mut self, event: u32) {
        if event & (status::IDLE_TO_ACTIVE | status::PREEMPTED) != 0 {
            self.accepted += 1;
        } else {
            self.completed += 1;
        }
    }

    /// The guest reset the engine while `list` was as it is.
    pub const fn reset(&mut self, list: &Execlist) {
        self.cancelled += list.owes() as u64;
    }

    /// Acceptances that should have been told by now.
    const fn due(&self) -> u64 {
        self.submissions
            .wrapping_sub(self.cancelled + self.waiting as u64)
    }

    /// Events that the guest waits for in vain.
    pub const fn lost(&self) -> u64 {
        self.due().saturating_sub(self.accepted) + self.contexts.saturating_sub(self.completed)
    }

    /// Events that the guest cannot explain.
    pub const fn surplus(&self) -> u64 {
        self.accepted.saturating_sub(self.due()) + self.completed.saturating_sub(self.contexts)
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "submissions {} accepted {} waiting {} cancelled {} contexts {} completed {} lost {} \
             surplus {}",
            self.submissions,
            self.accepted,
            u8::from(self.waiting),
            self.cancelled,
            self.contexts,
            self.completed,
            self.lost(),
            self.surplus(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_of_the_difference_is_found() {
        let mut contract = Contract::new();
        assert_eq!((contract.lost(), contract.surplus()), (0, 0));
        contract.submissions = 3;
        contract.told(status::IDLE_TO_ACTIVE);
        assert_eq!((contract.lost(), contract.surplus()), (2, 0));
        contract.waiting = true;
        contract.cancelled = 1;
        assert_eq!((contract.lost(), contract.surplus()), (0, 0));
        contract.told(status::PREEMPTED | status::LITE_RESTORE);
        assert_eq!((contract.lost(), contract.surplus()), (0, 1));
        contract.contexts = 2;
        assert_eq!((contract.lost(), contract.surplus()), (2, 1));
        for _ in 0..3 {
            contract.told(status::ACTIVE_TO_IDLE | status::COMPLETE);
        }
        assert_eq!((contract.lost(), contract.surplus()), (0, 2));
    }
}
