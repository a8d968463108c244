//! Memory as the GPU reaches it, with an owner for every page.
//!
//! The owner is what makes isolation testable: whoever hands out pages (the service domain's pin
//! table, or a test's memory) tags them, and the software GPU refuses and counts every access of
//! one guest's context to another guest's page.

use crate::address::{DmaAddress, DmaPage};

/// On whose behalf a page may be touched by the GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// No page there, or one that nobody handed out: every access faults.
    Nobody,
    /// The service domain's own, reachable by no guest's context.
    Host,
    /// A service-domain page that works for one guest: shadow contexts, tables, batch copies.
    HostFor(u16),
    /// A pinned page of this domain.
    Guest(u16),
}

impl Owner {
    /// The domain whose contexts may touch the page.
    pub const fn domain(self) -> Option<u16> {
        match self {
            Self::HostFor(domain) | Self::Guest(domain) => Some(domain),
            Self::Nobody | Self::Host => None,
        }
    }
}

/// A bus access that reached no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DmaFault(pub DmaAddress);

impl core::fmt::Display for DmaFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "no memory at DMA address {:#x}", self.0.0)
    }
}

/// Memory behind DMA addresses. Accesses never cross a page: callers split them.
pub trait Dma {
    /// Copies out `data.len()` bytes starting at `address`.
    fn read(&self, address: DmaAddress, data: &mut [u8]) -> Result<(), DmaFault>;

    /// Copies `data` in at `address`.
    fn write(&mut self, address: DmaAddress, data: &[u8]) -> Result<(), DmaFault>;

    /// Who the page belongs to.
    fn owner(&self, page: DmaPage) -> Owner;

    /// Reads one little-endian dword; `address` is 4-byte aligned.
    fn read_u32(&self, address: DmaAddress) -> Result<u32, DmaFault> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Reads one little-endian qword; `address` is 8-byte aligned.
    fn read_u64(&self, address: DmaAddress) -> Result<u64, DmaFault> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Writes one little-endian dword; `address` is 4-byte aligned.
    fn write_u32(&mut self, address: DmaAddress, value: u32) -> Result<(), DmaFault> {
        self.write(address, &value.to_le_bytes())
    }

    /// Writes one little-endian qword; `address` is 8-byte aligned.
    fn write_u64(&mut self, address: DmaAddress, value: u64) -> Result<(), DmaFault> {
        self.write(address, &value.to_le_bytes())
    }
}
