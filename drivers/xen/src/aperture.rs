//! Real device frames in a guest's address space, without traps.
//!
//! `XEN_DOMCTL_memory_mapping` is open to a device model (`common/domctl.c`), provided that this
//! domain and the guest both hold I/O-memory permission for the frames, which Dom0 grants. Its
//! interface version changes between releases; the wrong one answers -EACCES, as a refusal by
//! policy does, so versions are tried in turn and the one that worked is remembered. One call
//! does a part and says how much: it is repeated until all is done.

use core::fmt;

use crate::abi::domctl::{MEMORY_MAPPING, MemoryMapping};
use crate::abi::{DomainId, Errno};
use crate::hypercall::{Hypervisor, XenError, issue_domctl};

/// Interface versions that are tried: 4.19 to 4.21, 4.22, 4.18, 4.17.
pub const VERSIONS: [u32; 4] = [0x17, 0x18, 0x16, 0x15];

/// Add or remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Guest frames become device frames.
    Map,
    /// They become holes again.
    Unmap,
}

/// A run of device frames and where the guest sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// First guest frame.
    pub first_gfn: u64,
    /// First machine frame of the device.
    pub first_mfn: u64,
    /// How many frames.
    pub frames: u64,
}

/// Why a slice could not be mapped or unmapped whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApertureError {
    /// Xen refused every version of the call.
    Refused(XenError),
    /// Xen did the first frames and then refused; these are mapped (or unmapped) now.
    Stopped {
        /// Frames done.
        done: u64,
        /// The refusal.
        error: XenError,
    },
    /// Xen claims more progress than was asked for, or none.
    Nonsense {
        /// The guest.
        domain: DomainId,
        /// Frames it said were done.
        done: u64,
    },
}

impl fmt::Display for ApertureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) if error.errno == Errno::EACCES => write!(
                f,
                "{error}: an unknown domctl version (known: 0x15 to 0x18), or policy forbids it"
            ),
            Self::Refused(error) if error.errno == Errno::EPERM => write!(
                f,
                "{error}: give I/O-memory permission for the device's frames to this domain \
                 (iomem=) and to the guest (gpuctl attach)"
            ),
            Self::Refused(error) => error.fmt(f),
            Self::Stopped { done, error } => write!(f, "{error}: after {done:#x} frames"),
            Self::Nonsense { domain, done } => {
                write!(
                    f,
                    "{domain}: Xen says that it mapped {done:#x} frames in one call"
                )
            }
        }
    }
}

impl core::error::Error for ApertureError {}

/// Maps device frames into guests.
#[derive(Debug)]
pub struct Aperture<H> {
    hypervisor: H,
    version: Option<u32>,
}

impl<H: Hypervisor> Aperture<H> {
    /// Not yet knowing the interface version.
    pub const fn new(hypervisor: H) -> Self {
        Self {
            hypervisor,
            version: None,
        }
    }

    /// Maps or unmaps a slice in `domain`. An empty slice is done at once.
    pub fn change(
        &mut self,
        domain: DomainId,
        change: Change,
        slice: Slice,
    ) -> Result<(), ApertureError> {
        let mut rest = slice;
        while rest.frames > 0 {
            let done = match self.step(domain, change, rest) {
                // Zero is success for the whole rest.
                Ok(0) => rest.frames,
                Ok(done) if done < rest.frames => done,
                Ok(done) => return Err(ApertureError::Nonsense { domain, done }),
                Err(error) if rest.frames == slice.frames => {
                    return Err(ApertureError::Refused(error));
                }
                Err(error) => {
                    return Err(ApertureError::Stopped {
                        done: slice.frames - rest.frames,
                        error,
                    });
                }
            };
            rest = Slice {
                first_gfn: rest.first_gfn.wrapping_add(done),
                first_mfn: rest.first_mfn.wrapping_add(done),
                frames: rest.frames - done,
            };
        }
        Ok(())
    }

    fn step(&mut self, domain: DomainId, change: Change, slice: Slice) -> Result<u64, XenError> {
        if let Some(version) = self.version {
            return self.call(version, domain, change, slice);
        }
        let [first, others @ ..] = VERSIONS;
        let mut result = self.call(first, domain, change, slice);
        let mut version = first;
        for other in others {
            match result {
                Err(error) if error.errno == Errno::EACCES => {
                    result = self.call(other, domain, change, slice);
                    version = other;
                }
                _ => break,
            }
        }
        // Any other answer than EACCES comes from behind the version check.
        if !matches!(result, Err(error) if error.errno == Errno::EACCES) {
            self.version = Some(version);
        }
        result
    }

    fn call(
        &self,
        version: u32,
        domain: DomainId,
        change: Change,
        slice: Slice,
    ) -> Result<u64, XenError> {
        let mut command = MemoryMapping {
            cmd: MEMORY_MAPPING,
            interface_version: version,
            domain,
            pad: [0; 3],
            first_gfn: slice.first_gfn,
            first_mfn: slice.first_mfn,
            nr_mfns: slice.frames,
            add_mapping: (change == Change::Map).into(),
            padding: 0,
            rest: [0; 12],
        };
        issue_domctl(&self.hypervisor, &mut command)
    }
}

#[cfg(test)]
mod tests;
