//! The whole register table, put together and indexed at build time.
//!
//! Rows are in ascending order and no register of one row lies between two of another (a law
//! tested below), so a lookup is one binary search over first offsets and one bounds check:
//! no hashing, no allocation, at most eleven comparisons.

use super::{Register, Slot, display, engines, gt, interrupts, power};
use crate::spec::engine::Engine;

/// Blocks in which offsets ascend; their ranges may interleave.
const BLOCKS: [&[Register]; 17] = [
    gt::CONFIGURATION,
    gt::RENDER_ENGINE,
    &engines::rows(Engine::Rcs),
    &engines::rows(Engine::Vcs),
    &engines::rows(Engine::Vecs),
    &engines::rows(Engine::Bcs),
    gt::MEMORY,
    gt::PIPELINE,
    gt::CLOCKS,
    gt::CACHES,
    power::STATES,
    interrupts::NORTH,
    display::NORTH,
    display::CLOCKS,
    display::FIRMWARE,
    SOUTH,
    UNCORE,
];

const SOUTH: &[Register] = &concatenate::<
    { display::SOUTH.len() + interrupts::SOUTH.len() + display::PCH.len() },
>(&[display::SOUTH, interrupts::SOUTH, display::PCH]);

const UNCORE: &[Register] =
    &concatenate::<{ power::FENCES.len() + power::UNCORE.len() }>(&[power::FENCES, power::UNCORE]);

const ROWS: usize = {
    let (mut total, mut block) = (0, 0);
    while block < BLOCKS.len() {
        total += BLOCKS[block].len();
        block += 1;
    }
    total
};

/// All rows, sorted by offset.
pub static REGISTERS: [Register; ROWS] = merge();

/// How many registers all rows have together.
pub(super) const SLOTS: usize = {
    let (mut total, mut row) = (0, 0);
    while row < ROWS {
        total += REGISTERS[row].count as usize;
        row += 1;
    }
    assert!(total <= u16::MAX as usize);
    total
};

/// What a lookup needs of a row, close together.
#[derive(Clone, Copy)]
struct Entry {
    count: u16,
    /// Logarithm of the stride.
    shift: u8,
    storage: u16,
}

static FIRST: [u32; ROWS] = {
    let mut first = [0; ROWS];
    let mut row = 0;
    while row < ROWS {
        first[row] = REGISTERS[row].offset;
        row += 1;
    }
    first
};

static ENTRIES: [Entry; ROWS] = {
    let mut entries = [Entry {
        count: 0,
        shift: 0,
        storage: 0,
    }; ROWS];
    let (mut storage, mut row) = (0, 0);
    while row < ROWS {
        let Register { count, stride, .. } = REGISTERS[row];
        assert!(stride.is_power_of_two() && stride >= 4);
        let shift = stride.trailing_zeros() as u8;
        entries[row] = Entry {
            count: count as u16,
            shift,
            storage,
        };
        storage += count as u16;
        row += 1;
    }
    entries
};

/// The register at `offset`, if it has a row.
pub(super) fn find(offset: u32) -> Option<Slot> {
    let row = FIRST
        .partition_point(|first| *first <= offset)
        .checked_sub(1)?;
    let entry = ENTRIES.get(row)?;
    let inside = offset - FIRST.get(row)?;
    let element = inside >> entry.shift;
    if element >= u32::from(entry.count) || element << entry.shift != inside {
        return None;
    }
    let element = element as u16;
    Some(Slot {
        row: row as u16,
        element,
        storage: entry.storage + element,
    })
}

/// All blocks as one ascending sequence.
const fn merge() -> [Register; ROWS] {
    let mut rows = [BLOCKS[0][0]; ROWS];
    let mut taken = [0; BLOCKS.len()];
    let mut row = 0;
    while row < ROWS {
        let (mut lowest, mut block) = (usize::MAX, 0);
        while block < BLOCKS.len() {
            let left = taken[block] < BLOCKS[block].len();
            if left
                && (lowest == usize::MAX
                    || BLOCKS[block][taken[block]].offset < BLOCKS[lowest][taken[lowest]].offset)
            {
                lowest = block;
            }
            block += 1;
        }
        rows[row] = BLOCKS[lowest][taken[lowest]];
        taken[lowest] += 1;
        row += 1;
    }
    rows
}

/// Blocks one after another.
const fn concatenate<const N: usize>(blocks: &[&[Register]]) -> [Register; N] {
    let mut rows = [blocks[0][0]; N];
    let (mut row, mut block) = (0, 0);
    while block < blocks.len() {
        let mut index = 0;
        while index < blocks[block].len() {
            rows[row] = blocks[block][index];
            row += 1;
            index += 1;
        }
        block += 1;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::registers::{Kind, REGISTER_SPACE};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Every offset that has a register, the slow and obvious way.
    fn all() -> BTreeMap<u32, (usize, u32)> {
        let mut all = BTreeMap::new();
        for (number, row) in REGISTERS.iter().enumerate() {
            for element in 0..row.count {
                let offset = row.offset + element * row.stride;
                let earlier = all.insert(offset, (number, element));
                assert_eq!(earlier, None, "{} at {offset:#x} is there twice", row.name);
            }
        }
        all
    }

    #[test]
    fn rows_ascend_do_not_interleave_and_lie_in_register_space() {
        for pair in REGISTERS.windows(2) {
            let [row, next] = pair else { continue };
            let last = row.offset + (row.count - 1) * row.stride;
            assert!(
                last < next.offset,
                "{} reaches into {}",
                row.name,
                next.name
            );
        }
        for (offset, _) in all() {
            assert!(offset % 4 == 0 && offset < REGISTER_SPACE, "{offset:#x}");
        }
    }

    #[test]
    fn every_register_is_found_and_has_a_storage_slot_of_its_own() {
        let all = all();
        assert_eq!(all.len(), SLOTS);
        let mut slots = vec![false; SLOTS];
        for (offset, (row, element)) in all {
            let slot = find(offset).unwrap();
            assert_eq!((slot.row as usize, u32::from(slot.element)), (row, element));
            assert!(
                !std::mem::replace(&mut slots[slot.storage as usize], true),
                "{offset:#x}"
            );
        }
    }

    #[test]
    fn masked_registers_come_out_of_reset_with_an_empty_mask_half() {
        for row in REGISTERS.iter().filter(|row| row.kind == Kind::Masked) {
            assert_eq!(row.reset >> 16, 0, "{}", row.name);
        }
    }

    #[test]
    fn a_lookup_takes_at_most_eleven_comparisons() {
        const { assert!(ROWS < 1 << 11) };
    }

    proptest! {
        #[test]
        fn an_offset_is_found_exactly_if_some_row_has_it(offset in 0u32..0x21_0000) {
            prop_assert_eq!(find(offset).is_some(), all().contains_key(&offset));
        }
    }
}
