//! The global GTT as a vGPU guest has it: its own partition, announced in PVINFO.
//!
//! A guest balloons out everything else (i915 `i915_vgpu.c`, `intel_vgt_balloon`), so an address
//! here is an address on the device. An entry is 8 bytes: frame number at 38:12, bit 0 present
//! (`gen8_ggtt_pte_encode`); writes become visible after GFX_FLSH_CNTL.

use crate::hardware::{GFX_FLSH_CNTL, GGTT_ENTRIES, PVINFO, PVINFO_MAGIC, PVINFO_RESOURCES};
use crate::machine::{Bar, Machine, PAGE, Page, Width};

/// Bytes of the global address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub first: u64,
    /// How many.
    pub size: u64,
}

impl Span {
    /// One past the last byte.
    pub const fn end(self) -> u64 {
        self.first + self.size
    }
}

/// What this guest was given.
#[derive(Debug, Clone, Copy)]
pub struct Partition {
    /// Reachable through BAR2.
    pub mappable: Span,
    /// For the GPU alone.
    pub nonmappable: Span,
    /// Fence registers.
    pub fences: u32,
}

impl Partition {
    /// Reads PVINFO, whose magic must be there.
    pub fn read(machine: &mut dyn Machine) -> Result<Self, String> {
        let magic = machine.load(Bar::Registers, PVINFO, Width::Qword);
        if magic != PVINFO_MAGIC {
            return Err(format!("PVINFO magic is {magic:#x}"));
        }
        let mut word =
            |index: u64| machine.load(Bar::Registers, PVINFO_RESOURCES + 4 * index, Width::Dword);
        Ok(Self {
            mappable: Span {
                first: word(0),
                size: word(1),
            },
            nonmappable: Span {
                first: word(2),
                size: word(3),
            },
            fences: word(4) as u32,
        })
    }
}

/// Our partition and how much of it is used.
pub struct Ggtt {
    /// What there is.
    pub partition: Partition,
    low: u64,
    high: u64,
}

impl Ggtt {
    /// Nothing mapped yet.
    pub const fn new(partition: Partition) -> Self {
        Self {
            partition,
            low: partition.mappable.first,
            high: partition.nonmappable.first,
        }
    }

    /// Maps pages one after the other below the aperture's end; the address of the first.
    pub fn map_low(&mut self, machine: &mut dyn Machine, pages: &[Page]) -> Result<u32, String> {
        let first = self.low;
        self.low += pages.len() as u64 * PAGE;
        place(machine, pages, first, self.partition.mappable)
    }

    /// Maps pages above it.
    pub fn map_high(&mut self, machine: &mut dyn Machine, pages: &[Page]) -> Result<u32, String> {
        let first = self.high;
        self.high += pages.len() as u64 * PAGE;
        place(machine, pages, first, self.partition.nonmappable)
    }
}

fn place(machine: &mut dyn Machine, pages: &[Page], first: u64, span: Span) -> Result<u32, String> {
    if first + pages.len() as u64 * PAGE > span.end() {
        return Err(format!("partition of {:#x} bytes is used up", span.size));
    }
    for (page, address) in pages.iter().zip((first..).step_by(PAGE as usize)) {
        write_entry(machine, address / PAGE, entry(page.frame));
    }
    flush(machine);
    u32::try_from(first).map_err(|_| format!("GGTT address {first:#x} is beyond 4 GiB"))
}

/// A present entry.
pub const fn entry(frame: u64) -> u64 {
    (frame * PAGE) | 1
}

/// Writes entry `index` in one access.
pub fn write_entry(machine: &mut dyn Machine, index: u64, entry: u64) {
    machine.store(
        Bar::Registers,
        GGTT_ENTRIES + 8 * index,
        Width::Qword,
        entry,
    );
}

/// Reads entry `index` in one access.
pub fn read_entry(machine: &mut dyn Machine, index: u64) -> u64 {
    machine.load(Bar::Registers, GGTT_ENTRIES + 8 * index, Width::Qword)
}

/// Makes entries visible to the device.
pub fn flush(machine: &mut dyn Machine) {
    machine.store(Bar::Registers, GFX_FLSH_CNTL, Width::Dword, 1);
}
