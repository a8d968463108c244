//! Windows of device registers in our address space.
//!
//! Accesses are single instructions of exactly the width asked for: a hypervisor decodes the
//! instruction, so what the compiler would make of a pointer access must not be left to it.
#![expect(unsafe_code, reason = "maps device memory and touches it")]

use core::arch::asm;
use core::ffi::{c_int, c_void};
use core::ptr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use crate::machine::{Trouble, Width};

const PROT_READ: c_int = 1;
const PROT_WRITE: c_int = 2;
const MAP_SHARED: c_int = 1;
const MAP_FAILED: *mut c_void = ptr::without_provenance_mut(usize::MAX);

// SAFETY: POSIX's mmap and munmap with the types of 64-bit Linux; std links the library.
unsafe extern "C" {
    fn mmap(
        at: *mut c_void,
        length: usize,
        protection: c_int,
        flags: c_int,
        file: c_int,
        offset: i64,
    ) -> *mut c_void;
    fn munmap(at: *mut c_void, length: usize) -> c_int;
}

/// One mapped window.
pub struct Mapping {
    base: *mut u8,
    size: u64,
}

impl Mapping {
    /// A BAR by its sysfs resource file, whose size is the BAR's.
    pub fn of_resource(path: &str) -> Result<Self, Trouble> {
        let trouble = |error: io::Error| Trouble(format!("{path}: {error}"));
        let file = File::options()
            .read(true)
            .write(true)
            .open(path)
            .map_err(trouble)?;
        let size = file.metadata().map_err(trouble)?.len();
        Self::new(&file, 0, size).map_err(trouble)
    }

    /// Physical addresses that are no RAM, through /dev/mem.
    pub fn physical(address: u64, size: u64) -> Result<Self, Trouble> {
        let trouble = |error: io::Error| Trouble(format!("/dev/mem at {address:#x}: {error}"));
        let file = File::options()
            .read(true)
            .write(true)
            .open("/dev/mem")
            .map_err(trouble)?;
        Self::new(&file, address, size).map_err(trouble)
    }

    fn new(file: &File, offset: u64, size: u64) -> io::Result<Self> {
        let offset = i64::try_from(offset).map_err(io::Error::other)?;
        let (access, descriptor) = (PROT_READ | PROT_WRITE, file.as_raw_fd());
        // SAFETY: a fresh mapping of device memory at an address of the kernel's choice overlaps
        // nothing; the kernel checks the file and the range.
        let base = unsafe {
            mmap(
                ptr::null_mut(),
                size as usize,
                access,
                MAP_SHARED,
                descriptor,
                offset,
            )
        };
        if base == MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            base: base.cast(),
            size,
        })
    }

    /// Whether an access lies inside; outside it is the test program's mistake.
    fn inside(&self, offset: u64, width: Width) -> *mut u8 {
        let end = offset.checked_add(width.bytes());
        assert!(
            end.is_some_and(|end| end <= self.size),
            "offset {offset:#x} is outside the BAR"
        );
        self.base.wrapping_add(offset as usize)
    }

    /// One read.
    pub fn load(&mut self, offset: u64, width: Width) -> u64 {
        let at = self.inside(offset, width);
        let value: u64;
        match width {
            // SAFETY: `inside` checked the range; the mapping lives as long as `self`; x86 loads
            // of any alignment are defined. The same for the other widths.
            Width::Byte => unsafe {
                asm!("movzx {0:e}, byte ptr [{1}]", out(reg) value, in(reg) at, options(nostack));
            },
            // SAFETY: as above.
            Width::Word => unsafe {
                asm!("movzx {0:e}, word ptr [{1}]", out(reg) value, in(reg) at, options(nostack));
            },
            // SAFETY: as above.
            Width::Dword => unsafe {
                asm!("mov {0:e}, dword ptr [{1}]", out(reg) value, in(reg) at, options(nostack));
            },
            // SAFETY: as above.
            Width::Qword => unsafe {
                asm!("mov {0}, qword ptr [{1}]", out(reg) value, in(reg) at, options(nostack));
            },
        }
        value
    }

    /// One write.
    pub fn store(&mut self, offset: u64, width: Width, value: u64) {
        let at = self.inside(offset, width);
        match width {
            // SAFETY: `inside` checked the range; the mapping lives as long as `self` and is device
            // memory that no reference points into. The same for the other widths.
            Width::Byte => unsafe {
                asm!("mov byte ptr [{0}], {1}", in(reg) at, in(reg_byte) value as u8, options(nostack));
            },
            // SAFETY: as above.
            Width::Word => unsafe {
                asm!("mov word ptr [{0}], {1:x}", in(reg) at, in(reg) value as u16, options(nostack));
            },
            // SAFETY: as above.
            Width::Dword => unsafe {
                asm!("mov dword ptr [{0}], {1:e}", in(reg) at, in(reg) value as u32, options(nostack));
            },
            // SAFETY: as above.
            Width::Qword => unsafe {
                asm!("mov qword ptr [{0}], {1}", in(reg) at, in(reg) value, options(nostack));
            },
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `base` and `size` are what mmap gave, and nothing points into the mapping.
        unsafe { munmap(self.base.cast(), self.size as usize) };
    }
}
