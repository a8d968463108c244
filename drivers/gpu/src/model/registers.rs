//! The register file: one dword of storage per row element, written as its kind says.

use alloc::boxed::Box;
use alloc::vec;

use crate::spec::registers::{Kind, REGISTERS, Register, SLOTS, Slot, find};

/// Storage of all registers that have a row.
pub struct RegisterFile {
    values: Box<[u32]>,
}

impl RegisterFile {
    /// Everything as after power-on.
    pub fn new() -> Self {
        let mut file = Self {
            values: vec![0; SLOTS].into_boxed_slice(),
        };
        file.reset(|_| true);
        file
    }

    /// Puts the reset value into every register whose offset `which` picks.
    pub fn reset(&mut self, which: impl Fn(u32) -> bool) {
        let elements = REGISTERS
            .iter()
            .flat_map(|row| (0..row.count).map(move |n| (row, n)));
        for (value, (row, element)) in self.values.iter_mut().zip(elements) {
            if which(row.offset + element * row.stride) {
                *value = row.reset;
            }
        }
    }

    /// The value stored at `offset`; zero where there is no register.
    pub fn get(&self, offset: u32) -> u32 {
        find(offset).map_or(0, |slot| self.at(slot))
    }

    /// The value stored in a slot.
    pub fn at(&self, slot: Slot) -> u32 {
        self.values
            .get(usize::from(slot.storage))
            .copied()
            .unwrap_or(0)
    }

    /// Stores what the device itself puts there.
    pub fn set(&mut self, offset: u32, value: u32) {
        if let Some(slot) = find(offset) {
            self.set_at(slot, value);
        }
    }

    /// Stores what the device itself puts into a slot.
    pub fn set_at(&mut self, slot: Slot, value: u32) {
        if let Some(stored) = self.values.get_mut(usize::from(slot.storage)) {
            *stored = value;
        }
    }

    /// Stores what software writes, as the register's kind says.
    pub fn write(&mut self, offset: u32, value: u32) {
        if let Some(slot) = find(offset) {
            self.write_at(slot, value);
        }
    }

    /// Stores what software writes into a slot, as the register's kind says.
    pub fn write_at(&mut self, slot: Slot, value: u32) {
        if let Some(Register { kind, .. }) = REGISTERS.get(usize::from(slot.row)) {
            let old = self.at(slot);
            self.set_at(slot, stored(*kind, old, value));
        }
    }
}

/// What a register of this kind holds after `value` was written over `old`.
pub const fn stored(kind: Kind, old: u32, value: u32) -> u32 {
    match kind {
        Kind::ReadWrite | Kind::Trigger => value,
        Kind::ReadOnly => old,
        Kind::Masked => {
            let mask = value >> 16;
            old & !mask | value & mask
        }
        Kind::WriteOneToClear => old & !value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::engine::{self, Engine, masked};

    #[test]
    fn each_kind_stores_by_its_own_rule() {
        assert_eq!(stored(Kind::ReadWrite, 1, 2), 2);
        assert_eq!(stored(Kind::ReadOnly, 1, 2), 1);
        assert_eq!(stored(Kind::Masked, 0x00f0, 0x00ff_000f), 0x000f);
        assert_eq!(stored(Kind::Masked, 0x0100, masked(1, 1)), 0x0101);
        assert_eq!(stored(Kind::WriteOneToClear, 0b111, 0b010), 0b101);
    }

    #[test]
    fn the_file_comes_up_with_the_reset_values_of_the_table() {
        let file = RegisterFile::new();
        for row in &REGISTERS {
            for element in 0..row.count {
                assert_eq!(
                    file.get(row.offset + element * row.stride),
                    row.reset,
                    "{}",
                    row.name
                );
            }
        }
        assert_eq!(file.get(0x3_0000), 0, "no register, no value");
    }

    #[test]
    fn a_reset_touches_only_what_it_is_asked_to() {
        let mut file = RegisterFile::new();
        let [bcs, rcs] = [Engine::Bcs, Engine::Rcs].map(|engine| engine.base() + engine::GPR);
        file.write(bcs, 7);
        file.write(rcs, 7);
        file.reset(|offset| offset >> 12 == 0x22);
        assert_eq!((file.get(bcs), file.get(rcs)), (0, 7));
    }
}
