//! Ways to leave: with a code to QEMU, through a hypervisor, or by starting anew.
#![expect(unsafe_code, reason = "ports of the exit device and the reset lines")]

use spin::Once;
use x86_64::instructions::port::Port;

/// Port of QEMU's isa-debug-exit as every script here places it.
const DEBUG_EXIT: u16 = 0xf4;

static EXIT: Once<fn(ExitReason) -> !> = Once::new();

/// Why the image stops. QEMU's exit status is `code * 2 + 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// What was asked for is done: status 33.
    Done,
    /// Our own bug: status 35.
    Panic,
    /// A processor exception: status 37.
    Fault,
    /// Memory used up, or too little to start with: status 39.
    OutOfMemory,
    /// The loader's information cannot be booted from: status 41.
    BadBootInformation,
    /// What was asked for was done, and went wrong: status 43.
    Failed,
}

impl ExitReason {
    /// What is written to the exit device.
    pub const fn code(self) -> u32 {
        match self {
            Self::Done => 0x10,
            Self::Panic => 0x11,
            Self::Fault => 0x12,
            Self::OutOfMemory => 0x13,
            Self::BadBootInformation => 0x14,
            Self::Failed => 0x15,
        }
    }
}

/// Sets how the image leaves from now on, instead of the exit device; on Xen, SCHEDOP_shutdown.
/// The first call counts.
pub fn set_exit(exit: fn(ExitReason) -> !) {
    EXIT.call_once(|| exit);
}

/// Leaves.
pub fn exit(reason: ExitReason) -> ! {
    if let Some(exit) = EXIT.get() {
        exit(reason);
    }
    debug_exit(reason)
}

/// Leaves through QEMU's isa-debug-exit; where there is none, stops.
pub fn debug_exit(reason: ExitReason) -> ! {
    // SAFETY: the port of isa-debug-exit, unclaimed on anything else.
    unsafe { Port::new(DEBUG_EXIT).write(reason.code()) };
    stop()
}

/// Starts the machine anew: the reset register of PC chipsets, then the keyboard controller.
pub fn reboot() -> ! {
    // SAFETY: 0xcf9 bits 1 and 2 ask for a full reset; nothing else happens where it is missing.
    unsafe { Port::new(0xcf9).write(0x06u8) };
    // SAFETY: command 0xfe of the keyboard controller pulls the reset line.
    unsafe { Port::new(0x64).write(0xfeu8) };
    stop()
}

/// Does nothing for ever.
fn stop() -> ! {
    x86_64::instructions::interrupts::disable();
    loop {
        x86_64::instructions::hlt();
    }
}
