//! The stream on the software GPU alone: one driver, nobody in between.

use gpu::model::Model;
use gpu::ram::Ram;
use gpu::spec::gtt::GttEntry;
use gpu::spec::registers::{GT_INTERRUPT_BANKS, MASTER_INTERRUPT};
use gpu::{DmaAddress, DmaPage, Gpu, GttIndex, Owner};

use crate::linux::Machine;
use crate::linux::request::Place;
use crate::linux::reset::{reset_pointers, resume};
use crate::linux::scheduler::Scheduler;
use crate::mediated::FEATURES;
use crate::{Stream, jobs};

const PAGE: u64 = 4096;
const RING_PAGES: u64 = 4;
/// Nanoseconds between two looks at the interrupt.
const LOOK: u64 = 100;

struct Cpu {
    gpu: Model<Ram>,
    ram: Ram,
    entries: u32,
}

impl Machine for Cpu {
    fn read(&mut self, offset: u32) -> u32 {
        self.gpu.read(offset)
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.gpu.write(offset, value);
    }

    fn peek(&mut self, address: u64) -> u32 {
        let mut bytes = [0; 4];
        self.ram.read(DmaAddress(address), &mut bytes).expect("RAM");
        u32::from_le_bytes(bytes)
    }

    fn poke(&mut self, address: u64, value: u32) {
        let bytes = value.to_le_bytes();
        self.ram.write(DmaAddress(address), &bytes).expect("RAM");
    }

    fn message(&mut self) -> bool {
        self.gpu.take_interrupt()
    }
}

impl Cpu {
    /// Fresh pages, one after another: the first.
    fn pages(&mut self, count: u64) -> DmaPage {
        let pages = (0..count).map(|_| self.ram.allocate(Owner::Host).expect("RAM"));
        let pages: Vec<_> = pages.collect();
        pages[0]
    }

    /// The same in the global GTT: the first page and its address.
    fn global(&mut self, count: u64) -> (DmaPage, u32) {
        let first = self.pages(count);
        let at = self.entries;
        for page in first.0..first.0 + count {
            self.gpu
                .write_gtt(GttIndex(self.entries), GttEntry::new(page));
            self.entries += 1;
        }
        self.gpu.flush_gtt();
        (first, at * PAGE as u32)
    }

    fn place(&mut self, stream: Stream) -> Place {
        /// Where the batch is in the PPGTT: at the start of what the last table maps.
        const BATCH: u64 = PAGE;
        let (image, image_at) = self.global(stream.engine.context_pages().into());
        let (ring, ring_at) = self.global(RING_PAGES);
        let (mark, mark_at) = self.global(1);
        let tables = self.pages(4);
        for table in tables.0..tables.0 + 3 {
            self.poke(table * PAGE, ((table + 1) * PAGE) as u32 | 3);
        }
        let data = self.pages(jobs::PAGES);
        for page in 0..jobs::PAGES {
            let entry = ((data.0 + page) * PAGE) as u32 | 3;
            self.poke((tables.0 + 3) * PAGE + 8 * (1 + page), entry);
        }
        for (at, command) in (data.0 * PAGE..).step_by(4).zip(jobs::batch(stream, BATCH)) {
            self.poke(at, command);
        }
        Place {
            image: image_at,
            ring: ring_at,
            state: (image.0 + 1) * PAGE,
            ring_memory: ring.0 * PAGE,
            ring_size: (RING_PAGES * PAGE) as u32,
            root: tables.0 * PAGE,
            breadcrumb: mark_at,
            breadcrumb_memory: mark.0 * PAGE,
            spinners: [BATCH; 2],
            flag: 0,
        }
    }
}

/// Nanoseconds until all jobs are complete.
pub fn run(stream: Stream) -> u64 {
    let ram = Ram::new(4096);
    let mut cpu = Cpu {
        gpu: Model::new(ram.clone(), 4096),
        ram,
        entries: 16,
    };
    let (status, status_at) = cpu.global(1);
    let page = status.0 * PAGE;
    let mut scheduler = Scheduler::new(stream.engine, FEATURES, (page, status_at));
    scheduler.port.reset(&mut cpu, page);
    reset_pointers(&mut cpu, stream.engine);
    resume(&mut cpu, stream.engine, status_at);
    for bank in (GT_INTERRUPT_BANKS..).step_by(0x10).take(4) {
        cpu.write(bank + 0x4, !0x0109_0109);
        cpu.write(bank + 0xc, 0x0109_0109);
    }
    cpu.write(MASTER_INTERRUPT, 1 << 31);
    for _ in 0..stream.contexts {
        let place = cpu.place(stream);
        scheduler.context(&mut cpu, place, 0);
    }

    cpu.gpu.set_quantum(LOOK);
    let start = cpu.gpu.now();
    jobs::refill(&mut cpu, &mut scheduler, stream);
    for _ in 0..10_000_000 {
        cpu.gpu.run();
        if cpu.message() {
            scheduler.interrupt(&mut cpu);
            if jobs::refill(&mut cpu, &mut scheduler, stream) {
                assert_eq!(cpu.gpu.breaches(), 0);
                return cpu.gpu.now() - start;
            }
        }
    }
    panic!("it never ends");
}
