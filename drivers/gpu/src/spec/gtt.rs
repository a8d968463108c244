//! Page-table entries: global GTT and the four levels of PPGTT (Gen8 format).

/// Physical address bits of an entry: 39-bit DMA.
const ADDRESS: u64 = 0x7f_ffff_f000;

/// One global GTT entry, 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GttEntry(pub u64);

impl GttEntry {
    /// Bit 0: entry present.
    pub const PRESENT: u64 = 1 << 0;

    /// A present entry that maps `frame`.
    pub const fn new(frame: u64) -> Self {
        Self(frame << 12 & ADDRESS | Self::PRESENT)
    }

    /// Whether it maps anything.
    pub const fn present(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    /// The frame number it names.
    pub const fn frame(self) -> u64 {
        (self.0 & ADDRESS) >> 12
    }
}

/// One entry of a PPGTT table at any level, 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PpgttEntry(pub u64);

impl PpgttEntry {
    /// Bit 0: present.
    pub const PRESENT: u64 = 1 << 0;
    /// Bit 1: writable.
    pub const WRITABLE: u64 = 1 << 1;
    /// Bit 7 of a directory entry: maps 2 MiB (PDE) or 1 GiB (PDPE).
    pub const HUGE: u64 = 1 << 7;
    /// Bit 11 of a PDE: its table holds 64 KiB pages, every sixteenth entry counts.
    pub const IPS_64K: u64 = 1 << 11;
    /// Entries of one table.
    pub const PER_TABLE: usize = 512;

    /// Whether it maps anything.
    pub const fn present(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    /// Whether the GPU may write through it.
    pub const fn writable(self) -> bool {
        self.0 & Self::WRITABLE != 0
    }

    /// The frame number it names.
    pub const fn frame(self) -> u64 {
        (self.0 & ADDRESS) >> 12
    }

    /// The same flags, another frame.
    pub const fn with_frame(self, frame: u64) -> Self {
        Self(self.0 & !ADDRESS | frame << 12 & ADDRESS)
    }
}
