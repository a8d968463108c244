//! Shadow trees against a plain walk of the guest's own tables.

use super::table::Key;
use super::*;
use crate::Window;
use gpu::ram::Ram;
use gpu::spec::gtt::GttEntry;
use gpu::{DmaFault, GttIndex, Owner, Progress};
use proptest::prelude::*;
use std::collections::BTreeMap;

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
    pins: BTreeMap<u64, u32>,
    quota: u32,
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
            allocated: 0,
            most: u32::MAX,
        }
    }

    fn held(&self) -> u32 {
        self.pins.values().sum()
    }

    fn set(&mut self, frame: u64, index: u64, entry: u64) {
        let page = self.frames[frame as usize];
        self.ram
            .write(page.at(index * 8), &entry.to_le_bytes())
            .expect("RAM");
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
        *self.pins.entry(frame.0).or_default() += 1;
        Ok(*page)
    }
    fn unpin(&mut self, _: DomainId, frame: GuestFrame, page: DmaPage) {
        assert_eq!(
            self.frames[frame.0 as usize], page,
            "the page that was pinned"
        );
        let count = self.pins.get_mut(&frame.0).expect("pinned");
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
        self.ram.read(address, data)
    }
    fn write(&mut self, address: DmaAddress, data: &[u8]) -> Result<(), DmaFault> {
        self.ram.write(address, data)
    }
    fn inject(&mut self, _: DomainId, _: u64, _: u32) {}
    fn trap(&mut self, _: DomainId, _: Window, _: Option<(u64, u64)>) -> Result<(), PageError> {
        Ok(())
    }
    fn write_protect(&mut self, _: DomainId, _: GuestFrame, _: bool) -> Result<(), PageError> {
        Ok(())
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
        space.attach().expect("room");
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
    assert_eq!(setting.machine.pins[&13], 1);
    let flushes = setting.gpu.flushes;
    setting.with(|space, hands| space.drain(hands));
    assert_eq!(
        (setting.machine.pins[&13], setting.gpu.flushes),
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
    for most in 2..10 {
        let mut setting = Setting::new();
        usual(&mut setting.machine);
        setting.machine.most = most;
        match setting.resync(1) {
            Ok(root) => setting.agrees(root, 1, 0x3000),
            Err(trouble) => assert_eq!(trouble, Trouble::Page(PageError::OutOfMemory)),
        }
        setting.ends_clean();
    }
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
    let mut pool = Pool::new();
    let key = |frame| Key {
        frame: GuestFrame(frame),
        shape: Shape::Pages,
    };
    for frame in 0..MAX_TABLES as u64 {
        let seen = pool.reserve().expect("room");
        pool.insert(table::Table {
            key: key(frame),
            shadow: DmaPage(frame),
            guest: None,
            seen,
            pinned: [0; ENTRIES / 64],
            visited: 0,
            used: 0,
            children: None,
        });
    }
    assert!(pool.reserve().is_none(), "capped");
    for frame in 0..MAX_TABLES as u64 {
        let place = pool.find(key(frame)).expect("inserted");
        assert_eq!(pool.get(place).expect("there").shadow, DmaPage(frame));
    }
    assert_eq!(pool.find(key(MAX_TABLES as u64)), None);
}

#[derive(Debug, Clone)]
enum Act {
    Write(u64, u64, u64),
    Resync(u64),
    Hold(usize, u64),
    LetGo(usize),
    Forget(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let flags = prop::sample::select(vec![0u64, 1, 3, 3, 3, 0x83, 0x803, 0x883]);
    // Few frames and few indices, so that loops, aliases and changes of role are the rule.
    prop_oneof![
        8 => (1u64..8, prop::sample::select(vec![0u64, 1, 16, 17, 511]), 0u64..FRAMES + 2, flags)
            .prop_map(|(table, index, frame, flags)| Act::Write(table, index, frame << 12 | flags)),
        4 => (1u64..4).prop_map(Act::Resync),
        1 => (0usize..4, 1u64..4).prop_map(|(engine, root)| Act::Hold(engine, root)),
        1 => (0usize..4).prop_map(Act::LetGo),
        1 => (1u64..4).prop_map(Act::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn after_a_resync_the_shadow_is_what_the_guests_tables_say(
        acts in prop::collection::vec(act(), 1..60),
        pages in prop::collection::vec(0usize..625, 20),
    ) {
        let mut setting = Setting::new();
        for act in acts {
            match act {
                Act::Write(table, index, entry) => setting.machine.set(table, index, entry),
                Act::Resync(frame) => {
                    let root = setting.resync(frame).expect("no quota");
                    for page in &pages {
                        let index = |digit: u32| {
                            [0u64, 1, 16, 17, 511][page / 5usize.pow(digit) % 5]
                        };
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
            }
        }
        setting.ends_clean();
    }
}
