//! A guest's driver, as far as submission goes, that checks what Linux i915 checks.
//!
//! `linux::port` keeps i915's bookkeeping: the pair it wrote and waits for, the elements it
//! believes to run. A surplus, lost or misplaced event panics here as it resets the engine there.

use gpu::DmaPage;
use gpu::model::Model;
use gpu::ram::Ram;
use gpu::spec::context;
use gpu::spec::engine::{self, Engine};
use gpu::spec::registers::{GDRST, GT_INTERRUPT_BANKS};
use mediator::{DomainId, VgpuConfig};

use crate::common::World;
use crate::linux::port::{Element, Port};

#[path = "commands.rs"]
mod commands;

pub use commands::*;

/// A machine with the software GPU.
pub type Machine = World<Model<Ram>>;

/// Sizes of every guest in these stories.
pub const SIZES: VgpuConfig = VgpuConfig {
    low_mib: 2,
    high_mib: 2,
    fences: 1,
    weight: 1,
    display: mediator::Display::None,
    huge_gtt: false,
};
/// Frames of RAM of every guest.
pub const FRAMES: u64 = 512;
/// Byte in the engine's status page where breadcrumbs go.
const BREADCRUMB: u64 = 0x100;
const PAGE: u64 = 4096;
/// Valid, 64-bit PPGTT, privileged.
const DESCRIPTOR: u64 = 1 | 3 << 3 | 1 << 8;

/// A machine with 128 MiB of memory and 512 MiB of global GTT.
pub fn machine() -> Machine {
    let ram = Ram::new(32768);
    World::with(Model::new(ram.clone(), 0x2_0000), ram)
}

/// One round of service; the clock goes as the GPU's does.
pub fn serve(machine: &mut Machine) -> gpu::Progress {
    let progress = machine.mediator.service();
    let now = machine.mediator.host().gpu.now();
    machine.clock.advance(
        now.saturating_sub(mediator::Clock::now(&machine.clock))
            .max(1),
    );
    progress
}

/// Serves until nothing is left to do.
pub fn settle(machine: &mut Machine) {
    for _ in 0..200_000 {
        if serve(machine) == gpu::Progress::Idle {
            return;
        }
    }
    panic!("it never ends");
}

/// Has the simulated memory back every page in use now, for those who count allocations.
pub fn back_memory(machine: &mut Machine) {
    let ram = machine.guests().ram().clone();
    for page in (1..=ram.in_use() as u64).map(DmaPage) {
        let mut byte = [0];
        ram.read(page.at(0), &mut byte).expect("RAM");
        ram.write(page.at(0), &byte).expect("RAM");
    }
}

/// Nothing that the GPU did touched a page that it must not.
pub fn clean(machine: &Machine) {
    let gpu = &machine.mediator.host().gpu;
    assert_eq!(gpu.breaches(), 0, "{:?}", gpu.last_breach());
}

/// What i915 keeps for one engine.
#[derive(Debug, Default)]
struct EngineState {
    /// Frame of its status page.
    status: u64,
    last_event: u64,
    port: Port,
    breadcrumb: u32,
    /// Events seen since the last reset.
    seen: Vec<(u32, u32)>,
}

/// A logical ring context.
#[derive(Debug, Clone)]
pub struct Context {
    pub engine: Engine,
    pub id: u32,
    /// Global address and first frame of its image.
    pub image: u64,
    pub image_frame: u64,
    /// Global address, frames and size of its ring.
    pub ring: u64,
    pub ring_frame: u64,
    pub ring_size: u32,
    pub tail: u32,
}

impl Context {
    pub fn descriptor(&self) -> u64 {
        u64::from(self.id) << 32 | self.image | DESCRIPTOR
    }

    pub fn forced(&self) -> u64 {
        self.descriptor() | 1 << 2
    }

    /// Guest-physical address of dword `index` of its register state.
    pub fn value_at(&self, index: usize) -> u64 {
        (self.image_frame + 1) * PAGE + index as u64 * 4
    }
}

/// A guest and its driver.
pub struct Driver {
    pub domain: DomainId,
    frames: u64,
    entries: u32,
    next_id: u32,
    engines: [EngineState; 4],
    /// Root of its only PPGTT, its last-level table, and the next free entry there.
    pub root: u64,
    table: u64,
    next_page: u64,
}

impl Driver {
    /// Attaches a guest and starts its driver.
    pub fn new(machine: &mut Machine, domain: u16) -> Self {
        let domain = machine.guest(domain, FRAMES);
        machine.attach(domain, SIZES).expect("fits");
        machine.boot(domain);
        Self::start(machine, domain)
    }

    /// Starts the driver of an attached guest: status pages, interrupts, an empty PPGTT.
    pub fn start(machine: &mut Machine, domain: DomainId) -> Self {
        let [first, _] = machine.first(domain);
        let engines = std::array::from_fn(|_| EngineState::default());
        let mut driver = Self {
            domain,
            frames: 1,
            entries: first,
            next_id: 0x20,
            engines,
            root: 0,
            table: 0,
            next_page: 0,
        };
        for engine in Engine::ALL {
            let (frame, address) = driver.allocate(machine, 1);
            driver.engines[engine.index()].status = frame;
            machine.write(domain, engine.base() + engine::HWS_PGA, address as u32);
            let shift = engine.interrupt_slot().1;
            machine.write(domain, engine.base() + engine::RING_IMR, !(0x109 << shift));
            driver.reset_pointers(machine, engine);
        }
        for bank in [0, 1, 3] {
            let at = GT_INTERRUPT_BANKS + bank * 0x10;
            machine.write(domain, at + 0xc, 0x0109_0109);
            machine.write(domain, at + 0x4, !0x0109_0109);
        }
        machine.enable_master(domain);
        let tables: [u64; 4] = std::array::from_fn(|_| driver.frames(1));
        for pair in tables.windows(2) {
            machine.poke(
                domain,
                pair[0] * PAGE,
                &((pair[1] * PAGE) | 3).to_le_bytes(),
            );
        }
        (driver.root, driver.table) = (tables[0], tables[3]);
        driver
    }

    fn reset_pointers(&mut self, machine: &mut Machine, engine: Engine) {
        let pointer = engine.base() + engine::CSB_POINTER;
        machine.write(self.domain, pointer, 0xffff_0505);
        let state = &mut self.engines[engine.index()];
        let status = state.status;
        state.last_event = 5;
        machine.poke(self.domain, status * PAGE + 0x7c, &5u32.to_le_bytes());
    }

    /// Fresh frames; the first.
    pub fn frames(&mut self, count: u64) -> u64 {
        self.frames += count;
        assert!(self.frames <= FRAMES, "a bigger guest is needed");
        self.frames - count
    }

    /// Fresh frames in the global GTT: the first frame and its address.
    pub fn allocate(&mut self, machine: &mut Machine, count: u64) -> (u64, u64) {
        let frame = self.frames(count);
        let address = u64::from(self.entries) * PAGE;
        for frame in frame..frame + count {
            machine.write_gtt(self.domain, self.entries, frame << 12 | 1);
            self.entries += 1;
        }
        (frame, address)
    }

    /// Maps frames into the PPGTT; the address there.
    pub fn map(&mut self, machine: &mut Machine, frame: u64, count: u64) -> u64 {
        let address = self.next_page * PAGE;
        for frame in frame..frame + count {
            self.set_entry(machine, self.next_page, frame << 12 | 3);
            self.next_page += 1;
        }
        address
    }

    /// Maps frames, the same ones repeatedly if so wanted, from a multiple of 2 MiB on which nothing
    /// is mapped yet and which is not 0; the address there.
    pub fn map_many(&mut self, machine: &mut Machine, place: u64, frames: &[u64]) -> u64 {
        for (number, frames) in (place..).zip(frames.chunks(512)) {
            let table = self.frames(1);
            let entries: Vec<u8> = frames
                .iter()
                .flat_map(|frame| (frame << 12 | 3).to_le_bytes())
                .collect();
            machine.poke(self.domain, table * PAGE, &entries);
            let directory = (self.root + 2) * PAGE;
            let entry = (table * PAGE) | 3;
            machine.poke(self.domain, directory + number * 8, &entry.to_le_bytes());
        }
        place << 21
    }

    /// A batch of so many dwords: MI_NOOP, and `last` at its very end. It starts at a page.
    pub fn noops(&mut self, machine: &mut Machine, place: u64, dwords: u64, last: &[u32]) -> u64 {
        let frames = self.noop_frames(machine, dwords, last);
        self.map_many(machine, place, &frames)
    }

    /// The frames of such a batch: one for all but the last two.
    pub fn noop_frames(&mut self, machine: &mut Machine, dwords: u64, last: &[u32]) -> Vec<u64> {
        let noops = self.frames(1);
        let end = self.frames(2);
        let pages = dwords.div_ceil(PAGE / 4).max(2);
        let at = end * PAGE + (dwords - (pages - 2) * PAGE / 4) * 4 - last.len() as u64 * 4;
        self.store(machine, at, last);
        (0..pages - 2)
            .map(|_| noops)
            .chain([end, end + 1])
            .collect()
    }

    /// Changes an entry of the last-level table.
    pub fn set_entry(&self, machine: &mut Machine, index: u64, entry: u64) {
        machine.poke(
            self.domain,
            self.table * PAGE + index * 8,
            &entry.to_le_bytes(),
        );
    }

    /// A new context with a ring of `pages`.
    pub fn context(&mut self, machine: &mut Machine, engine: Engine, pages: u64) -> Context {
        let (image_frame, image) = self.allocate(machine, engine.context_pages().into());
        let (ring_frame, ring) = self.allocate(machine, pages);
        self.next_id += 0x20;
        let context = Context {
            engine,
            id: self.next_id,
            image,
            image_frame,
            ring,
            ring_frame,
            ring_size: (pages * PAGE) as u32,
            tail: 0,
        };
        let base = engine.base();
        let lists: [(usize, &[u32]); 2] = [
            (
                0x01,
                &[
                    0x244, 0x34, 0x30, 0x38, 0x3c, 0x168, 0x140, 0x110, 0x11c, 0x114, 0x118, 0x1c0,
                    0x1c4, 0x1c8,
                ],
            ),
            (
                0x21,
                &[
                    0x3a8, 0x28c, 0x288, 0x284, 0x280, 0x27c, 0x278, 0x274, 0x270,
                ],
            ),
        ];
        for (header, registers) in lists {
            let length = 2 * registers.len() as u32 - 1;
            self.set(machine, &context, header, 0x1100_1000 | length);
            for (index, register) in registers.iter().enumerate() {
                self.set(machine, &context, header + 1 + 2 * index, base + register);
            }
        }
        self.set(machine, &context, context::CONTEXT_CONTROL, 0x9_0009);
        self.set(machine, &context, context::RING_START, ring as u32);
        self.set(
            machine,
            &context,
            context::RING_CTL,
            (context.ring_size - 0x1000) | 1,
        );
        self.set(
            machine,
            &context,
            context::PDP0_UDW,
            (self.root >> 20) as u32,
        );
        self.set(
            machine,
            &context,
            context::PDP0_LDW,
            (self.root << 12) as u32,
        );
        context
    }

    /// Changes one dword of a context's register state.
    pub fn set(&self, machine: &mut Machine, context: &Context, index: usize, value: u32) {
        machine.poke(self.domain, context.value_at(index), &value.to_le_bytes());
    }

    /// Reads one dword of a context's register state.
    pub fn value(&self, machine: &mut Machine, context: &Context, index: usize) -> u32 {
        self.peek(machine, context.value_at(index))
    }

    /// Reads one dword of the guest's memory.
    pub fn peek(&self, machine: &mut Machine, address: u64) -> u32 {
        let mut bytes = [0; 4];
        machine.peek(self.domain, address, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// Puts commands somewhere in the guest's memory, over consecutive frames.
    pub fn store(&self, machine: &mut Machine, address: u64, commands: &[u32]) {
        for (at, command) in (address..).step_by(4).zip(commands) {
            machine.poke(self.domain, at, &command.to_le_bytes());
        }
    }

    /// Appends commands to a ring and moves TAIL in the image.
    pub fn emit(&self, machine: &mut Machine, context: &mut Context, commands: &[u32]) {
        let odd = commands.len() % 2;
        for command in commands.iter().copied().chain(std::iter::repeat_n(0, odd)) {
            let at = context.ring_frame * PAGE + u64::from(context.tail);
            machine.poke(self.domain, at, &command.to_le_bytes());
            context.tail = (context.tail + 4) % context.ring_size;
        }
        self.set(machine, context, context::RING_TAIL, context.tail);
    }

    /// Appends a request as i915 frames it: commands, breadcrumb, user interrupt; its number.
    pub fn request(
        &mut self,
        machine: &mut Machine,
        context: &mut Context,
        commands: &[u32],
    ) -> u32 {
        let state = &mut self.engines[context.engine.index()];
        state.breadcrumb += 1;
        let number = state.breadcrumb;
        let page = machine.read(self.domain, context.engine.base() + engine::HWS_PGA);
        let mark = breadcrumb(context.engine, u64::from(page) + BREADCRUMB, number);
        let all = [commands, &mark, &[USER_INTERRUPT, ARBITRATION_ON]].concat();
        self.emit(machine, context, &all);
        number
    }

    /// Guest-physical address of an engine's status page.
    pub fn status_page(&self, engine: Engine) -> u64 {
        self.engines[engine.index()].status * PAGE
    }

    /// The last breadcrumb that arrived.
    pub fn arrived(&self, machine: &mut Machine, engine: Engine) -> u32 {
        let status = self.engines[engine.index()].status;
        self.peek(machine, status * PAGE + BREADCRUMB)
    }

    /// The last one that was asked for.
    pub fn asked(&self, engine: Engine) -> u32 {
        self.engines[engine.index()].breadcrumb
    }

    /// Writes ELSP. Takes what happened before first, as a driver holding its lock does.
    pub fn submit(&mut self, machine: &mut Machine, engine: Engine, first: u64, second: u64) {
        self.events(machine, engine);
        let ids = [first, second]
            .into_iter()
            .filter(|d| d & 1 != 0)
            .map(|d| (d >> 32) as u32);
        let elements: Vec<_> = ids.map(|id| Element { id, request: 0 }).collect();
        self.engines[engine.index()].port.submit(&elements);
        self.port(machine, engine, first, second);
    }

    /// The four writes alone, without any bookkeeping.
    pub fn port(&self, machine: &mut Machine, engine: Engine, first: u64, second: u64) {
        for value in [second >> 32, second, first >> 32, first] {
            machine.write(self.domain, engine.base() + engine::ELSP, value as u32);
        }
    }

    /// Whether the driver may write ELSP: nothing is pending that no event took over.
    pub fn may_submit(&self, engine: Engine) -> bool {
        self.engines[engine.index()].port.pending().is_empty()
    }

    /// Elements that the driver believes to run.
    pub fn active(&self, engine: Engine) -> usize {
        self.engines[engine.index()].port.active().len()
    }

    /// `process_csb`: takes new entries from the status page and checks each; all of them since
    /// the last reset.
    pub fn events(&mut self, machine: &mut Machine, engine: Engine) -> Vec<(u32, u32)> {
        let status = self.engines[engine.index()].status * PAGE;
        let write = self.peek(machine, status + 0x7c);
        assert!(write < 6, "write pointer {write:#x}");
        while self.engines[engine.index()].last_event != u64::from(write) {
            let state = &mut self.engines[engine.index()];
            state.last_event = (state.last_event + 1) % 6;
            let at = status + 0x40 + state.last_event * 8;
            let (what, id) = (self.peek(machine, at), self.peek(machine, at + 4));
            assert_ne!(what, !0, "announced, not written");
            machine.poke(self.domain, at, &[0xff; 8]);
            let state = &mut self.engines[engine.index()];
            state.seen.push((what, id));
            state.port.event(what, id);
        }
        self.engines[engine.index()].seen.clone()
    }

    /// Resets an engine as i915 does, and forgets what it believed.
    pub fn reset(&mut self, machine: &mut Machine, engine: Engine) {
        let control = engine.base() + engine::RESET_CTL;
        machine.write(self.domain, control, 0x1_0001);
        assert_eq!(machine.read(self.domain, control) & 2, 2, "ready for reset");
        machine.write(self.domain, GDRST, engine.reset_bit());
        assert_eq!(machine.read(self.domain, GDRST), 0);
        machine.write(self.domain, control, 0x1_0000);
        self.reset_pointers(machine, engine);
        let state = &mut self.engines[engine.index()];
        state.port.forget();
        state.seen.clear();
        // The blocked requests are given up.
        let status = state.status;
        let number = state.breadcrumb.to_le_bytes();
        machine.poke(self.domain, status * PAGE + BREADCRUMB, &number);
    }

    /// What i915 does to a context that was on the engine at a reset: HEAD behind all of it.
    pub fn rewind(&self, machine: &mut Machine, context: &Context) {
        self.set(machine, context, context::RING_HEAD, context.tail);
    }

    /// Everything that was asked for arrived, and no event is owed.
    pub fn all_done(&mut self, machine: &mut Machine, engine: Engine) {
        self.events(machine, engine);
        let state = &self.engines[engine.index()];
        state.port.settled();
        let (arrived, asked) = (self.arrived(machine, engine), self.asked(engine));
        assert_eq!(arrived, asked, "{engine}: breadcrumbs");
    }
}
