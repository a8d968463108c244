//! Own pages whose frame numbers the device is told.
//!
//! Locked pages stay in RAM, but the kernel may still move them: compaction of locked pages is
//! switched off, huge pages are declined, and the checks ask for the frame numbers again at the
//! end. /proc/self/pagemap: bit 63 present, bits 54:0 the frame.
#![expect(unsafe_code, reason = "locks memory and shares it with a device")]

use core::arch::asm;
use core::ffi::{c_int, c_void};
use core::ptr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use crate::machine::{PAGE, Page, Trouble, Width};

const PROT_READ_WRITE: c_int = 3;
const MAP_PRIVATE: c_int = 0x02;
const MAP_ANONYMOUS: c_int = 0x20;
const MAP_FAILED: *mut c_void = ptr::without_provenance_mut(usize::MAX);
const MADV_NOHUGEPAGE: c_int = 15;

// SAFETY: mmap, mlock and madvise with the types of 64-bit Linux; std links the library.
unsafe extern "C" {
    fn mmap(
        at: *mut c_void,
        length: usize,
        protection: c_int,
        flags: c_int,
        file: c_int,
        offset: i64,
    ) -> *mut c_void;
    fn mlock(at: *const c_void, length: usize) -> c_int;
    fn madvise(at: *mut c_void, length: usize, advice: c_int) -> c_int;
}

/// A locked region, handed out page by page; it lives as long as the program.
pub struct Arena {
    base: *mut u32,
    pages: usize,
    used: usize,
    pagemap: File,
}

impl Arena {
    /// Sets `pages` zeroed pages aside.
    pub fn new(pages: usize) -> Result<Self, Trouble> {
        let trouble = |what: &str| Trouble(format!("{what}: {}", io::Error::last_os_error()));
        // Absent on kernels without compaction, where nothing moves pages anyway.
        let _ = fs::write("/proc/sys/vm/compact_unevictable_allowed", "0");
        let length = pages * PAGE as usize;
        let flags = MAP_PRIVATE | MAP_ANONYMOUS;
        // SAFETY: fresh anonymous memory at an address of the kernel's choice overlaps nothing.
        let base = unsafe { mmap(ptr::null_mut(), length, PROT_READ_WRITE, flags, -1, 0) };
        if base == MAP_FAILED {
            return Err(trouble("mmap"));
        }
        // SAFETY: advice about the mapping just made; it changes no contents.
        unsafe { madvise(base, length, MADV_NOHUGEPAGE) };
        // SAFETY: the mapping just made; locking changes no contents.
        if unsafe { mlock(base, length) } != 0 {
            return Err(trouble("mlock"));
        }
        let pagemap = File::open("/proc/self/pagemap");
        let pagemap = pagemap.map_err(|error| Trouble(format!("/proc/self/pagemap: {error}")))?;
        Ok(Self {
            base: base.cast(),
            pages,
            used: 0,
            pagemap,
        })
    }

    /// The next unused page.
    pub fn page(&mut self) -> Result<Page, Trouble> {
        let index = self.used;
        if index >= self.pages {
            return Err(Trouble(format!(
                "all {} pages of the arena are used",
                self.pages
            )));
        }
        self.used += 1;
        Ok(Page {
            index,
            frame: self.frame(index)?,
        })
    }

    /// Asks the kernel where a page is now.
    pub fn frame(&self, index: usize) -> Result<u64, Trouble> {
        const PRESENT: u64 = 1 << 63;
        const FRAME: u64 = (1 << 55) - 1;
        let virtual_page = self.base.addr() as u64 / PAGE + index as u64;
        let mut entry = [0; 8];
        let read = self.pagemap.read_exact_at(&mut entry, 8 * virtual_page);
        read.map_err(|error| Trouble(format!("/proc/self/pagemap: {error}")))?;
        let entry = u64::from_le_bytes(entry);
        if entry & PRESENT == 0 || entry & FRAME == 0 {
            return Err(Trouble(format!(
                "pagemap entry {entry:#x}: not present, or we are not root"
            )));
        }
        Ok(entry & FRAME)
    }

    /// Reads a dword that a device may have written.
    pub fn read(&self, page: Page, dword: usize) -> u32 {
        // SAFETY: `at` checked the range; the arena is never unmapped and no reference to its
        // contents exists, only volatile accesses.
        unsafe { self.at(page, dword).read_volatile() }
    }

    /// Writes a dword that a device will read.
    pub fn write(&mut self, page: Page, dword: usize, value: u32) {
        // SAFETY: as in `read`.
        unsafe { self.at(page, dword).write_volatile(value) };
    }

    /// One store instruction, aligned or not.
    pub fn store(&mut self, page: Page, offset: u64, width: Width, value: u64) {
        assert!(offset + width.bytes() <= PAGE, "inside the page");
        let at = self.at(page, 0).wrapping_byte_add(offset as usize);
        match width {
            // SAFETY: as in `read`; the assertion keeps the bytes inside the page.
            Width::Byte => unsafe {
                asm!("mov [{}], {}", in(reg) at, in(reg_byte) value as u8, options(nostack, preserves_flags));
            },
            // SAFETY: the same.
            Width::Word => unsafe {
                asm!("mov [{}], {:x}", in(reg) at, in(reg) value as u16, options(nostack, preserves_flags));
            },
            // SAFETY: the same.
            Width::Dword => unsafe {
                asm!("mov [{}], {:e}", in(reg) at, in(reg) value as u32, options(nostack, preserves_flags));
            },
            // SAFETY: the same.
            Width::Qword => unsafe {
                asm!("mov [{}], {}", in(reg) at, in(reg) value, options(nostack, preserves_flags));
            },
        }
    }

    /// Fills a page with one `rep stosq`.
    pub fn fill(&mut self, page: Page, value: u64) {
        let at = self.at(page, 0);
        // SAFETY: as in `read`; one page's worth from its start. Rust keeps the direction flag clear.
        unsafe {
            asm!("rep stosq", inout("rdi") at => _, inout("rcx") PAGE / 8 => _, in("rax") value,
                options(nostack, preserves_flags));
        }
    }

    fn at(&self, page: Page, dword: usize) -> *mut u32 {
        let words = PAGE as usize / 4;
        assert!(
            page.index < self.pages && dword < words,
            "dword {dword} of page {}",
            page.index
        );
        self.base.wrapping_add(page.index * words + dword)
    }
}
