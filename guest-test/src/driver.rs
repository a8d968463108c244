//! What i915 does to get work done: status pages, execlists, interrupts, submission, reset.
//!
//! Sequences after `gt/intel_execlists_submission.c` (enable_execlists, reset_csb_pointers,
//! execlists_submit_ports), `gt/intel_gt_irq.c` (gen8_gt_irq_handler) and `gt/intel_reset.c`
//! (gen8_engine_reset_prepare, gen6_hw_domain_reset), as far as a vGPU guest runs them.

use core::time::Duration;

use crate::commands::{Commands, MI_USER_INTERRUPT};
use crate::context::Context;
use crate::ggtt::{Ggtt, Partition};
use crate::hardware::*;
use crate::machine::{Bar, Machine, Page, Width};
use crate::report::{Outcome, ensure, equal};

/// Longest wait for something that must happen. Everything is slow in an emulated machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same once something never happened: the rest must not take an hour to say so.
const IMPATIENCE: Duration = Duration::from_secs(2);
/// Write pointer after a reset: the next event goes to slot 0.
const CSB_RESET: u32 = CSB_ENTRIES - 1;
/// What we listen to, before the engine's shift.
const EVENTS: u32 = USER_INTERRUPT | ERROR_INTERRUPT | CONTEXT_SWITCH_INTERRUPT;

/// One engine as we drive it.
struct EngineState {
    engine: Engine,
    status: Page,
    status_address: u32,
    /// Slot of the last event read.
    last_event: u32,
    /// Value of the last breadcrumb asked for.
    breadcrumb: u32,
    /// Interrupt bits seen since [`Driver::forget`].
    interrupts: u32,
}

/// What happened on one engine.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// Context-status entries in order: status, context id.
    pub events: Vec<(u32, u32)>,
    /// Interrupt bits of the engine.
    pub interrupts: u32,
    /// Messages that arrived.
    pub messages: u64,
}

impl Seen {
    /// Whether a context was completed.
    pub fn completed(&self) -> bool {
        self.events.iter().any(|(status, _)| status & COMPLETE != 0)
    }
}

/// The device, driven.
pub struct Driver<'m> {
    /// The machine it is in.
    pub machine: &'m mut dyn Machine,
    /// The global GTT.
    pub ggtt: Ggtt,
    engines: Vec<EngineState>,
    /// One dword for each engine that breadcrumbs go to.
    marks: Page,
    marks_address: u32,
    messages: u64,
    next_id: u32,
    patience: Duration,
}

impl<'m> Driver<'m> {
    /// Takes the device over: memory and bus mastering on, status pages, execlists, interrupts.
    pub fn start(machine: &'m mut dyn Machine) -> Result<Self, String> {
        let partition = Partition::read(machine)?;
        let mut ggtt = Ggtt::new(partition);
        let mut page = || machine.page().map_err(|trouble| trouble.0);
        let marks = page()?;
        let pages = [page()?, page()?, page()?, page()?];
        let marks_address = ggtt.map_low(machine, &[marks])?;
        let mut engines = Vec::new();
        for (engine, status) in [RCS, BCS, VCS, VECS].into_iter().zip(pages) {
            let status_address = ggtt.map_low(machine, &[status])?;
            engines.push(EngineState {
                engine,
                status,
                status_address,
                last_event: CSB_RESET,
                breadcrumb: 0,
                interrupts: 0,
            });
        }
        let messages = machine.interrupts();
        let mut driver = Self {
            machine,
            ggtt,
            engines,
            marks,
            marks_address,
            messages,
            next_id: 0x20,
            patience: PATIENCE,
        };
        driver.enable_messages()?;
        driver.register_store(MASTER_IRQ, 0);
        for engine in [RCS, BCS, VCS, VECS] {
            driver.enable_engine(engine)?;
        }
        driver.enable_interrupts()?;
        Ok(driver)
    }

    /// Reads a register.
    pub fn register(&mut self, offset: u64) -> u32 {
        self.machine.load(Bar::Registers, offset, Width::Dword) as u32
    }

    /// Writes a register.
    pub fn register_store(&mut self, offset: u64, value: u32) {
        self.machine
            .store(Bar::Registers, offset, Width::Dword, value.into());
    }

    /// The message-signalled interrupt capability, found by its list, programmed and enabled.
    fn enable_messages(&mut self) -> Outcome {
        let capability = find_capability(self.machine, 0x05).ok_or("no MSI capability")?;
        let (address, data) = self.machine.message();
        let control = self.machine.config(capability + 2, Width::Word);
        self.machine
            .set_config(capability + 2, Width::Word, control & !1);
        self.machine
            .set_config(capability + 4, Width::Dword, address);
        let wide = control & 1 << 7 != 0;
        if wide {
            self.machine.set_config(capability + 8, Width::Dword, 0);
        }
        let data_at = capability + if wide { 12 } else { 8 };
        self.machine.set_config(data_at, Width::Word, data);
        self.machine
            .set_config(capability + 2, Width::Word, control & !0x70 | 1);
        let command = self.machine.config(0x04, Width::Word);
        self.machine.set_config(0x04, Width::Word, command | 0x6); // memory, bus master
        Ok(())
    }

    /// enable_execlists and reset_csb_pointers.
    fn enable_engine(&mut self, engine: Engine) -> Outcome {
        let state = self.state(engine)?;
        state.last_event = CSB_RESET;
        let (status, address) = (state.status, state.status_address);
        self.register_store(
            engine.base + RING_MODE,
            masked(RUN_LIST_ENABLE, RUN_LIST_ENABLE),
        );
        self.register_store(engine.base + RING_MI_MODE, masked(STOP_RING, 0));
        self.register_store(engine.base + RING_HWS_PGA, address);
        let _posted = self.register(engine.base + RING_HWS_PGA);
        self.register_store(
            engine.base + CONTEXT_STATUS_POINTER,
            0xffff << 16 | CSB_RESET << 8 | CSB_RESET,
        );
        self.machine.write(status, HWS_CSB_WRITE, CSB_RESET);
        self.register_store(engine.base + RING_IMR, !(EVENTS << engine.shift));
        Ok(())
    }

    /// gen8_gt_irq_postinstall, then the master.
    fn enable_interrupts(&mut self) -> Outcome {
        for bank in 0..4 {
            let at = GT_BANKS + 0x10 * bank;
            let engines = self
                .engines
                .iter()
                .filter(|state| state.engine.bank == bank);
            let bits = engines.fold(0, |bits, state| bits | EVENTS << state.engine.shift);
            self.register_store(at + 0x8, !0); // IIR, twice: it may hold a second event
            self.register_store(at + 0x8, !0);
            equal(
                &format!("IIR of bank {bank} after clearing"),
                self.register(at + 0x8),
                0,
            )?;
            self.register_store(at + 0xc, bits); // IER
            self.register_store(at + 0x4, !bits); // IMR
        }
        self.register_store(MASTER_IRQ, MASTER_IRQ_CONTROL);
        Ok(())
    }

    /// gen8_irq_handler: master off, take what is pending, master on.
    fn handle_interrupt(&mut self) {
        self.register_store(MASTER_IRQ, 0);
        let pending = self.register(MASTER_IRQ) & !MASTER_IRQ_CONTROL;
        for (bank, master_bits) in [(0, 0b11), (1, 0b1100), (3, 1 << 6)] {
            if pending & master_bits == 0 {
                continue;
            }
            let at = GT_BANKS + 0x10 * bank + 0x8;
            let identity = self.register(at);
            self.register_store(at, identity);
            for state in self
                .engines
                .iter_mut()
                .filter(|state| state.engine.bank == bank)
            {
                state.interrupts |= identity >> state.engine.shift & 0xffff;
            }
        }
        self.register_store(MASTER_IRQ, MASTER_IRQ_CONTROL);
    }

    /// A context in the PPGTT below `root`.
    pub fn context(&mut self, engine: Engine, root: u64) -> Result<Context, String> {
        self.next_id += 0x20; // i915 leaves the low bits of the id to counters
        Context::new(self.machine, &mut self.ggtt, engine, self.next_id, root)
    }

    /// Writes one or two descriptors to ELSP: element 1 first, upper halves first.
    pub fn submit(&mut self, engine: Engine, first: [u32; 2], second: [u32; 2]) {
        for value in [second[1], second[0], first[1], first[0]] {
            self.register_store(engine.base + RING_ELSP, value);
        }
    }

    /// Starts a fresh account of what happens on an engine.
    pub fn forget(&mut self, engine: Engine) -> Outcome {
        // A message that nobody acknowledged would be the last one.
        self.take_messages();
        self.state(engine)?.interrupts = 0;
        Ok(())
    }

    /// Handles what arrived; how many messages.
    fn take_messages(&mut self) -> u64 {
        let arrived = self.machine.interrupts();
        let new = arrived - self.messages;
        self.messages = arrived;
        if new > 0 {
            self.handle_interrupt();
        }
        new
    }

    /// Takes interrupts and events until `enough`, or for at most `limit`.
    pub fn watch(
        &mut self,
        engine: Engine,
        limit: Duration,
        mut enough: impl FnMut(&mut Self, &Seen) -> bool,
    ) -> Result<Seen, String> {
        let mut seen = Seen::default();
        let end = self.machine.now() + limit;
        loop {
            seen.messages += self.take_messages();
            self.take_events(engine, &mut seen.events)?;
            seen.interrupts = self.state(engine)?.interrupts;
            if enough(self, &seen) || self.machine.now() > end {
                return Ok(seen);
            }
            self.machine.rest();
        }
    }

    /// The same for what must happen: a driver that was disappointed once waits less long.
    pub fn wait(
        &mut self,
        engine: Engine,
        mut enough: impl FnMut(&mut Self, &Seen) -> bool,
    ) -> Result<Seen, String> {
        let mut came = false;
        let seen = self.watch(engine, self.patience, |driver, seen| {
            came = enough(driver, seen);
            came
        })?;
        if !came {
            self.patience = IMPATIENCE;
        }
        Ok(seen)
    }

    /// process_csb: reads the entries between our pointer and the hardware's.
    fn take_events(&mut self, engine: Engine, events: &mut Vec<(u32, u32)>) -> Outcome {
        let state = self.state(engine)?;
        let (status, mut slot) = (state.status, state.last_event);
        let write = self.machine.read(status, HWS_CSB_WRITE);
        ensure(write < CSB_ENTRIES, || {
            format!("CSB write pointer in the HWSP is {write:#x}")
        })?;
        while slot != write {
            slot = (slot + 1) % CSB_ENTRIES;
            let at = HWS_CSB + 2 * slot as usize;
            let event = (
                self.machine.read(status, at),
                self.machine.read(status, at + 1),
            );
            ensure(event.0 != !0, || {
                format!("CSB slot {slot} is announced but not written")
            })?;
            events.push(event);
            // As the driver does, so that a stale entry cannot pass for a new one.
            self.machine.write(status, at, !0);
        }
        self.state(engine)?.last_event = slot;
        Ok(())
    }

    /// What the registers say about the last event, which must be what the status page says.
    pub fn mirrored(&mut self, engine: Engine) -> Result<(u32, u32), String> {
        let slot = self.state(engine)?.last_event;
        let pointer = self.register(engine.base + CONTEXT_STATUS_POINTER) & 0x7;
        equal("CSB write pointer in 0x3a0", pointer, slot)?;
        let at = engine.base + CONTEXT_STATUS_BUFFER + 8 * u64::from(slot);
        Ok((self.register(at), self.register(at + 4)))
    }

    /// Commands of one request as i915 frames them, with a breadcrumb and a user interrupt.
    pub fn request(&mut self, engine: Engine, body: Commands) -> Result<Commands, String> {
        let address = self.marks_address + 4 * self.mark(engine)? as u32;
        let state = self.state(engine)?;
        state.breadcrumb += 1;
        let value = state.breadcrumb;
        let framed = Commands::new().arbitration(false).raw(&body.0);
        let framed = if engine == RCS {
            framed.pipe_control_store(address, value.into())
        } else {
            framed.flush_dword_store(address, value)
        };
        Ok(framed.raw(&[MI_USER_INTERRUPT]).arbitration(true))
    }

    /// The last breadcrumb that arrived, and the last one asked for.
    pub fn breadcrumb(&mut self, engine: Engine) -> Result<(u32, u32), String> {
        let arrived = self.machine.read(self.marks, self.mark(engine)?);
        Ok((arrived, self.state(engine)?.breadcrumb))
    }

    /// Dword of an engine's breadcrumb: each in a cache line of its own.
    fn mark(&self, engine: Engine) -> Result<usize, String> {
        let index = self.engines.iter().position(|state| state.engine == engine);
        index
            .map(|index| 16 * index)
            .ok_or_else(|| "no such engine".into())
    }

    /// Runs one request alone on its idle engine and insists on everything hardware promises.
    pub fn run(&mut self, context: &mut Context, body: Commands) -> Outcome {
        let engine = context.engine;
        let request = self.request(engine, body)?;
        self.forget(engine)?;
        context.emit(self.machine, &request)?;
        self.submit(engine, context.descriptor(), [0, 0]);
        let wanted = USER_INTERRUPT | CONTEXT_SWITCH_INTERRUPT;
        let mut early = None;
        let seen = self.wait(engine, |driver, seen| {
            if seen.completed()
                && let Ok((arrived, asked)) = driver.breadcrumb(engine)
            {
                early.get_or_insert(arrived != asked);
            }
            seen.completed() && seen.interrupts & wanted == wanted && seen.messages > 0
        })?;
        let (arrived, asked) = self.breadcrumb(engine)?;
        ensure(seen.completed(), || {
            format!("no completion in time: {seen:x?}, breadcrumb {arrived} of {asked}")
        })?;
        equal("breadcrumb", arrived, asked)?;
        ensure(early != Some(true), || {
            "completion was announced before the breadcrumb".into()
        })?;
        let [.., last] = seen.events.as_slice() else {
            return Err("no events".into());
        };
        let statuses: Vec<u32> = seen.events.iter().map(|event| event.0).collect();
        ensure(
            statuses == [IDLE_TO_ACTIVE, ACTIVE_TO_IDLE | COMPLETE],
            || format!("events are {statuses:#x?}, not idle→active, active→idle|complete"),
        )?;
        equal("context id of the completion", last.1, context.id)?;
        let mirrored = self.mirrored(engine)?;
        equal("last event in the registers", mirrored.0, last.0)?;
        ensure(seen.interrupts & wanted == wanted, || {
            format!("interrupts {:#x} lack some of {wanted:#x}", seen.interrupts)
        })?;
        ensure(seen.messages > 0, || {
            "no message-signalled interrupt arrived".into()
        })?;
        let (head, tail) = (context.saved_head(self.machine)?, context.tail());
        equal("RING_HEAD in the saved image", head, tail)
    }

    /// gen8_engine_reset_prepare, gen6_hw_domain_reset, and the engine made ready again.
    pub fn reset(&mut self, engine: Engine) -> Outcome {
        self.register_store(engine.base + RING_MI_MODE, masked(STOP_RING, STOP_RING));
        let control = engine.base + RING_RESET_CTL;
        self.register_store(control, masked(REQUEST_RESET, REQUEST_RESET));
        self.poll("RESET_CTL to become ready", control, |value| {
            value & READY_TO_RESET != 0
        })?;
        self.register_store(GDRST, engine.reset);
        self.poll("GDRST to clear", GDRST, |value| value & engine.reset == 0)?;
        self.register_store(control, masked(REQUEST_RESET, 0));
        self.enable_engine(engine)?;
        self.forget(engine)
    }

    fn poll(&mut self, what: &str, offset: u64, done: impl Fn(u32) -> bool) -> Outcome {
        let end = self.machine.now() + self.patience;
        loop {
            let value = self.register(offset);
            if done(value) {
                return Ok(());
            }
            if self.machine.now() > end {
                self.patience = IMPATIENCE;
                return Err(format!("waited in vain for {what}: {value:#x}"));
            }
            self.machine.rest();
        }
    }

    fn state(&mut self, engine: Engine) -> Result<&mut EngineState, String> {
        let found = self.engines.iter_mut().find(|state| state.engine == engine);
        found.ok_or_else(|| "no such engine".into())
    }
}

/// Offset of a capability in configuration space.
pub fn find_capability(machine: &mut dyn Machine, id: u32) -> Option<u64> {
    let mut at = u64::from(machine.config(0x34, Width::Byte));
    for _ in 0..48 {
        if at < 0x40 {
            return None;
        }
        if machine.config(at, Width::Byte) == id {
            return Some(at);
        }
        at = u64::from(machine.config(at + 1, Width::Byte)) & 0xfc;
    }
    None
}
