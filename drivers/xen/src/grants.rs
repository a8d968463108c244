//! Grant table: lending pages to other domains and using theirs.
//!
//! Version 1 entries, which every domain starts with (`common/grant_table.c`). Taking a grant
//! back is a protocol, not a store: Xen marks an entry while the other side has it mapped, so
//! flags may only go to zero by an exchange that sees neither mark. A peer that never lets go
//! must not hold us up: [`GrantTable::revoke`] says so and keeps the entry.

use core::fmt;
use core::mem::offset_of;

use crate::abi::DomainId;
use crate::abi::PAGE_SIZE;
use crate::abi::grant_table::{
    GNTMAP_HOST_MAP, GNTMAP_READONLY, GTF_PERMIT_ACCESS, GTF_READING, GTF_READONLY, GTF_WRITING,
    GrantEntryV1, MapGrantRef, NR_RESERVED_ENTRIES, QuerySize, STATUS_NAMES, STATUS_OKAY,
    UnmapGrantRef,
};
use crate::hypercall::{Hypervisor, XenError, issue};
use crate::memory::{self, MemoryError, Window};
use crate::shared::{MappedPage, SharedPage};

/// Entries in one frame of the table.
const ENTRIES_PER_FRAME: u32 = (PAGE_SIZE / size_of::<GrantEntryV1>()) as u32;

/// Frames of the table we use at most; Xen allows 64 by default.
pub const MAX_FRAMES: usize = 8;

const WORDS: usize = MAX_FRAMES * ENTRIES_PER_FRAME as usize / 64;

/// How often an entry that Xen changes under our hands is tried again. Xen changes it once per
/// mapping, so more often than twice in a row is a peer that plays.
const REVOKE_ATTEMPTS: usize = 8;

/// A reference under which another domain finds a page of ours, or we one of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantRef(pub u32);

/// Xen's name for a mapping of somebody's grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantHandle(pub u32);

/// What may be done with a granted page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}

/// Why a grant operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantError {
    /// Xen refused the call as a whole.
    Xen(XenError),
    /// The table's frames could not be mapped.
    Memory(MemoryError),
    /// The call was made, the operation failed with this status (`GNTST_*`).
    Status {
        /// The operation.
        call: &'static str,
        /// Whose grant.
        domain: DomainId,
        /// Xen's status.
        status: i16,
    },
    /// No reference is free, and the table cannot grow.
    Full,
    /// The other domain still has the page mapped; ask again later.
    InUse(GrantRef),
    /// A reference we have not given out.
    Unknown(GrantRef),
    /// A frame number that a version 1 entry cannot hold.
    FrameTooBig(u64),
}

impl From<XenError> for GrantError {
    fn from(error: XenError) -> Self {
        Self::Xen(error)
    }
}

impl From<MemoryError> for GrantError {
    fn from(error: MemoryError) -> Self {
        Self::Memory(error)
    }
}

impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xen(error) => error.fmt(f),
            Self::Memory(error) => error.fmt(f),
            Self::Status {
                call,
                domain,
                status,
            } => {
                let (name, meaning) = STATUS_NAMES
                    .iter()
                    .find(|(number, ..)| number == status)
                    .map_or(("GNTST_?", "unknown status"), |(_, name, words)| {
                        (name, words)
                    });
                write!(f, "{domain}: {call}: {name} ({status}): {meaning}")
            }
            Self::Full => write!(f, "no free grant reference: raise max_grant_frames"),
            Self::InUse(GrantRef(reference)) => {
                write!(
                    f,
                    "grant {reference:#x} is still mapped by the other domain"
                )
            }
            Self::Unknown(GrantRef(reference)) => {
                write!(f, "grant {reference:#x} was not given out")
            }
            Self::FrameTooBig(frame) => {
                write!(f, "frame {frame:#x} does not fit a grant entry (32 bits)")
            }
        }
    }
}

impl core::error::Error for GrantError {}

/// Current and greatest number of frames of this domain's table.
pub fn query_size<H: Hypervisor>(hypervisor: &H) -> Result<(u32, u32), GrantError> {
    let mut command = QuerySize {
        dom: DomainId::SELF,
        pad0: 0,
        nr_frames: 0,
        max_nr_frames: 0,
        status: 0,
        pad1: 0,
    };
    issue(hypervisor, &mut command)?;
    check("GNTTABOP_query_size", DomainId::SELF, command.status)?;
    Ok((command.nr_frames, command.max_nr_frames))
}

/// Maps page `reference` of `domain` at the first frame of `window`.
///
/// Not for grants of our own: Xen keeps each page at one place in a domain and would take it away
/// from where it was (seen on 4.17).
pub fn map<H: Hypervisor>(
    hypervisor: &H,
    domain: DomainId,
    reference: GrantRef,
    access: Access,
    window: Window,
) -> Result<GrantHandle, GrantError> {
    let frame = window
        .frame(0)
        .ok_or(MemoryError::DoesNotFit { asked: 1, room: 0 })?;
    let readonly = match access {
        Access::ReadOnly => GNTMAP_READONLY,
        Access::ReadWrite => 0,
    };
    let mut command = MapGrantRef {
        host_addr: frame.wrapping_mul(PAGE_SIZE as u64),
        flags: GNTMAP_HOST_MAP | readonly,
        r#ref: reference.0,
        dom: domain,
        status: 0,
        handle: 0,
        dev_bus_addr: 0,
    };
    issue(hypervisor, &mut command)?;
    check("GNTTABOP_map_grant_ref", domain, command.status)?;
    Ok(GrantHandle(command.handle))
}

/// Undoes [`map`] with the same window.
pub fn unmap<H: Hypervisor>(
    hypervisor: &H,
    handle: GrantHandle,
    window: Window,
) -> Result<(), GrantError> {
    let frame = window
        .frame(0)
        .ok_or(MemoryError::DoesNotFit { asked: 1, room: 0 })?;
    let mut command = UnmapGrantRef {
        host_addr: frame.wrapping_mul(PAGE_SIZE as u64),
        dev_bus_addr: 0,
        handle: handle.0,
        status: 0,
        pad: 0,
    };
    issue(hypervisor, &mut command)?;
    check("GNTTABOP_unmap_grant_ref", DomainId::SELF, command.status)
}

fn check(call: &'static str, domain: DomainId, status: i16) -> Result<(), GrantError> {
    if status == STATUS_OKAY {
        return Ok(());
    }
    Err(GrantError::Status {
        call,
        domain,
        status,
    })
}

/// This domain's own table: the pages it lends.
#[derive(Debug)]
pub struct GrantTable<H> {
    // Fixed.
    hypervisor: H,
    window: Window,
    max_frames: usize,
    // Grown on demand, never shrunk: Xen has no way back.
    frames: [Option<MappedPage>; MAX_FRAMES],
    mapped: usize,
    // One bit per reference given out.
    used: [u64; WORDS],
}

impl<H: Hypervisor> GrantTable<H> {
    /// Maps the first frame of the table into `window`, which has a frame for each that the table
    /// may grow to (up to [`MAX_FRAMES`]).
    pub fn new(hypervisor: H, window: Window) -> Result<Self, GrantError> {
        let (_, most) = query_size(&hypervisor)?;
        let max_frames = (most as usize)
            .min(MAX_FRAMES)
            .min(usize::try_from(window.frames()).unwrap_or(MAX_FRAMES));
        let mut table = Self {
            hypervisor,
            window,
            max_frames,
            frames: [None; MAX_FRAMES],
            mapped: 0,
            used: [0; WORDS],
        };
        // The toolstack put console and Xenstore grants into the first entries.
        if let Some(first) = table.used.first_mut() {
            *first = (1 << NR_RESERVED_ENTRIES) - 1;
        }
        table.grow()?;
        Ok(table)
    }

    /// References that can be given out without growing.
    pub fn free(&self) -> u32 {
        let entries = self.mapped as u32 * ENTRIES_PER_FRAME;
        entries.saturating_sub(self.used.iter().map(|word| word.count_ones()).sum())
    }

    /// References given out.
    pub fn given(&self) -> u32 {
        let used: u32 = self.used.iter().map(|word| word.count_ones()).sum();
        used.saturating_sub(NR_RESERVED_ENTRIES)
    }

    fn grow(&mut self) -> Result<(), GrantError> {
        let place = self
            .window
            .part(self.mapped as u64, 1)
            .filter(|_| self.mapped < self.max_frames)
            .ok_or(GrantError::Full)?;
        memory::map_grant_frame(&self.hypervisor, self.mapped as u32, place)?;
        if let Some(frame) = self.frames.get_mut(self.mapped) {
            *frame = place.page(0);
        }
        self.mapped += 1;
        Ok(())
    }

    /// Lends our page `frame` to `domain`.
    pub fn grant(
        &mut self,
        domain: DomainId,
        frame: u64,
        access: Access,
    ) -> Result<GrantRef, GrantError> {
        let number = u32::try_from(frame).map_err(|_| GrantError::FrameTooBig(frame))?;
        let reference = match self.first_free() {
            Some(reference) => reference,
            None => {
                self.grow()?;
                self.first_free().ok_or(GrantError::Full)?
            }
        };
        let (page, entry) = self.entry(reference)?;
        page.store_u32(entry + offset_of!(GrantEntryV1, frame), number);
        page.store_u16(entry + offset_of!(GrantEntryV1, domid), domain.0);
        let readonly = match access {
            Access::ReadOnly => GTF_READONLY,
            Access::ReadWrite => 0,
        };
        // Releases the two above: from here on the entry is valid.
        page.store_u16(
            entry + offset_of!(GrantEntryV1, flags),
            GTF_PERMIT_ACCESS | readonly,
        );
        self.mark(reference, true);
        Ok(reference)
    }

    /// Takes a page back. [`GrantError::InUse`] leaves everything as it was: the page is not ours
    /// alone yet and must not be reused.
    pub fn revoke(&mut self, reference: GrantRef) -> Result<(), GrantError> {
        let (page, entry) = self.entry(reference)?;
        if !self.is_given(reference) {
            return Err(GrantError::Unknown(reference));
        }
        if !clear_unless_used(&page, entry + offset_of!(GrantEntryV1, flags)) {
            return Err(GrantError::InUse(reference));
        }
        self.mark(reference, false);
        Ok(())
    }

    /// Whether the other domain has a page of ours mapped right now.
    pub fn in_use(&self, reference: GrantRef) -> Result<bool, GrantError> {
        let (page, entry) = self.entry(reference)?;
        let flags = page.load_u16(entry + offset_of!(GrantEntryV1, flags));
        Ok(flags & (GTF_READING | GTF_WRITING) != 0)
    }

    fn entry(&self, reference: GrantRef) -> Result<(MappedPage, usize), GrantError> {
        let frame = (reference.0 / ENTRIES_PER_FRAME) as usize;
        let page = self
            .frames
            .get(frame)
            .copied()
            .flatten()
            .ok_or(GrantError::Unknown(reference))?;
        let index = (reference.0 % ENTRIES_PER_FRAME) as usize;
        Ok((page, index * size_of::<GrantEntryV1>()))
    }

    fn first_free(&self) -> Option<GrantRef> {
        let entries = self.mapped as u32 * ENTRIES_PER_FRAME;
        let (word, bits) = self
            .used
            .iter()
            .enumerate()
            .find(|(_, bits)| **bits != u64::MAX)?;
        let reference = word as u32 * 64 + bits.trailing_ones();
        (reference < entries).then_some(GrantRef(reference))
    }

    fn is_given(&self, reference: GrantRef) -> bool {
        reference.0 >= NR_RESERVED_ENTRIES
            && self
                .used
                .get(reference.0 as usize / 64)
                .is_some_and(|word| word & 1 << (reference.0 % 64) != 0)
    }

    fn mark(&mut self, reference: GrantRef, given: bool) {
        if let Some(word) = self.used.get_mut(reference.0 as usize / 64) {
            let bit = 1 << (reference.0 % 64);
            *word = if given { *word | bit } else { *word & !bit };
        }
    }
}

/// Makes an entry's flags zero in one exchange that saw no mark of use.
fn clear_unless_used<P: SharedPage>(page: &P, flags: usize) -> bool {
    let mut seen = page.load_u16(flags);
    for _ in 0..REVOKE_ATTEMPTS {
        if seen & (GTF_READING | GTF_WRITING) != 0 {
            return false;
        }
        match page.compare_exchange_u16(flags, seen, 0) {
            Ok(_) => return true,
            Err(found) => seen = found,
        }
    }
    false
}

#[cfg(test)]
mod tests;
