//! What the kernel and we say to each other: structures and numbers of ioctls.
//!
//! Source: Linux `include/uapi/drm/i915_drm.h`, `drm.h` and `linux/sync_file.h`; `tests/abi.rs`
//! compares every one of them with what the C compiler makes of those headers. Field names are
//! the kernel's. Structures are all-zero by default, as the kernel wants reserved fields to be.

pub mod context;
pub mod execution;
pub mod object;
pub mod sync;

use core::marker::PhantomData;

/// An ioctl that takes a `T` in which there are no addresses: the kernel touches the `T` only.
///
/// Only this module makes them, so whoever has one may call it.
#[derive(Debug)]
pub struct Ioctl<T> {
    request: u64,
    name: &'static str,
    argument: PhantomData<fn(T)>,
}

/// An ioctl whose `T` has addresses of memory that the kernel reads or writes.
#[derive(Debug)]
pub struct PointerIoctl<T>(pub Ioctl<T>);

impl<T> Ioctl<T> {
    const fn new(name: &'static str, direction: u64, letter: u8, number: u64) -> Self {
        let size = size_of::<T>() as u64;
        Self {
            request: direction << 30 | size << 16 | (letter as u64) << 8 | number,
            name,
            argument: PhantomData,
        }
    }

    /// The request number, as `_IOW` and its like make it.
    pub const fn request(&self) -> u64 {
        self.request
    }

    /// The kernel's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

/// Bits 31:30 of a request number: the structure is read.
pub const WRITE: u64 = 1;
/// The structure is written.
pub const READ: u64 = 2;
/// The structure is read and written.
pub const READ_WRITE: u64 = 3;

/// Type letter of DRM's ioctls.
pub const DRM: u8 = b'd';
/// Type letter of the sync files' ioctls.
pub const SYNC: u8 = b'>';
/// DRM_COMMAND_BASE: a driver's own ioctls begin here.
pub const DRIVER: u64 = 0x40;

/// `ioctl!(NAME, Type, "KERNEL_NAME", direction, letter, number)`
macro_rules! ioctl {
    (with pointers $constant:ident, $type:ty, $name:literal, $($number:expr),*) => {
        #[doc = $name]
        pub const $constant: $crate::abi::PointerIoctl<$type> =
            $crate::abi::PointerIoctl($crate::abi::Ioctl::new($name, $($number),*));
    };
    ($constant:ident, $type:ty, $name:literal, $($number:expr),*) => {
        #[doc = $name]
        pub const $constant: $crate::abi::Ioctl<$type> =
            $crate::abi::Ioctl::new($name, $($number),*);
    };
}
use ioctl;
