//! A vGPU's own register values, one dword for every register of the table.

use alloc::boxed::Box;
use alloc::vec::Vec;

use gpu::spec::registers::{REGISTERS, Register, SLOTS, Slot, find};

use crate::vgpu::{Display, VgpuConfig};

/// SKL_DFSM: fuses of the display.
const DFSM: u32 = 0x51000;
/// Pipes A (bit 30), C (28) and B (21) fused off.
const NO_PIPES: u32 = 0x5020_0000;

/// Values by [`Slot::storage`].
pub struct RegisterFile {
    values: Box<[u32; SLOTS]>,
}

impl RegisterFile {
    /// All at their reset values; `None` if there is no memory.
    pub fn new(config: &VgpuConfig) -> Option<Self> {
        let mut values = Vec::new();
        values.try_reserve_exact(SLOTS).ok()?;
        values.resize(SLOTS, 0);
        let values = values.into_boxed_slice().try_into().ok()?;
        let mut file = Self { values };
        file.reset(u32::MAX);
        match config.display {
            Display::None => file.set_at(DFSM, NO_PIPES),
        }
        Some(file)
    }

    /// Everything below `end` to its reset value.
    pub fn reset(&mut self, end: u32) {
        for row in REGISTERS.iter().filter(|row| row.offset < end) {
            for offset in offsets(row).take_while(|offset| *offset < end) {
                self.set_at(offset, row.reset);
            }
        }
    }

    /// The value of a register.
    pub fn get(&self, slot: Slot) -> u32 {
        self.values
            .get(usize::from(slot.storage))
            .copied()
            .unwrap_or(0)
    }

    /// Sets the value of a register.
    pub fn set(&mut self, slot: Slot, value: u32) {
        if let Some(place) = self.values.get_mut(usize::from(slot.storage)) {
            *place = value;
        }
    }

    /// The value of the register at `offset`; 0 if the table has none.
    pub fn at(&self, offset: u32) -> u32 {
        find(offset).map_or(0, |slot| self.get(slot))
    }

    /// Both dwords, lower first, of a register of two; `slot` is either of them.
    pub fn pair(&self, slot: Slot) -> [u32; 2] {
        let lower = usize::from(slot.storage - slot.element % 2);
        [lower, lower + 1].map(|place| self.values.get(place).copied().unwrap_or(0))
    }

    /// Sets the register at `offset`, if the table has one.
    pub fn set_at(&mut self, offset: u32, value: u32) {
        if let Some(slot) = find(offset) {
            self.set(slot, value);
        }
    }
}

fn offsets(row: &Register) -> impl Iterator<Item = u32> + use<> {
    let (offset, stride) = (row.offset, row.stride);
    (0..row.count).map(move |element| offset + element * stride)
}
