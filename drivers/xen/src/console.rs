//! The Xen console: a ring to the console daemon, and the hypervisor's own log.
//!
//! Output must never hold up the service, but a burst should not be lost just because the daemon
//! is a moment behind. So a full ring is waited for a bounded number of yields; once that was in
//! vain the ring counts as stuck and further output is dropped and counted at once, until there
//! is room again, when the count is written first.

use core::fmt::Write;
use core::mem::offset_of;

use arrayvec::ArrayString;

use crate::abi::Handle;
use crate::abi::console::{CONSOLEIO_READ, CONSOLEIO_WRITE, ConsoleInterface};
use crate::events::{self, Port};
use crate::hypercall::{Hypervisor, XenError, issue_console_io};
use crate::ring::{Layout, Receiver, Sender};
use crate::scheduling;
use crate::shared::SharedPage;

/// Yields spent on a full ring before it counts as stuck.
const PATIENCE: u32 = 256;

const OUT: Layout = Layout {
    data: offset_of!(ConsoleInterface, out),
    size: 2048,
    consumer: offset_of!(ConsoleInterface, out_cons),
    producer: offset_of!(ConsoleInterface, out_prod),
};

const IN: Layout = Layout {
    data: offset_of!(ConsoleInterface, r#in),
    size: 1024,
    consumer: offset_of!(ConsoleInterface, in_cons),
    producer: offset_of!(ConsoleInterface, in_prod),
};

/// This domain's console.
#[derive(Debug)]
pub struct Console<H, P> {
    // Fixed.
    hypervisor: H,
    page: P,
    port: Port,
    // Rings.
    sender: Sender,
    receiver: Receiver,
    // Bookkeeping.
    unreported: u64,
    dropped: u64,
}

impl<H: Hypervisor, P: SharedPage> Console<H, P> {
    /// Over the page and port of parameters `ConsolePfn` and `ConsoleEvtchn`.
    pub fn new(hypervisor: H, page: P, port: Port) -> Self {
        let sender = Sender::resume(&page, OUT);
        let receiver = Receiver::resume(&page, IN);
        Self {
            hypervisor,
            page,
            port,
            sender,
            receiver,
            unreported: 0,
            dropped: 0,
        }
    }

    /// The port that announces input.
    pub const fn port(&self) -> Port {
        self.port
    }

    /// Bytes dropped so far.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Writes bytes as they are and returns how many went out.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        // Since output was lost the ring counts as stuck, until a note about it has gone out.
        let mut patience = PATIENCE;
        if self.unreported > 0 {
            patience = 0;
            let mut note = ArrayString::<40>::new();
            // Longer than any number of 20 digits needs.
            let _ = write!(note, "[{} bytes of output lost]\r\n", self.unreported);
            let room = self.sender.room(&self.page).unwrap_or(0) as usize;
            if room < note.len() {
                return self.drop_rest(bytes.len(), 0);
            }
            self.unreported = 0;
            let _ = self.sender.put(&self.page, note.as_bytes());
        }
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match self.sender.put(&self.page, rest) {
                // A daemon that lies about its index reads nothing more from us.
                Err(_) => break,
                Ok(0) if patience == 0 => break,
                Ok(0) => {
                    patience -= 1;
                    self.notify();
                    scheduling::yield_now(&self.hypervisor);
                }
                Ok(put) => done += put,
            }
        }
        if done > 0 {
            self.notify();
        }
        self.drop_rest(bytes.len(), done)
    }

    fn drop_rest(&mut self, asked: usize, done: usize) -> usize {
        let lost = (asked - done) as u64;
        if lost > 0 {
            self.unreported = self.unreported.saturating_add(lost);
            self.dropped = self.dropped.saturating_add(lost);
        }
        done
    }

    /// Bytes that the ring takes now.
    pub fn room(&self) -> usize {
        // With a daemon that lies about its index everything is lost anyway.
        self.sender.room(&self.page).unwrap_or(0) as usize
    }

    /// Takes what was typed, without waiting, and returns how many bytes.
    pub fn read(&mut self, into: &mut [u8]) -> usize {
        let got = self.receiver.get(&self.page, into).unwrap_or(0);
        if got > 0 {
            self.notify();
        }
        got
    }

    fn notify(&self) {
        // Without a daemon at the other end there is nobody to tell.
        let _ = events::send(&self.hypervisor, self.port);
    }
}

/// Writes to the hypervisor's log (`xl dmesg`). A release build of Xen refuses it to guests.
pub fn write_hypervisor_log<H: Hypervisor>(hypervisor: &H, bytes: &[u8]) -> Result<(), XenError> {
    issue_console_io(
        hypervisor,
        CONSOLEIO_WRITE,
        Handle::input(bytes),
        bytes.len(),
    )
    .map(drop)
}

/// Takes what was typed on the serial line while it is ours (Dom0 only); returns how many bytes.
pub fn read_hypervisor_console<H: Hypervisor>(
    hypervisor: &H,
    into: &mut [u8],
) -> Result<usize, XenError> {
    let length = into.len();
    let got = issue_console_io(hypervisor, CONSOLEIO_READ, Handle::new(into), length)?;
    Ok((got as usize).min(length))
}

#[cfg(test)]
mod tests;
