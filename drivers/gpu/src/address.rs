//! Addresses of the GPU's three spaces, as types that do not mix.

/// Size of a page in every space this project handles, bytes.
pub const PAGE_SIZE: u64 = 4096;

/// Byte address as the GPU puts it on the bus: the service domain's own physical address space,
/// behind the IOMMU on real hardware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DmaAddress(pub u64);

/// Page frame number of a [`DmaAddress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DmaPage(pub u64);

/// Byte offset in a graphics address space, global GTT or per-process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GraphicsAddress(pub u64);

/// Number of an entry of the global GTT; entry `n` maps bytes `n * 4096 ..` of the space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GttIndex(pub u32);

impl DmaAddress {
    /// The page this address lies in.
    pub const fn page(self) -> DmaPage {
        DmaPage(self.0 / PAGE_SIZE)
    }

    /// Offset inside the page, bytes.
    pub const fn offset(self) -> u64 {
        self.0 % PAGE_SIZE
    }
}

impl DmaPage {
    /// Address of the byte `offset` (below [`PAGE_SIZE`]) of this page.
    pub const fn at(self, offset: u64) -> DmaAddress {
        DmaAddress(self.0 * PAGE_SIZE + offset)
    }
}

impl GraphicsAddress {
    /// The global GTT entry that maps this address, if it is a global one below 4 GiB.
    pub const fn gtt_index(self) -> Option<GttIndex> {
        if self.0 < 1 << 32 {
            Some(GttIndex((self.0 / PAGE_SIZE) as u32))
        } else {
            None
        }
    }

    /// Offset inside the page, bytes.
    pub const fn offset(self) -> u64 {
        self.0 % PAGE_SIZE
    }
}

impl GttIndex {
    /// First byte that this entry maps.
    pub const fn address(self) -> GraphicsAddress {
        GraphicsAddress(self.0 as u64 * PAGE_SIZE)
    }
}
