//! Sync files: fences as file descriptors.
#![expect(unsafe_code, reason = "calls ioctls that can take addresses")]

use core::time::Duration;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::abi::sync as abi;
use crate::system::{self, Refusal};

/// A fence.
#[derive(Debug)]
pub struct Fence {
    descriptor: OwnedFd,
}

impl Fence {
    /// Of a descriptor that the kernel gave us.
    pub const fn new(descriptor: OwnedFd) -> Self {
        Self { descriptor }
    }

    /// The descriptor.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Whether it is signalled, at the latest after `patience`.
    pub fn signalled_within(&self, patience: Duration) -> Result<bool, Refusal> {
        system::readable(&self.descriptor, patience)
    }

    /// 0 not signalled, 1 signalled, or the negative error that it was signalled with.
    pub fn status(&self) -> Result<i32, Refusal> {
        let mut argument = abi::FileInformation::default();
        // SAFETY: with room for no fence, only the structure itself is written.
        unsafe {
            system::call_with_pointers(&self.descriptor, &abi::FILE_INFORMATION, &mut argument)
        }?;
        Ok(argument.status)
    }

    /// A fence that is signalled when both are.
    pub fn merge(&self, other: &Self) -> Result<Self, Refusal> {
        let mut argument = abi::Merge {
            fd2: other.descriptor.as_raw_fd(),
            ..Default::default()
        };
        system::call(&self.descriptor, &abi::MERGE, &mut argument)?;
        // SAFETY: the kernel has just made it for us.
        Ok(Self::new(unsafe { OwnedFd::from_raw_fd(argument.fence) }))
    }
}
