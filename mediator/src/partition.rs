//! The global GTT and the fences, divided among the vGPUs and the host.
//!
//! ```text
//! 0          aperture (256 MiB)                         end of the GTT (512 MiB to 4 GiB)
//! | mappable: low GM of the vGPUs | non-mappable: high GM of the vGPUs |  host region |
//! ```
//!
//! A guest balloons out what is not its own (PVINFO, Linux `i915_vgpu.c`), so guest and host
//! offsets are equal: nothing is ever translated, everything is checked against the slice. The
//! host region holds status pages, shadow contexts, rings and batch copies; no guest entry can
//! name it.

mod admission;
mod holes;

pub use admission::AttachError;

use arrayvec::ArrayVec;
use gpu::{Engine, GraphicsAddress, GttIndex, PAGE_SIZE};

use crate::shadow::{LARGE_PAGES, VGPU_PAGES};
use crate::{MAX_VGPUS, VgpuConfig};

/// GTT pages of one MiB.
const PAGES_PER_MIB: u32 = (1 << 20) / PAGE_SIZE as u32;
/// Aperture of a Gen9 device as this project shows it, pages (256 MiB).
const APERTURE_PAGES: u32 = 256 * PAGES_PER_MIB;
/// What the host keeps at the end of the GTT, pages (16 MiB).
const HOST_PAGES: u32 = 16 * PAGES_PER_MIB;
// Status pages, the slots of every vGPU there can be, the large arena.
const _: () = assert!(
    Engine::COUNT as u32 + MAX_VGPUS as u32 * VGPU_PAGES + LARGE_PAGES as u32 <= HOST_PAGES
);
/// Fence registers of the device.
const FENCES: u8 = 32;
/// Fences the host keeps, the last ones.
const HOST_FENCES: u8 = 4;

/// A run of global GTT entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Region {
    /// First entry.
    pub first: u32,
    /// How many.
    pub count: u32,
}

impl Region {
    /// First byte it maps.
    pub const fn start(&self) -> GraphicsAddress {
        GttIndex(self.first).address()
    }

    /// Bytes it maps.
    pub const fn length(&self) -> u64 {
        self.count as u64 * PAGE_SIZE
    }

    /// One past the last entry.
    pub const fn end(&self) -> u32 {
        self.first.saturating_add(self.count)
    }

    /// Position of an entry in the region.
    pub const fn position(&self, index: GttIndex) -> Option<u32> {
        match index.0.checked_sub(self.first) {
            Some(position) if position < self.count => Some(position),
            _ => None,
        }
    }

    /// Whether all of `length` bytes (at least one) from `start` lie inside.
    pub const fn contains(&self, start: GraphicsAddress, length: u64) -> bool {
        let Some(offset) = start.0.checked_sub(self.start().0) else {
            return false;
        };
        length != 0 && offset < self.length() && length <= self.length() - offset
    }
}

/// A run of fence registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fences {
    /// First one.
    pub first: u8,
    /// How many.
    pub count: u8,
}

/// What one vGPU owns of the device's numbered resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slice {
    /// Low GM: reachable through the aperture.
    pub mappable: Region,
    /// High GM.
    pub nonmappable: Region,
    /// Fence registers; the guest sees them as 0, 1, ...
    pub fences: Fences,
}

impl Slice {
    /// Whether a guest may name these bytes of the global GTT. A range across both parts is
    /// refused even where they touch: no driver makes one.
    pub const fn contains(&self, start: GraphicsAddress, length: u64) -> bool {
        self.mappable.contains(start, length) || self.nonmappable.contains(start, length)
    }

    /// Position of an entry among all entries of the slice, mappable ones first.
    pub const fn position(&self, index: GttIndex) -> Option<u32> {
        if let Some(position) = self.mappable.position(index) {
            return Some(position);
        }
        match self.nonmappable.position(index) {
            Some(position) => Some(self.mappable.count + position),
            None => None,
        }
    }

    /// The entry at a [`Self::position`].
    pub const fn index(&self, position: u32) -> GttIndex {
        match position.checked_sub(self.mappable.count) {
            None => GttIndex(self.mappable.first + position),
            Some(position) => GttIndex(self.nonmappable.first + position),
        }
    }

    /// How many entries it has.
    pub const fn pages(&self) -> u32 {
        self.mappable.count + self.nonmappable.count
    }
}

/// Who has what.
pub struct Partition {
    aperture: Region,
    /// Beyond the aperture, without the host region.
    rest: Region,
    host: Region,
    total: u32,
    slices: ArrayVec<Slice, MAX_VGPUS>,
}

impl Partition {
    /// Everything free, for a GTT of `entries`; `None` if that is too small to share.
    pub fn new(entries: u32) -> Option<Self> {
        let aperture = entries.min(APERTURE_PAGES);
        let host = entries.checked_sub(HOST_PAGES)?;
        // The host region may eat into the aperture of a very small GTT, never all of it.
        let low = aperture.min(host);
        (low >= PAGES_PER_MIB).then_some(Self {
            aperture: Region {
                first: 0,
                count: low,
            },
            rest: Region {
                first: low,
                count: host - low,
            },
            host: Region {
                first: host,
                count: HOST_PAGES,
            },
            total: entries,
            slices: ArrayVec::new(),
        })
    }

    /// Entries the host keeps for its own use.
    pub fn host_region(&self) -> Region {
        self.host
    }

    /// Entries of the whole GTT.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Sets a slice aside, or says what is missing. Changes nothing on refusal.
    pub fn allocate(&mut self, config: &VgpuConfig) -> Result<Slice, AttachError> {
        if config.low_mib == 0 {
            return Err(AttachError::ZeroLowGm);
        }
        if config.weight == 0 {
            return Err(AttachError::ZeroWeight);
        }
        if self.slices.is_full() {
            return Err(AttachError::TooMany { limit: MAX_VGPUS });
        }
        let mappable = self.hole(config.low_mib, self.aperture, |slice| slice.mappable);
        let mappable = mappable.map_err(|left| AttachError::NoLowGm {
            asked: config.low_mib,
            left,
        })?;
        let nonmappable = self.hole(config.high_mib, self.rest, |slice| slice.nonmappable);
        let nonmappable = nonmappable.map_err(|left| AttachError::NoHighGm {
            asked: config.high_mib,
            left,
        })?;
        let slice = Slice {
            mappable,
            nonmappable,
            fences: self.fences(config.fences)?,
        };
        self.slices.push(slice);
        Ok(slice)
    }

    /// Gives a slice back.
    pub fn release(&mut self, slice: &Slice) {
        self.slices.retain(|taken| taken != slice);
    }

    /// MiB of low and high GM and fences that are free, in total.
    pub fn free(&self) -> (u32, u32, u32) {
        let used = |part: fn(&Slice) -> u32| self.slices.iter().map(part).sum::<u32>();
        let low = self.aperture.count - used(|slice| slice.mappable.count);
        let high = self.rest.count - used(|slice| slice.nonmappable.count);
        let fences = u32::from(FENCES - HOST_FENCES) - used(|slice| slice.fences.count.into());
        (low / PAGES_PER_MIB, high / PAGES_PER_MIB, fences)
    }

    /// Best hole of `mib` in `area`, or the MiB of the largest one.
    fn hole(&self, mib: u32, area: Region, part: fn(&Slice) -> Region) -> Result<Region, u32> {
        let taken: ArrayVec<Region, MAX_VGPUS> = self.slices.iter().map(part).collect();
        let place = |count| holes::best(area, &taken, count);
        match mib.checked_mul(PAGES_PER_MIB) {
            Some(count) => place(count).map_err(|left| left / PAGES_PER_MIB),
            None => Err(holes::largest(area, &taken) / PAGES_PER_MIB),
        }
    }

    fn fences(&self, asked: u32) -> Result<Fences, AttachError> {
        let area = Region {
            first: 0,
            count: u32::from(FENCES - HOST_FENCES),
        };
        let taken: ArrayVec<Region, MAX_VGPUS> = self
            .slices
            .iter()
            .map(|slice| Region {
                first: slice.fences.first.into(),
                count: slice.fences.count.into(),
            })
            .collect();
        let found = holes::best(area, &taken, asked)
            .map_err(|left| AttachError::NoFences { asked, left })?;
        Ok(Fences {
            first: found.first as u8,
            count: found.count as u8,
        })
    }
}

#[cfg(test)]
mod tests;
