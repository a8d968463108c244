//! Giving up the processor: shut down, yield, wait for events, watchdog.

use crate::abi::sched::{BLOCK, POLL_PORTS_MAX, Poll, Shutdown, Watchdog, YIELD};
use crate::abi::{Errno, Handle, Hypercall};
use crate::events::Port;
use crate::hypercall::{Hypervisor, XenError, issue, issue_numbers};

pub use crate::abi::sched::ShutdownReason;

/// Asks Xen to shut this domain down. Returns only if Xen refuses.
pub fn shutdown<H: Hypervisor>(hypervisor: &H, reason: ShutdownReason) -> Result<(), XenError> {
    let mut command = Shutdown {
        reason: reason as u32,
    };
    issue(hypervisor, &mut command)?;
    Ok(())
}

/// Lets another vCPU run.
pub fn yield_now<H: Hypervisor>(hypervisor: &H) {
    // Xen never refuses it, and there would be nothing to do about it.
    let _ = issue_numbers(hypervisor, "SCHEDOP_yield", Hypercall::SchedOp, [YIELD, 0]);
}

/// Sleeps until an interrupt or upcall is pending; Xen opens event delivery meanwhile.
pub fn block<H: Hypervisor>(hypervisor: &H) -> Result<(), XenError> {
    issue_numbers(hypervisor, "SCHEDOP_block", Hypercall::SchedOp, [BLOCK, 0])?;
    Ok(())
}

/// Sleeps until one of `ports` (at most 128) is pending, masked or not, or system time reaches
/// `deadline` (nanoseconds; `None` waits for ever).
pub fn poll<H: Hypervisor>(
    hypervisor: &H,
    ports: &[Port],
    deadline: Option<u64>,
) -> Result<(), XenError> {
    if ports.len() > POLL_PORTS_MAX {
        return Err(XenError {
            call: "SCHEDOP_poll",
            domain: crate::abi::DomainId::SELF,
            errno: Errno::EINVAL,
            version: hypervisor.version(),
        });
    }
    let mut command = Poll {
        ports: Handle::input(ports),
        nr_ports: ports.len() as u32,
        pad: 0,
        // Zero means no deadline to Xen; one nanosecond after boot is as good as now.
        timeout: deadline.map_or(0, |nanoseconds| nanoseconds.max(1)),
    };
    issue(hypervisor, &mut command)?;
    Ok(())
}

/// Arms (`id` 0 makes a new one, returned), re-arms or, with 0 seconds, stops a watchdog that
/// ends this domain when it is not re-armed in time.
pub fn watchdog<H: Hypervisor>(hypervisor: &H, id: u32, seconds: u32) -> Result<u32, XenError> {
    let mut command = Watchdog {
        id,
        timeout: seconds,
    };
    let new = issue(hypervisor, &mut command)? as u32;
    Ok(if id == 0 { new } else { id })
}
