//! The context-status buffer: six entries in the guest's status page and in its registers.
//!
//! ```text
//! HWSP dword 0x10 + 2n   entry n, low dword: what happened; high dword: to which context
//! HWSP dword 0x1f        number of the entry written last
//! base + 0x370, 0x3a0    the same as registers; 0x3a0: write pointer 2:0, read pointer 10:8
//! ```
//!
//! The entry is in memory before the write pointer names it; the driver poisons what it consumed
//! with all-ones and never reads an entry that the pointer has not passed.

use gpu::spec::context::{CSB_ENTRIES, HWSP_CSB, HWSP_CSB_WRITE};

use super::list::Event;

/// The pointer field's value after a reset: the next entry is 0.
const POINTER_AFTER_RESET: u8 = 7;

/// What to write to the status page for one event, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Byte offset of the entry in the page.
    pub entry_at: u64,
    /// The entry.
    pub entry: u64,
    /// Byte offset of the write pointer in the page.
    pub pointer_at: u64,
    /// The write pointer.
    pub pointer: u32,
}

/// Register side of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusBuffer {
    entries: [u64; CSB_ENTRIES as usize],
    write: u8,
    read: u8,
}

impl StatusBuffer {
    /// After reset.
    pub const fn new() -> Self {
        Self {
            entries: [0; CSB_ENTRIES as usize],
            write: POINTER_AFTER_RESET,
            read: POINTER_AFTER_RESET,
        }
    }

    /// Takes an event into the registers and says what the status page gets.
    pub fn push(&mut self, event: Event) -> Delivery {
        // Anything that is no entry's number counts as "before entry 0".
        let next = if u32::from(self.write) + 1 < CSB_ENTRIES {
            self.write + 1
        } else {
            0
        };
        let entry = u64::from(event.context) << 32 | u64::from(event.status);
        if let Some(place) = self.entries.get_mut(usize::from(next)) {
            *place = entry;
        }
        self.write = next;
        Delivery {
            entry_at: HWSP_CSB as u64 * 4 + u64::from(next) * 8,
            entry,
            pointer_at: HWSP_CSB_WRITE as u64 * 4,
            pointer: next.into(),
        }
    }

    /// The pointer register.
    pub const fn pointer(&self) -> u32 {
        (self.read as u32) << 8 | self.write as u32
    }

    /// A masked write of the pointer register.
    pub const fn write_pointer(&mut self, value: u32) {
        let mask = value >> 16;
        let merged = self.pointer() & !mask | value & mask;
        self.write = (merged & 7) as u8;
        self.read = (merged >> 8 & 7) as u8;
    }

    /// One dword of the entries, by its place in the register block.
    pub fn dword(&self, index: usize) -> u32 {
        match self.entries.get(index / 2) {
            Some(entry) if index.is_multiple_of(2) => *entry as u32,
            Some(entry) => (*entry >> 32) as u32,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u32) -> Event {
        Event {
            status: number,
            context: number + 100,
        }
    }

    #[test]
    fn entries_go_round_from_zero_after_reset_and_after_the_drivers_own_setting() {
        for drivers in [None, Some(0xffff_0505)] {
            let mut buffer = StatusBuffer::new();
            if let Some(value) = drivers {
                buffer.write_pointer(value);
                assert_eq!(buffer.pointer(), 0x505);
            }
            for number in 0..8 {
                let delivery = buffer.push(event(number));
                assert_eq!(delivery.pointer, number % 6);
                assert_eq!(delivery.entry_at, 0x40 + u64::from(number % 6) * 8);
                assert_eq!(delivery.pointer_at, 0x7c);
                assert_eq!(buffer.dword((number % 6 * 2) as usize), number);
                assert_eq!(buffer.dword((number % 6 * 2 + 1) as usize), number + 100);
            }
        }
    }

    #[test]
    fn a_write_without_mask_changes_nothing_and_any_pointer_leads_to_an_entry() {
        let mut buffer = StatusBuffer::new();
        buffer.write_pointer(0x0505);
        assert_eq!(buffer.pointer(), 0x707);
        for pointer in 0..8u32 {
            buffer.write_pointer(0x0007_0000 | pointer);
            assert!(buffer.push(event(1)).pointer < 6);
        }
        assert_eq!(buffer.dword(12), 0);
    }
}
