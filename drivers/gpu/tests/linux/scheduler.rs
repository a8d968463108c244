//! The submission tasklet of one engine: what is queued, what is on the hardware, who is next.
//!
//! `dequeue` is `execlists_dequeue`: requests of one context merge, two contexts share the port, a
//! higher priority preempts, equals take turns. With preemption the driver pauses the ring at the
//! next breadcrumb (a semaphore in the status page) and submits while it runs: preempt-to-busy.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use gpu::Engine;
use gpu::spec::engine;
use gpu::spec::registers::{GT_INTERRUPT_BANKS, MASTER_INTERRUPT};

use super::Machine;
use super::port::{Element, Event, Port};
use super::request::{Context, Features, PAUSE_AT, Payload, Place, ROOM, Request, TAIL};

/// Tags of contexts on the hardware; bit n is tag n + 1, free.
const TAGS: u64 = !0 >> 1;
/// Valid, 64-bit PPGTT, privileged.
const DESCRIPTOR: u64 = 1 | 3 << 3 | 1 << 8;

/// Turns of the contexts: whose is over, and whether that was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Timer {
    #[default]
    Off,
    Runs,
    Expired,
}

/// One engine's submission.
pub struct Scheduler {
    pub engine: Engine,
    pub features: Features,
    pub port: Port,
    pub contexts: Vec<Context>,
    pub requests: Vec<Request>,
    /// Status page: as the CPU sees it, and its global address.
    pub(super) page: u64,
    pub(super) page_at: u32,
    /// Submitted and not known to be complete, in order (`sched_engine->requests`).
    pub(super) executing: VecDeque<usize>,
    /// Ready, by priority.
    queue: BTreeMap<Reverse<i32>, VecDeque<usize>>,
    tags: u64,
    pub timeslice: Timer,
    /// Preemption that the hardware has not answered.
    pub deadline: Timer,
    /// Who has to give way for it.
    target: Option<usize>,
    /// Tag of a context that waits at a semaphore.
    yields: u32,
    /// EIR, when the engine reported an error.
    pub(super) error: u32,
    pub resets: u64,
    pub preemptions: u64,
    pub turns: u64,
}

impl Scheduler {
    pub fn new(engine: Engine, features: Features, (page, page_at): (u64, u32)) -> Self {
        Self {
            engine,
            features,
            port: Port::new(),
            contexts: Vec::new(),
            requests: Vec::new(),
            page,
            page_at,
            executing: VecDeque::new(),
            queue: BTreeMap::new(),
            tags: TAGS,
            timeslice: Timer::Off,
            deadline: Timer::Off,
            target: None,
            yields: !0,
            error: 0,
            resets: 0,
            preemptions: 0,
            turns: 0,
        }
    }

    /// A new context.
    pub fn context(&mut self, machine: &mut impl Machine, place: Place, priority: i32) {
        let mut context = Context::new(place, priority);
        context.init(machine, self.engine);
        context.update(machine, 0);
        context.force = false;
        self.contexts.push(context);
    }

    /// Whether the ring of a context takes another request.
    pub fn has_room(&self, machine: &mut impl Machine, number: usize) -> bool {
        let context = &self.contexts[number];
        let arrived = context.arrived(machine);
        // What is unwound must be less than half the ring away.
        let outstanding = context.seqno.wrapping_sub(arrived);
        (outstanding + 2) * ROOM < context.place.ring_size / 2
    }

    /// A request becomes ready (`execlists_submit_request`).
    pub fn submit(&mut self, machine: &mut impl Machine, number: usize, payload: Payload) {
        let (engine, features) = (self.engine, self.features);
        let request = self.contexts[number].request(machine, engine, number, payload, features);
        let priority = self.contexts[number].priority;
        self.requests.push(request);
        let queue = self.queue.entry(Reverse(priority)).or_default();
        queue.push_back(self.requests.len() - 1);
        self.tasklet(machine);
    }

    /// The interrupt handler.
    pub fn interrupt(&mut self, machine: &mut impl Machine) {
        machine.write(MASTER_INTERRUPT, 0);
        let (bank, shift) = self.engine.interrupt_slot();
        let identity = GT_INTERRUPT_BANKS + 0x10 * bank as u32 + 8;
        let all = machine.read(identity);
        let mine = all & 0xffff << shift;
        machine.write(identity, mine);
        let bits = mine >> shift;
        let base = self.engine.base();
        if bits & engine::INTERRUPT_ERROR != 0 {
            let error = machine.read(base + engine::EIR) & 0xffff;
            if error != 0 {
                machine.write(base + engine::EMR, !0);
                machine.write(base + engine::EIR, error);
                self.error = error;
            }
        }
        if bits & engine::INTERRUPT_SEMAPHORE_WAIT != 0 {
            self.yields = machine.read(base + engine::EXECLIST_STATUS_HI);
        }
        machine.write(MASTER_INTERRUPT, 1 << 31);
        if bits & (engine::INTERRUPT_CONTEXT_SWITCH | engine::INTERRUPT_SEMAPHORE_WAIT) != 0
            || self.error != 0
        {
            self.tasklet(machine);
        }
    }

    /// `execlists_submission_tasklet`.
    pub fn tasklet(&mut self, machine: &mut impl Machine) {
        let inactive = self.process(machine);
        let mut overdue = self.deadline == Timer::Expired && !self.port.pending().is_empty();
        if overdue && self.target != self.port.active().front().map(|first| first.request) {
            // Somebody else came in between: it has its own time.
            self.target = self.port.active().front().map(|first| first.request);
            (self.deadline, overdue) = (Timer::Runs, false);
        }
        if overdue || self.error != 0 {
            self.reset(machine);
        }
        if self.port.pending().is_empty() {
            self.dequeue(machine);
            self.start_turn(machine);
        }
        self.schedule_out(inactive);
    }

    /// `process_csb`.
    pub(super) fn process(&mut self, machine: &mut impl Machine) -> Vec<Element> {
        let mut inactive = Vec::new();
        for event in self.port.poll(machine, self.page) {
            match event {
                Event::Promoted(old) => {
                    self.pause(machine, false);
                    self.deadline = Timer::Off;
                    // A posting read, which also gives the ring time to see that it may go on.
                    machine.read(self.engine.base() + engine::CSB_POINTER);
                    inactive.extend(old);
                }
                Event::Completed(done) => {
                    // What it stored came before the event.
                    assert!(self.complete(machine, done.request), "completed too early");
                    inactive.push(done);
                }
            }
            self.timeslice = Timer::Off;
        }
        inactive
    }

    /// `execlists_dequeue`.
    fn dequeue(&mut self, machine: &mut impl Machine) {
        let active: Vec<_> = self.port.active().iter().copied().collect();
        let done = |element: &&Element| self.complete(machine, element.request);
        let skip = active.iter().take_while(done).count();
        let active = &active[skip..];
        let mut ports: Vec<usize> = Vec::new();
        if let Some(last) = active.first() {
            if self.wants_preemption(last.request) {
                self.preemptions += 1;
                self.pause(machine, true);
                self.unwind(machine);
            } else if self.turn_is_over(machine, last.request) {
                self.turns += 1;
                self.timeslice = Timer::Off;
                self.pause(machine, true);
                if let Some(first) = self.unwind(machine) {
                    self.defer(first);
                }
            } else if active.len() > 1 {
                return;
            } else {
                ports.push(last.request);
            }
        }

        let mut submit = false;
        while let Some(next) = self.first_queued() {
            if !self.complete(machine, next) {
                let context = |number: usize| self.requests[number].context;
                match ports.as_mut_slice() {
                    [.., last] if context(*last) == context(next) => *last = next,
                    [_, _] => break,
                    _ => ports.push(next),
                }
                self.execute(machine, next);
                submit = true;
            }
            self.pop();
        }
        let on_hardware: Vec<_> = active.iter().map(|element| element.request).collect();
        if !submit || on_hardware == ports {
            self.pause(machine, false);
            return;
        }
        self.deadline = Timer::Off;
        if let Some(first) = self.port.active().front()
            && self.features.preemption
        {
            (self.deadline, self.target) = (Timer::Runs, Some(first.request));
        }
        self.yields = !0;
        self.write_ports(machine, &ports);
    }

    fn first_queued(&self) -> Option<usize> {
        self.queue.values().find_map(|queue| queue.front().copied())
    }

    fn pop(&mut self) {
        let queue = self.queue.values_mut().find(|queue| !queue.is_empty());
        queue.and_then(VecDeque::pop_front);
    }

    /// `__i915_request_submit`.
    fn execute(&mut self, machine: &mut impl Machine, number: usize) {
        let mut request = self.requests[number];
        let context = &mut self.contexts[request.context];
        context.finish(
            machine,
            self.engine,
            &mut request,
            self.page_at,
            self.features,
        );
        self.requests[number] = request;
        self.executing.push_back(number);
    }

    /// `execlists_submit_ports`: four writes, element 1 first.
    fn write_ports(&mut self, machine: &mut impl Machine, ports: &[usize]) {
        for &port in ports.iter().rev() {
            self.schedule_in(machine, port);
        }
        let elements: Vec<_> = ports
            .iter()
            .map(|&request| Element {
                id: self.contexts[self.requests[request].context].tag,
                request,
            })
            .collect();
        self.port.submit(&elements);
        let elsp = self.engine.base() + engine::ELSP;
        for port in [1, 0] {
            let descriptor = ports.get(port).map_or(0, |&request| {
                let tag = self.contexts[self.requests[request].context].tag;
                u64::from(tag) << 32 | self.update_context(machine, request)
            });
            machine.write(elsp, (descriptor >> 32) as u32);
            machine.write(elsp, descriptor as u32);
        }
    }

    /// `execlists_update_context`: TAIL moves; back, or not at all, only with a forced restore.
    fn update_context(&mut self, machine: &mut impl Machine, number: usize) -> u64 {
        let request = &mut self.requests[number];
        let context = &mut self.contexts[request.context];
        let mut force = std::mem::take(&mut context.force);
        force |= context.direction(request.tail, context.tail) <= 0;
        context.tail = request.tail;
        context.set(machine, TAIL, context.tail);
        request.tail = request.wa_tail;
        DESCRIPTOR | u64::from(context.place.image) | u64::from(force) << 2
    }

    fn schedule_in(&mut self, machine: &mut impl Machine, number: usize) {
        let request = self.requests[number];
        if self.contexts[request.context].inflight == 0 {
            if request.failed && self.started(machine, number) {
                self.scrub(machine, number);
            }
            let tag = self.tags.trailing_zeros();
            self.tags &= !(1 << tag);
            self.contexts[request.context].tag = (1 + tag) << 5;
        }
        self.contexts[request.context].inflight += 1;
    }

    pub(super) fn schedule_out(&mut self, inactive: Vec<Element>) {
        for element in inactive {
            let context = &mut self.contexts[self.requests[element.request].context];
            context.inflight -= 1;
            if context.inflight == 0 {
                self.tags |= 1 << ((context.tag >> 5) - 1);
            }
        }
    }

    /// `__unwind_incomplete_requests`: back into the queue, in order; the first one.
    pub(super) fn unwind(&mut self, machine: &mut impl Machine) -> Option<usize> {
        let mut first = None;
        while let Some(number) = self.executing.pop_back() {
            if self.complete(machine, number) {
                continue;
            }
            let request = self.requests[number];
            let context = &mut self.contexts[request.context];
            if context.direction(request.tail, context.tail.wrapping_add(8)) > 0 {
                context.force = true;
            }
            let queue = self.queue.entry(Reverse(context.priority)).or_default();
            queue.push_front(number);
            first = Some(number);
        }
        first
    }

    /// `defer_request`: to the end of its priority, and its context's later ones behind it.
    fn defer(&mut self, first: usize) {
        let context = self.requests[first].context;
        let priority = self.contexts[context].priority;
        if let Some(queue) = self.queue.get_mut(&Reverse(priority)) {
            let (theirs, others): (Vec<_>, Vec<_>) = queue
                .drain(..)
                .partition(|&number| self.requests[number].context == context);
            queue.extend(others);
            queue.extend(theirs);
        }
    }

    fn wants_preemption(&self, last: usize) -> bool {
        let priority = self.contexts[self.requests[last].context].priority;
        let first = self.first_queued();
        let highest = first.map(|next| self.contexts[self.requests[next].context].priority);
        self.features.semaphores && highest > Some(priority.max(-1))
    }

    fn turn_is_over(&mut self, machine: &mut impl Machine, last: usize) -> bool {
        let tag = self.contexts[self.requests[last].context].tag;
        self.needs_turns(machine) && (self.timeslice == Timer::Expired || self.yields == tag)
    }

    /// `needs_timeslice`: somebody else could run.
    fn needs_turns(&mut self, machine: &mut impl Machine) -> bool {
        let Some(active) = self.port.active().front().copied() else {
            return false;
        };
        self.features.preemption
            && self.port.pending().is_empty()
            && !self.complete(machine, active.request)
            && (self.executing.back() != Some(&active.request)
                || self.queue.values().any(|queue| !queue.is_empty()))
    }

    fn start_turn(&mut self, machine: &mut impl Machine) {
        if !self.needs_turns(machine) {
            self.timeslice = Timer::Off;
        } else if self.timeslice == Timer::Off {
            self.timeslice = Timer::Runs;
        }
    }

    /// Time passes: timers that run are over.
    pub fn expire(&mut self, machine: &mut impl Machine) {
        for timer in [&mut self.timeslice, &mut self.deadline] {
            if *timer == Timer::Runs {
                *timer = Timer::Expired;
            }
        }
        self.tasklet(machine);
    }

    pub(super) fn pause(&self, machine: &mut impl Machine, paused: bool) {
        if self.features.semaphores {
            machine.poke(self.page + PAUSE_AT, paused.into());
        }
    }

    pub(super) fn complete(&self, machine: &mut impl Machine, number: usize) -> bool {
        let request = &self.requests[number];
        self.contexts[request.context].arrived(machine) >= request.seqno
    }

    pub(super) fn started(&self, machine: &mut impl Machine, number: usize) -> bool {
        let request = &self.requests[number];
        self.contexts[request.context].arrived(machine) >= request.seqno - 1
    }

    /// Nothing is left, and nothing is owed.
    pub fn settled(&self, machine: &mut impl Machine) {
        for number in 0..self.requests.len() {
            assert!(self.complete(machine, number), "request {number} never ran");
        }
        assert!(self.queue.values().all(VecDeque::is_empty));
        self.port.settled();
        assert_eq!(self.tags, TAGS, "a context is still on the hardware");
        assert!(self.contexts.iter().all(|context| context.inflight == 0));
    }
}
