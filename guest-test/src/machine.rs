//! What the checks need from the machine they run on.
//!
//! [`crate::linux`] implements it in an HVM guest. Nothing above this trait knows Linux.

use core::fmt;
use core::time::Duration;

/// Bytes of one page, everywhere.
pub const PAGE: u64 = 4096;

/// Which of the GPU's two memory windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bar {
    /// BAR0, GTTMMADR: registers, and GGTT entries from 8 MiB.
    Registers,
    /// BAR2, GMADR: memory through the GGTT.
    Aperture,
}

/// Bytes that one access moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// 1.
    Byte,
    /// 2.
    Word,
    /// 4.
    Dword,
    /// 8.
    Qword,
}

impl Width {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Byte, Self::Word, Self::Dword, Self::Qword];

    /// As a number.
    pub const fn bytes(self) -> u64 {
        1 << self as u64
    }

    /// All bits of a value of this width.
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - 8 * self.bytes())
    }
}

/// One of our own pages: where we see it, and where the device does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Position in our arena.
    pub index: usize,
    /// Guest-physical frame number.
    pub frame: u64,
}

/// The machine failed the test program, not the device the check.
#[derive(Debug)]
pub struct Trouble(pub String);

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The device at 00:02.0, our memory, and time.
pub trait Machine {
    /// One read of exactly this width; any alignment.
    fn load(&mut self, bar: Bar, offset: u64, width: Width) -> u64;

    /// One write of exactly this width; any alignment.
    fn store(&mut self, bar: Bar, offset: u64, width: Width, value: u64);

    /// One dword read at a guest-physical address outside RAM, past whatever the kernel believes.
    fn load_physical(&mut self, address: u64) -> Result<u32, Trouble>;

    /// Reads configuration space; `offset` is aligned to the width, at most a dword.
    fn config(&mut self, offset: u64, width: Width) -> u32;

    /// Writes configuration space.
    fn set_config(&mut self, offset: u64, width: Width, value: u32);

    /// A guest-physical range of this size, aligned to it, that no device and no RAM occupies.
    fn free_range(&mut self, size: u64) -> Result<u64, Trouble>;

    /// Guest-physical address of some RAM below 4 GiB, aligned to `size`.
    fn ram_address(&mut self, size: u64) -> Result<u64, Trouble>;

    /// A zeroed page of our own that the device may be pointed at.
    fn page(&mut self) -> Result<Page, Trouble>;

    /// The frame number of one of our pages, asked for anew.
    fn frame(&mut self, page: Page) -> Result<u64, Trouble>;

    /// Reads one dword of an own page, past any compiler's caching.
    fn read(&self, page: Page, dword: usize) -> u32;

    /// Writes one dword of an own page.
    fn write(&mut self, page: Page, dword: usize, value: u32);

    /// Writes to an own page with exactly one store of this width, at any byte of it.
    fn store_own(&mut self, page: Page, offset: u64, width: Width, value: u64);

    /// Fills an own page with a value, by one string instruction.
    fn fill_own(&mut self, page: Page, value: u64);

    /// Message address and data that make [`Machine::interrupts`] count.
    fn message(&self) -> (u32, u32);

    /// Messages that have arrived since the start.
    fn interrupts(&mut self) -> u64;

    /// Time since the start.
    fn now(&self) -> Duration;

    /// Lets a little time pass.
    fn rest(&mut self);
}
