//! The software GPU under the driver as it runs without PVINFO: semaphores, preemption, turns.
//!
//! `linux` is the driver and the judge; here is only what happens around it. Each sequence ends
//! with everything released and everything complete. A stall is a failure: the driver looks at the
//! status buffer only when a message came.

mod linux;
mod model_support;

use gpu::spec::engine;
use gpu::spec::registers::GDRST;
use gpu::{Engine, Gpu, Owner, PAGE_SIZE, Progress};
use linux::Machine;
use linux::random::{Random, seeds};
use linux::request::{Features, Payload, Place};
use linux::reset::{reset_engines, reset_pointers, resume};
use linux::scheduler::Scheduler;
use model_support::*;

const BARE: Features = Features {
    semaphores: true,
    preemption: true,
};
const VIRTUAL: Features = Features {
    semaphores: false,
    preemption: false,
};
const BATCHES: u64 = 0x10_0000;
const FLAG: u32 = 0x20_0000;
const RING_PAGES: u32 = 4;

/// A device that works while the driver does: between any two of its accesses.
struct Live {
    bench: Bench,
    random: Random,
    quantum: u64,
}

impl Live {
    fn pass(&mut self) {
        if self.random.once_in(12) {
            self.bench.gpu.set_quantum(50);
            self.bench.gpu.run();
        }
    }

    fn run(&mut self) -> Progress {
        self.bench.gpu.set_quantum(self.quantum);
        self.bench.gpu.run()
    }
}

impl Machine for Live {
    fn read(&mut self, offset: u32) -> u32 {
        self.pass();
        self.bench.gpu.read(offset)
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.pass();
        self.bench.gpu.write(offset, value);
    }

    fn peek(&mut self, address: u64) -> u32 {
        self.pass();
        let page = gpu::DmaPage(address / PAGE_SIZE);
        self.bench.peek(page, (address % PAGE_SIZE / 4) as usize)
    }

    fn poke(&mut self, address: u64, value: u32) {
        let page = gpu::DmaPage(address / PAGE_SIZE);
        self.bench
            .poke(page, (address % PAGE_SIZE / 4) as usize, value);
    }

    fn message(&mut self) -> bool {
        self.bench.gpu.take_interrupt()
    }
}

/// Memory of a context: image, ring, breadcrumb, and two batches that spin.
fn place(bench: &mut Bench, engine: Engine, owner: Owner) -> Place {
    let context = bench.context(engine, owner);
    let flag = bench.private(&context, FLAG.into(), &[0]);
    let end_if_clear = 0x1b00_0002 | 1 << 21;
    let spinner = |check, at: u64| [check, end_if_clear, 0, FLAG, 0, BATCH_START, at as u32, 0];
    let spinners = [BATCHES, BATCHES + PAGE_SIZE];
    for (at, check) in spinners.into_iter().zip([ARB_CHECK, NOOP]) {
        bench.private(&context, at, &spinner(check, at));
    }
    let (breadcrumb, breadcrumb_at) = bench.global(owner, &[0]);
    // Pages of fresh memory follow each other.
    let (ring, ring_at) = bench.global(owner, &[]);
    (1..RING_PAGES).for_each(|_| _ = bench.global(owner, &[]));
    Place {
        image: context.descriptor as u32 & !0xfff,
        ring: ring_at,
        state: context.image[1].0 * PAGE_SIZE,
        ring_memory: ring.0 * PAGE_SIZE,
        ring_size: RING_PAGES * PAGE_SIZE as u32,
        root: context.root.0 * PAGE_SIZE,
        breadcrumb: breadcrumb_at,
        breadcrumb_memory: breadcrumb.0 * PAGE_SIZE,
        spinners,
        flag: flag.0 * PAGE_SIZE,
    }
}

/// A device and the driver of some of its engines.
struct Run {
    live: Live,
    engines: Vec<Scheduler>,
}

impl Run {
    fn new(engines: &[Engine], contexts: usize, features: Features, seed: u64) -> Self {
        let mut live = Live {
            bench: Bench::new(),
            random: Random(seed),
            quantum: 4_000,
        };
        let schedulers = engines.iter().map(|&engine| {
            let page = live.bench.status[engine.index()].0 * PAGE_SIZE;
            let page_at = (1 + engine.index() as u32) * PAGE_SIZE as u32;
            let mut scheduler = Scheduler::new(engine, features, (page, page_at));
            scheduler.port.reset(&mut live, page);
            reset_pointers(&mut live, engine);
            resume(&mut live, engine, page_at);
            for number in 0..contexts {
                let place = place(&mut live.bench, engine, Owner::Host);
                let priority = (number as i32 - 1).max(0);
                scheduler.context(&mut live, place, priority);
            }
            scheduler
        });
        let engines = schedulers.collect();
        Self { live, engines }
    }

    /// One quantum, and the interrupt that it brought; idle if it brought none.
    fn step(&mut self) -> Progress {
        let progress = self.live.run();
        if !self.live.message() {
            return progress;
        }
        for engine in &mut self.engines {
            engine.interrupt(&mut self.live);
        }
        Progress::Busy
    }

    fn reset_all(&mut self) {
        let victims: Vec<_> = self
            .engines
            .iter_mut()
            .map(|engine| engine.prepare(&mut self.live))
            .collect();
        reset_engines(&mut self.live, &Engine::ALL, 1);
        for engine in Engine::ALL {
            if self.engines.iter().all(|driven| driven.engine != engine) {
                self.live.bench.enable(engine);
            }
        }
        for (engine, victim) in self.engines.iter_mut().zip(victims) {
            engine.finish(&mut self.live, victim);
        }
        for engine in &mut self.engines {
            engine.tasklet(&mut self.live);
        }
    }

    fn act(&mut self, random: &mut Random) {
        let number = random.below(self.engines.len() as u64) as usize;
        let engine = &mut self.engines[number];
        let context = random.below(engine.contexts.len() as u64) as usize;
        match random.below(40) {
            0..13 if engine.has_room(&mut self.live, context) => {
                let payload = match random.below(6) {
                    0 => Payload::Spin(true),
                    1 if random.once_in(3) => Payload::Spin(false),
                    _ => Payload::Work(random.below(40) as u32),
                };
                engine.submit(&mut self.live, context, payload);
            }
            0..26 => {
                for _ in 0..=random.below(4) {
                    self.step();
                }
            }
            26..31 => {
                let flag = engine.contexts[context].place.flag;
                self.live.poke(flag, 0);
            }
            31..36 => engine.expire(&mut self.live),
            // A tasklet without a cause, and registers that nobody needs.
            36 => engine.tasklet(&mut self.live),
            37 => {
                let base = engine.engine.base();
                for offset in [engine::RING_HEAD, engine::ACTHD, engine::EXECLIST_STATUS_LO] {
                    self.live.bench.gpu.read(base + offset);
                }
            }
            38 => {
                engine.reset(&mut self.live);
                engine.tasklet(&mut self.live);
            }
            _ if random.once_in(4) => self.reset_all(),
            _ => {}
        }
    }

    /// Everything is released, and ends.
    fn drain(&mut self) {
        for round in 0..20_000 {
            for engine in &mut self.engines {
                for context in 0..engine.contexts.len() {
                    let flag = engine.contexts[context].place.flag;
                    self.live.poke(flag, 0);
                }
            }
            if self.step() == Progress::Idle {
                break;
            }
            assert!(round < 19_999, "it never ends");
        }
        for engine in &self.engines {
            engine.settled(&mut self.live);
            assert_eq!(self.live.bench.gpu.overwritten(engine.engine), 0);
            assert_eq!(self.live.bench.gpu.fault(engine.engine), None);
        }
        assert_eq!(
            self.live.bench.gpu.breaches(),
            0,
            "{:?}",
            self.live.bench.gpu.last_breach()
        );
    }
}

fn sequence(random: &mut Random, features: Features) -> Run {
    let all = [Engine::Rcs, Engine::Bcs, Engine::Vcs, Engine::Vecs];
    let first = random.below(4) as usize;
    let count = 1 + random.below(2) as usize * (3 - first).min(1);
    let contexts = 1 + random.below(4) as usize;
    let mut run = Run::new(
        &all[first..first + count],
        contexts,
        features,
        random.below(1 << 40),
    );
    run.live.quantum = random.pick(&[1, 30, 200, 1_100, 4_000]);
    for _ in 0..random.below(120) {
        run.act(random);
    }
    run.live.quantum = 4_000;
    run.drain();
    run
}

#[test]
fn a_driver_with_preemption_is_never_told_too_much_or_too_little() {
    let (mut preemptions, mut turns, mut resets) = (0, 0, 0);
    seeds(250, |random| {
        let run = sequence(random, BARE);
        preemptions += run
            .engines
            .iter()
            .map(|engine| engine.preemptions)
            .sum::<u64>();
        turns += run.engines.iter().map(|engine| engine.turns).sum::<u64>();
        resets += run.engines.iter().map(|engine| engine.resets).sum::<u64>();
    });
    if std::env::var_os("CONTRACT_SEED").is_none() {
        println!("{preemptions} preemptions, {turns} turns, {resets} resets");
        assert!(preemptions > 100 && turns > 100 && resets > 100);
    }
}

#[test]
fn a_driver_without_preemption_is_never_told_too_much_or_too_little() {
    seeds(150, |random| {
        let run = sequence(random, VIRTUAL);
        assert!(
            run.engines
                .iter()
                .all(|engine| engine.preemptions + engine.turns == 0)
        );
    });
}

#[test]
fn a_reset_of_everything_leaves_every_register_that_says_done() {
    let mut run = Run::new(&[Engine::Bcs], 1, BARE, 0);
    run.reset_all();
    assert_eq!(run.live.bench.gpu.read(GDRST), 0);
    run.drain();
}
