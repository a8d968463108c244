//! A guest whose other CPU rewrites its batches between any two reads of ours: whatever it does, the
//! copy holds nothing but judged commands.

use std::cell::Cell;

use gpu::ram::Ram;
use gpu::{Dma, DmaAddress, DmaFault, Owner};

use super::batch::Arena;
use super::large::{WINDOW, go_on};
use super::memory::{Memory, load_pages, store_pages};
use super::watch::look;
use super::*;
use crate::partition::Region;
use crate::ppgtt::Hands;
use crate::scan::{BatchStart, Limits, Sink};
use crate::world::{Recorder, SMALL, Simulated, VirtualClock};
use crate::{GuestFrame, Mediator, Window, gtt};

const GUEST: DomainId = DomainId(1);
/// First frame of its batches.
const FIRST: u64 = 16;

/// A hypervisor whose guest has another CPU.
struct Rewriting {
    inner: Simulated,
    random: Random,
    /// Pages of batches, and how many dwords of each are interesting.
    pages: Vec<DmaPage>,
    dwords: u64,
    /// Whether it rewrites now.
    awake: bool,
    /// Bytes that were read of guests.
    read: Cell<u64>,
    /// Where the batches are.
    base: u64,
}

/// A small generator, the same numbers each time.
struct Random(Cell<u64>);

impl Random {
    fn below(&self, limit: u64) -> u64 {
        let mut value = self.0.get();
        value ^= value << 13;
        value ^= value >> 7;
        value ^= value << 17;
        self.0.set(value);
        (value >> 11) % limit
    }

    /// A command that may pass, or a part of one that does not.
    fn commands(&self, base: u64, dwords: u64) -> Vec<u32> {
        let target = || (base + self.below(dwords) * 4) as u32;
        match self.below(16) {
            0 => vec![0x0500_0000],
            1 => vec![0x0280_0000],
            2 => vec![0x1000_0002, target(), 0, 0x0500_0000],
            3 => vec![0x1880_0001, target(), 0],
            4 => vec![0x1880_0001, base as u32, 0],
            5 => vec![0x18c0_0001, target(), 0],
            // Index 0x40 of the engine's status page.
            6 => vec![0x1300_0002 | 1 << 21 | 1 << 14, 0x44, 0, 7],
            7 => vec![0x1040_0002, target(), 0, 7],
            8 => vec![0x1880_8001, target(), 0],
            // The same index without a word about whose page.
            9 => vec![0x1080_0001, 0x40, 7],
            _ => vec![0; 1 + self.below(4) as usize],
        }
    }

    /// A dword that means trouble in the wrong place.
    fn dword(&self, base: u64, dwords: u64) -> u32 {
        match self.below(10) {
            0..4 => 0x0500_0000,
            4..6 => 0,
            // GDRST, a foreign address, an unknown command.
            6 => 0x941c,
            7 => 0x1fff_f000,
            8 => 0x1f80_0000,
            _ => *self.commands(base, dwords).first().unwrap_or(&0),
        }
    }
}

impl Guests for Rewriting {
    fn pin(&mut self, domain: DomainId, frame: GuestFrame) -> Result<DmaPage, PageError> {
        self.inner.pin(domain, frame)
    }
    fn unpin(&mut self, domain: DomainId, frame: GuestFrame, page: DmaPage) {
        self.inner.unpin(domain, frame, page);
    }
    fn allocate(&mut self, domain: Option<DomainId>) -> Result<DmaPage, PageError> {
        self.inner.allocate(domain)
    }
    fn hand_over(&mut self, page: DmaPage, domain: Option<DomainId>) {
        self.inner.hand_over(page, domain);
    }
    fn free(&mut self, page: DmaPage) {
        self.inner.free(page);
    }
    fn read(&self, address: DmaAddress, data: &mut [u8]) -> Result<(), DmaFault> {
        self.inner.read(address, data)?;
        let ram = self.inner.ram();
        if !matches!(Dma::owner(ram, address.page()), Owner::Guest(_)) {
            return Ok(());
        }
        self.read.set(self.read.get() + data.len() as u64);
        if self.awake {
            let page = self.pages[self.random.below(self.pages.len() as u64) as usize];
            let at = page.at(self.random.below(self.dwords) * 4);
            let value = self.random.dword(self.base, self.dwords);
            ram.write(at, &value.to_le_bytes())?;
        }
        Ok(())
    }
    fn write(&mut self, address: DmaAddress, data: &[u8]) -> Result<(), DmaFault> {
        let owner = Dma::owner(self.inner.ram(), address.page());
        assert!(
            !matches!(owner, Owner::Guest(_)),
            "nothing here writes to a guest"
        );
        self.inner.write(address, data)
    }
    fn inject(&mut self, domain: DomainId, address: u64, data: u32) {
        self.inner.inject(domain, address, data);
    }
    fn trap(
        &mut self,
        domain: DomainId,
        window: Window,
        range: Option<(u64, u64)>,
    ) -> Result<(), PageError> {
        self.inner.trap(domain, window, range)
    }
    fn write_protect(&mut self, d: DomainId, frame: GuestFrame, on: bool) -> Result<(), PageError> {
        self.inner.write_protect(d, frame, on)
    }
    fn map_frames(
        &mut self,
        domain: DomainId,
        at: GuestFrame,
        first: DmaPage,
        count: u64,
        on: bool,
    ) -> Result<(), PageError> {
        self.inner.map_frames(domain, at, first, count, on)
    }
    fn generation(&self, domain: DomainId) -> u32 {
        self.inner.generation(domain)
    }
    fn open_page(
        &mut self,
        domain: DomainId,
        frame: GuestFrame,
        contents: &[u8; PAGE_SIZE as usize],
    ) -> Result<DmaPage, PageError> {
        self.inner.open_page(domain, frame, contents)
    }
    fn close_page(
        &mut self,
        domain: DomainId,
        frame: GuestFrame,
        page: DmaPage,
        contents: &mut [u8; PAGE_SIZE as usize],
    ) -> Result<(), DmaFault> {
        self.inner.close_page(domain, frame, page, contents)
    }
    fn pins(&self, domain: DomainId) -> u32 {
        self.inner.pins(domain)
    }
}

struct Setting {
    mediator: Mediator<Recorder, Rewriting, VirtualClock>,
    start: BatchStart,
    root: Root,
}

impl Setting {
    /// A guest with batches of so many pages in its global GTT; of each, `dwords` are filled.
    fn new(pages: u64, dwords: u64) -> Self {
        let mut inner = Simulated::new(Ram::new(4096));
        inner.add(GUEST, 256);
        let all = (FIRST..FIRST + pages).map(GuestFrame);
        let all = all
            .map(|frame| inner.get(GUEST).page(frame).expect("RAM"))
            .collect();
        let guests = Rewriting {
            inner,
            random: Random(Cell::new(0x9e37_79b9_7f4a_7c15)),
            pages: all,
            dwords,
            awake: false,
            read: Cell::new(0),
            base: 0,
        };
        let gpu = Recorder::new(0x2_0000);
        let mediator = Mediator::new(gpu, guests, VirtualClock::default());
        let mut mediator = mediator.expect("starts");
        mediator.domain_added(GUEST, SMALL).expect("fits");
        let Mediator { host, vgpus } = &mut mediator;
        let vgpu = &mut vgpus[0];
        let first = vgpu.slice.mappable.first;
        for (index, frame) in (first..).zip(FIRST..FIRST + pages) {
            gtt::write(host, vgpu, GttIndex(index), !0, frame << 12 | 1);
        }
        // A status page of its own behind them.
        let status = GttIndex(first + pages as u32);
        gtt::write(host, vgpu, status, !0, 1 << 12 | 1);
        for engine in Engine::ALL {
            let register = engine.base() + HWS_PGA;
            vgpu.registers.set_at(register, status.address().0 as u32);
        }
        let address = GttIndex(first).address();
        host.guests.base = address.0;
        let mut hands = Hands {
            gpu: &mut host.gpu,
            guests: &mut host.guests,
            domain: GUEST,
            scratch: vgpu.scratch,
        };
        let root = vgpu
            .ppgtts
            .resync(&mut hands, GuestFrame(2))
            .expect("an empty one");
        let start = BatchStart {
            position: 0,
            address,
            global: true,
            level: 1,
        };
        Self {
            mediator,
            start,
            root,
        }
    }

    /// Fills every `each`th page with commands, the rest with MI_NOOP.
    fn fill(&mut self, each: usize) {
        let guests = &mut self.mediator.host.guests;
        let (ram, dwords) = (guests.inner.ram(), guests.dwords);
        for (number, page) in (1..).zip(&guests.pages) {
            let mut all = Vec::new();
            while all.len() < dwords as usize {
                all.extend(guests.random.commands(guests.base, dwords));
            }
            if number % each != 0 {
                all.fill(0);
            }
            for (at, dword) in (0..).step_by(4).zip(&all) {
                ram.write(page.at(at), &dword.to_le_bytes()).expect("RAM");
            }
        }
        guests.awake = true;
    }

    /// The batch in the slot's arena; none if it is refused.
    fn small(&mut self, engine: Engine) -> Option<()> {
        let Mediator { host, vgpus } = &mut self.mediator;
        let vgpu = &mut *vgpus[0];
        let status_page = status_page(vgpu, engine);
        assert!(status_page.is_some());
        let slot = vgpu.engines[engine.index()]
            .slot
            .as_mut()
            .expect("attached");
        let room = slot.arena.bytes() / 4;
        let memory = Memory {
            guests: &host.guests,
            gtt: &vgpu.gtt,
            ppgtts: &vgpu.ppgtts,
            root: self.root,
        };
        slot.copies.clear();
        let mut arena = Arena {
            memory: &memory,
            engine,
            limits: Limits::new(&vgpu.slice),
            address: slot.arena.address(),
            room,
            base: 0,
            window: host.engines.workspace.arena.get_mut(..room).expect("room"),
            judged: 0,
            copies: &mut slot.copies,
            status_page,
        };
        arena.take(self.start, &mut [0x1880_0001, 0, 0]).ok()?;
        let used = slot.copies.used();
        let dwords = host.engines.workspace.arena.get(..used).expect("room");
        store_pages(&mut host.guests, &slot.arena.pages, 0, dwords);
        slot.root = Some(self.root);
        Some(())
    }

    /// The batch in the large arena; none if it is refused.
    fn large(&mut self, engine: Engine) -> Option<u32> {
        let Mediator { host, vgpus } = &mut self.mediator;
        let vgpu = &mut *vgpus[0];
        let batch = LargeBatch {
            command: [0; 3],
            start: self.start,
            root: self.root,
        };
        let slot = vgpu.engines[engine.index()]
            .slot
            .as_mut()
            .expect("attached");
        (slot.large, slot.root) = (Some(batch), Some(self.root));
        for rounds in 1..200 {
            host.guests.read.set(0);
            let done = go_on(host, vgpu, engine, &batch);
            let most = WINDOW as u64 * 4 + 64 * 1024;
            assert!(host.guests.read.get() <= most, "bytes in one round");
            match done {
                Ok(true) => return Some(rounds),
                Ok(false) => {}
                Err(_) => return None,
            }
        }
        panic!("it never ends");
    }

    /// The large arena is free again.
    fn leave(&mut self, engine: Engine) {
        let host = &mut self.mediator.host;
        host.engines.large.leave(&mut host.guests, GUEST, engine);
    }

    /// The guest goes on rewriting, and we looking; each state of the copy is sound.
    fn watched(&mut self, engine: Engine) {
        self.sound(engine);
        for _ in 0..20 {
            let Mediator { host, vgpus } = &mut self.mediator;
            look(host, &mut vgpus[0], engine);
            self.sound(engine);
        }
    }

    /// From each place that execution can come to it finds commands that pass the audit, one after
    /// the other to an end, and jumps to nothing else.
    fn sound(&mut self, engine: Engine) {
        let Mediator { host, vgpus } = &mut self.mediator;
        let vgpu = &*vgpus[0];
        let slot = vgpu.slot(engine).expect("attached");
        let (copies, pages, address) = match slot.large {
            Some(_) => {
                let large = &host.engines.large;
                (&large.copies, &large.pages[..], large.address())
            }
            None => (&slot.copies, &slot.arena.pages[..], slot.arena.address()),
        };
        let mut limits = Limits::new(&vgpu.slice);
        // In our copy, starts name the arena; nothing else may.
        limits.global[1] = Region {
            first: (address.0 / PAGE_SIZE) as u32,
            count: pages.len() as u32,
        };
        for number in 0..copies.len() {
            let copied = copies.get(number).expect("counted");
            let mut dwords = vec![0; copied.dwords];
            load_pages(&host.guests, pages, copied.at, &mut dwords);
            let mut at = 0;
            let mut ended = false;
            while at < copied.dwords {
                assert!(
                    copies.is_start(copied.at + at),
                    "execution comes to {at:#x}"
                );
                let next = (at + 1..copied.dwords).find(|at| copies.is_start(copied.at + at));
                let next = next.unwrap_or(copied.dwords);
                let mut jumps = Jumps(Vec::new());
                let limits = limits.at_level(copied.start.level);
                let privilege = copied.start.privilege();
                let step = scan::step(engine, privilege, &dwords[at..], at, &limits, &mut jumps);
                let step = step.unwrap_or_else(|what| panic!("{what}"));
                assert!(
                    step.ends || at + step.dwords == next,
                    "the next one is a command"
                );
                for jump in jumps.0 {
                    let inside = jump
                        .address
                        .0
                        .checked_sub(address.0)
                        .expect("into the copy");
                    assert!(inside.is_multiple_of(4) && copies.is_start(inside as usize / 4));
                }
                ended = step.ends;
                at = next;
            }
            assert!(ended, "execution leaves the copy");
        }
    }
}

/// Where commands lead.
struct Jumps(Vec<BatchStart>);

impl Sink for Jumps {
    fn batch(&mut self, start: BatchStart) -> bool {
        self.0.push(start);
        true
    }
}

#[test]
fn a_copy_made_and_followed_while_its_guest_rewrites_it_holds_judged_commands_only() {
    let (mut passed, mut rewritten, mut looped) = (0, 0, 0);
    let mut setting = Setting::new(2, 60);
    for round in 0..500 {
        let engine = [Engine::Bcs, Engine::Rcs][round % 2];
        setting.fill(1);
        if setting.small(engine).is_none() {
            continue;
        }
        passed += 1;
        setting.watched(engine);
        let vgpu = &setting.mediator.vgpus[0];
        looped += u64::from(vgpu.slot(engine).is_some_and(|slot| slot.copies.loops()));
        rewritten = vgpu.counters.rewritten;
    }
    assert!(
        passed > 40 && looped > 10 && rewritten > 100,
        "{passed} {looped} {rewritten}"
    );
}

#[test]
fn so_does_a_large_one_whose_audit_takes_many_rounds() {
    let (mut passed, mut most, mut rewritten) = (0, 0, 0);
    let mut setting = Setting::new(100, 40);
    for round in 0..24 {
        let engine = [Engine::Bcs, Engine::Rcs][round % 2];
        setting.fill(90);
        setting.mediator.host.guests.awake = round % 3 == 0;
        let rounds = setting.large(engine);
        let Some(rounds) = rounds else {
            setting.leave(engine);
            continue;
        };
        setting.mediator.host.guests.awake = true;
        passed += 1;
        most = most.max(rounds);
        setting.watched(engine);
        setting.leave(engine);
        rewritten = setting.mediator.vgpus[0].counters.rewritten;
    }
    assert!(
        passed > 12 && most > 4 && rewritten > 20,
        "{passed} {most} {rewritten}"
    );
}

#[test]
fn a_replacement_is_an_end_or_a_noop_of_the_same_length() {
    use super::watch::replaces;
    let engine = Engine::Bcs;
    for old in [0, 0x0280_0000, 0x1000_0002, 0x1880_0001, 0x5400_0005] {
        assert!(replaces(engine, old, 0x0500_0000), "{old:#x}");
    }
    assert!(replaces(engine, 0x0280_0000, 0));
    for old in [
        0x0500_0000,
        0x1000_0002,
        0x1880_0001,
        0x5400_0005,
        0x1f80_0000,
    ] {
        assert!(!replaces(engine, old, 0), "{old:#x}");
    }
    for new in [0x0500_0001, 0x0280_0000, 0x1880_0001, 1, !0] {
        assert!(!replaces(engine, 0, new), "{new:#x}");
    }
}

#[test]
fn an_arena_forgets_what_it_took_in_vain() {
    let mut setting = Setting::new(2, 60);
    let ram = setting.mediator.host.guests.inner.ram().clone();
    let page = setting.mediator.host.guests.pages[0];
    // Two commands that pass, one that does not.
    for (at, dword) in (0..).step_by(4).zip([0u32, 0x0280_0000, 0x1f80_0000]) {
        ram.write(page.at(at), &dword.to_le_bytes()).expect("RAM");
    }
    assert!(setting.small(Engine::Bcs).is_none());
    let slot = setting.mediator.vgpus[0]
        .slot(Engine::Bcs)
        .expect("attached");
    assert_eq!((slot.copies.used(), slot.copies.len()), (0, 0));
    assert!((0..64).all(|dword| !slot.copies.is_start(dword)));
}
