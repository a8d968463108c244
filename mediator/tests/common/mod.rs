//! A whole machine in one process: guests with RAM, a hypervisor, virtual time, and drivers.
//!
//! A [`World`] owns a mediator over any [`Gpu`]; tests play the guests' CPUs through it. All
//! memory is one [`Ram`], so that the software GPU, the mediator and the guests see the same
//! pages, and every page has an owner that the model checks.

mod guests;
mod recorder;

pub use guests::{Domain, Simulated};
pub use recorder::Recorder;

use std::cell::Cell;
use std::rc::Rc;

use gpu::ram::Ram;
use gpu::spec::registers::{GTT_BASE, MASTER_INTERRUPT};
use gpu::{DmaPage, Gpu};
use mediator::{
    Access, AttachError, Clock, DomainId, GuestFrame, Mediator, Space, Vgpu, VgpuConfig,
};

/// Where [`World::boot`] puts BAR0.
pub const BAR0: u64 = 0xc000_0000;
/// Where [`World::boot`] puts BAR2.
pub const BAR2: u64 = 0xd000_0000;
/// Message address and data that [`World::boot`] programs.
pub const MESSAGE: (u64, u32) = (0xfee0_0000, 0x4051);

/// A vGPU that fits several times into the smallest GTT.
pub const SMALL: VgpuConfig = VgpuConfig {
    low_mib: 2,
    high_mib: 2,
    fences: 2,
    weight: 1,
    display: mediator::Display::None,
    huge_gtt: false,
};

/// Time that passes when told so.
#[derive(Clone, Default)]
pub struct VirtualClock(Rc<Cell<u64>>);

impl VirtualClock {
    /// Lets nanoseconds pass.
    pub fn advance(&self, nanoseconds: u64) {
        self.0.set(self.0.get() + nanoseconds);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> u64 {
        self.0.get()
    }
}

/// A mediator with everything around it.
pub struct World<G> {
    /// Under test.
    pub mediator: Mediator<G, Simulated, VirtualClock>,
    /// Its time.
    pub clock: VirtualClock,
}

impl World<Recorder> {
    /// A device that only remembers, with a GTT of so many MiB.
    pub fn new(gtt_mib: u32) -> Self {
        Self::with(Recorder::new(gtt_mib * 256), Ram::new(16384))
    }
}

impl<G: Gpu> World<G> {
    /// Any device; `ram` is the memory it reaches.
    pub fn with(gpu: G, ram: Ram) -> Self {
        let clock = VirtualClock::default();
        let mediator = Mediator::new(gpu, Simulated::new(ram), clock.clone());
        Self {
            mediator: mediator.expect("the device can be taken over"),
            clock,
        }
    }

    /// A new guest with `frames` pages of RAM from frame 0, without a vGPU.
    pub fn guest(&mut self, domain: u16, frames: u64) -> DomainId {
        self.guests().add(DomainId(domain), frames);
        DomainId(domain)
    }

    /// A new guest with 256 pages of RAM and a vGPU.
    pub fn attached(&mut self, domain: u16, config: VgpuConfig) -> DomainId {
        let domain = self.guest(domain, 256);
        self.attach(domain, config).expect("fits");
        domain
    }

    /// The same with its BARs, messages and decoding set up.
    pub fn booted(&mut self, domain: u16, config: VgpuConfig) -> DomainId {
        let domain = self.attached(domain, config);
        self.boot(domain);
        domain
    }

    /// Gives a guest a vGPU.
    pub fn attach(&mut self, domain: DomainId, config: VgpuConfig) -> Result<(), AttachError> {
        self.mediator.domain_added(domain, config)
    }

    /// What firmware does.
    pub fn boot(&mut self, domain: DomainId) {
        for (offset, value) in [(0x10, BAR0), (0x18, BAR2)] {
            self.config_write(domain, offset, 4, value);
            self.config_write(domain, offset + 4, 4, value >> 32);
        }
        self.config_write(domain, 0xb0, 4, MESSAGE.0);
        self.config_write(domain, 0xb4, 2, MESSAGE.1.into());
        self.config_write(domain, 0xae, 2, 1);
        self.config_write(domain, 0x04, 2, 0x6);
    }

    /// The hypervisor.
    pub fn guests(&mut self) -> &mut Simulated {
        &mut self.mediator.host_mut().guests
    }

    /// One guest as the hypervisor knows it.
    pub fn domain(&mut self, domain: DomainId) -> &mut Domain {
        self.guests().get(domain)
    }

    /// One vGPU.
    pub fn vgpu(&self, domain: DomainId) -> &Vgpu {
        let found = self.mediator.vgpus().find(|vgpu| vgpu.domain() == domain);
        found.expect("attached")
    }

    /// Any access: to memory where some is open, else trapped. Across the end of a page it is
    /// two, as hypervisors make it.
    pub fn access(&mut self, domain: DomainId, space: Space, size: u8, write: Option<u64>) -> u64 {
        let Space::Memory(address) = space else {
            return self.trapped(domain, space, size, write);
        };
        let (length, left) = (size.min(8), 4096 - address % 4096);
        if left >= length.into() || self.domain(domain).open.is_empty() {
            return self.within_page(domain, address, size, write);
        }
        let low = self.within_page(domain, address, left as u8, write);
        let upper = write.map(|value| value >> (8 * left));
        let next = address.wrapping_add(left);
        low | self.within_page(domain, next, length - left as u8, upper) << (8 * left)
    }

    fn within_page(&mut self, domain: DomainId, address: u64, size: u8, write: Option<u64>) -> u64 {
        let Some(page) = self.domain(domain).opened(GuestFrame(address / 4096)) else {
            return self.trapped(domain, Space::Memory(address), size, write);
        };
        let ram = self.guests().ram().clone();
        let (at, length) = (page.at(address % 4096), usize::from(size.min(8)));
        let mut bytes = [0; 8];
        match write {
            Some(value) => ram.write(at, &value.to_le_bytes()[..length]),
            None => ram.read(at, &mut bytes[..length]),
        }
        .expect("RAM");
        u64::from_le_bytes(bytes)
    }

    /// An access that arrives. The CPU makes it once more when it is answered, and must not find
    /// memory there then: Xen would crash the guest.
    fn trapped(&mut self, domain: DomainId, space: Space, size: u8, write: Option<u64>) -> u64 {
        let frame = match space {
            Space::Memory(address) => Some(GuestFrame(address / 4096)),
            Space::Config(_) => None,
        };
        self.domain(domain).under_way = frame;
        let value = self.mediator.access(domain, Access { space, size, write });
        let guest = self.domain(domain);
        let opened = guest.under_way.take().and_then(|frame| guest.opened(frame));
        assert_eq!(opened, None, "memory under an access");
        if std::mem::take(&mut guest.awaited) {
            self.mediator.access_settled(domain);
        }
        value
    }

    pub fn config_read(&mut self, domain: DomainId, offset: u16, size: u8) -> u64 {
        self.access(domain, Space::Config(offset), size, None)
    }

    pub fn config_write(&mut self, domain: DomainId, offset: u16, size: u8, value: u64) {
        self.access(domain, Space::Config(offset), size, Some(value));
    }

    /// A register of a booted guest.
    pub fn read(&mut self, domain: DomainId, offset: u32) -> u32 {
        let space = Space::Memory(BAR0 + u64::from(offset));
        self.access(domain, space, 4, None) as u32
    }

    pub fn write(&mut self, domain: DomainId, offset: u32, value: u32) {
        let space = Space::Memory(BAR0 + u64::from(offset));
        self.access(domain, space, 4, Some(value.into()));
    }

    /// A GTT entry of a booted guest.
    pub fn read_gtt(&mut self, domain: DomainId, index: u32) -> u64 {
        self.access(domain, gtt_space(index), 8, None)
    }

    pub fn write_gtt(&mut self, domain: DomainId, index: u32, value: u64) {
        self.access(domain, gtt_space(index), 8, Some(value));
    }

    /// Maps a guest frame at an entry.
    pub fn map(&mut self, domain: DomainId, index: u32, frame: u64) {
        self.write_gtt(domain, index, frame << 12 | 1);
    }

    /// First entry of a guest's low and of its high GM.
    pub fn first(&self, domain: DomainId) -> [u32; 2] {
        self.vgpu(domain)
            .graphics_memory()
            .map(|(first, _)| first.0)
    }

    /// Guest memory as the guest's CPU sees it.
    pub fn peek(&mut self, domain: DomainId, address: u64, data: &mut [u8]) {
        let page = self.page(domain, address);
        let ram = self.guests().ram().clone();
        ram.read(page.at(address % 4096), data).expect("guest RAM");
    }

    pub fn poke(&mut self, domain: DomainId, address: u64, data: &[u8]) {
        self.poke_by(domain, address, data, 8);
    }

    /// Writes of `size` bytes each, where the last may be shorter, as a CPU makes them: each is
    /// trapped if a page that it touches is protected when it comes.
    pub fn poke_by(&mut self, domain: DomainId, address: u64, data: &[u8], size: usize) {
        for (at, bytes) in (address..).step_by(size).zip(data.chunks(size)) {
            let last = at + bytes.len() as u64 - 1;
            let guest = self.domain(domain);
            if [at, last].iter().any(|at| guest.is_protected(at / 4096)) {
                let mut value = [0; 8];
                value[..bytes.len()].copy_from_slice(bytes);
                let value = u64::from_le_bytes(value);
                self.access(domain, Space::Memory(at), bytes.len() as u8, Some(value));
                continue;
            }
            let ram = self.guests().ram().clone();
            for (at, byte) in (at..).zip(bytes) {
                let page = self.page(domain, at);
                ram.write(page.at(at % 4096), &[*byte]).expect("guest RAM");
            }
        }
    }

    fn page(&mut self, domain: DomainId, address: u64) -> DmaPage {
        let page = self.domain(domain).page(GuestFrame(address / 4096));
        page.expect("guest RAM")
    }

    /// The guest's interrupt handler enables messages.
    pub fn enable_master(&mut self, domain: DomainId) {
        self.write(domain, MASTER_INTERRUPT, 1 << 31);
    }

    /// Services until nothing is left to do.
    pub fn settle(&mut self) {
        while self.mediator.service() == gpu::Progress::Busy {
            self.clock.advance(20_000);
        }
    }
}

fn gtt_space(index: u32) -> Space {
    Space::Memory(BAR0 + u64::from(GTT_BASE) + u64::from(index) * 8)
}
