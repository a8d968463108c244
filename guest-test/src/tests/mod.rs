//! The checks themselves, run on this host: what they promise holds for the software GPU.
//!
//! A check that hardware as described would fail is a wrong check; here it fails before it gets
//! near a guest. `bare` is the device alone, `mediated` the device behind the mediator.

mod bare;
mod mediated;

use core::time::Duration;

use gpu::{DmaAddress, DmaPage, Owner, Ram};

use crate::machine::{Bar, Machine, PAGE, Page, Trouble, Width};

/// A device that a simulated guest can reach.
pub trait Device {
    /// One access of `width` bytes to a BAR; the value of a read.
    fn bar(&mut self, bar: Bar, offset: u64, width: Width, write: Option<u64>) -> u64;
    /// One access to configuration space.
    fn config(&mut self, offset: u64, width: Width, write: Option<u32>) -> u32;
    /// A dword read at a guest-physical address outside RAM.
    fn physical(&mut self, address: u64) -> u32;
    /// The guest's CPU writes to its RAM; true if that was trapped, and carried out.
    fn trapped(&mut self, _address: u64, _bytes: &[u8]) -> bool {
        false
    }
    /// A page became the guest's RAM.
    fn adopt(&mut self, _page: DmaPage) {}
    /// Lets the device work; messages it sent meanwhile.
    fn run(&mut self) -> u64;
}

/// A guest around a device, in virtual time.
pub struct Simulated<D> {
    pub device: D,
    ram: Ram,
    owner: Owner,
    messages: u64,
    now: Duration,
}

impl<D: Device> Simulated<D> {
    /// A guest whose own pages start as `owner`'s.
    pub fn new(device: D, ram: Ram, owner: Owner) -> Self {
        Self {
            device,
            ram,
            owner,
            messages: 0,
            now: Duration::ZERO,
        }
    }
}

impl<D: Device> Machine for Simulated<D> {
    fn load(&mut self, bar: Bar, offset: u64, width: Width) -> u64 {
        self.device.bar(bar, offset, width, None) & width.mask()
    }

    fn store(&mut self, bar: Bar, offset: u64, width: Width, value: u64) {
        self.device
            .bar(bar, offset, width, Some(value & width.mask()));
    }

    fn load_physical(&mut self, address: u64) -> Result<u32, Trouble> {
        Ok(self.device.physical(address))
    }

    fn config(&mut self, offset: u64, width: Width) -> u32 {
        self.device.config(offset, width, None) & width.mask() as u32
    }

    fn set_config(&mut self, offset: u64, width: Width, value: u32) {
        self.device
            .config(offset, width, Some(value & width.mask() as u32));
    }

    fn free_range(&mut self, _size: u64) -> Result<u64, Trouble> {
        Ok(0xc000_0000)
    }

    fn ram_address(&mut self, _size: u64) -> Result<u64, Trouble> {
        Ok(0x0100_0000)
    }

    fn page(&mut self) -> Result<Page, Trouble> {
        let page = self
            .ram
            .allocate(self.owner)
            .ok_or(Trouble("out of pages".into()))?;
        self.device.adopt(page);
        Ok(Page {
            index: page.0 as usize,
            frame: page.0,
        })
    }

    fn frame(&mut self, page: Page) -> Result<u64, Trouble> {
        Ok(page.frame)
    }

    fn read(&self, page: Page, dword: usize) -> u32 {
        let mut bytes = [0; 4];
        self.ram
            .read(address(page, dword), &mut bytes)
            .expect("own page");
        u32::from_le_bytes(bytes)
    }

    fn write(&mut self, page: Page, dword: usize, value: u32) {
        self.store_own(page, 4 * dword as u64, Width::Dword, value.into());
    }

    fn store_own(&mut self, page: Page, offset: u64, width: Width, value: u64) {
        assert!(offset + width.bytes() <= PAGE, "inside its page");
        let (at, bytes) = (DmaPage(page.frame).at(offset), value.to_le_bytes());
        let bytes = &bytes[..width.bytes() as usize];
        if !self.device.trapped(at.0, bytes) {
            self.ram.write(at, bytes).expect("own page");
        }
    }

    fn fill_own(&mut self, page: Page, value: u64) {
        for offset in (0..PAGE).step_by(8) {
            self.store_own(page, offset, Width::Qword, value);
        }
    }

    fn message(&self) -> (u32, u32) {
        (0xfee0_0000, 0xf2)
    }

    fn interrupts(&mut self) -> u64 {
        self.messages += self.device.run();
        self.messages
    }

    fn now(&self) -> Duration {
        self.now
    }

    fn rest(&mut self) {
        self.messages += self.device.run();
        self.now += Duration::from_millis(1);
    }
}

fn address(page: Page, dword: usize) -> DmaAddress {
    assert!(
        dword < PAGE as usize / 4,
        "dword {dword} is outside its page"
    );
    DmaPage(page.frame).at(4 * dword as u64)
}
