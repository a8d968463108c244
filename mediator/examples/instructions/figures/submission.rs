//! Submissions, completions, switches, and the audit of what was submitted.

use gpu::spec::engine;
use gpu::{Engine, Gpu, Progress};

use super::{access, seat, settle};
use crate::driver::{self, Context, Driver, Machine, batch, copy, fill, load_register, store};
use crate::measured;

/// A guest that fills a small rectangle, with one batch in its own PPGTT.
struct Painter {
    driver: Driver,
    context: Context,
    batch: u64,
}

impl Painter {
    fn new(machine: &mut Machine, mut driver: Driver) -> Self {
        let frame = driver.frames(2);
        let at = driver.map(machine, frame, 2);
        let blit = fill(at + 4096, 64, [0, 0, 16, 16], 0x00ff_8040);
        let commands = [&blit[..], &[driver::BATCH_END]].concat();
        driver.store(machine, frame * 4096, &commands);
        let context = driver.context(machine, Engine::Bcs, 4);
        Self {
            driver,
            context,
            batch: at,
        }
    }

    /// Makes a request, and submits it uncounted.
    fn paint(&mut self, machine: &mut Machine) {
        self.request(machine);
        let descriptor = self.context.descriptor();
        self.driver.port(machine, Engine::Bcs, descriptor, 0);
    }

    fn request(&mut self, machine: &mut Machine) {
        let batch = batch(false, self.batch);
        self.driver.request(machine, &mut self.context, &batch);
    }

    /// Makes a request, and submits it counted.
    fn paint_counted(&mut self, machine: &mut Machine) {
        self.request(machine);
        submit(machine, &self.driver, &self.context);
    }

    fn check(&mut self, machine: &mut Machine) {
        check(machine, &self.driver, Engine::Bcs);
    }
}

fn painter() -> (Machine, Painter) {
    let (mut machine, driver) = seat();
    let painter = Painter::new(&mut machine, driver);
    (machine, painter)
}

/// The four writes of ELSP, counted.
pub fn submit(machine: &mut Machine, driver: &Driver, context: &Context) {
    let descriptor = context.descriptor();
    for value in [0, 0, descriptor >> 32, descriptor & 0xffff_ffff] {
        let offset = context.engine.base() + engine::ELSP;
        access(machine, driver, offset, 4, Some(value));
    }
}

/// Figures of work that was not done are worth nothing.
pub fn check(machine: &mut Machine, driver: &Driver, engine: Engine) {
    assert_eq!(driver.arrived(machine, engine), driver.asked(engine));
    assert_eq!(machine.vgpu(driver.domain).counters().refused, 0);
}

/// The GPU does what it was told, and nobody looks.
fn execute(machine: &mut Machine) {
    while machine.mediator.host_mut().gpu.run() == Progress::Busy {}
}

/// The engine is idle, so the last write of ELSP copies, audits and starts the work.
pub fn submissions() -> impl FnMut(u32) -> u64 {
    let (mut machine, mut painter) = painter();
    move |rounds| {
        for _ in 0..rounds {
            painter.paint_counted(&mut machine);
            settle(&mut machine, &painter.driver);
        }
        painter.check(&mut machine);
        rounds.into()
    }
}

/// The context runs already; only its tail is new.
pub fn lite_restores() -> impl FnMut(u32) -> u64 {
    let (mut machine, mut painter) = painter();
    move |rounds| {
        for _ in 0..rounds {
            painter.paint(&mut machine);
            painter.paint_counted(&mut machine);
            settle(&mut machine, &painter.driver);
        }
        painter.check(&mut machine);
        rounds.into()
    }
}

/// A round of service after the engine became idle: image, status event, interrupt.
pub fn completions() -> impl FnMut(u32) -> u64 {
    let (mut machine, mut painter) = painter();
    move |rounds| {
        for _ in 0..rounds {
            painter.paint(&mut machine);
            execute(&mut machine);
            measured::service(&mut machine);
            settle(&mut machine, &painter.driver);
        }
        painter.check(&mut machine);
        rounds.into()
    }
}

/// The same, and more of the context's own ring goes on, or of another context of the guest.
pub fn continuations(other: bool) -> impl FnMut(u32) -> u64 {
    let (mut machine, mut painter) = painter();
    let mut second = painter.driver.context(&mut machine, Engine::Bcs, 4);
    move |rounds| {
        for _ in 0..rounds {
            painter.paint(&mut machine);
            if other {
                std::mem::swap(&mut painter.context, &mut second);
            }
            painter.paint(&mut machine);
            execute(&mut machine);
            measured::service(&mut machine);
            settle(&mut machine, &painter.driver);
        }
        painter.check(&mut machine);
        rounds.into()
    }
}

/// The same while audited work of another guest waits for the engine, and gets it. Two drivers
/// of one kind write the same values to the registers that are switched, MOCS among them.
pub fn switches(other_mocs: bool) -> impl FnMut(u32) -> u64 {
    /// First of the blitter's 64 memory-object control registers.
    const MOCS: u32 = 0xcc00;
    let (mut machine, mut first) = painter();
    let driver = Driver::new(&mut machine, 2);
    let mut second = Painter::new(&mut machine, driver);
    driver::back_memory(&mut machine);
    for register in (0..64).filter(|_| other_mocs) {
        machine.write(second.driver.domain, MOCS + register * 4, 0x30);
    }
    move |rounds| {
        for _ in 0..rounds {
            first.paint(&mut machine);
            second.paint(&mut machine);
            execute(&mut machine);
            measured::service(&mut machine);
            settle(&mut machine, &first.driver);
            settle(&mut machine, &second.driver);
        }
        first.check(&mut machine);
        second.check(&mut machine);
        rounds.into()
    }
}

/// What the event loop pays for looking.
pub fn idle_rounds() -> impl FnMut(u32) -> u64 {
    let (mut machine, _) = seat();
    move |rounds| {
        for _ in 0..rounds {
            measured::service(&mut machine);
        }
        rounds.into()
    }
}

/// A block of commands, and where the driver puts many of it.
pub struct Commands {
    engine: Engine,
    /// In a batch, in the global GTT or not; else in the ring.
    batch: Option<bool>,
    /// Appends one block for a surface at this address; how many commands it has.
    block: fn(&mut Vec<u32>, u64) -> u64,
}

impl Commands {
    /// What i915 itself puts around its users' batches: flushes, registers, stores.
    pub const RENDER_RING: Self = Self {
        engine: Engine::Rcs,
        batch: None,
        block: |all, at| {
            // PIPE_CONTROL: flush the render cache, wait.
            all.extend([0x7a00_0004, 1 << 20 | 1 << 12, 0, 0, 0, 0]);
            all.extend(load_register(0x2580, 0x6_0004));
            all.extend(store(false, at, 5));
            // MI_STORE_REGISTER_MEM of a general-purpose register.
            all.extend([0x1200_0002, 0x2600, at as u32, 0]);
            all.extend([driver::ARBITRATION_ON, 0]);
            6
        },
    };

    /// 3D state, nearly all of which is skipped by its length.
    pub const RENDER_BATCH: Self = Self {
        engine: Engine::Rcs,
        batch: Some(true),
        block: |all, _| {
            for (header, dwords) in [
                (0x7810_0000, 9),  // 3DSTATE_VS
                (0x7820_0000, 12), // 3DSTATE_PS
                (0x7824_0000, 2),  // 3DSTATE_BLEND_STATE_POINTERS
                (0x7823_0000, 2),  // 3DSTATE_VIEWPORT_STATE_POINTERS_CC
                (0x782a_0000, 2),  // 3DSTATE_BINDING_TABLE_POINTERS_PS
            ] {
                all.push(header | (dwords - 2));
                all.extend((1..dwords).map(|_| 0));
            }
            all.extend([0x7a00_0004, 1 << 20, 0, 0, 0, 0]);
            6
        },
    };

    /// Two-dimensional drawing: every batch of the blitter is audited.
    pub const BLITTER_BATCH: Self = Self {
        engine: Engine::Bcs,
        batch: Some(false),
        block: |all, at| {
            all.extend(fill(at, 64, [0, 0, 1, 1], 7));
            all.extend(copy((at, at), 64, [0, 0, 1, 1], [0, 0]));
            // MI_FLUSH_DW without a store.
            all.extend([0x1300_0002, 0, 0, 0]);
            3
        },
    };
}

/// Submissions that differ in nothing but the number of blocks.
pub fn audits(commands: &'static Commands, bytes: bool) -> impl FnMut(u32) -> u64 {
    /// Room for the longest batch.
    const PAGES: u64 = 16;
    let engine = commands.engine;
    let (mut machine, mut driver) = seat();
    let mut context = driver.context(&mut machine, engine, 16);
    let frame = driver.frames(1);
    let surface = driver.map(&mut machine, frame, 1);
    let (frame, address) = match commands.batch {
        Some(true) => driver.allocate(&mut machine, PAGES),
        _ => {
            let frame = driver.frames(PAGES);
            (frame, driver.map(&mut machine, frame, PAGES))
        }
    };
    move |rounds| {
        let mut all = Vec::new();
        let count: u64 = (0..rounds)
            .map(|_| (commands.block)(&mut all, surface))
            .sum();
        let length = all.len() as u64 * 4;
        if let Some(global) = commands.batch {
            all.push(driver::BATCH_END);
            assert!(all.len() as u64 * 4 <= PAGES * 4096);
            driver.store(&mut machine, frame * 4096, &all);
            all = batch(global, address).to_vec();
        }
        driver.request(&mut machine, &mut context, &all);
        submit(&mut machine, &driver, &context);
        settle(&mut machine, &driver);
        check(&mut machine, &driver, engine);
        if bytes { length } else { count }
    }
}

/// Batches of so many pages, too large for a slot: the rounds of service in which they are audited.
pub fn large_audits() -> impl FnMut(u32) -> u64 {
    const PAGE: u64 = 4096;
    let engine = Engine::Bcs;
    let (mut machine, mut driver) = seat();
    machine.mediator.host_mut().gpu.set_quantum(1_000_000);
    let mut context = driver.context(&mut machine, engine, 16);
    let frame = driver.frames(3);
    let surface = driver.map(&mut machine, frame, 1);
    // A page of blits, and one that ends behind them.
    let mut all = Vec::new();
    while all.len() < 1000 {
        (Commands::BLITTER_BATCH.block)(&mut all, surface);
    }
    all.resize(1023, 0);
    for (page, last) in [(frame + 1, 0), (frame + 2, driver::BATCH_END)] {
        driver.store(&mut machine, page * PAGE, &[&all[..], &[last]].concat());
    }
    move |rounds| {
        let pages = u64::from(rounds);
        let frames: Vec<u64> = (1..pages).map(|_| frame + 1).chain([frame + 2]).collect();
        // The ring before it, and tables that are new, are not counted.
        let place = 2 * pages / 512;
        let address = driver.map_many(&mut machine, place, &frames);
        driver.request(&mut machine, &mut context, &[]);
        driver.port(&mut machine, engine, context.descriptor(), 0);
        settle(&mut machine, &driver);
        let commands = batch(false, address);
        driver.request(&mut machine, &mut context, &commands);
        driver.port(&mut machine, engine, context.descriptor(), 0);
        let audited = |machine: &Machine| machine.vgpu(driver.domain).counters().scanned_bytes;
        let before = audited(&machine);
        while audited(&machine) < before + pages * PAGE {
            measured::service(&mut machine);
        }
        settle(&mut machine, &driver);
        check(&mut machine, &driver, engine);
        pages * PAGE
    }
}
