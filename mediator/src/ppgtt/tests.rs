//! Shadow trees against a plain walk of the guest's own tables.

use super::pool::MAX_TABLES;
use super::table::{QUIET, Shape, Table};
use super::*;
use crate::Window;
use gpu::ram::Ram;
use gpu::spec::gtt::GttEntry;
use gpu::{DmaFault, GttIndex, Owner, Progress};
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

mod guard;
mod law;
mod walk;

const DOMAIN: DomainId = DomainId(7);
const FRAMES: u64 = 64;

/// A device that only has TLBs.
#[derive(Default)]
struct Tlbs {
    flushes: u32,
}

impl Gpu for Tlbs {
    fn read(&mut self, _: u32) -> u32 {
        0
    }
    fn write(&mut self, offset: u32, _: u32) {
        self.flushes += u32::from(offset == tlb_invalidate(Engine::Rcs));
    }
    fn read_gtt(&mut self, _: GttIndex) -> GttEntry {
        GttEntry::default()
    }
    fn write_gtt(&mut self, _: GttIndex, _: GttEntry) {}
    fn gtt_entries(&self) -> u32 {
        0
    }
    fn take_interrupt(&mut self) -> bool {
        false
    }
    fn run(&mut self) -> Progress {
        Progress::Idle
    }
}

/// One guest with [`FRAMES`] pages; its pins are counted by frame.
struct Machine {
    ram: Ram,
    frames: Vec<DmaPage>,
    /// By page of the machine.
    pins: BTreeMap<u64, u32>,
    quota: u32,
    /// Frames whose writes are trapped.
    protected: BTreeSet<u64>,
    /// Whether the hypervisor protects at all.
    protects: bool,
    /// How often it was asked to.
    protections: u32,
    generation: u32,
    /// Copies of whole tables, so far.
    copies: Cell<u32>,
    allocated: u32,
    most: u32,
}

impl Machine {
    fn new() -> Self {
        let ram = Ram::new(4096);
        let frames = (0..FRAMES)
            .map(|_| ram.allocate(Owner::Guest(7)).expect("room"))
            .collect();
        Self {
            ram,
            frames,
            pins: BTreeMap::new(),
            quota: u32::MAX,
            protected: BTreeSet::new(),
            protects: true,
            protections: 0,
            generation: 0,
            copies: Cell::new(0),
            allocated: 0,
            most: u32::MAX,
        }
    }

    fn held(&self) -> u32 {
        self.pins.values().sum()
    }

    fn set(&mut self, frame: u64, index: u64, entry: u64) {
        assert!(!self.protected.contains(&frame), "that would be trapped");
        let page = self.frames[frame as usize];
        self.ram
            .write(page.at(index * 8), &entry.to_le_bytes())
            .expect("RAM");
    }

    /// Pins of the page at a frame.
    fn pinned(&self, frame: u64) -> u32 {
        let page = self.frames[frame as usize];
        self.pins.get(&page.0).copied().unwrap_or(0)
    }

    /// Puts another page at a frame, with other contents, without a word to anybody.
    fn replace(&mut self, frame: u64, contents: &[u8]) {
        let page = self.ram.allocate(Owner::Guest(7)).expect("room");
        self.ram.write(page.at(0), contents).expect("RAM");
        self.frames[frame as usize] = page;
        self.protected.remove(&frame);
        self.generation += 1;
    }

    fn get(&self, frame: u64, index: u64) -> PpgttEntry {
        let mut bytes = [0; 8];
        match self.frames.get(frame as usize) {
            Some(page) => self.ram.read(page.at(index * 8), &mut bytes).expect("RAM"),
            None => return PpgttEntry(0),
        }
        PpgttEntry(u64::from_le_bytes(bytes))
    }

    /// What the guest's tables say: frame and whether it is writable all the way.
    fn walk(&self, root: u64, address: u64) -> Option<(u64, bool)> {
        let at = |shift: u32| address >> shift & 511;
        let (mut table, mut writable) = (root, true);
        for (level, shift) in [(4, 39), (3, 30), (2, 21)] {
            let entry = self.get(table, at(shift));
            if !entry.present() || entry.frame() >= FRAMES && entry.0 & 0x80 == 0 {
                return None;
            }
            writable &= entry.writable();
            match (level, entry.0 & 0x80 != 0) {
                (3, true) => return None,
                (2, true) => return Some(((entry.frame() & !511) + at(12), writable)),
                (2, false) if entry.0 & PpgttEntry::IPS_64K != 0 => {
                    let head = self.get(entry.frame(), at(12) & !15);
                    let frame = (head.frame() & !15) + (at(12) & 15);
                    return head
                        .present()
                        .then_some((frame, writable && head.writable()));
                }
                _ => table = entry.frame(),
            }
        }
        let entry = self.get(table, at(12));
        entry
            .present()
            .then_some((entry.frame(), writable && entry.writable()))
    }
}

impl Guests for Machine {
    fn pin(&mut self, _: DomainId, frame: GuestFrame) -> Result<DmaPage, PageError> {
        let page = self
            .frames
            .get(frame.0 as usize)
            .ok_or(PageError::Absent(frame))?;
        if self.pins.values().sum::<u32>() >= self.quota {
            return Err(PageError::Quota { limit: self.quota });
        }
        *self.pins.entry(page.0).or_default() += 1;
        Ok(*page)
    }
    fn unpin(&mut self, _: DomainId, _: GuestFrame, page: DmaPage) {
        let count = self.pins.get_mut(&page.0).expect("pinned");
        *count = count.checked_sub(1).expect("as often as it was pinned");
    }
    fn allocate(&mut self, _: Option<DomainId>) -> Result<DmaPage, PageError> {
        if self.allocated >= self.most {
            return Err(PageError::OutOfMemory);
        }
        self.allocated += 1;
        self.ram
            .allocate(Owner::HostFor(7))
            .ok_or(PageError::OutOfMemory)
    }
    fn hand_over(&mut self, _: DmaPage, _: Option<DomainId>) {}
    fn free(&mut self, page: DmaPage) {
        self.allocated -= 1;
        self.ram.release(page);
    }
    fn read(&self, address: DmaAddress, data: &mut [u8]) -> Result<(), DmaFault> {
        self.copies
            .set(self.copies.get() + u32::from(data.len() == 4096));
        self.ram.read(address, data)
    }
    fn write(&mut self, address: DmaAddress, data: &[u8]) -> Result<(), DmaFault> {
        self.ram.write(address, data)
    }
    fn inject(&mut self, _: DomainId, _: u64, _: u32) {}
    fn trap(&mut self, _: DomainId, _: Window, _: Option<(u64, u64)>) -> Result<(), PageError> {
        Ok(())
    }
    fn write_protect(&mut self, _: DomainId, at: GuestFrame, on: bool) -> Result<(), PageError> {
        if at.0 >= self.frames.len() as u64 || on && !self.protects {
            return Err(PageError::Refused(-22));
        }
        if on {
            self.protections += 1;
            assert!(self.protected.insert(at.0), "protected twice");
        } else {
            self.protected.remove(&at.0);
        }
        Ok(())
    }
    fn generation(&self, _: DomainId) -> u32 {
        self.generation
    }
    fn map_frames(
        &mut self,
        _: DomainId,
        _: GuestFrame,
        _: DmaPage,
        _: u64,
        _: bool,
    ) -> Result<(), PageError> {
        Ok(())
    }
    fn open_page(
        &mut self,
        _: DomainId,
        frame: GuestFrame,
        _: &[u8; 4096],
    ) -> Result<DmaPage, PageError> {
        Err(PageError::Absent(frame))
    }
    fn close_page(
        &mut self,
        _: DomainId,
        _: GuestFrame,
        page: DmaPage,
        _: &mut [u8; 4096],
    ) -> Result<(), DmaFault> {
        Err(DmaFault(page.at(0)))
    }
    fn pins(&self, _: DomainId) -> u32 {
        self.held()
    }
}

struct Setting {
    gpu: Tlbs,
    machine: Machine,
    space: PpgttSpace,
    scratch: DmaPage,
}

impl Setting {
    fn new() -> Self {
        let mut machine = Machine::new();
        let scratch = machine.allocate(None).expect("room");
        let mut space = PpgttSpace::new();
        space.attach(&mut machine, DOMAIN, 256).expect("room");
        Self {
            gpu: Tlbs::default(),
            machine,
            space,
            scratch,
        }
    }

    fn with<T>(
        &mut self,
        act: impl FnOnce(&mut PpgttSpace, &mut Hands<'_, Tlbs, Machine>) -> T,
    ) -> T {
        let mut hands = Hands {
            gpu: &mut self.gpu,
            guests: &mut self.machine,
            domain: DOMAIN,
            scratch: self.scratch,
        };
        act(&mut self.space, &mut hands)
    }

    /// The guest's CPU writes bytes, wherever they lie; trapped where that page is protected.
    fn store(&mut self, address: u64, bytes: &[u8]) {
        for (at, byte) in (address..).zip(bytes) {
            if !self.machine.protected.contains(&(at / 4096)) {
                let page = self.machine.frames[(at / 4096) as usize];
                self.machine
                    .ram
                    .write(page.at(at % 4096), &[*byte])
                    .expect("RAM");
                continue;
            }
            let left = (4096 - at % 4096).min(address + bytes.len() as u64 - at);
            let from = (at - address) as usize;
            let bytes = &bytes[from..from + left as usize];
            assert!(self.with(|space, hands| space.write(hands, at, bytes)));
        }
    }

    fn set(&mut self, frame: u64, index: u64, entry: u64) {
        self.store((frame << 12) | (index * 8), &entry.to_le_bytes());
    }

    /// As often as it takes until quiet tables are protected, and once more.
    fn quieten(&mut self, root: u64) -> Root {
        for _ in 0..QUIET + 2 {
            self.resync(root).expect("sane");
        }
        self.resync(root).expect("sane")
    }

    /// Until the budget is not in the way any more.
    fn resync(&mut self, root: u64) -> Result<Root, Trouble> {
        for _ in 0..1000 {
            match self.with(|space, hands| space.resync(hands, GuestFrame(root))) {
                Err(Trouble::Later) => {}
                other => return other,
            }
        }
        panic!("a tree of {FRAMES} frames never ends");
    }

    /// Where the shadow leads, and whether it is writable all the way.
    fn shadow(&self, root: Root, address: u64) -> Option<(DmaPage, bool)> {
        let (mut page, mut writable) = (root.page, true);
        for shift in [39, 30, 21, 12] {
            let mut bytes = [0; 8];
            self.machine
                .ram
                .read(page.at((address >> shift & 511) * 8), &mut bytes)
                .expect("RAM");
            let entry = PpgttEntry(u64::from_le_bytes(bytes));
            if !entry.present() {
                return None;
            }
            writable &= entry.writable();
            page = DmaPage(entry.frame());
        }
        Some((page, writable))
    }

    fn agrees(&self, root: Root, frame: u64, address: u64) {
        let expected = self.machine.walk(frame, address).map(|(frame, writable)| {
            (
                self.machine
                    .frames
                    .get(frame as usize)
                    .copied()
                    .unwrap_or(self.scratch),
                writable,
            )
        });
        assert_eq!(self.shadow(root, address), expected, "address {address:#x}");
    }

    /// Everything given back, and the GPU told before.
    fn ends_clean(mut self) {
        self.with(|space, hands| space.release(hands));
        assert_eq!(self.machine.protected, BTreeSet::new());
        assert_eq!(
            (self.machine.held(), self.machine.allocated),
            (0, 1),
            "the scratch page only"
        );
    }
}

/// A tree of the usual shape: PML4 at frame 1, then 2, 3, 4; data from frame 10 on.
fn usual(machine: &mut Machine) {
    machine.set(1, 0, 0x2003);
    machine.set(2, 0, 0x3003);
    machine.set(3, 0, 0x4003);
    for index in 0..8 {
        machine.set(4, index, (10 + index) << 12 | 3);
    }
}
