//! This domain's memory map and the pages of others in it.
//!
//! A foreign page is mapped by putting it into our own physmap (`XENMAPSPACE_gmfn_foreign`), one
//! 4 KiB entry at a time; each holds a reference on the page until it is removed. The batch call
//! answers 0 even when single pages failed: the truth is in its error list
//! (`common/memory.c:xenmem_add_to_physmap_batch`). Counts instead of errors come back from
//! populate and decrease, a refusal is simply 0 pages done.

use core::fmt;

use crate::abi::memory::{
    AcquireResource, AddToPhysmap, AddToPhysmapBatch, DecreaseReservation, E820Entry,
    MAPSPACE_GMFN_FOREIGN, MAPSPACE_GRANT_TABLE, MAPSPACE_SHARED_INFO, MemoryMap, PopulatePhysmap,
    RESOURCE_IOREQ_SERVER, RemoveFromPhysmap, Reservation,
};
use crate::abi::{DomainId, Errno, Handle};
use crate::hypercall::{Hypervisor, XenError, issue};

pub use crate::shared::Window;

/// Pages one mapping call is given: enough that the call's own cost disappears (23 against 70 µs
/// per page under TCG), few enough for arrays on the stack.
pub const BATCH: usize = 256;

/// What became of one page of a batch.
pub type PageResult = Result<(), Errno>;

/// Why a memory operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryError {
    /// Xen refused the call.
    Xen(XenError),
    /// Xen did only the first pages of a populate or decrease.
    Short {
        /// Which of the two.
        call: &'static str,
        /// Whose memory.
        domain: DomainId,
        /// Pages done.
        done: u64,
        /// Pages asked for.
        asked: u64,
    },
    /// More pages than the window, the result list or one call has room for.
    DoesNotFit {
        /// Pages asked for.
        asked: u64,
        /// Room there is.
        room: u64,
    },
}

impl From<XenError> for MemoryError {
    fn from(error: XenError) -> Self {
        Self::Xen(error)
    }
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xen(error) => error.fmt(f),
            Self::Short {
                call,
                domain,
                done,
                asked,
            } => write!(
                f,
                "{domain}: {call} did {done} of {asked} pages: the guest's maximum memory is \
                 reached, Xen is out of memory, or the call is not permitted"
            ),
            Self::DoesNotFit { asked, room } => {
                write!(f, "{asked} pages asked for, room for {room}")
            }
        }
    }
}

impl core::error::Error for MemoryError {}

/// Fills `entries` with this domain's memory map and returns how many there are.
pub fn memory_map<H: Hypervisor>(
    hypervisor: &H,
    entries: &mut [E820Entry],
) -> Result<usize, XenError> {
    let room = entries.len();
    let mut command = MemoryMap {
        nr_entries: u32::try_from(room).unwrap_or(u32::MAX),
        pad: 0,
        buffer: Handle::new(entries),
    };
    issue(hypervisor, &mut command)?;
    Ok((command.nr_entries as usize).min(room))
}

/// Maps this domain's shared-info page at the first frame of `window`.
pub fn map_shared_info<H: Hypervisor>(hypervisor: &H, window: Window) -> Result<(), MemoryError> {
    map_own(hypervisor, MAPSPACE_SHARED_INFO, 0, window)
}

/// Maps frame `index` of this domain's grant table at the first frame of `window`; Xen grows the
/// table as needed.
pub(crate) fn map_grant_frame<H: Hypervisor>(
    hypervisor: &H,
    index: u32,
    window: Window,
) -> Result<(), MemoryError> {
    map_own(hypervisor, MAPSPACE_GRANT_TABLE, u64::from(index), window)
}

fn map_own<H: Hypervisor>(
    hypervisor: &H,
    space: u32,
    index: u64,
    window: Window,
) -> Result<(), MemoryError> {
    let frame = window
        .frame(0)
        .ok_or(MemoryError::DoesNotFit { asked: 1, room: 0 })?;
    let mut command = AddToPhysmap {
        domid: DomainId::SELF,
        size: 0,
        space,
        idx: index,
        gpfn: frame,
    };
    issue(hypervisor, &mut command)?;
    Ok(())
}

/// Maps `gfns` of `domain` at the frames of `window`, in order, and says of each page in
/// `results` what became of it. Returns how many are mapped.
///
/// At most [`BATCH`] pages. When Xen refuses the call as a whole, pages it had reached before may
/// be mapped all the same; they are unmapped again, so an error means that nothing is.
pub fn map_foreign<H: Hypervisor>(
    hypervisor: &H,
    domain: DomainId,
    gfns: &[u64],
    window: Window,
    results: &mut [PageResult],
) -> Result<usize, MemoryError> {
    let room = window.frames().min(results.len() as u64).min(BATCH as u64);
    if gfns.len() as u64 > room {
        return Err(MemoryError::DoesNotFit {
            asked: gfns.len() as u64,
            room,
        });
    }
    if gfns.is_empty() {
        return Ok(0);
    }
    let mut frames = [0; BATCH];
    for (frame, number) in frames.iter_mut().zip(window.first()..) {
        *frame = number;
    }
    // A page Xen never reached must not look mapped.
    let mut errors = [-Errno::ENODATA.0; BATCH];
    let mut command = AddToPhysmapBatch {
        domid: DomainId::SELF,
        space: MAPSPACE_GMFN_FOREIGN as u16,
        size: gfns.len() as u16,
        foreign_domid: domain,
        idxs: Handle::input(gfns),
        gpfns: Handle::new(&mut frames),
        errs: Handle::new(&mut errors),
    };
    let answer = issue(hypervisor, &mut command);
    if let Err(error) = answer {
        for (errno, frame) in errors.iter().zip(window.first()..).take(gfns.len()) {
            if *errno == 0 {
                // It was mapped a moment ago; the error that matters is the call's.
                let _ = remove_from_physmap(hypervisor, DomainId::SELF, frame);
            }
        }
        return Err(error.into());
    }
    let mut mapped = 0;
    for (result, errno) in results.iter_mut().zip(errors).take(gfns.len()) {
        *result = match errno {
            0 => {
                mapped += 1;
                Ok(())
            }
            // Xen stores negative numbers here; anything else is no mapping either.
            other => Err(Errno(other.unsigned_abs().min(4095) as i32)),
        };
    }
    Ok(mapped)
}

/// Removes whatever is mapped at frame `index` of `window`; nothing is fine.
pub fn unmap<H: Hypervisor>(hypervisor: &H, window: Window, index: u64) -> Result<(), MemoryError> {
    let frame = window.frame(index).ok_or(MemoryError::DoesNotFit {
        asked: index.saturating_add(1),
        room: window.frames(),
    })?;
    match remove_from_physmap(hypervisor, DomainId::SELF, frame) {
        Err(error) if error.errno != Errno::ENOENT => Err(error.into()),
        _ => Ok(()),
    }
}

/// Removes a frame from a guest's own physmap; the page stays the guest's and is freed with it.
pub fn remove_guest_frame<H: Hypervisor>(
    hypervisor: &H,
    domain: DomainId,
    gfn: u64,
) -> Result<(), XenError> {
    if domain == DomainId::SELF {
        // Our own frames go through a window, or they would vanish under running code.
        return Err(XenError {
            call: "XENMEM_remove_from_physmap",
            domain,
            errno: Errno::EINVAL,
            version: hypervisor.version(),
        });
    }
    remove_from_physmap(hypervisor, domain, gfn)
}

fn remove_from_physmap<H: Hypervisor>(
    hypervisor: &H,
    domain: DomainId,
    gfn: u64,
) -> Result<(), XenError> {
    let mut command = RemoveFromPhysmap {
        domid: domain,
        pad: [0; 3],
        gpfn: gfn,
    };
    issue(hypervisor, &mut command)?;
    Ok(())
}

/// Maps pages of an IOREQ server of ours on `domain`, from page `first` of the server
/// (0 buffered, 1 requests), over all frames of `window` (at most two). On error none is mapped.
pub fn acquire_ioreq_pages<H: Hypervisor>(
    hypervisor: &H,
    domain: DomainId,
    server: u16,
    first: u64,
    window: Window,
) -> Result<(), MemoryError> {
    let mut frames = [0; 2];
    let count = usize::try_from(window.frames()).unwrap_or(usize::MAX);
    let Some(frames) = frames.get_mut(..count) else {
        return Err(MemoryError::DoesNotFit {
            asked: window.frames(),
            room: 2,
        });
    };
    for (frame, number) in frames.iter_mut().zip(window.first()..) {
        *frame = number;
    }
    let mut command = AcquireResource {
        domid: domain,
        r#type: RESOURCE_IOREQ_SERVER,
        id: u32::from(server),
        nr_frames: window.frames() as u32,
        pad: 0,
        frame: first,
        frame_list: Handle::new(frames),
    };
    issue(hypervisor, &mut command).inspect_err(|error| {
        // Xen maps page by page: when the second fails, the first stays (-EIO).
        if error.errno == Errno::EIO {
            for index in 0..window.frames() {
                let _ = unmap(hypervisor, window, index);
            }
        }
    })?;
    Ok(())
}

/// Gives `domain` new memory at `gfns`, in its own physmap and its own account.
pub fn populate<H: Hypervisor>(
    hypervisor: &H,
    domain: DomainId,
    gfns: &mut [u64],
) -> Result<(), MemoryError> {
    let asked = gfns.len() as u64;
    let mut command = PopulatePhysmap(reservation(domain, gfns));
    let done = issue(hypervisor, &mut command)?;
    whole("XENMEM_populate_physmap", domain, done, asked)
}

/// Takes the memory at `gfns` away from `domain`. Pages still mapped by anybody are freed only
/// when the last mapping goes.
pub fn decrease<H: Hypervisor>(
    hypervisor: &H,
    domain: DomainId,
    gfns: &mut [u64],
) -> Result<(), MemoryError> {
    let asked = gfns.len() as u64;
    let mut command = DecreaseReservation(reservation(domain, gfns));
    let done = issue(hypervisor, &mut command)?;
    whole("XENMEM_decrease_reservation", domain, done, asked)
}

fn reservation(domain: DomainId, gfns: &mut [u64]) -> Reservation<'_> {
    Reservation {
        nr_extents: gfns.len() as u64,
        extent_start: Handle::new(gfns),
        extent_order: 0,
        mem_flags: 0,
        domid: domain,
        pad: [0; 3],
    }
}

fn whole(call: &'static str, domain: DomainId, done: u64, asked: u64) -> Result<(), MemoryError> {
    if done < asked {
        return Err(MemoryError::Short {
            call,
            domain,
            done,
            asked,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
