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
        self.flushes += u32::from(offset == TLB_INVALIDATE[0]);
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

#[test]
fn a_tree_is_shadowed_and_follows_changes_at_the_next_resync_only() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    let root = setting.resync(1).expect("a sane tree");
    (0..10).for_each(|page| setting.agrees(root, 1, page << 12));
    assert_eq!(setting.space.tables(), 4);

    setting.machine.set(4, 3, 30 << 12 | 1);
    assert_eq!(
        setting.shadow(root, 0x3000),
        Some((setting.machine.frames[13], true))
    );
    assert_eq!(setting.resync(1), Ok(root));
    assert_eq!(
        setting.shadow(root, 0x3000),
        Some((setting.machine.frames[30], false))
    );
    setting.ends_clean();
}

#[test]
fn a_replaced_page_stays_pinned_until_the_tlbs_were_flushed() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    setting.resync(1).expect("sane");
    setting.machine.set(4, 3, 0);
    setting.resync(1).expect("sane");
    assert_eq!(setting.machine.pinned(13), 1);
    let flushes = setting.gpu.flushes;
    setting.with(|space, hands| space.drain(hands));
    assert_eq!(
        (setting.machine.pinned(13), setting.gpu.flushes),
        (0, flushes + 1)
    );
    setting.ends_clean();
}

#[test]
fn tables_that_name_themselves_cost_one_shadow_for_each_level() {
    let mut setting = Setting::new();
    for index in 0..512 {
        setting.machine.set(1, index, 0x1003);
    }
    let root = setting.resync(1).expect("bounded");
    assert_eq!(setting.space.tables(), 4);
    setting.agrees(root, 1, 0x1234_5678_9000);
    setting.ends_clean();
}

#[test]
fn a_driver_s_scratch_tables_are_shared() {
    let mut setting = Setting::new();
    // Linux i915: every unused entry of every level leads to scratch of the level below.
    for index in 0..512 {
        setting.machine.set(1, index, 0x5003);
        setting.machine.set(5, index, 0x6003);
        setting.machine.set(6, index, 0x7003);
        setting.machine.set(7, index, 0x8001);
        for (table, scratch) in [(2, 6), (3, 7), (4, 8)] {
            setting.machine.set(table, index, scratch << 12 | 3);
        }
    }
    usual(&mut setting.machine);
    let root = setting.resync(1).expect("sane");
    assert_eq!(setting.space.tables(), 7);
    for address in [0, 0x7000, 0x8000, 0x4000_0000, 0x7fff_ffff_f000] {
        setting.agrees(root, 1, address);
    }
    setting.ends_clean();
}

#[test]
fn frames_that_are_no_ram_lead_to_scratch_and_absent_roots_nowhere() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    setting.machine.set(4, 0, 0x7f_ffff_f003);
    setting.machine.set(3, 1, 0x7f_0000_0003);
    let root = setting.resync(1).expect("sane");
    setting.agrees(root, 1, 0);
    setting.agrees(root, 1, 0x20_0000);
    let absent = GuestFrame(0x1000_0000);
    assert_eq!(setting.resync(absent.0), Err(Trouble::Root(absent)));
    setting.ends_clean();
}

#[test]
fn a_table_that_becomes_ram_later_is_found() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    setting.machine.set(3, 1, FRAMES << 12 | 3);
    let root = setting.resync(1).expect("sane");
    assert_eq!(setting.shadow(root, 0x20_0000), None);
    let page = setting.machine.ram.allocate(Owner::Guest(7)).expect("room");
    setting.machine.frames.push(page);
    setting.machine.set(FRAMES, 0, 10 << 12 | 3);
    setting.resync(1).expect("sane");
    assert_eq!(
        setting.shadow(root, 0x20_0000),
        Some((setting.machine.frames[10], true))
    );
    setting.ends_clean();
}

#[test]
fn big_pages_are_split() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    setting.machine.set(3, 1, 0x81);
    setting.machine.set(3, 2, 0x9803);
    setting.machine.set(9, 16, 0x1_0003);
    setting.machine.set(2, 1, 0x83);
    let root = setting.resync(1).expect("sane");
    for address in [
        0x20_0000,
        0x20_a000,
        0x3f_f000,
        0x40_0000,
        0x41_0000,
        0x41_7000,
        0x4000_0000,
    ] {
        setting.agrees(root, 1, address);
    }
    setting.ends_clean();
}

#[test]
fn a_quota_refuses_the_request_and_gives_back_what_is_not_used_first() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    let first = setting.resync(1).expect("sane");
    let held = setting.machine.held();
    // A second tree that shares nothing but frames of data.
    setting.machine.set(41, 0, 42 << 12 | 3);
    setting.machine.set(42, 0, 43 << 12 | 3);
    setting.machine.set(43, 0, 44 << 12 | 3);
    (0..8).for_each(|index| setting.machine.set(44, index, (10 + index) << 12 | 3));
    setting.machine.quota = held;
    setting.space.hold(Engine::Rcs, first);
    assert_eq!(
        setting.resync(41),
        Err(Trouble::Page(PageError::Quota { limit: held })),
        "the first tree is in use"
    );
    setting.agrees(first, 1, 0x3000);
    setting.space.let_go(Engine::Rcs);
    let second = setting.resync(41).expect("the first tree makes room");
    (0..8).for_each(|page| setting.agrees(second, 41, page << 12));
    setting.ends_clean();
}

#[test]
fn running_out_of_pages_is_survived_at_every_step() {
    for most in 1..10 {
        let mut setting = Setting::new();
        setting.with(|space, hands| space.release(hands));
        setting.space = PpgttSpace::new();
        setting.machine.most = most;
        let attached = setting.space.attach(&mut setting.machine, DOMAIN, 8);
        assert_eq!(attached.is_ok(), most == 9);
        setting.ends_clean();
    }
}

#[test]
fn more_tables_than_were_set_aside_are_refused_and_others_make_room_first() {
    let mut setting = Setting::new();
    setting.with(|space, hands| space.release(hands));
    setting.space = PpgttSpace::new();
    setting
        .space
        .attach(&mut setting.machine, DOMAIN, 5)
        .expect("room");
    usual(&mut setting.machine);
    setting.machine.set(41, 0, 42 << 12 | 3);
    setting.machine.set(42, 0, 43 << 12 | 3);
    setting.machine.set(43, 0, 44 << 12 | 3);
    for _ in 0..3 {
        setting.quieten(1);
        setting.quieten(41);
        assert_eq!(setting.space.tables(), 4);
    }
    setting.set(42, 1, 45 << 12 | 3);
    setting.set(43, 1, 46 << 12 | 3);
    setting.set(43, 2, 47 << 12 | 3);
    assert_eq!(setting.resync(41), Err(Trouble::Tables));
    setting.ends_clean();
}

#[test]
fn a_forgotten_root_goes_unless_it_is_in_use() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    let root = setting.resync(1).expect("sane");
    setting.space.hold(Engine::Bcs, root);
    setting.with(|space, hands| space.forget(hands, GuestFrame(1)));
    assert_eq!(setting.space.tables(), 4);
    setting.space.let_go(Engine::Bcs);
    for _ in 0..3 {
        setting.with(|space, hands| space.forget(hands, GuestFrame(1)));
        assert_eq!((setting.space.tables(), setting.machine.held()), (0, 0));
    }
    setting.ends_clean();
}

#[test]
fn a_key_is_found_after_any_number_of_others() {
    let mut machine = Machine::new();
    let mut pool = Pool::new();
    pool.set_aside(&mut machine, DOMAIN, MAX_TABLES)
        .expect("room");
    let table = |frame| {
        let key = Key {
            frame: GuestFrame(frame),
            shape: Shape::Pages,
        };
        Table::new(key, None, 0)
    };
    let place = |pool: &Pool, frame| pool.find(table(frame).key);
    let places: Vec<u16> = (0..MAX_TABLES as u64)
        .map(|frame| pool.insert(table(frame)).expect("room"))
        .collect();
    assert_eq!(pool.insert(table(MAX_TABLES as u64)), None, "capped");
    for (frame, at) in (0..).zip(places) {
        assert_eq!(place(&pool, frame), Some(at));
    }
    assert_eq!(place(&pool, MAX_TABLES as u64), None);
}

#[test]
fn quiet_tables_are_protected_and_cost_no_copy_until_they_are_written() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    let root = setting.quieten(1);
    assert_eq!(setting.machine.protected, BTreeSet::from([1, 2, 3, 4]));
    assert_eq!(setting.space.guarded(), 4);
    let copies = setting.machine.copies.get();
    assert_eq!(setting.resync(1), Ok(root));
    assert_eq!(setting.machine.copies.get(), copies, "all clean");

    // One trap for a burst, one copy at the next resync.
    for index in 0..100 {
        setting.set(4, index, (20 + index % 10) << 12 | 3);
    }
    assert_eq!(setting.machine.protected, BTreeSet::from([1, 2, 3]));
    assert_eq!(setting.resync(1), Ok(root));
    assert_eq!(setting.machine.copies.get(), copies + 1);
    (0..101).for_each(|page| setting.agrees(root, 1, page << 12));

    // The same table is trusted again, later than before.
    setting.quieten(1);
    assert_eq!(setting.machine.protected, BTreeSet::from([1, 2, 3]));
    setting.quieten(1);
    assert_eq!(setting.machine.protected, BTreeSet::from([1, 2, 3, 4]));
    setting.ends_clean();
}

#[test]
fn a_write_of_any_size_at_any_place_is_carried_out() {
    for (address, length) in [
        (0x4000, 8),
        (0x4004, 4),
        (0x4001, 3),
        (0x4fff, 1),
        (0x3ffd, 7), // over the end of one table into the next
        (0x4ffc, 8),
    ] {
        let mut setting = Setting::new();
        usual(&mut setting.machine);
        let root = setting.quieten(1);
        assert_eq!(setting.machine.protected, BTreeSet::from([1, 2, 3, 4]));
        let bytes: Vec<u8> = (0..length).map(|byte| 0xa0 + byte).collect();
        setting.store(address, &bytes);
        for (at, byte) in (address..).zip(&bytes) {
            let mut seen = [0];
            let page = setting.machine.frames[(at >> 12) as usize];
            setting
                .machine
                .ram
                .read(page.at(at & 0xfff), &mut seen)
                .expect("RAM");
            assert_eq!(seen, [*byte]);
        }
        setting.resync(1).expect("sane");
        (0..10).for_each(|page| setting.agrees(root, 1, page << 12));
        setting.ends_clean();
    }
}

#[test]
fn a_write_to_a_page_that_is_no_table_is_carried_out_and_one_to_nothing_is_not() {
    let mut setting = Setting::new();
    assert!(setting.with(|space, hands| space.write(hands, 0x7123, &[5, 6])));
    assert_eq!(setting.machine.get(7, 0x120 / 8).0, 5 << 24 | 6 << 32);
    assert!(!setting.with(|space, hands| space.write(hands, FRAMES << 12, &[5])));
    setting.ends_clean();
}

#[test]
fn a_page_in_two_roles_is_protected_once_and_as_long_as_one_needs_it() {
    let mut setting = Setting::new();
    // Frame 4 is the last-level table of one tree and a directory of another.
    usual(&mut setting.machine);
    setting.machine.set(5, 0, 0x6003);
    setting.machine.set(6, 0, 0x4003);
    setting.quieten(1);
    let root = setting.quieten(5);
    assert!(setting.machine.protected.contains(&4));
    setting.with(|space, hands| space.forget(hands, GuestFrame(1)));
    assert!(setting.machine.protected.contains(&4), "needed still");
    setting.set(4, 1, 7 << 12 | 3);
    setting.machine.set(7, 3, 33 << 12 | 3);
    setting.resync(5).expect("sane");
    setting.agrees(root, 5, 0x20_3000);
    setting.with(|space, hands| space.forget(hands, GuestFrame(5)));
    assert_eq!(setting.machine.protected, BTreeSet::new());
    setting.ends_clean();
}

#[test]
fn tables_that_a_directory_lost_are_the_guests_again() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    setting.quieten(1);
    setting.set(3, 0, 0);
    assert!(setting.machine.protected.contains(&4), "nobody knows yet");
    setting.resync(1).expect("sane");
    assert_eq!(setting.machine.protected, BTreeSet::from([1, 2]));
    // It becomes data, and then a table again.
    setting.machine.set(4, 5, 44 << 12 | 3);
    setting.machine.set(3, 1, 0x4003);
    let root = setting.resync(1).expect("sane");
    (0..8).for_each(|page| setting.agrees(root, 1, 0x20_0000 | page << 12));
    setting.ends_clean();
}

#[test]
fn a_destroyed_root_is_unprotected_even_while_its_work_runs() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    let root = setting.quieten(1);
    setting.space.hold(Engine::Bcs, root);
    setting.with(|space, hands| space.forget(hands, GuestFrame(1)));
    assert_eq!(setting.machine.protected, BTreeSet::new());
    setting.machine.set(4, 0, 30 << 12 | 3);
    setting.resync(1).expect("sane");
    setting.agrees(root, 1, 0);
    setting.ends_clean();
}

#[test]
fn without_protection_every_table_is_copied_and_it_is_hardly_asked_for() {
    let mut setting = Setting::new();
    setting.machine.protects = false;
    usual(&mut setting.machine);
    for round in 0..300 {
        setting.machine.set(4, 0, (10 + round % 20) << 12 | 3);
        let root = setting.resync(1).expect("sane");
        setting.agrees(root, 1, 0);
    }
    assert_eq!(setting.space.guarded(), 0);
    setting.ends_clean();
}

#[test]
fn frames_that_become_other_pages_are_followed_although_no_entry_changed() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    setting.quieten(1);
    // A page of data, and the table itself.
    setting.machine.replace(12, &[]);
    let root = setting.resync(1).expect("sane");
    setting.agrees(root, 1, 0x2000);
    let entries = [35u64 << 12 | 3, 0, 36 << 12 | 1].map(u64::to_le_bytes);
    setting.machine.replace(4, entries.as_flattened());
    let root = setting.resync(1).expect("sane");
    (0..9).for_each(|page| setting.agrees(root, 1, page << 12));
    // A trap on the way: the write goes to the page that is there now.
    setting.quieten(1);
    setting.machine.replace(2, &0x3003u64.to_le_bytes());
    setting.set(4, 1, 37 << 12 | 3);
    setting.resync(1).expect("sane");
    setting.agrees(root, 1, 0x1000);
    setting.ends_clean();
}

#[test]
fn an_invalidation_brings_running_work_up_to_date_in_bounded_steps() {
    let mut setting = Setting::new();
    usual(&mut setting.machine);
    for table in 20..40 {
        setting.machine.set(3, table, table << 12 | 3);
        for index in 0..512 {
            setting.machine.set(table, index, 10 << 12 | 3);
        }
    }
    let root = setting.resync(1).expect("sane");
    setting.space.hold(Engine::Vcs, root);
    for table in 20..40 {
        for index in 0..512 {
            setting.machine.set(table, index, 11 << 12 | 3);
        }
    }
    let invalidate = |setting: &mut Setting, engine| {
        setting
            .with(|space, hands| space.invalidate(hands, engine))
            .expect("sane")
    };
    assert!(!invalidate(&mut setting, Engine::Rcs), "nothing is held");
    assert!(
        setting
            .shadow(root, 20 << 21)
            .is_some_and(|page| page.0 == setting.machine.frames[10])
    );
    let mut calls = 1;
    while invalidate(&mut setting, Engine::Vcs) {
        assert!(setting.space.invalid(Engine::Vcs));
        calls += 1;
    }
    assert_eq!(calls, 20 * 512 / BUDGET + 1);
    assert!(!setting.space.invalid(Engine::Vcs));
    for table in 20..40 {
        setting.agrees(root, 1, table << 21 | 511 << 12);
    }
    assert_eq!(setting.machine.pinned(10), 1, "entry 0 of the usual table");
    setting.ends_clean();
}

#[derive(Debug, Clone)]
enum Act {
    /// Table, index, entry; bytes of it that are written, from which.
    Write(u64, u64, u64, std::ops::Range<usize>),
    Resync(u64, u8),
    Hold(usize, u64),
    LetGo(usize),
    Forget(u64),
    /// Another page at a frame, with the contents of a third.
    Replace(u64, u64),
    Refuse(bool),
}

/// Indices that are used: few, so that loops, aliases and changes of role are the rule.
const INDICES: [u64; 5] = [0, 1, 16, 17, 511];

fn act() -> impl Strategy<Value = Act> {
    let flags = prop::sample::select(vec![0u64, 1, 3, 3, 3, 0x83, 0x803, 0x883]);
    let bytes = prop::sample::select(vec![0..8, 0..8, 0..8, 0..4, 4..8, 1..4, 5..6]);
    let index = prop::sample::select(INDICES.to_vec());
    // Mostly tables, so that there are trees.
    let frame = prop_oneof![3 => 1u64..8, 1 => 0..FRAMES + 2];
    prop_oneof![
        8 => (1u64..8, index, frame, flags, bytes)
            .prop_map(|(table, index, frame, flags, bytes)| {
                Act::Write(table, index, frame << 12 | flags, bytes)
            }),
        6 => (1u64..4, 1u8..7).prop_map(|(root, often)| Act::Resync(root, often)),
        1 => (0usize..4, 1u64..4).prop_map(|(engine, root)| Act::Hold(engine, root)),
        1 => (0usize..4).prop_map(Act::LetGo),
        1 => (1u64..4).prop_map(Act::Forget),
        1 => (1u64..20, 1u64..8).prop_map(|(frame, other)| Act::Replace(frame, other)),
        1 => any::<bool>().prop_map(Act::Refuse),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn after_a_resync_the_shadow_is_what_the_guests_tables_say(
        acts in prop::collection::vec(act(), 1..100),
        pages in prop::collection::vec(0usize..625, 20),
    ) {
        let mut setting = Setting::new();
        for act in acts {
            match act {
                Act::Write(table, index, entry, bytes) => {
                    let at = (table << 12) | (index * 8) | bytes.start as u64;
                    setting.store(at, &entry.to_le_bytes()[bytes]);
                }
                Act::Resync(frame, often) => {
                    let mut root = setting.resync(frame).expect("no quota");
                    for _ in 1..often {
                        root = setting.resync(frame).expect("no quota");
                    }
                    for page in &pages {
                        let index = |digit: u32| INDICES[page / 5usize.pow(digit) % 5];
                        let address = index(0) << 39 | index(1) << 30 | index(2) << 21 | index(3) << 12;
                        setting.agrees(root, frame, address);
                    }
                }
                Act::Hold(engine, frame) => {
                    let root = setting.resync(frame).expect("no quota");
                    setting.space.hold(Engine::ALL[engine], root);
                }
                Act::LetGo(engine) => setting.space.let_go(Engine::ALL[engine]),
                Act::Forget(frame) => {
                    setting.with(|space, hands| space.forget(hands, GuestFrame(frame)));
                }
                Act::Replace(frame, other) => {
                    let mut contents = [0; 4096];
                    let from = setting.machine.frames[other as usize];
                    setting.machine.ram.read(from.at(0), &mut contents).expect("RAM");
                    setting.machine.replace(frame, &contents);
                }
                Act::Refuse(refuse) => setting.machine.protects = !refuse,
            }
        }
        setting.ends_clean();
    }
}
