//! Guests under the driver's own scheduler, on engines that they share, in any order of things.
//!
//! `linux` is the driver and the judge, as it is of the software GPU alone
//! (`drivers/gpu/tests/bare_driver.rs`); with PVINFO it neither preempts nor takes turns. Here the
//! machine works between any two of its accesses, so every sequence of it meets every event. It
//! looks at its status buffer only when a message came: a lost one is a stall, and fails.

use gpu::spec::engine::{EXECLIST_STATUS_HI, HWS_PGA, RING_HEAD, RING_TAIL};
use gpu::{Engine, Progress};
use mediator::DomainId;

use crate::driver::{self, Driver, clean, serve};
use crate::linux::Machine;
use crate::linux::random::{Random, seeds};
use crate::linux::request::{Features, Payload, Place};
use crate::linux::reset::{reset_engines, reset_pointers, resume};
use crate::linux::scheduler::Scheduler;

const PAGE: u64 = 4096;
const RING_PAGES: u64 = 4;
const FEATURES: Features = Features {
    semaphores: false,
    preemption: false,
};

/// One guest's CPU.
struct Cpu<'a> {
    machine: &'a mut driver::Machine,
    random: &'a mut Random,
    domain: DomainId,
}

impl Cpu<'_> {
    /// Others work meanwhile.
    fn pass(&mut self) {
        if self.random.once_in(40) {
            serve(self.machine);
        }
    }
}

impl Machine for Cpu<'_> {
    fn read(&mut self, offset: u32) -> u32 {
        self.pass();
        self.machine.read(self.domain, offset)
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.pass();
        self.machine.write(self.domain, offset, value);
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
        let messages = &mut self.machine.domain(self.domain).messages;
        !std::mem::take(messages).is_empty()
    }
}

/// Memory of a context.
fn place(machine: &mut driver::Machine, driver: &mut Driver, engine: Engine) -> Place {
    let context = driver.context(machine, engine, RING_PAGES);
    let (mark, mark_at) = driver.allocate(machine, 1);
    let frame = driver.frames(3);
    let at = driver.map(machine, frame, 3);
    let flag = at + 2 * PAGE;
    let spinners = [at, at + PAGE];
    for (number, check) in [0x0280_0000, 0].into_iter().enumerate() {
        let start = spinners[number] as u32;
        // Ends when the flag is not greater than zero, else goes round.
        let end_if_clear = [0x1b00_0002 | 1 << 21, 0, flag as u32, 0];
        let commands = [&[check], &end_if_clear[..], &[0x1880_0101, start, 0]].concat();
        driver.store(machine, (frame + number as u64) * PAGE, &commands);
    }
    Place {
        image: context.image as u32,
        ring: context.ring as u32,
        state: context.value_at(0),
        ring_memory: context.ring_frame * PAGE,
        ring_size: context.ring_size,
        root: driver.root * PAGE,
        breadcrumb: mark_at as u32,
        breadcrumb_memory: mark * PAGE,
        spinners,
        flag: (frame + 2) * PAGE,
    }
}

/// A guest, and the driver of some of its engines.
struct Guest {
    domain: DomainId,
    engines: Vec<Scheduler>,
}

impl Guest {
    fn new(
        machine: &mut driver::Machine,
        random: &mut Random,
        domain: u16,
        engines: &[Engine],
    ) -> Self {
        let mut driver = Driver::new(machine, domain);
        let domain = driver.domain;
        let contexts = 1 + random.below(3);
        let mut schedulers = Vec::new();
        for &engine in engines {
            let page_at = machine.read(domain, engine.base() + HWS_PGA);
            let page = driver.status_page(engine);
            let places: Vec<_> = (0..contexts)
                .map(|_| place(machine, &mut driver, engine))
                .collect();
            let mut cpu = Cpu {
                machine: &mut *machine,
                random: &mut *random,
                domain,
            };
            let mut scheduler = Scheduler::new(engine, FEATURES, (page, page_at));
            scheduler.port.reset(&mut cpu, page);
            reset_pointers(&mut cpu, engine);
            resume(&mut cpu, engine, page_at);
            for (number, place) in (0..).zip(places) {
                scheduler.context(&mut cpu, place, (number - 1).max(0));
            }
            schedulers.push(scheduler);
        }
        Self {
            domain,
            engines: schedulers,
        }
    }

    fn interrupt(&mut self, cpu: &mut Cpu) -> bool {
        let came = cpu.message();
        if came {
            for engine in &mut self.engines {
                engine.interrupt(cpu);
            }
        }
        came
    }

    /// Lets every batch that spins end.
    fn release(&self, cpu: &mut Cpu) {
        for context in self.engines.iter().flat_map(|engine| &engine.contexts) {
            cpu.poke(context.place.flag, 0);
        }
    }

    fn reset_all(&mut self, cpu: &mut Cpu) {
        let prepared = self.engines.iter_mut();
        let victims: Vec<_> = prepared.map(|engine| engine.prepare(cpu)).collect();
        reset_engines(cpu, &Engine::ALL, 1);
        for (engine, victim) in self.engines.iter_mut().zip(victims) {
            engine.finish(cpu, victim);
        }
        for engine in &mut self.engines {
            engine.tasklet(cpu);
        }
    }

    fn act(&mut self, cpu: &mut Cpu) {
        let number = cpu.random.below(self.engines.len() as u64) as usize;
        let engine = &mut self.engines[number];
        let context = cpu.random.below(engine.contexts.len() as u64) as usize;
        match cpu.random.below(40) {
            0..16 if engine.has_room(cpu, context) => {
                // All batches of the blitter are copied: they cannot wait for a CPU.
                let payload = match cpu.random.below(8) {
                    0 if engine.engine != Engine::Bcs => Payload::Spin(cpu.random.once_in(2)),
                    _ => Payload::Work(cpu.random.below(40) as u32),
                };
                engine.submit(cpu, context, payload);
            }
            0..30 => {
                for _ in 0..=cpu.random.below(3) {
                    serve(cpu.machine);
                }
            }
            30..36 => {
                let flag = engine.contexts[context].place.flag;
                cpu.poke(flag, 0);
            }
            36 => engine.tasklet(cpu),
            37 => {
                let base = engine.engine.base();
                for offset in [RING_HEAD, RING_TAIL, EXECLIST_STATUS_HI] {
                    cpu.read(base + offset);
                }
            }
            38 if cpu.random.once_in(2) => {
                engine.reset(cpu);
                engine.tasklet(cpu);
            }
            39 if cpu.random.once_in(4) => self.reset_all(cpu),
            _ => {}
        }
        self.interrupt(cpu);
    }
}

fn sequence(random: &mut Random) {
    let mut machine = driver::machine();
    let first = random.below(4) as usize;
    let count = 1 + random.below(2) as usize * (3 - first).min(1);
    let engines = &Engine::ALL[first..first + count];
    let mut guests = Vec::new();
    for domain in 0..1 + random.below(2) as u16 {
        guests.push(Guest::new(&mut machine, random, domain + 1, engines));
    }
    let quantum = random.pick(&[20, 100, 500, 4_000]);
    machine.mediator.host_mut().gpu.set_quantum(quantum);
    for _ in 0..random.below(100) {
        let which = random.below(guests.len() as u64) as usize;
        let domain = guests[which].domain;
        let mut cpu = Cpu {
            machine: &mut machine,
            random,
            domain,
        };
        guests[which].act(&mut cpu);
    }

    machine.mediator.host_mut().gpu.set_quantum(4_000);
    let mut quiet = false;
    for _ in 0..20_000 {
        // Whatever this round brings about, the next one sees.
        let idle = serve(&mut machine) == Progress::Idle;
        let mut came = false;
        for guest in &mut guests {
            let domain = guest.domain;
            let mut cpu = Cpu {
                machine: &mut machine,
                random,
                domain,
            };
            guest.release(&mut cpu);
            came |= guest.interrupt(&mut cpu);
        }
        quiet = idle && !came;
        if quiet {
            break;
        }
    }
    assert!(quiet, "it never ends");
    for guest in &guests {
        let domain = guest.domain;
        let mut cpu = Cpu {
            machine: &mut machine,
            random,
            domain,
        };
        for engine in &guest.engines {
            engine.settled(&mut cpu);
            let contract = cpu.machine.vgpu(domain).contract(engine.engine);
            assert_eq!(contract.submissions, engine.port.submissions);
            assert_eq!(contract.accepted, engine.port.promotions);
            assert_eq!(contract.completed, engine.port.completions);
            assert_eq!((contract.lost(), contract.surplus()), (0, 0), "{contract}");
        }
        let counters = cpu.machine.vgpu(domain).counters();
        assert_eq!((counters.refused, counters.violations), (0, 0));
    }
    clean(&machine);
}

#[test]
fn no_guest_is_ever_told_too_much_or_too_little() {
    seeds(60, sequence);
}
