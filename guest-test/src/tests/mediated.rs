//! The software GPU behind the mediator: what a guest sees, before there is a Xen around it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use gpu::model::Model;
use gpu::{Dma, DmaAddress, DmaFault, DmaPage, Owner, Ram};
use mediator::{
    Access, Clock, Display, DomainId, GuestFrame, Guests, Mediator, PageError, Space, VgpuConfig,
    Window,
};

use super::{Device, Simulated};
use crate::checks;
use crate::machine::{Bar, Width};
use crate::report::Report;

const GUEST: DomainId = DomainId(7);
/// Where firmware puts the BARs.
const BARS: [u64; 2] = [0xe000_0000, 0xd000_0000];
const SIZES: VgpuConfig = VgpuConfig {
    low_mib: 16,
    high_mib: 64,
    fences: 4,
    weight: 2,
    display: Display::None,
    huge_gtt: false,
};

/// What of the guest's address space is served, by [`Window`].
type Windows = Rc<Cell<[Option<(u64, u64)>; 2]>>;

/// A hypervisor with one guest, whose frame numbers are the machine's.
struct Hypervisor {
    ram: Ram,
    /// Pages that are the guest's RAM.
    own: Rc<RefCell<BTreeSet<u64>>>,
    pins: BTreeMap<u64, u32>,
    allocated: u32,
    windows: Windows,
    messages: Rc<Cell<u64>>,
    protected: Rc<RefCell<BTreeSet<u64>>>,
}

impl Guests for Hypervisor {
    fn pin(&mut self, _: DomainId, frame: GuestFrame) -> Result<DmaPage, PageError> {
        if !self.own.borrow().contains(&frame.0) {
            return Err(PageError::Absent(frame));
        }
        *self.pins.entry(frame.0).or_default() += 1;
        let page = DmaPage(frame.0);
        self.ram.set_owner(page, Owner::Guest(GUEST.0));
        Ok(page)
    }

    fn unpin(&mut self, _: DomainId, frame: GuestFrame, page: DmaPage) {
        assert_eq!(frame.0, page.0);
        let count = self.pins.get_mut(&page.0).expect("it was pinned");
        *count -= 1;
        if *count == 0 {
            self.pins.remove(&page.0);
            self.ram.set_owner(page, Owner::Nobody);
        }
    }

    fn allocate(&mut self, domain: Option<DomainId>) -> Result<DmaPage, PageError> {
        let owner = domain.map_or(Owner::Host, |domain| Owner::HostFor(domain.0));
        self.allocated += 1;
        self.ram.allocate(owner).ok_or(PageError::OutOfMemory)
    }

    fn hand_over(&mut self, page: DmaPage, domain: Option<DomainId>) {
        let owner = domain.map_or(Owner::Host, |domain| Owner::HostFor(domain.0));
        self.ram.set_owner(page, owner);
    }

    fn free(&mut self, page: DmaPage) {
        self.allocated -= 1;
        self.ram.release(page);
    }

    fn read(&self, address: DmaAddress, data: &mut [u8]) -> Result<(), DmaFault> {
        match Dma::owner(&self.ram, address.page()) {
            Owner::Nobody => Err(DmaFault(address)),
            _ => self.ram.read(address, data),
        }
    }

    fn write(&mut self, address: DmaAddress, data: &[u8]) -> Result<(), DmaFault> {
        match Dma::owner(&self.ram, address.page()) {
            Owner::Nobody => Err(DmaFault(address)),
            _ => self.ram.write(address, data),
        }
    }

    fn inject(&mut self, domain: DomainId, address: u64, data: u32) {
        assert_eq!((domain, address, data), (GUEST, 0xfee0_0000, 0xf2));
        self.messages.set(self.messages.get() + 1);
    }

    fn trap(
        &mut self,
        _: DomainId,
        window: Window,
        range: Option<(u64, u64)>,
    ) -> Result<(), PageError> {
        let mut windows = self.windows.get();
        match window {
            Window::Registers => windows[0] = range,
            Window::Aperture => windows[1] = range,
        }
        self.windows.set(windows);
        Ok(())
    }

    fn write_protect(&mut self, _: DomainId, at: GuestFrame, on: bool) -> Result<(), PageError> {
        let mut protected = self.protected.borrow_mut();
        if on {
            protected.insert(at.0);
        } else {
            protected.remove(&at.0);
        }
        Ok(())
    }

    fn generation(&self, _: DomainId) -> u32 {
        0
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
        _: GuestFrame,
        _: &[u8; 4096],
    ) -> Result<DmaPage, PageError> {
        // Every access of this guest traps.
        Err(PageError::OutOfMemory)
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
        self.pins.values().sum()
    }
}

#[derive(Clone, Default)]
struct VirtualClock(Rc<Cell<u64>>);

impl Clock for VirtualClock {
    fn now(&self) -> u64 {
        self.0.get()
    }
}

/// The service domain, as one guest reaches it.
struct Mediated {
    mediator: Mediator<Model<Ram>, Hypervisor, VirtualClock>,
    clock: VirtualClock,
    windows: Windows,
    messages: Rc<Cell<u64>>,
    own: Rc<RefCell<BTreeSet<u64>>>,
    protected: Rc<RefCell<BTreeSet<u64>>>,
}

impl Mediated {
    fn new(ram: Ram) -> Self {
        let windows = Rc::new(Cell::new([None; 2]));
        let messages = Rc::new(Cell::new(0));
        let own = Rc::new(RefCell::new(BTreeSet::new()));
        let protected = Rc::new(RefCell::new(BTreeSet::new()));
        let hypervisor = Hypervisor {
            ram: ram.clone(),
            own: Rc::clone(&own),
            pins: BTreeMap::new(),
            allocated: 0,
            windows: Rc::clone(&windows),
            messages: Rc::clone(&messages),
            protected: Rc::clone(&protected),
        };
        let clock = VirtualClock::default();
        let mediator = Mediator::new(Model::new(ram, 1 << 18), hypervisor, clock.clone());
        let mut mediator = mediator.expect("the software GPU can be taken over");
        mediator.domain_added(GUEST, SIZES).expect("it fits");
        let mut device = Self {
            mediator,
            clock,
            windows,
            messages,
            own,
            protected,
        };
        for (offset, address) in [(0x10, BARS[0]), (0x18, BARS[1])] {
            device.config(offset, Width::Dword, Some(address as u32));
        }
        device.config(0x04, Width::Word, Some(0x6));
        device
    }

    /// What the bus does: an access reaches the mediator only inside a routed window.
    fn memory(&mut self, address: u64, width: Width, write: Option<u64>) -> u64 {
        let routed = self
            .windows
            .get()
            .into_iter()
            .flatten()
            .any(|(first, size)| (first..first + size).contains(&address));
        self.clock.0.set(self.clock.0.get() + 1_000);
        if !routed {
            return !0;
        }
        let access = Access {
            space: Space::Memory(address),
            size: width.bytes() as u8,
            write,
        };
        self.mediator.access(GUEST, access)
    }
}

impl Device for Mediated {
    fn bar(&mut self, bar: Bar, offset: u64, width: Width, write: Option<u64>) -> u64 {
        let base = match bar {
            Bar::Registers => BARS[0],
            Bar::Aperture => BARS[1],
        };
        self.memory(base + offset, width, write)
    }

    fn config(&mut self, offset: u64, width: Width, write: Option<u32>) -> u32 {
        let access = Access {
            space: Space::Config(offset as u16),
            size: width.bytes() as u8,
            write: write.map(u64::from),
        };
        self.mediator.access(GUEST, access) as u32
    }

    fn physical(&mut self, address: u64) -> u32 {
        self.memory(address, Width::Dword, None) as u32
    }

    fn trapped(&mut self, address: u64, bytes: &[u8]) -> bool {
        let trapped = self.protected.borrow().contains(&(address / 4096));
        if trapped {
            let mut value = [0; 8];
            value[..bytes.len()].copy_from_slice(bytes);
            let access = Access {
                space: Space::Memory(address),
                size: bytes.len() as u8,
                write: Some(u64::from_le_bytes(value)),
            };
            self.mediator.access(GUEST, access);
        }
        trapped
    }

    fn adopt(&mut self, page: DmaPage) {
        self.own.borrow_mut().insert(page.0);
    }

    fn run(&mut self) -> u64 {
        self.clock.0.set(self.clock.0.get() + 100_000);
        self.mediator.service();
        self.messages.take()
    }
}

/// Runs checks in a guest, then takes its vGPU away: nothing may be left.
fn story(work: impl FnOnce(&mut Simulated<Mediated>, &mut Report)) {
    let ram = Ram::new(32_768);
    let mut machine = Simulated::new(Mediated::new(ram.clone()), ram, Owner::Nobody);
    let mut report = Report::default();
    work(&mut machine, &mut report);
    let mut status = String::new();
    machine
        .device
        .mediator
        .status(&mut status)
        .expect("a String takes everything");
    println!("{status}");

    let mediator = &mut machine.device.mediator;
    mediator.domain_removed(GUEST);
    let host = mediator.host_mut();
    assert_eq!(host.guests.pins(GUEST), 0, "pins are given back");
    assert_eq!(host.gpu.breaches(), 0, "{:?}", host.gpu.last_breach());
    let pages = host.guests.allocated;
    mediator.domain_added(GUEST, SIZES).expect("it fits again");
    mediator.domain_removed(GUEST);
    assert_eq!(
        mediator.host().guests.allocated,
        pages,
        "pages are given back"
    );
    assert!(report.finish());
}

#[test]
fn all_checks_pass_behind_the_mediator() {
    story(|machine, report| checks::all(machine, report));
}

#[test]
fn a_guest_that_misbehaves_over_and_over_costs_nothing_lasting() {
    story(|machine, report| checks::misbehave(machine, report, 3));
}

#[test]
fn a_hundred_rectangles_come_out_right_behind_the_mediator() {
    story(|machine, report| crate::draw::draw(machine, report, 100));
}
