//! Endless memory: every byte has a value before anybody writes it.

use std::collections::BTreeMap;

use gpu::GraphicsAddress;
use gpu::model::fault::Fault;
use gpu::model::surface::Surface;

/// Pages written so far.
pub struct Memory {
    pages: BTreeMap<u64, [u8; 4096]>,
    swctrl: u32,
    /// Bytes read and written since it was last set to zero.
    pub moved: u64,
}

fn untouched(address: u64) -> u8 {
    let mixed = (address ^ address >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 53) as u8
}

impl Memory {
    pub fn new(swctrl: u32) -> Self {
        Self {
            pages: BTreeMap::new(),
            swctrl,
            moved: 0,
        }
    }

    pub fn byte(&self, address: u64) -> u8 {
        match self.pages.get(&(address / 4096)) {
            Some(page) => page[(address % 4096) as usize],
            None => untouched(address),
        }
    }

    pub fn set(&mut self, address: u64, value: u8) {
        let number = address / 4096;
        let page = self.pages.entry(number).or_insert_with(|| {
            core::array::from_fn(|offset| untouched(number * 4096 + offset as u64))
        });
        page[(address % 4096) as usize] = value;
    }

    /// First byte that is not the same in both.
    pub fn first_difference(&self, other: &Self) -> Option<u64> {
        let pages = self.pages.keys().chain(other.pages.keys());
        pages
            .filter(|page| match (self.pages.get(page), other.pages.get(page)) {
                (Some(one), Some(two)) => one != two,
                _ => true,
            })
            .flat_map(|page| page * 4096..(page + 1) * 4096)
            .find(|address| self.byte(*address) != other.byte(*address))
    }
}

impl Surface for Memory {
    fn read(&mut self, address: GraphicsAddress, data: &mut [u8]) -> Result<(), Fault> {
        assert!(address.0 < 1 << 48);
        self.moved += data.len() as u64;
        for (byte, at) in data.iter_mut().zip(address.0..) {
            *byte = self.byte(at);
        }
        Ok(())
    }

    fn write(&mut self, address: GraphicsAddress, data: &[u8]) -> Result<(), Fault> {
        assert!(address.0 < 1 << 48);
        self.moved += data.len() as u64;
        for (byte, at) in data.iter().zip(address.0..) {
            self.set(at, *byte);
        }
        Ok(())
    }

    fn software_control(&self) -> u32 {
        self.swctrl
    }
}
