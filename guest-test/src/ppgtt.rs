//! A four-level per-process GTT of our own pages: i915 `gt/gen8_ppgtt.c`.
//!
//! PML4 → PDP → PD → PT, 512 entries of 8 bytes each; bit 0 present, bit 1 writable. One PT is
//! enough here: 2 MiB, at an address where none of the four indices is zero.

use crate::hardware::{NOTIFY_L4_CREATE, PVINFO_NOTIFY, PVINFO_PDP0};
use crate::machine::{Bar, Machine, PAGE, Page, Trouble, Width};

/// First address of the 2 MiB that can be mapped.
pub const BASE: u64 = 0x1234_5660_0000;
/// Entries of one table.
const ENTRIES: u64 = 512;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;

/// One address space.
pub struct Ppgtt {
    root: Page,
    directory: Page,
    table: Page,
    used: u64,
}

impl Ppgtt {
    /// An empty one, announced as i915 does under a hypervisor (`gen8_ppgtt_notify_vgt`).
    pub fn new(machine: &mut dyn Machine) -> Result<Self, Trouble> {
        let [root, pointers, directory, table] = [
            machine.page()?,
            machine.page()?,
            machine.page()?,
            machine.page()?,
        ];
        for (parent, child, shift) in [
            (root, pointers, 39),
            (pointers, directory, 30),
            (directory, table, 21),
        ] {
            let index = (BASE >> shift) % ENTRIES;
            set(
                machine,
                parent,
                index,
                (child.frame * PAGE) | PRESENT | WRITABLE,
            );
        }
        let space = Self {
            root,
            directory,
            table,
            used: 0,
        };
        space.announce(machine);
        Ok(space)
    }

    fn announce(&self, machine: &mut dyn Machine) {
        let root = self.root.frame * PAGE;
        machine.store(
            Bar::Registers,
            PVINFO_PDP0,
            Width::Dword,
            root & 0xffff_ffff,
        );
        machine.store(Bar::Registers, PVINFO_PDP0 + 4, Width::Dword, root >> 32);
        let create = u64::from(NOTIFY_L4_CREATE);
        machine.store(Bar::Registers, PVINFO_NOTIFY, Width::Dword, create);
    }

    /// Physical address of the PML4, for a context's PDP0.
    pub const fn root(&self) -> u64 {
        self.root.frame * PAGE
    }

    /// The last-level table.
    pub const fn table(&self) -> Page {
        self.table
    }

    /// An address's entry in it.
    pub const fn index(&self, address: u64) -> u64 {
        (address - BASE) / PAGE
    }

    /// What maps a page writable.
    pub const fn entry(&self, page: Page) -> u64 {
        (page.frame * PAGE) | PRESENT | WRITABLE
    }

    /// Leaves entries empty.
    pub const fn skip(&mut self, entries: u64) {
        self.used += entries;
    }

    /// Another page becomes the last-level table, with the same entries; the one it was.
    pub fn replace_table(&mut self, machine: &mut dyn Machine) -> Result<Page, Trouble> {
        let (old, new) = (self.table, machine.page()?);
        for dword in 0..2 * ENTRIES as usize {
            machine.write(new, dword, machine.read(old, dword));
        }
        set(
            machine,
            self.directory,
            (BASE >> 21) % ENTRIES,
            self.entry(new),
        );
        self.table = new;
        Ok(old)
    }

    /// Maps pages writable one after the other; the address of the first.
    pub fn map(&mut self, machine: &mut dyn Machine, pages: &[Page]) -> Result<u64, String> {
        let first = self.used;
        for page in pages {
            self.set_entry(machine, self.used, (page.frame * PAGE) | PRESENT | WRITABLE)?;
            self.used += 1;
        }
        Ok(BASE + first * PAGE)
    }

    /// Maps frames that are not ours, as only a hostile driver does; the address of the first.
    pub fn map_frame(&mut self, machine: &mut dyn Machine, frame: u64) -> Result<u64, String> {
        let index = self.used;
        self.used += 1;
        self.set_entry(machine, index, (frame * PAGE) | PRESENT | WRITABLE)?;
        Ok(BASE + index * PAGE)
    }

    /// Makes an address mean another page.
    pub fn remap(
        &mut self,
        machine: &mut dyn Machine,
        address: u64,
        page: Page,
    ) -> Result<(), String> {
        self.set_entry(
            machine,
            (address - BASE) / PAGE,
            (page.frame * PAGE) | PRESENT | WRITABLE,
        )
    }

    /// Makes an address map nothing.
    pub fn unmap(&mut self, machine: &mut dyn Machine, address: u64) -> Result<(), String> {
        self.set_entry(machine, (address - BASE) / PAGE, 0)
    }

    fn set_entry(&self, machine: &mut dyn Machine, index: u64, entry: u64) -> Result<(), String> {
        if index >= ENTRIES - 1 {
            return Err("the page table is full".into());
        }
        set(machine, self.table, index, entry);
        Ok(())
    }
}

fn set(machine: &mut dyn Machine, table: Page, index: u64, entry: u64) {
    let dword = 2 * index as usize;
    // Upper half first: the entry becomes present when it is whole.
    machine.write(table, dword + 1, (entry >> 32) as u32);
    machine.write(table, dword, entry as u32);
}
