//! The console page and the hypervisor's console (`xen/io/console.h`, `xen/xen.h`).

/// `struct xencons_interface`: two byte rings with running indices.
///
/// ```text
/// in:  written by the console daemon, which moves in_prod; we move in_cons
/// out: written by us, we move out_prod; the daemon moves out_cons
/// ```
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct ConsoleInterface {
    pub r#in: [u8; 1024],
    pub out: [u8; 2048],
    pub in_cons: u32,
    pub in_prod: u32,
    pub out_cons: u32,
    pub out_prod: u32,
}

/// `CONSOLEIO_write`.
pub const CONSOLEIO_WRITE: u64 = 0;
/// `CONSOLEIO_read`.
pub const CONSOLEIO_READ: u64 = 1;
