//! Syncobjs: named places for fences, binary or as a timeline.
#![expect(unsafe_code, reason = "gives the kernel addresses of lists")]

use core::ptr;
use core::time::Duration;

use crate::abi::sync as abi;
use crate::device::Device;
use crate::system::{self, Refusal};

/// ETIME: not yet.
const TIMER_EXPIRED: i32 = 62;

/// A syncobj; destroyed when dropped.
#[derive(Debug)]
pub struct Syncobj {
    device: Device,
    /// The kernel's number for it.
    pub handle: u32,
}

impl Syncobj {
    /// Makes one without a fence.
    pub fn new(device: &Device) -> Result<Self, Refusal> {
        let mut argument = abi::SyncobjCreate::default();
        device.call(&abi::SYNCOBJ_CREATE, &mut argument)?;
        Ok(Self {
            device: device.clone(),
            handle: argument.handle,
        })
    }

    /// Whether its fence is signalled, at the latest after `patience`.
    pub fn signalled_within(&self, patience: Duration) -> Result<bool, Refusal> {
        let mut argument = abi::SyncobjWait {
            handles: ptr::from_ref(&self.handle).expose_provenance() as u64,
            timeout_nsec: (system::monotonic() + patience).as_nanos() as i64,
            count_handles: 1,
            ..Default::default()
        };
        // SAFETY: one handle, as the count says.
        let result =
            unsafe { system::call_with_pointers(&self.device, &abi::SYNCOBJ_WAIT, &mut argument) };
        match result {
            Ok(()) => Ok(true),
            Err(refusal) if refusal.error == TIMER_EXPIRED => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }

    /// The last point of its timeline that is signalled.
    pub fn point(&self) -> Result<u64, Refusal> {
        let mut point = 0_u64;
        let mut argument = abi::TimelineQuery {
            handles: ptr::from_ref(&self.handle).expose_provenance() as u64,
            points: ptr::from_mut(&mut point).expose_provenance() as u64,
            count_handles: 1,
            ..Default::default()
        };
        // SAFETY: one handle and room for one point.
        unsafe { system::call_with_pointers(&self.device, &abi::TIMELINE_QUERY, &mut argument) }?;
        Ok(point)
    }
}

impl Drop for Syncobj {
    fn drop(&mut self) {
        let mut argument = abi::SyncobjDestroy {
            handle: self.handle,
            ..Default::default()
        };
        // One that is not ours to destroy would have failed all along.
        let _ = self.device.call(&abi::SYNCOBJ_DESTROY, &mut argument);
    }
}
