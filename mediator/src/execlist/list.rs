//! The two elements that run, the two that wait, and the events in between.
//!
//! ```text
//!            port, 4th write                     complete, nothing waits
//!  Idle ----------------------> Active(element 0) --------------------> Idle
//!         idle-to-active           |        ^  active-to-idle | complete
//!                                  | complete, element 1 valid: element-switch | complete
//!                                  v
//!                             Active(element 1)
//!  port while Active: el0 is the running context, no force-restore: preempted | lite-restore
//!                     else it waits; when the last element completes: idle-to-active
//! ```
//!
//! The rule a driver checks at once (Linux `intel_execlists_submission.c`, `process_csb`): exactly
//! one idle-to-active or preempted event for every port write, exactly one other event for every
//! element that completes.

use arrayvec::ArrayVec;
use gpu::spec::context::{Descriptor, status};

/// One context-status entry before it has a place: low dword, context id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Bits of [`status`].
    pub status: u32,
    /// Upper dword of the context's descriptor.
    pub context: u32,
}

/// At most two happen at once: a completion, and the waiting pair's start.
pub type Events = ArrayVec<Event, 2>;

/// What became of a port write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// Element 0 runs now.
    Started,
    /// The running context goes on; its TAIL must be read again.
    LiteRestored,
    /// It starts when the running elements are through.
    Waiting,
    /// Element 0 is not valid: nothing happens, as on hardware.
    Empty,
    /// A pair waits already; a driver must not write then. The new pair is dropped.
    Full,
}

/// What runs and what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execlist {
    /// Nothing.
    Idle,
    /// An element runs.
    Active {
        /// The submitted pair.
        elements: [Descriptor; 2],
        /// Which of the two runs.
        second: bool,
        /// The pair submitted meanwhile.
        waiting: Option<[Descriptor; 2]>,
    },
}

impl Execlist {
    /// A complete port write arrived: element 0, element 1.
    pub fn submit(&mut self, pair: [Descriptor; 2], events: &mut Events) -> Submitted {
        if !pair[0].valid() {
            return Submitted::Empty;
        }
        match self {
            Self::Idle => {
                *self = Self::start(pair, events);
                Submitted::Started
            }
            Self::Active {
                waiting: Some(_), ..
            } => Submitted::Full,
            Self::Active {
                elements,
                second,
                waiting,
            } => {
                let running = elements[usize::from(*second)];
                let same = pair[0].lrca() == running.lrca();
                if same && pair[0].0 & Descriptor::FORCE_RESTORE == 0 {
                    let status = status::PREEMPTED | status::LITE_RESTORE;
                    push(events, status, running);
                    (*elements, *second) = (pair, false);
                    Submitted::LiteRestored
                } else {
                    *waiting = Some(pair);
                    Submitted::Waiting
                }
            }
        }
    }

    /// The running element ran to its end. True if another one runs now.
    pub fn complete(&mut self, events: &mut Events) -> bool {
        let Self::Active {
            elements,
            second,
            waiting,
        } = self
        else {
            return false;
        };
        let done = elements[usize::from(*second)];
        if !*second && elements[1].valid() {
            push(events, status::ELEMENT_SWITCH | status::COMPLETE, done);
            *second = true;
            return true;
        }
        push(events, status::ACTIVE_TO_IDLE | status::COMPLETE, done);
        *self = match waiting.take() {
            Some(pair) => Self::start(pair, events),
            None => Self::Idle,
        };
        *self != Self::Idle
    }

    /// Descriptor of the running element.
    pub fn running(&self) -> Option<Descriptor> {
        match self {
            Self::Idle => None,
            Self::Active {
                elements, second, ..
            } => Some(elements[usize::from(*second)]),
        }
    }

    /// EXECLIST_STATUS: the low half's flags, and the running context's id in the high half.
    pub fn status(&self) -> (u32, u32) {
        /// Execution list 0 is the current one, and valid.
        const VALID: u32 = 1 << 4 | 1 << 18;
        const OTHER_VALID_AND_QUEUE_FULL: u32 = 1 << 3 | 1 << 2;
        match self {
            Self::Idle => (0, 0),
            Self::Active {
                elements,
                second,
                waiting,
            } => {
                let active = if *second { 2 << 14 } else { 1 << 14 };
                let queue = if waiting.is_some() {
                    OTHER_VALID_AND_QUEUE_FULL
                } else {
                    0
                };
                (VALID | active | queue, elements[usize::from(*second)].id())
            }
        }
    }

    fn start(pair: [Descriptor; 2], events: &mut Events) -> Self {
        push(events, status::IDLE_TO_ACTIVE, pair[0]);
        Self::Active {
            elements: pair,
            second: false,
            waiting: None,
        }
    }
}

fn push(events: &mut Events, status: u32, descriptor: Descriptor) {
    // Capacity is two, and no call makes more than two events.
    let _ = events.try_push(Event {
        status,
        context: descriptor.id(),
    });
}

#[cfg(test)]
mod tests;
