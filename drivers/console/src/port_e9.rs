//! Port 0xE9: one byte out is one byte said.
//!
//! QEMU's isa-debugcon answers a read of the port with 0xE9. Xen takes writes of an HVM or PVH
//! guest (`hvm_print_line`, shown with `guest_loglvl=all`) and refuses reads, so there only the
//! hypervisor's name tells.
#![expect(unsafe_code, reason = "port I/O")]

use crate::Sink;
use core::arch::asm;

const PORT: u16 = 0xe9;

/// The port, where something listens at it.
#[derive(Debug)]
pub(crate) struct PortE9(());

impl PortE9 {
    /// Finds out whether anyone listens.
    pub(crate) fn probe(on_xen: bool) -> Option<Self> {
        (on_xen || input() == 0xe9).then_some(Self(()))
    }
}

impl Sink for PortE9 {
    fn name(&self) -> &'static str {
        "port 0xe9"
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            output(byte);
        }
    }
}

fn input() -> u8 {
    let byte: u8;
    // SAFETY: reading 0xE9 has no side effect on a PC: it is a debug port or nothing at all.
    unsafe {
        asm!("in al, dx", in("dx") PORT, out("al") byte, options(nomem, nostack, preserves_flags));
    }
    byte
}

/// Says one byte; only for a port that [`PortE9::probe`] found.
pub(crate) fn output(byte: u8) {
    // SAFETY: the port was found to be a debug console, which only prints the byte.
    unsafe {
        asm!("out dx, al", in("dx") PORT, in("al") byte, options(nomem, nostack, preserves_flags));
    }
}
