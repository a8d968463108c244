//! Xen's time against the image's, and sleeps that last.

use alloc::format;
use alloc::string::{String, ToString};
use log::info;
use xen::{DomainId, events};

use super::{Checks, Outcome, holds, why};
use crate::time;
use crate::wiring::xen::{Xen, system_time};

/// `VIRQ_CON_RING`: Dom0's, raised whenever Xen's console has a new line (`xen/xen.h`).
const VIRQ_CONSOLE_RING: u32 = 8;

/// One sleep, nanoseconds; and the deadline of one that an event shall end.
const SLEEP: u64 = 20_000_000;
const FAR: u64 = 20_000_000_000;

pub fn run(checks: &mut Checks, xen: &Xen) {
    checks.check("time-monotonic", monotonic());
    // In the first second Xen's record still is one from before this domain's TSC was zero.
    for round in 1..=3 {
        checks.check(format!("poll-sleeps-{round}"), sleeps(xen));
    }
    checks.check("time-agrees-with-tsc", agrees(xen));
    checks.check("poll-past-deadline", past(xen));
    checks.check("poll-woken", woken(xen));
}

fn system() -> Result<u64, String> {
    system_time().ok_or_else(|| "no consistent record".to_string())
}

fn monotonic() -> Outcome {
    let mut last = system()?;
    holds(last != 0, "system time is 0")?;
    for _ in 0..1000 {
        let now = system()?;
        if now < last {
            return Err(format!("{last} ns, then {now} ns"));
        }
        last = now;
    }
    Ok(())
}

/// Both clocks tell the same length of some sleeps, each reading of one between two of the other.
fn agrees(xen: &Xen) -> Outcome {
    let moment = || Ok::<_, String>((time::now(), system()?, time::now()));
    let start = moment()?;
    for _ in 0..3 {
        sleeps(xen)?;
    }
    let end = moment()?;
    let passed = end.1.saturating_sub(start.1);
    let least = end.0.saturating_sub(start.2);
    let most = end.2.saturating_sub(start.0);
    // Both rates are known to some parts in a million.
    let slack = most / 1000;
    if (least.saturating_sub(slack)..=most + slack).contains(&passed) {
        return Ok(());
    }
    Err(format!(
        "Xen counted {passed} ns, the TSC {least} to {most} ns"
    ))
}

/// With a port at which nothing comes, the deadline alone ends the sleep, not before its time.
fn sleeps(xen: &Xen) -> Outcome {
    let port = events::alloc_unbound(&xen.page, DomainId::SELF).map_err(why)?;
    let start = time::now();
    xen.wait([port].into_iter(), start + SLEEP);
    let slept = time::now() - start;
    events::close(&xen.page, port).map_err(why)?;
    // The two clocks' rates differ in the last digits.
    if slept < SLEEP - SLEEP / 1000 {
        return Err(format!("back after {slept} of {SLEEP} ns"));
    }
    Ok(())
}

/// A deadline that is over is no error and no sleep for ever.
fn past(xen: &Xen) -> Outcome {
    xen.wait([].into_iter(), 0);
    xen.wait([].into_iter(), time::now());
    Ok(())
}

/// An event of Xen's own ends a sleep before its deadline, masked as the port is.
fn woken(xen: &Xen) -> Outcome {
    let port = events::bind_virq(&xen.page, VIRQ_CONSOLE_RING, 0).map_err(why)?;
    xen.events.take(port);
    let start = time::now();
    info!("this line is the event that the next sleep waits for");
    xen.wait([port].into_iter(), start + FAR);
    let slept = time::now() - start;
    let came = xen.events.take(port);
    events::close(&xen.page, port).map_err(why)?;
    holds(came, "no event")?;
    holds(slept < FAR, "slept on until the deadline")
}
