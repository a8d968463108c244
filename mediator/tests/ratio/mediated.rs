//! The stream as a guest's, with the mediator's instructions as time in which no work is started.

use gpu::spec::engine::HWS_PGA;
use gpu::{Engine, Gpu};
use mediator::DomainId;

use crate::driver::{self, Driver};
use crate::linux::Machine;
use crate::linux::port::Port;
use crate::linux::request::{Features, Place};
use crate::linux::reset::{reset_pointers, resume};
use crate::linux::scheduler::Scheduler;
use crate::{Stream, jobs};

const PAGE: u64 = 4096;
const RING_PAGES: u64 = 4;
/// What a vGPU's driver does without.
pub const FEATURES: Features = Features {
    semaphores: false,
    preemption: false,
};

/// Instructions, as `cargo xtask bench` counts them; beyond the access or round that they came in.
struct Costs {
    access: u64,
    round: u64,
    lite_restore: u64,
    submission: u64,
    /// A context is through; the same, and another of the guest's runs; its own ring goes on.
    completion: u64,
    next: u64,
    more: u64,
    /// Hundredths, for each byte audited beyond `BYTES`.
    byte: u64,
}

/// Bytes that each of those figures audits itself: ring and batch of one blit.
const BYTES: u64 = 72;

impl Costs {
    fn new() -> Self {
        let figure = |per: &str, name: &str| {
            let all = include_str!("../../examples/instructions/baseline.txt");
            let found = all.lines().find_map(|line| {
                let mut parts = line.split('|');
                let value = parts.next()?;
                ((parts.next()?, parts.next()?) == (per, name)).then_some(value)
            });
            let value: f64 = found.expect(name).parse().expect("a number");
            (value * 100.0) as u64
        };
        let access = figure("read", "register read, interrupt bank") / 100;
        let round = figure("round", "service, nothing to do") / 100;
        let elsp = |name| figure("submission", name) / 100 - 4 * access;
        let service = |name| figure("completion", name) / 100 - round;
        Self {
            access,
            round,
            lite_restore: elsp("ELSP, the running context again"),
            submission: elsp("ELSP, one-batch blit"),
            completion: service("service, completion"),
            next: service("service, the next context"),
            more: service("service, the context goes on"),
            byte: figure("byte", "audit, render ring"),
        }
    }
}

/// The guest's CPU, and time.
struct Cpu {
    machine: driver::Machine,
    domain: DomainId,
    engine: Engine,
    costs: Costs,
    /// Instructions in a nanosecond.
    rate: u64,
}

impl Cpu {
    /// Calls the mediator, and lets the time pass that it takes.
    fn charged<T>(&mut self, instructions: u64, call: impl FnOnce(&mut driver::Machine) -> T) -> T {
        let engine = self.engine;
        let state = |machine: &driver::Machine| {
            let vgpu = machine.vgpu(self.domain);
            let contract = vgpu.contract(engine);
            let submissions = machine.mediator.host().gpu.submissions(engine);
            [
                submissions,
                vgpu.counters().scanned_bytes,
                contract.contexts,
                contract.accepted,
            ]
        };
        let before = state(&self.machine);
        let value = call(&mut self.machine);
        let after = state(&self.machine);
        let [started, audited, ended, told] = [0, 1, 2, 3].map(|at| after[at] - before[at]);
        let costs = &self.costs;
        let work = match (instructions == costs.round, started, ended, told) {
            (_, 0, 0, 0) => 0,
            (true, 0, ..) => costs.completion,
            (true, _, 0, _) => costs.more,
            (true, ..) => costs.next,
            (false, 0, ..) => costs.lite_restore,
            (false, ..) => costs.submission,
        };
        let bytes = audited.saturating_sub(started * BYTES);
        let time = (instructions + work + bytes * costs.byte / 100) / self.rate;
        self.pass(time, started != 0);
        value
    }

    /// The engine works meanwhile, unless what it works on came only at the end.
    fn pass(&mut self, nanoseconds: u64, started: bool) {
        let gpu = &mut self.machine.mediator.host_mut().gpu;
        let before = gpu.now();
        if !started {
            gpu.set_quantum(nanoseconds);
            gpu.run();
        }
        let passed = gpu.now() - before;
        gpu.pass_time(nanoseconds.saturating_sub(passed));
        gpu.set_quantum(1);
        self.machine.clock.advance(passed.max(nanoseconds));
    }
}

impl Machine for Cpu {
    fn read(&mut self, offset: u32) -> u32 {
        let domain = self.domain;
        self.charged(self.costs.access, |machine| machine.read(domain, offset))
    }

    fn write(&mut self, offset: u32, value: u32) {
        let domain = self.domain;
        self.charged(self.costs.access, |machine| {
            machine.write(domain, offset, value);
        });
    }

    fn peek(&mut self, address: u64) -> u32 {
        let mut bytes = [0; 4];
        self.machine.peek(self.domain, address, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn poke(&mut self, address: u64, value: u32) {
        self.machine
            .poke(self.domain, address, &value.to_le_bytes());
    }

    fn message(&mut self) -> bool {
        !std::mem::take(&mut self.machine.domain(self.domain).messages).is_empty()
    }
}

fn place(machine: &mut driver::Machine, driver: &mut Driver, stream: Stream) -> Place {
    let context = driver.context(machine, stream.engine, RING_PAGES);
    let (mark, mark_at) = driver.allocate(machine, 1);
    let frame = driver.frames(jobs::PAGES);
    let at = driver.map(machine, frame, jobs::PAGES);
    driver.store(machine, frame * PAGE, &jobs::batch(stream, at));
    Place {
        image: context.image as u32,
        ring: context.ring as u32,
        state: context.value_at(0),
        ring_memory: context.ring_frame * PAGE,
        ring_size: context.ring_size,
        root: driver.root * PAGE,
        breadcrumb: mark_at as u32,
        breadcrumb_memory: mark * PAGE,
        spinners: [at; 2],
        flag: 0,
    }
}

/// Nanoseconds until all jobs are complete.
pub fn run(stream: Stream, rate: u64) -> u64 {
    let mut machine = driver::machine();
    let mut driver = Driver::new(&mut machine, 1);
    let (domain, engine) = (driver.domain, stream.engine);
    let page_at = machine.read(domain, engine.base() + HWS_PGA);
    let places: Vec<_> = (0..stream.contexts)
        .map(|_| place(&mut machine, &mut driver, stream))
        .collect();
    let page = driver.status_page(engine);
    let mut cpu = Cpu {
        machine,
        domain,
        engine,
        costs: Costs::new(),
        rate,
    };
    let mut scheduler = Scheduler::new(engine, FEATURES, (page, page_at));
    scheduler.port = Port::new();
    scheduler.port.reset(&mut cpu, page);
    reset_pointers(&mut cpu, engine);
    resume(&mut cpu, engine, page_at);
    for place in places {
        scheduler.context(&mut cpu, place, 0);
    }

    let start = cpu.machine.mediator.host().gpu.now();
    jobs::refill(&mut cpu, &mut scheduler, stream);
    for _ in 0..10_000_000 {
        cpu.charged(cpu.costs.round, |machine| machine.mediator.service());
        if cpu.message() {
            scheduler.interrupt(&mut cpu);
            if jobs::refill(&mut cpu, &mut scheduler, stream) {
                driver::clean(&cpu.machine);
                return cpu.machine.mediator.host().gpu.now() - start;
            }
        }
    }
    panic!("it never ends");
}
