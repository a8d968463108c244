//! Test memory with frame numbers: a window that exists.
#![expect(unsafe_code, reason = "hands out real memory as a window")]

use crate::abi::PAGE_SIZE;
use crate::shared::Window;

#[repr(align(4096))]
struct Page {
    _bytes: [u8; PAGE_SIZE],
}

/// Page-aligned memory on the host's heap, never freed: windows onto it are plain numbers.
#[derive(Debug, Clone, Copy)]
pub struct Arena {
    window: Window,
}

impl Arena {
    /// `pages` pages of zeroes.
    pub fn new(pages: usize) -> Self {
        let memory: Vec<Page> = (0..pages)
            .map(|_| Page {
                _bytes: [0; PAGE_SIZE],
            })
            .collect();
        let address = memory.leak().as_mut_ptr().expose_provenance();
        // SAFETY: the memory is leaked, so nobody else uses it, and a host's addresses are their
        // own frame numbers here.
        let window = unsafe { Window::new((address / PAGE_SIZE) as u64, pages as u64) };
        Self { window }
    }

    /// All of it.
    pub const fn window(&self) -> Window {
        self.window
    }
}
