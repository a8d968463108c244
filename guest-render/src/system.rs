//! System calls: ioctl, mmap, poll.
//!
//! The library functions are declared by hand; std links the library.
#![expect(
    unsafe_code,
    reason = "asks the kernel, and shares memory with a device"
)]

use core::ffi::{c_int, c_short, c_ulong, c_void};
use core::fmt;
use core::ptr;
use core::time::Duration;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

use crate::abi::{Ioctl, PointerIoctl};

const PROT_READ_WRITE: c_int = 3;
const MAP_SHARED: c_int = 1;
const MAP_PRIVATE_ANONYMOUS: c_int = 0x22;
const MAP_FAILED: *mut c_void = ptr::without_provenance_mut(usize::MAX);
const POLLIN: c_short = 1;

/// What the kernel wants to be asked again for.
const INTERRUPTED: i32 = 4;
const AGAIN: i32 = 11;
/// How long it is asked again.
const PATIENCE: Duration = Duration::from_secs(60);

/// struct timespec.
#[repr(C)]
#[derive(Default)]
struct Moment {
    seconds: i64,
    nanoseconds: i64,
}

/// struct pollfd.
#[repr(C)]
struct PollDescriptor {
    descriptor: c_int,
    events: c_short,
    returned: c_short,
}

// SAFETY: the C library's functions with the types of 64-bit Linux; std links the library.
unsafe extern "C" {
    fn ioctl(file: c_int, request: c_ulong, argument: *mut c_void) -> c_int;
    fn mmap(
        at: *mut c_void,
        length: usize,
        protection: c_int,
        flags: c_int,
        file: c_int,
        offset: i64,
    ) -> *mut c_void;
    fn munmap(at: *mut c_void, length: usize) -> c_int;
    fn clock_gettime(clock: c_int, moment: *mut Moment) -> c_int;
    fn poll(descriptors: *mut PollDescriptor, count: c_ulong, milliseconds: c_int) -> c_int;
}

/// What the kernel refused, and its number for why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The kernel's name of the call.
    pub call: &'static str,
    /// Its error number.
    pub error: i32,
}

impl Refusal {
    fn last(call: &'static str) -> Self {
        let error = io::Error::last_os_error().raw_os_error().unwrap_or(0);
        Self { call, error }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = io::Error::from_raw_os_error(self.error);
        write!(formatter, "{}: {reason}", self.call)
    }
}

impl From<Refusal> for String {
    fn from(refusal: Refusal) -> Self {
        refusal.to_string()
    }
}

/// Calls an ioctl, again if a signal came in between.
pub fn call<T>(file: impl AsFd, ioctl: &Ioctl<T>, argument: &mut T) -> Result<(), Refusal> {
    // SAFETY: `Ioctl` says that there are no addresses in the argument.
    unsafe { request(file, ioctl, argument) }
}

/// Calls an ioctl whose argument has addresses.
///
/// # Safety
///
/// They must be of memory that may be read and written as the ioctl does, or null.
pub unsafe fn call_with_pointers<T>(
    file: impl AsFd,
    ioctl: &PointerIoctl<T>,
    argument: &mut T,
) -> Result<(), Refusal> {
    // SAFETY: the caller answers for the addresses.
    unsafe { request(file, &ioctl.0, argument) }
}

/// # Safety
///
/// As for [`call_with_pointers`].
unsafe fn request<T>(file: impl AsFd, call: &Ioctl<T>, argument: &mut T) -> Result<(), Refusal> {
    let descriptor = file.as_fd().as_raw_fd();
    let start = Instant::now();
    loop {
        // SAFETY: the request number says the size of `T`, so the kernel reads and writes no more
        // than the argument; the caller answers for addresses in it.
        let result = unsafe { ioctl(descriptor, call.request(), ptr::from_mut(argument).cast()) };
        if result >= 0 {
            return Ok(());
        }
        let refusal = Refusal::last(call.name());
        let again = matches!(refusal.error, INTERRUPTED | AGAIN);
        if !again || start.elapsed() > PATIENCE {
            return Err(refusal);
        }
    }
}

/// The monotonic clock, which some ioctls take deadlines of.
pub fn monotonic() -> Duration {
    const MONOTONIC: c_int = 1;
    let mut moment = Moment::default();
    // SAFETY: room for one moment. It cannot fail: the clock exists.
    unsafe { clock_gettime(MONOTONIC, &raw mut moment) };
    Duration::new(moment.seconds as u64, moment.nanoseconds as u32)
}

/// Whether a descriptor became readable (a fence: signalled) in time.
pub fn readable(file: impl AsFd, patience: Duration) -> Result<bool, Refusal> {
    let mut descriptor = PollDescriptor {
        descriptor: file.as_fd().as_raw_fd(),
        events: POLLIN,
        returned: 0,
    };
    let milliseconds = c_int::try_from(patience.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: one descriptor, as the count says.
    match unsafe { poll(&raw mut descriptor, 1, milliseconds) } {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Refusal::last("poll")),
    }
}

/// Memory in our address space that somebody else may write at any time.
#[derive(Debug)]
pub struct Mapping {
    base: *mut u8,
    size: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is accessed volatile only.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps a part of a file.
    pub fn of_file(file: &File, offset: u64, size: usize) -> Result<Self, Refusal> {
        Self::new(MAP_SHARED, file.as_raw_fd(), offset as i64, size)
    }

    /// Own pages, zeroed.
    pub fn anonymous(size: usize) -> Result<Self, Refusal> {
        Self::new(MAP_PRIVATE_ANONYMOUS, -1, 0, size)
    }

    fn new(flags: c_int, file: c_int, offset: i64, size: usize) -> Result<Self, Refusal> {
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let base = unsafe { mmap(ptr::null_mut(), size, PROT_READ_WRITE, flags, file, offset) };
        if base == MAP_FAILED {
            return Err(Refusal::last("mmap"));
        }
        Ok(Self {
            base: base.cast(),
            size,
        })
    }

    /// Takes over what the kernel mapped for us.
    ///
    /// # Safety
    ///
    /// `size` bytes at `address` must be mapped for reading and writing, and for nobody else.
    pub unsafe fn adopt(address: u64, size: usize) -> Self {
        Self {
            base: ptr::with_exposed_provenance_mut(address as usize),
            size,
        }
    }

    /// Where it is.
    pub fn address(&self) -> u64 {
        self.base.expose_provenance() as u64
    }

    /// Reads one dword.
    pub fn read(&self, offset: usize) -> u32 {
        // SAFETY: `at` checked the range and alignment; unmapped by `drop` only.
        unsafe { self.at::<u32>(offset).read_volatile() }
    }

    /// Writes one dword.
    pub fn write(&self, offset: usize, value: u32) {
        // SAFETY: as in `read`.
        unsafe { self.at::<u32>(offset).write_volatile(value) };
    }

    fn at<T>(&self, offset: usize) -> *mut T {
        let end = offset.checked_add(size_of::<T>());
        assert!(
            end.is_some_and(|end| end <= self.size) && offset.is_multiple_of(align_of::<T>()),
            "offset {offset:#x} of a mapping of {:#x} bytes",
            self.size
        );
        self.base.wrapping_add(offset).cast()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the whole of a mapping that is ours; nobody can use it any more.
        unsafe { munmap(self.base.cast(), self.size) };
    }
}
