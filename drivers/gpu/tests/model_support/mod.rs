//! A driver's tools: contexts, rings, page tables and context-status events, by hand.
//!
//! Everything goes through the `Gpu` trait and memory, as a driver on real hardware would do it.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test crate uses a part"
)]

use gpu::model::Model;
use gpu::spec::context::{
    self, Descriptor, HWSP_CSB, HWSP_CSB_WRITE, INHIBIT_SYNCHRONOUS_SWITCH, RESTORE_INHIBIT,
};
use gpu::spec::engine;
use gpu::spec::gtt::{GttEntry, PpgttEntry};
use gpu::spec::registers::{GT_INTERRUPT_BANKS, MASTER_INTERRUPT};
use gpu::{DmaPage, Engine, Gpu, GttIndex, Owner, PAGE_SIZE, Progress, Ram};

pub const NOOP: u32 = 0;
pub const USER_INTERRUPT: u32 = 0x0100_0000;
pub const ARB_CHECK: u32 = 0x0280_0000;
pub const ARB_OFF: u32 = 0x0400_0000;
pub const ARB_ON: u32 = 0x0400_0001;
pub const BATCH_END: u32 = 0x0500_0000;
/// MI_STORE_DATA_IMM of one dword, PPGTT.
pub const STORE: u32 = 0x1000_0002;
/// The same, global GTT.
pub const STORE_GLOBAL: u32 = STORE | 1 << 22;
pub const LOAD_IMMEDIATE: u32 = 0x1100_0001;
pub const STORE_REGISTER: u32 = 0x1200_0002;
pub const LOAD_MEMORY: u32 = 0x1480_0002;
/// MI_BATCH_BUFFER_START in the PPGTT.
pub const BATCH_START: u32 = 0x1880_0101;
/// The same in the global GTT: privileged.
pub const BATCH_START_GLOBAL: u32 = 0x1880_0001;
pub const SEMAPHORE_WAIT: u32 = 0x0e00_0002 | 1 << 15;
pub const FLUSH_DWORD: u32 = 0x1300_0002;
pub const PIPE_CONTROL: u32 = 0x7a00_0004;

/// Bits of a writable, present PPGTT entry.
pub const WRITABLE: u64 = PpgttEntry::PRESENT | PpgttEntry::WRITABLE;
/// Bits of a read-only one.
pub const READ_ONLY: u64 = PpgttEntry::PRESENT;

/// CTX_CONTEXT_CONTROL of a context that never ran: no switch at semaphores, nothing to restore.
const FIRST_RUN: u32 = INHIBIT_SYNCHRONOUS_SWITCH | RESTORE_INHIBIT;

/// One context-status event: status bits, context id.
pub type Event = (u32, u32);

/// A device with status pages, execlists and interrupts on, as a driver leaves it.
pub struct Bench {
    pub gpu: Model<Ram>,
    pub ram: Ram,
    pub status: [DmaPage; Engine::COUNT],
    read: [u32; Engine::COUNT],
    next: u32,
    ids: u32,
}

/// A context with its ring and PPGTT.
#[derive(Clone)]
pub struct Context {
    pub engine: Engine,
    pub owner: Owner,
    pub descriptor: u64,
    pub image: [DmaPage; 2],
    pub ring: DmaPage,
    pub ring_at: u32,
    pub root: DmaPage,
    pub tail: u32,
}

impl Bench {
    pub fn new() -> Self {
        let ram = Ram::new(4096);
        let gpu = Model::new(ram.clone(), 4096);
        let status = Engine::ALL.map(|_| ram.allocate(Owner::Host).unwrap());
        let mut bench = Self {
            gpu,
            ram,
            status,
            read: [5; 4],
            next: 16,
            ids: 0x100,
        };
        bench.map_status_pages();
        for engine in Engine::ALL {
            bench.enable(engine);
        }
        for bank in (GT_INTERRUPT_BANKS..).step_by(0x10).take(4) {
            bench.gpu.write(bank + 4, 0);
            bench.gpu.write(bank + 0xc, !0);
        }
        bench.gpu.write(MASTER_INTERRUPT, 1 << 31);
        bench
    }

    /// Maps the status pages of the engines.
    pub fn map_status_pages(&mut self) {
        for (index, page) in (1..).zip(self.status) {
            self.gpu.write_gtt(GttIndex(index), GttEntry::new(page.0));
        }
        self.gpu.flush_gtt();
    }

    /// What a driver does at start and after a reset of the engine.
    pub fn enable(&mut self, engine: Engine) {
        let base = engine.base();
        let status = (1 + engine.index() as u32) * PAGE_SIZE as u32;
        self.gpu.write(base + engine::HWS_PGA, status);
        self.gpu
            .write(base + engine::RING_MODE, engine::masked(1 << 15, 1 << 15));
        self.gpu
            .write(base + engine::MI_MODE, engine::masked(1 << 8, 0));
        self.gpu.write(base + engine::RING_IMR, 0);
        self.gpu.write(base + engine::EMR, 0);
        self.gpu.write(base + engine::CSB_POINTER, 0xffff_0505);
        let page = self.status[engine.index()];
        self.poke(page, HWSP_CSB_WRITE, 5);
        self.read[engine.index()] = 5;
    }

    /// The engine's pointer registers were set to entry 5: so is what goes with them.
    pub fn expect_entry_zero(&mut self, engine: Engine) {
        self.poke(self.status[engine.index()], HWSP_CSB_WRITE, 5);
        self.read[engine.index()] = 5;
    }

    /// Reads one dword of a page, as a CPU.
    pub fn peek(&self, page: DmaPage, dword: usize) -> u32 {
        let mut bytes = [0; 4];
        self.ram
            .read(page.at(4 * dword as u64), &mut bytes)
            .unwrap();
        u32::from_le_bytes(bytes)
    }

    /// Reads one qword of a page, as a CPU.
    pub fn peek64(&self, page: DmaPage, dword: usize) -> u64 {
        u64::from(self.peek(page, dword + 1)) << 32 | u64::from(self.peek(page, dword))
    }

    /// Writes one dword of a page, as a CPU.
    pub fn poke(&self, page: DmaPage, dword: usize, value: u32) {
        self.ram
            .write(page.at(4 * dword as u64), &value.to_le_bytes())
            .unwrap();
    }

    /// Writes dwords from the start of a page.
    pub fn fill(&self, page: DmaPage, dwords: &[u32]) {
        for (index, dword) in dwords.iter().enumerate() {
            self.poke(page, index, *dword);
        }
    }

    pub fn page(&self, owner: Owner) -> DmaPage {
        self.ram.allocate(owner).unwrap()
    }

    /// Maps a page in the global GTT; its address there.
    pub fn map(&mut self, page: DmaPage) -> u32 {
        let index = self.next;
        self.next += 1;
        self.gpu.write_gtt(GttIndex(index), GttEntry::new(page.0));
        self.gpu.flush_gtt();
        index * PAGE_SIZE as u32
    }

    /// A page with these dwords, mapped in the global GTT: its page and address.
    pub fn global(&mut self, owner: Owner, dwords: &[u32]) -> (DmaPage, u32) {
        let page = self.page(owner);
        self.fill(page, dwords);
        (page, self.map(page))
    }

    /// A context that never ran: empty ring of one page, restore inhibited, empty PPGTT.
    pub fn context(&mut self, engine: Engine, owner: Owner) -> Context {
        let image = [self.page(owner), self.page(owner)];
        let lrca = self.map(image[0]);
        self.map(image[1]);
        let ring = self.page(owner);
        let ring_at = self.map(ring);
        let root = self.page(owner);
        let state = image[1];
        self.poke(state, context::CONTEXT_CONTROL, FIRST_RUN << 16 | FIRST_RUN);
        self.poke(state, context::RING_START, ring_at);
        self.poke(state, context::RING_CTL, 1);
        self.poke(state, context::PDP0_LDW, (root.0 * PAGE_SIZE) as u32);
        self.ids += 1;
        let flags = Descriptor::VALID | Descriptor::PPGTT_64 | Descriptor::PRIVILEGE;
        let descriptor = u64::from(self.ids) << 32 | u64::from(lrca) | flags;
        Context {
            engine,
            owner,
            descriptor,
            image,
            ring,
            ring_at,
            root,
            tail: 0,
        }
    }

    /// Maps a page in the context's PPGTT, with tables as needed.
    pub fn bind(&self, context: &Context, at: u64, page: DmaPage, flags: u64) {
        self.bind_level(context, at, page, flags, 0);
    }

    /// The same with an entry of a directory (level 1: 2 MiB).
    pub fn bind_level(&self, context: &Context, at: u64, page: DmaPage, flags: u64, level: u32) {
        let mut table = context.root;
        for upper in (level + 1..4).rev() {
            let slot = (at >> (12 + 9 * upper) & 0x1ff) as usize * 2;
            let entry = PpgttEntry(self.peek64(table, slot));
            table = if entry.present() {
                DmaPage(entry.frame())
            } else {
                let new = self.page(context.owner);
                self.entry(table, slot, PpgttEntry(WRITABLE).with_frame(new.0).0);
                new
            };
        }
        let slot = (at >> (12 + 9 * level) & 0x1ff) as usize * 2;
        self.entry(table, slot, PpgttEntry(flags).with_frame(page.0).0);
    }

    /// Writes one table entry by its dword index.
    pub fn entry(&self, table: DmaPage, dword: usize, value: u64) {
        self.poke(table, dword, value as u32);
        self.poke(table, dword + 1, (value >> 32) as u32);
    }

    /// A page with these dwords, mapped in the context's PPGTT.
    pub fn private(&self, context: &Context, at: u64, dwords: &[u32]) -> DmaPage {
        let page = self.page(context.owner);
        self.fill(page, dwords);
        self.bind(context, at, page, WRITABLE);
        page
    }

    /// Appends commands to the ring (padded to a qword) and moves the tail in the image.
    pub fn emit(&self, context: &mut Context, dwords: &[u32]) {
        let padding = dwords.len() % 2;
        for dword in dwords
            .iter()
            .copied()
            .chain(std::iter::repeat_n(NOOP, padding))
        {
            self.poke(context.ring, context.tail as usize / 4, dword);
            context.tail = (context.tail + 4) % PAGE_SIZE as u32;
        }
        self.poke(context.image[1], context::RING_TAIL, context.tail);
    }

    /// The head in the image.
    pub fn saved_head(&self, context: &Context) -> u32 {
        self.peek(context.image[1], context::RING_HEAD)
    }

    pub fn submit(&mut self, contexts: &[&Context]) {
        let element = |n: usize| contexts.get(n).map_or(0, |context| context.descriptor);
        self.gpu
            .submit(contexts[0].engine, [element(0), element(1)]);
    }

    /// Runs until nothing is left to do.
    pub fn finish(&mut self) {
        for _ in 0..10_000 {
            if self.gpu.run() == Progress::Idle {
                return;
            }
        }
        panic!("still busy");
    }

    /// Commands on a fresh ring of the host, run to the end.
    pub fn ring(&mut self, engine: Engine, dwords: &[u32]) -> Context {
        let mut context = self.context(engine, Owner::Host);
        self.emit(&mut context, dwords);
        self.submit(&[&context]);
        self.finish();
        context
    }

    /// Context-status events since the last call, consumed as i915 does.
    pub fn events(&mut self, engine: Engine) -> Vec<Event> {
        let page = self.status[engine.index()];
        let mut events = Vec::new();
        let write = self.peek(page, HWSP_CSB_WRITE);
        assert!(write < 6, "write pointer {write}");
        let mirrored = self.gpu.read(engine.base() + engine::CSB_POINTER) & 7;
        assert_eq!(mirrored, write, "register and status page disagree");
        let read = &mut self.read[engine.index()];
        while *read != write {
            *read = (*read + 1) % 6;
            let dword = HWSP_CSB + 2 * *read as usize;
            let mut bytes = [0; 8];
            self.ram
                .read(page.at(4 * dword as u64), &mut bytes)
                .unwrap();
            let entry = u64::from_le_bytes(bytes);
            assert_ne!(entry, u64::MAX, "an entry that was not written");
            self.ram
                .write(page.at(4 * dword as u64), &[0xff; 8])
                .unwrap();
            events.push((entry as u32, (entry >> 32) as u32));
        }
        events
    }

    /// General-purpose register of an engine.
    pub fn general(&mut self, engine: Engine, number: u32) -> u64 {
        let at = engine.base() + engine::GPR + 8 * number;
        u64::from(self.gpu.read(at + 4)) << 32 | u64::from(self.gpu.read(at))
    }
}

impl Context {
    pub fn id(&self) -> u32 {
        (self.descriptor >> 32) as u32
    }
}
