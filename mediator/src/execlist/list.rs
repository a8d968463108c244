//! The two elements that run, the two that wait, and the events in between.
//!
//! ```text
//!            Submit                              Complete, nothing waits
//!  Idle ----------------------> Active(element 0) --------------------> Idle
//!         idle-to-active           |        ^  active-to-idle | complete
//!                                  | Complete, element 1 valid: element-switch | complete
//!                                  v
//!                             Active(element 1)
//!  Submit while Active: el0 is the running context, no force-restore: preempted | lite-restore
//!                       else it waits; when the last element completes: idle-to-active
//!  Reset: Idle, without an event
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

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A complete port write arrived: element 0, element 1.
    Submit([Descriptor; 2]),
    /// The running element ran to its end.
    Complete,
    /// The guest reset the engine.
    Reset,
}

/// What that comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Another element runs now.
    Started,
    /// The running context goes on; its TAIL must be read again.
    LiteRestored,
    /// The pair starts when the running elements are through.
    Waiting,
    /// Nothing runs.
    Idle,
    /// Element 0 of the pair is not valid: nothing happens, as on hardware.
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
    /// Takes one step, and says what the guest is told of it.
    pub fn step(&mut self, input: Input, events: &mut Events) -> Outcome {
        use Input::{Complete, Reset, Submit};
        let (next, outcome) = match (*self, input) {
            (_, Reset) => (Self::Idle, Outcome::Idle),

            (state, Submit([first, _])) if !first.valid() => (state, Outcome::Empty),
            (Self::Idle, Submit(pair)) => (Self::start(pair, events), Outcome::Started),
            (state @ Self::Active { waiting, .. }, Submit(pair)) => {
                let running = state.running().unwrap_or_default();
                let same = pair[0].lrca() == running.lrca();
                if waiting.is_some() {
                    (state, Outcome::Full)
                } else if same && pair[0].0 & Descriptor::FORCE_RESTORE == 0 {
                    push(events, status::PREEMPTED | status::LITE_RESTORE, running);
                    (Self::first(pair), Outcome::LiteRestored)
                } else {
                    (state.with(Some(pair)), Outcome::Waiting)
                }
            }

            (Self::Idle, Complete) => (Self::Idle, Outcome::Idle),
            (
                Self::Active {
                    elements: elements @ [done, next],
                    second: false,
                    waiting,
                },
                Complete,
            ) if next.valid() => {
                push(events, status::ELEMENT_SWITCH | status::COMPLETE, done);
                let state = Self::Active {
                    elements,
                    second: true,
                    waiting,
                };
                (state, Outcome::Started)
            }
            (state @ Self::Active { waiting, .. }, Complete) => {
                let done = state.running().unwrap_or_default();
                push(events, status::ACTIVE_TO_IDLE | status::COMPLETE, done);
                match waiting {
                    Some(pair) => (Self::start(pair, events), Outcome::Started),
                    None => (Self::Idle, Outcome::Idle),
                }
            }
        };
        *self = next;
        outcome
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

    /// Whether a pair waits, which no event has taken over.
    pub const fn owes(&self) -> bool {
        matches!(
            self,
            Self::Active {
                waiting: Some(_),
                ..
            }
        )
    }

    fn start(pair: [Descriptor; 2], events: &mut Events) -> Self {
        push(events, status::IDLE_TO_ACTIVE, pair[0]);
        Self::first(pair)
    }

    const fn first(elements: [Descriptor; 2]) -> Self {
        Self::Active {
            elements,
            second: false,
            waiting: None,
        }
    }

    const fn with(self, waiting: Option<[Descriptor; 2]>) -> Self {
        match self {
            Self::Idle => Self::Idle,
            Self::Active {
                elements, second, ..
            } => Self::Active {
                elements,
                second,
                waiting,
            },
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
