//! The toolstack's commands and their answers as a sequence of requests to Xenstore.
//!
//! ```text
//! Idle -- event of a guest's `command` --> Reading its nodes --> a Command, for the caller
//!      -- first event, or lost ones --> Listing all guests --> Reading each
//!      -- the caller's answer --> Writing
//! ```
//! A step looks for the reply to the one request that is under way and asks the next: no step
//! waits. A request without a reply in time, or any other error, ends what it was for.
//!
//! A command that is given while an earlier one of its guest is read takes the place of that one.
//! A guest that is destroyed meanwhile is for the caller to find out.

use alloc::string::ToString;
use alloc::vec::{self, Vec};
use core::{array, mem};

use mediator::DomainId;
use xen::xenstore::wire::{self, Request};
use xen::xenstore::{Client, Look, Transaction, Transport, XenstoreError};

use super::nodes::{Command, Next, Nodes, VGPUS, Write, command_of, vgpu_node};

/// Of the watch on the guests' nodes.
pub const TOKEN: &str = "vgpu";
/// How long a reply may take, nanoseconds.
const PATIENCE: u64 = 1_000_000_000;
/// Each request stands alone.
pub const NONE: Transaction = Transaction::NONE;

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// There is nothing to do before Xenstore's next event, or the deadline.
    Nothing,
    /// Something was done; the next step may find more.
    Done,
    /// A command is to be carried out, then answered.
    Command(Command),
}

/// An answer: `reason`, `state`, what is left to give.
type Writes = array::IntoIter<Write, 5>;

/// What the reply that is to come is for.
enum State {
    Idle,
    Listing,
    Reading(Nodes),
    Writing(Writes),
}

/// The connection, and how far the present command is.
pub struct Exchange<T> {
    store: Client<T>,
    state: State,
    /// Guests whose commands may have gone unheard: as many as one message names.
    unheard: vec::IntoIter<DomainId>,
}

impl<T: Transport> Exchange<T> {
    /// Over a connection that watches [`VGPUS`].
    pub fn new(store: Client<T>) -> Self {
        Self {
            store,
            state: State::Idle,
            unheard: Vec::new().into_iter(),
        }
    }

    /// Whether no reply is to come: only then may the caller answer.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// When a reply that is to come is overdue.
    pub fn deadline(&self) -> Option<u64> {
        self.store.deadline()
    }

    /// One step. An error has ended what was under way; the rest follows.
    pub fn step(&mut self, now: u64) -> Result<Step, XenstoreError> {
        if self.is_idle() {
            return self.begin(now);
        }
        let reply = match self.store.look(now) {
            Ok(Look::Nothing) => return Ok(Step::Nothing),
            Ok(Look::Other) => return Ok(Step::Done),
            Ok(Look::Reply(payload)) => Ok(payload),
            Err(error) => Err(error),
        };
        match mem::replace(&mut self.state, State::Idle) {
            State::Idle => Ok(Step::Done),
            State::Listing => {
                let names = wire::strings(reply?);
                let guests = names.filter_map(|name| name.ok()?.parse().ok().map(DomainId));
                self.unheard = guests.collect::<Vec<_>>().into_iter();
                Ok(Step::Done)
            }
            State::Reading(mut nodes) => {
                nodes.take(reply)?;
                self.read(nodes, now)
            }
            State::Writing(rest) => {
                reply?;
                self.write(rest, now)
            }
        }
    }

    /// Begins to write an answer: `reason` before `state`, then what is left to give.
    pub fn answer(
        &mut self,
        domain: DomainId,
        (state, reason): (&str, &str),
        [low, high, fences]: [Write; 3],
        now: u64,
    ) -> Result<Step, XenstoreError> {
        let reason = (vgpu_node(domain, "reason"), reason.to_string());
        let state = (vgpu_node(domain, "state"), state.to_string());
        self.write([reason, state, low, high, fences].into_iter(), now)
    }

    /// What to do next where nothing is under way.
    fn begin(&mut self, now: u64) -> Result<Step, XenstoreError> {
        if let Some(domain) = self.unheard.next() {
            return self.read(Nodes::of(domain), now);
        }
        match self.store.next_event()? {
            Some(event) if event.token != TOKEN => Ok(Step::Done),
            Some(event) if event.path == VGPUS => self.list(now),
            Some(event) => match command_of(&event.path) {
                Some(domain) => self.read(Nodes::of(domain), now),
                None => Ok(Step::Done),
            },
            None if self.store.take_events_lost() => self.list(now),
            None => Ok(Step::Nothing),
        }
    }

    /// Commands given before the watch was set, or whose event was lost.
    fn list(&mut self, now: u64) -> Result<Step, XenstoreError> {
        self.ask(&Request::directory(NONE, VGPUS)?, State::Listing, now)
    }

    /// Goes on with a guest's nodes.
    fn read(&mut self, nodes: Nodes, now: u64) -> Result<Step, XenstoreError> {
        let domain = nodes.domain;
        match nodes.next() {
            Next::Read(name) => {
                let path = vgpu_node(domain, name);
                self.ask(&Request::read(NONE, &path)?, State::Reading(nodes), now)
            }
            // Events and replies come in order: one that is here tells of something newer than
            // what was read.
            Next::Command(_) if self.newer(domain) => Ok(Step::Done),
            Next::Command(command) => Ok(Step::Command(command)),
            Next::Nothing => Ok(Step::Done),
        }
    }

    /// Whether a guest's next command is known to be there.
    fn newer(&self, domain: DomainId) -> bool {
        let mut events = self.store.events();
        events.any(|event| command_of(&event.path) == Some(domain))
    }

    fn write(&mut self, mut rest: Writes, now: u64) -> Result<Step, XenstoreError> {
        match rest.next() {
            Some((path, value)) => {
                let request = Request::write(NONE, &path, value.as_bytes())?;
                self.ask(&request, State::Writing(rest), now)
            }
            None => Ok(Step::Done),
        }
    }

    fn ask(
        &mut self,
        request: &Request<'_>,
        state: State,
        now: u64,
    ) -> Result<Step, XenstoreError> {
        self.store.ask(request, now.saturating_add(PATIENCE))?;
        self.state = state;
        Ok(Step::Done)
    }
}
