//! What the driver believes of one engine's port, and what it takes for broken.
//!
//! ```text
//! submit:    pending := pair            only when nothing is pending; two different contexts
//! event 0/1: active := pending          exactly once for each submit
//! others:    active loses its first     never when it is empty
//! reset:     both empty, the next entry is number 0, none comes before the next submit
//! ```
//!
//! The driver itself looks at bits 0 and 1 only. What else an entry says is checked as the
//! manual has it.

use std::collections::VecDeque;

/// Entries of the status buffer.
pub const ENTRIES: u32 = 6;
/// Bytes in the status page: the first entry, and the number of the last one written.
pub const ENTRIES_AT: u64 = 0x40;
pub const WRITE_AT: u64 = 0x7c;

const IDLE_TO_ACTIVE: u32 = 1 << 0;
const PREEMPTED: u32 = 1 << 1;
const ELEMENT_SWITCH: u32 = 1 << 2;
const ACTIVE_TO_IDLE: u32 = 1 << 3;
const COMPLETE: u32 = 1 << 4;
const LITE_RESTORE: u32 = 1 << 15;

/// A submitted context, up to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// Upper dword of its descriptor.
    pub id: u32,
    /// The last request that it covers.
    pub request: usize,
}

/// What an entry meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The pending pair was taken over; what ran before is inactive.
    Promoted(Vec<Element>),
    /// The first active element is through.
    Completed(Element),
}

/// Two ports, and the submission on its way.
#[derive(Debug, Default)]
pub struct Port {
    pending: Vec<Element>,
    active: VecDeque<Element>,
    /// The last entry that was read.
    head: u32,
    /// ELSP was written since the last reset.
    written: bool,
    /// Submissions, and what became of them.
    pub submissions: u64,
    pub promotions: u64,
    pub completions: u64,
    pub cancelled: u64,
}

impl Port {
    pub fn new() -> Self {
        Self {
            head: ENTRIES - 1,
            ..Self::default()
        }
    }

    /// What was submitted and not taken over.
    pub fn pending(&self) -> &[Element] {
        &self.pending
    }

    /// What runs, the first one first.
    pub fn active(&self) -> &VecDeque<Element> {
        &self.active
    }

    /// ELSP is about to be written.
    pub fn submit(&mut self, elements: &[Element]) {
        assert!(
            self.pending.is_empty(),
            "ELSP over a pending {:?}",
            self.pending
        );
        match elements {
            [_] => {}
            [first, second] => assert_ne!(first.id, second.id, "a context twice"),
            _ => panic!("{} elements", elements.len()),
        }
        self.pending = elements.to_vec();
        self.written = true;
        self.submissions += 1;
    }

    /// One entry of the status buffer.
    pub fn event(&mut self, status: u32, id: u32) -> Event {
        assert!(
            self.written,
            "{status:#x} after a reset and before a submission"
        );
        if status & (IDLE_TO_ACTIVE | PREEMPTED) != 0 {
            assert!(!self.pending.is_empty(), "{status:#x}: nothing is pending");
            if status & PREEMPTED != 0 {
                let front = self.active.front().expect("preempted, and nothing ran");
                assert_eq!(front.id, id, "preempted what does not run");
                if status & LITE_RESTORE != 0 {
                    assert_eq!(self.pending[0].id, id, "lite restore of another context");
                }
            } else {
                assert_eq!(self.active, [], "idle to active while elements run");
                assert_eq!(status, IDLE_TO_ACTIVE);
            }
            self.promotions += 1;
            let pending = std::mem::take(&mut self.pending);
            let inactive = std::mem::replace(&mut self.active, pending.into());
            return Event::Promoted(inactive.into());
        }
        let done = self.active.pop_front();
        let done = done.unwrap_or_else(|| panic!("{status:#x}: nothing is active"));
        assert_eq!(done.id, id, "{status:#x} of another context");
        let switch = match self.active.is_empty() {
            true => ACTIVE_TO_IDLE,
            false => ELEMENT_SWITCH,
        };
        assert_eq!(status, switch | COMPLETE);
        self.completions += 1;
        Event::Completed(done)
    }

    /// Takes all new entries from the status page at `page`; each is poisoned when it was read.
    pub fn poll(&mut self, machine: &mut impl super::Machine, page: u64) -> Vec<Event> {
        let write = machine.peek(page + WRITE_AT);
        assert!(write < ENTRIES, "write pointer {write:#x}");
        let mut events = Vec::new();
        while self.head != write {
            self.head = (self.head + 1) % ENTRIES;
            let at = page + ENTRIES_AT + 8 * u64::from(self.head);
            let entry = [machine.peek(at), machine.peek(at + 4)];
            assert_ne!(
                entry, [!0; 2],
                "entry {} is announced, not written",
                self.head
            );
            machine.poke(at, !0);
            machine.poke(at + 4, !0);
            events.push(self.event(entry[0], entry[1]));
        }
        events
    }

    /// The engine was reset, and what it reported before was read: what was on it is inactive.
    /// Prepares the status page at `page` for the next entry, number 0.
    pub fn reset(&mut self, machine: &mut impl super::Machine, page: u64) -> Vec<Element> {
        self.head = ENTRIES - 1;
        machine.poke(page + WRITE_AT, self.head);
        for dword in 0..2 * u64::from(ENTRIES) {
            machine.poke(page + ENTRIES_AT + 4 * dword, !0);
        }
        self.forget()
    }

    /// Forgets what is on the engine.
    pub fn forget(&mut self) -> Vec<Element> {
        self.written = false;
        self.cancelled += u64::from(!self.pending.is_empty());
        let pending = std::mem::take(&mut self.pending);
        pending.into_iter().chain(self.active.drain(..)).collect()
    }

    /// Nothing is owed: every submission was taken over once, or cancelled by a reset.
    pub fn settled(&self) {
        assert_eq!(self.pending, [], "never taken over");
        assert_eq!(self.active, [], "never completed");
        assert_eq!(self.promotions + self.cancelled, self.submissions);
    }
}
