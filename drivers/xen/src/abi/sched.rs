//! Scheduler operations (`xen/sched.h`).

use super::event_channel::Port;
use super::{Handle, command};

/// `SCHEDOP_yield`, which takes no structure.
pub const YIELD: u64 = 0;
/// `SCHEDOP_block`, which takes no structure.
pub const BLOCK: u64 = 1;

/// `struct sched_shutdown`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct Shutdown {
    pub reason: u32,
}
command!(Shutdown, SchedOp, 2, "SCHEDOP_shutdown");

/// `struct sched_poll`.
#[derive(Debug)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct Poll<'a> {
    pub ports: Handle<'a, Port>,
    pub nr_ports: u32,
    pub pad: u32,
    pub timeout: u64,
}
command!(Poll<'a>, SchedOp, 3, "SCHEDOP_poll");

/// Ports one `SCHEDOP_poll` accepts (`common/sched/core.c:do_poll`).
pub const POLL_PORTS_MAX: usize = 128;

/// `struct sched_watchdog`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct Watchdog {
    pub id: u32,
    pub timeout: u32,
}
command!(Watchdog, SchedOp, 6, "SCHEDOP_watchdog");

/// Why a domain stops (`SHUTDOWN_*`); the toolstack acts on it by the domain's `on_…` settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ShutdownReason {
    /// `SHUTDOWN_poweroff`: finished, in good order.
    PowerOff = 0,
    /// `SHUTDOWN_reboot`: start again.
    Reboot = 1,
    /// `SHUTDOWN_suspend`: to be saved.
    Suspend = 2,
    /// `SHUTDOWN_crash`: something is badly wrong.
    Crash = 3,
    /// `SHUTDOWN_watchdog`: the watchdog fired.
    Watchdog = 4,
    /// `SHUTDOWN_soft_reset`: start again and keep memory.
    SoftReset = 5,
}
