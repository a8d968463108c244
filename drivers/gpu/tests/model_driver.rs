//! Random sequences of a driver's doings, judged by what i915 assumes of the hardware.
//!
//! Pairs that no scheduler would pick, as `bare_driver` has one that does. `linux::port` is the
//! judge; an event that never comes is found at the end.

#[expect(dead_code, reason = "the judge alone, without its scheduler")]
mod linux;
mod model_support;

use gpu::spec::context::{CONTEXT_CONTROL, RING_HEAD};
use gpu::{DmaPage, Engine, Gpu, Owner, Progress};
use linux::port::{Element, Event as Verdict, Port};
use model_support::*;
use proptest::prelude::*;

const CONTEXTS: usize = 4;
const BATCH: u32 = 0x10_0000;
const FLAG: u32 = 0x20_0000;

#[derive(Debug, Clone)]
enum Action {
    /// Append a request: plain, or one that spins until its flag clears.
    Request { context: usize, spin: bool },
    /// Submit one or two contexts, as far as the driver's rules allow.
    Submit {
        first: usize,
        second: Option<usize>,
        force: bool,
    },
    /// Resubmit the running context.
    Resubmit { second: Option<usize> },
    /// Let the GPU run and look at the events.
    Run(u8),
    /// Clear a context's flag.
    Release(usize),
    /// Reset the engine, as after a hang.
    Reset,
}

fn action() -> impl Strategy<Value = Action> {
    let context = 0..CONTEXTS;
    let second = prop::option::of(0..CONTEXTS);
    prop_oneof![
        4 => (context.clone(), prop::bool::weighted(0.3))
            .prop_map(|(context, spin)| Action::Request { context, spin }),
        4 => (context.clone(), second.clone(), prop::bool::weighted(0.1))
            .prop_map(|(first, second, force)| Action::Submit { first, second, force }),
        2 => second.prop_map(|second| Action::Resubmit { second }),
        5 => (0u8..5).prop_map(Action::Run),
        2 => context.prop_map(Action::Release),
        1 => Just(Action::Reset),
    ]
}

/// One context with what the driver remembers of it.
struct Job {
    context: Context,
    flag: DmaPage,
    breadcrumb: DmaPage,
    breadcrumb_at: u32,
    /// Last request appended.
    seqno: u32,
}

/// The driver's side of one engine.
struct Driver {
    bench: Bench,
    engine: Engine,
    jobs: Vec<Job>,
    port: Port,
    /// Context and last request of each element that was ever submitted.
    elements: Vec<(usize, u32)>,
}

impl Driver {
    fn new(engine: Engine, preemptible: bool) -> Self {
        let mut bench = Bench::new();
        let jobs = (0..CONTEXTS).map(|number| {
            let owner = Owner::Guest(number as u16);
            let context = bench.context(engine, owner);
            let check = if preemptible { ARB_CHECK } else { NOOP };
            // Ends when the flag is zero (not greater than zero), else goes round.
            let end_if_clear = 0x1b00_0002 | 1 << 21;
            let batch = [check, end_if_clear, 0, FLAG, 0, BATCH_START, BATCH, 0];
            bench.private(&context, BATCH.into(), &batch);
            let flag = bench.private(&context, FLAG.into(), &[0]);
            let (breadcrumb, breadcrumb_at) = bench.global(owner, &[0]);
            Job {
                context,
                flag,
                breadcrumb,
                breadcrumb_at,
                seqno: 0,
            }
        });
        let jobs = jobs.collect();
        Self {
            bench,
            engine,
            jobs,
            port: Port::new(),
            elements: Vec::new(),
        }
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Request { context, spin } => self.request(context, spin),
            Action::Submit {
                first,
                second,
                force,
            } => self.submit(first, second, force),
            Action::Resubmit { second } => {
                if let Some(first) = self.port.active().front() {
                    let (number, _) = self.elements[first.request];
                    self.submit(number, second, false);
                }
            }
            Action::Run(quanta) => {
                for _ in 0..quanta {
                    self.bench.gpu.run();
                }
                self.look();
            }
            Action::Release(context) => self.bench.poke(self.jobs[context].flag, 0, 0),
            Action::Reset => self.reset(),
        }
    }

    fn request(&mut self, number: usize, spin: bool) {
        let job = &mut self.jobs[number];
        job.seqno += 1;
        if spin {
            self.bench.poke(job.flag, 0, 1);
            self.bench
                .emit(&mut job.context, &[BATCH_START, BATCH, 0, NOOP]);
        }
        let store = [
            STORE_GLOBAL,
            job.breadcrumb_at,
            0,
            job.seqno,
            USER_INTERRUPT,
            NOOP,
        ];
        self.bench.emit(&mut job.context, &store);
    }

    fn submit(&mut self, first: usize, second: Option<usize>, force: bool) {
        // A driver never submits over a pending one, nor a context twice.
        if !self.port.pending().is_empty() {
            return;
        }
        let second = second.filter(|second| *second != first);
        let mut pair = Vec::new();
        for number in std::iter::once(first).chain(second) {
            pair.push(Element {
                id: self.jobs[number].context.id(),
                request: self.elements.len(),
            });
            self.elements.push((number, self.jobs[number].seqno));
        }
        let descriptor = |number: usize| self.jobs[number].context.descriptor;
        let force = if force {
            gpu::spec::context::Descriptor::FORCE_RESTORE
        } else {
            0
        };
        let descriptors = [descriptor(first) | force, second.map_or(0, descriptor)];
        self.port.submit(&pair);
        self.bench.gpu.submit(self.engine, descriptors);
    }

    /// `process_csb`.
    fn look(&mut self) {
        for (status, id) in self.bench.events(self.engine) {
            if let Verdict::Completed(done) = self.port.event(status, id) {
                // The breadcrumb of everything that this element covered came before the event.
                let (number, seqno) = self.elements[done.request];
                let breadcrumb = self.bench.peek(self.jobs[number].breadcrumb, 0);
                assert!(breadcrumb >= seqno, "{breadcrumb} of {seqno}");
            }
        }
    }

    /// Stop, reset, forget what was on its way, skip what ran, set up again.
    fn reset(&mut self) {
        // Events before the reset count.
        self.look();
        self.bench.gpu.reset_engine(self.engine).unwrap();
        for element in self.port.forget() {
            let (number, _) = self.elements[element.request];
            let job = &mut self.jobs[number];
            let page = job.context.image[1];
            self.bench.poke(page, RING_HEAD, job.context.tail);
            self.bench.poke(page, CONTEXT_CONTROL, 0x1_0001);
            for batch_address in [0x0f, 0x15] {
                self.bench.poke(page, batch_address, 0);
            }
            self.bench.poke(job.breadcrumb, 0, job.seqno);
        }
        self.bench.enable(self.engine);
    }

    /// Everything is released; what was submitted completes, every event comes.
    fn drain(&mut self) {
        for number in 0..CONTEXTS {
            self.act(&Action::Release(number));
        }
        for _ in 0..200 {
            let progress = self.bench.gpu.run();
            self.look();
            if progress == Progress::Idle {
                break;
            }
        }
        self.port.settled();
        // Contexts that were preempted and not submitted again still have work; do it now.
        for number in 0..CONTEXTS {
            self.submit(number, None, false);
            self.bench.finish();
            self.look();
            self.port.settled();
            let job = &self.jobs[number];
            assert_eq!(
                self.bench.peek(job.breadcrumb, 0),
                job.seqno,
                "context {number}"
            );
        }
        assert_eq!(self.bench.gpu.breaches(), 0);
        assert_eq!(self.bench.gpu.overwritten(self.engine), 0);
        assert_eq!(self.bench.gpu.fault(self.engine), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_event_is_lost_and_none_is_surplus(
        engine in prop::sample::select(Engine::ALL.to_vec()),
        preemptible: bool,
        quantum in prop::sample::select(vec![1u64, 50, 1_100, 4_000]),
        actions in prop::collection::vec(action(), 0..50),
    ) {
        let mut driver = Driver::new(engine, preemptible);
        driver.bench.gpu.set_quantum(quantum);
        for action in &actions {
            driver.act(action);
        }
        driver.bench.gpu.set_quantum(4_000);
        driver.drain();
    }
}

/// Dwords that often are commands with plausible operands.
fn dword() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        (0u32..0x40, any::<u16>()).prop_map(|(opcode, flags)| opcode << 23 | u32::from(flags)),
        (0u32..0x40, 0u32..8).prop_map(|(opcode, length)| opcode << 23 | length),
        (0u32..0x80, 0u32..0x20).prop_map(|(opcode, length)| 2 << 29 | opcode << 22 | length),
        (any::<u16>(), 0u32..8)
            .prop_map(|(opcode, length)| 3 << 29 | u32::from(opcode) << 16 | length),
        Just(BATCH_START),
        Just(BATCH),
        (0u32..0x3000).prop_map(|offset| 0x2000 + offset * 4),
        Just(0),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_a_ring_and_its_batch_say_the_model_stays_bounded_and_within_its_pages(
        engine in prop::sample::select(Engine::ALL.to_vec()),
        ring in prop::collection::vec(dword(), 0..200),
        batch in prop::collection::vec(dword(), 0..200),
        state in prop::collection::vec((0usize..0x100, any::<u32>()), 0..8),
    ) {
        let mut bench = Bench::new();
        let mut context = bench.context(engine, Owner::Guest(1));
        bench.private(&context, BATCH.into(), &batch);
        bench.emit(&mut context, &ring);
        let (witness, _) = bench.global(Owner::Guest(2), &[0x77; 16]);
        for (dword, value) in state {
            bench.poke(context.image[1], dword, value);
        }
        bench.submit(&[&context]);
        for _ in 0..20 {
            let before = bench.gpu.now();
            bench.gpu.run();
            // A quantum, and at most one command or switch beyond it.
            let spent = bench.gpu.now() - before;
            prop_assert!(spent < gpu::model::QUANTUM + 100_000, "{spent} ns");
        }
        prop_assert!((0..16).all(|dword| bench.peek(witness, dword) == 0x77));
        // Whatever happened (the ring may write GTT entries), a reset makes the engine usable.
        bench.map_status_pages();
        bench.gpu.write(gpu::spec::registers::GDRST, 1);
        for engine in Engine::ALL {
            bench.enable(engine);
        }
        let context = bench.ring(engine, &[NOOP, NOOP]);
        prop_assert_eq!(bench.events(engine), [(1, 0), (0x18, context.id())]);
    }

    #[test]
    fn whatever_is_written_to_registers_nothing_panics_and_runs_end(
        writes in prop::collection::vec((0u32..0x20_0000, any::<u32>()), 0..100),
        hot in prop::collection::vec(
            (prop::sample::select(Engine::ALL.to_vec()), 0u32..0x1a0, any::<u32>()), 0..60),
    ) {
        let mut bench = Bench::new();
        for (offset, value) in writes {
            bench.gpu.write(offset & !3, value);
            bench.gpu.read(offset & !3);
        }
        for (engine, register, value) in hot {
            bench.gpu.write(engine.base() + 4 * register, value);
            bench.gpu.read(engine.base() + 4 * register);
            bench.gpu.run();
        }
    }
}
