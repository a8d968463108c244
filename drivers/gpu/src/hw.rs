//! The GPU over memory-mapped registers: [`Gpu`] on two windows of BAR0.
//!
//! ```text
//! BAR0 + 0         2 MiB of registers, accessed as aligned dwords, uncached
//! BAR0 + 8 MiB     the global GTT, one qword per entry, uncached or write-combining
//! ```
//!
//! An access outside the windows is not made: it reads zero. Whoever takes the device's interrupt
//! reports it with [`Hardware::interrupted`].
#![expect(unsafe_code, reason = "volatile access to device registers")]

use core::ptr::NonNull;

use crate::address::GttIndex;
use crate::device::{Gpu, Progress};
use crate::spec::gtt::GttEntry;
use crate::spec::registers::{GFX_FLSH_CNTL, REGISTER_SPACE};

/// A Gen9 GPU.
#[derive(Debug)]
pub struct Hardware {
    registers: NonNull<u32>,
    gtt: NonNull<u64>,
    entries: u32,
    interrupted: bool,
}

impl Hardware {
    /// The device whose registers and global GTT are mapped at these addresses.
    ///
    /// # Safety
    ///
    /// For as long as the value lives, `registers` is the start of 2 MiB and `gtt` the start of
    /// `entries` qwords of mapped, writable device memory that nobody else accesses, both
    /// aligned to 8 bytes; and what the device is told through them cannot harm memory safety:
    /// an IOMMU confines its bus accesses.
    pub const unsafe fn new(registers: NonNull<u32>, gtt: NonNull<u64>, entries: u32) -> Self {
        Self {
            registers,
            gtt,
            entries,
            interrupted: false,
        }
    }

    /// The device's message-signalled interrupt arrived.
    pub const fn interrupted(&mut self) {
        self.interrupted = true;
    }

    fn register(&self, offset: u32) -> Option<NonNull<u32>> {
        if offset >= REGISTER_SPACE {
            return None;
        }
        // SAFETY: `new`'s caller vouches for 2 MiB, and the offset, a whole number of dwords, is
        // below that.
        Some(unsafe { self.registers.add(offset as usize / 4) })
    }

    fn entry(&self, index: GttIndex) -> Option<NonNull<u64>> {
        if index.0 >= self.entries {
            return None;
        }
        // SAFETY: `new`'s caller vouches for `entries` qwords, and the index is below that.
        Some(unsafe { self.gtt.add(index.0 as usize) })
    }
}

impl Gpu for Hardware {
    fn read(&mut self, offset: u32) -> u32 {
        // SAFETY: the pointer lies in the window that `new`'s caller vouches for.
        self.register(offset)
            .map_or(0, |register| unsafe { register.read_volatile() })
    }

    fn write(&mut self, offset: u32, value: u32) {
        if let Some(register) = self.register(offset) {
            // SAFETY: the pointer lies in the window that `new`'s caller vouches for.
            unsafe { register.write_volatile(value) }
        }
    }

    fn read_gtt(&mut self, index: GttIndex) -> GttEntry {
        // SAFETY: the pointer lies in the window that `new`'s caller vouches for.
        let read = |entry: NonNull<u64>| GttEntry(unsafe { entry.read_volatile() });
        self.entry(index).map_or(GttEntry::default(), read)
    }

    fn write_gtt(&mut self, index: GttIndex, entry: GttEntry) {
        if let Some(at) = self.entry(index) {
            // SAFETY: the pointer lies in the window that `new`'s caller vouches for.
            unsafe { at.write_volatile(entry.0) }
        }
    }

    fn gtt_entries(&self) -> u32 {
        self.entries
    }

    fn take_interrupt(&mut self) -> bool {
        core::mem::take(&mut self.interrupted)
    }

    fn run(&mut self) -> Progress {
        Progress::Idle
    }

    fn flush_gtt(&mut self) {
        // A read of the last entry drains write-combining buffers before the flush is asked for.
        let _ = self.read_gtt(GttIndex(self.entries.saturating_sub(1)));
        self.write(GFX_FLSH_CNTL, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::engine::Engine;

    /// Windows of ordinary memory: a device that stores what it is told.
    struct Windows {
        registers: Vec<u64>,
        gtt: Vec<u64>,
    }

    impl Windows {
        fn new(entries: usize) -> Self {
            Self {
                registers: vec![0; REGISTER_SPACE as usize / 8],
                gtt: vec![0; entries],
            }
        }

        fn hardware(&mut self) -> Hardware {
            let registers = NonNull::new(self.registers.as_mut_ptr()).unwrap().cast();
            let gtt = NonNull::new(self.gtt.as_mut_ptr()).unwrap();
            // SAFETY: both vectors are as long as said, and the tests touch them only afterwards.
            unsafe { Hardware::new(registers, gtt, self.gtt.len() as u32) }
        }
    }

    #[test]
    fn registers_and_entries_land_at_their_places() {
        let mut windows = Windows::new(16);
        let mut hardware = windows.hardware();
        hardware.write(0x2030, 0x1234_5678);
        hardware.write(REGISTER_SPACE - 4, 0x55);
        hardware.write_gtt(GttIndex(3), GttEntry::new(0x42));
        assert_eq!(hardware.read(0x2030), 0x1234_5678);
        assert_eq!(hardware.read_gtt(GttIndex(3)), GttEntry::new(0x42));
        hardware.flush_gtt();
        assert_eq!(windows.registers[0x2030 / 8], 0x1234_5678);
        assert_eq!(windows.registers.last(), Some(&(0x55 << 32)));
        assert_eq!(windows.registers[GFX_FLSH_CNTL as usize / 8], 1);
        assert_eq!(windows.gtt[3], 0x42_001);
    }

    #[test]
    fn accesses_outside_the_windows_are_not_made() {
        let mut windows = Windows::new(2);
        let mut hardware = windows.hardware();
        hardware.write(REGISTER_SPACE, 1);
        hardware.write_gtt(GttIndex(2), GttEntry::new(1));
        assert_eq!(hardware.read(u32::MAX), 0);
        assert_eq!(hardware.read_gtt(GttIndex(2)), GttEntry::default());
        assert!(
            windows
                .registers
                .iter()
                .chain(&windows.gtt)
                .all(|word| *word == 0)
        );
    }

    #[test]
    fn a_device_that_never_answers_is_called_stuck() {
        let mut windows = Windows::new(1);
        let fault = windows.hardware().reset_engine(Engine::Vcs);
        assert_eq!(fault, Err(crate::GpuFault::NotReadyForReset(Engine::Vcs)));
    }

    #[test]
    fn an_interrupt_is_taken_once() {
        let mut windows = Windows::new(1);
        let mut hardware = windows.hardware();
        assert!(!hardware.take_interrupt());
        hardware.interrupted();
        assert!(hardware.take_interrupt());
        assert!(!hardware.take_interrupt());
    }
}
