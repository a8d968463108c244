//! What one domain alone can try of real Xen, each as one line of the console.
//!
//! `CHECK name ok`, or `CHECK name FAIL why`; at the end the tally and the exit status. Made for
//! a PVH Dom0, which needs no toolstack. Ports, grants and page frames are counted before and
//! after. Address space is borrowed from the IOREQ servers of guests that are not there.
//!
//! Not here, for want of a second domain: IOREQ servers, foreign pages, Xenstore, the console ring.
#![deny(unsafe_code)]

mod channels;
mod clock;
mod grants;
mod refusals;

use core::fmt::{Display, Write};

use alloc::format;
use alloc::string::{String, ToString};
use boot::MemoryMap;
use log::error;
use xen::abi::Errno;
use xen::abi::PAGE_SIZE;
use xen::abi::hvm::Parameter;
use xen::abi::shared_info::SharedInfo;
use xen::abi::version::Feature;
use xen::detect::{self, Features};
use xen::shared::SharedPage;
use xen::{DomainId, Version, parameters, scheduling};

use crate::frames;
use crate::power::{self, ExitReason};
use crate::wiring::xen::{self as wiring, Xen};

/// How a check went; the error is why it failed.
type Outcome = Result<(), String>;

/// Counts what it prints.
#[derive(Default)]
struct Checks {
    passed: u32,
    failed: u32,
}

impl Checks {
    // Not inlined, like the helpers below: these tests would double the size of the image's code.
    #[inline(never)]
    fn check(&mut self, name: impl Display, outcome: Outcome) {
        // A console that takes no more shows as a check that is missing.
        let _ = match outcome {
            Ok(()) => {
                self.passed += 1;
                writeln!(console::Output, "CHECK {name} ok")
            }
            Err(why) => {
                self.failed += 1;
                writeln!(console::Output, "CHECK {name} FAIL {why}")
            }
        };
    }
}

/// Fails unless two things are equal, and shows both.
#[inline(never)]
fn same<T: PartialEq + core::fmt::Debug>(found: T, expected: T) -> Outcome {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{found:?}, expected {expected:?}"))
    }
}

/// Fails with `why` unless it holds.
#[inline(never)]
fn holds(fact: bool, why: &str) -> Outcome {
    if fact { Ok(()) } else { Err(why.to_string()) }
}

/// An error of whatever kind as a reason.
#[inline(never)]
fn why(error: impl Display) -> String {
    error.to_string()
}

/// Tries everything and leaves.
pub fn run(xen: Option<&mut Xen>, map: &MemoryMap) -> ! {
    let Some(xen) = xen else {
        error!("scenario=dom0: not on Xen, or its shared page cannot be mapped");
        power::exit(ExitReason::Failed);
    };
    let mut checks = Checks::default();
    let ports = channels::open_ports(&xen.page);
    let free = frames::counts().free;
    identity(&mut checks, xen);
    checks.check("memory-map", memory_map(map));
    checks.check("shared-info", shared_info(xen));
    checks.check("parameter", parameter(xen));
    clock::run(&mut checks, xen);
    channels::run(&mut checks, xen);
    grants::run(&mut checks, xen);
    refusals::run(&mut checks, xen);
    watchdog(&mut checks, xen);
    channels::upcall(&mut checks, xen);
    checks.check(
        "no-port-leaked",
        same(channels::open_ports(&xen.page), ports),
    );
    checks.check("no-frame-leaked", same(frames::counts().free, free));
    let Checks { passed, failed } = checks;
    let _ = writeln!(console::Output, "CHECKS {passed} ok, {failed} failed");
    power::exit(if failed == 0 {
        ExitReason::Done
    } else {
        ExitReason::Failed
    })
}

fn identity(checks: &mut Checks, xen: &Xen) {
    let version = detect::version(&xen.page);
    checks.check(
        "version-call",
        version
            .map_err(why)
            .and_then(|found| same(found, xen.version)),
    );
    checks.check(
        "version-new-enough",
        xen.version.require(Version::REQUIRED).map_err(why),
    );
    checks.check("domain-number", same(xen.domain, Some(DomainId(0))));
    let features = Features::read(&xen.page);
    for (name, feature) in [
        ("feature-dom0", Feature::Dom0),
        ("feature-callback-vector", Feature::HvmCallbackVector),
        ("feature-safe-clock", Feature::HvmSafePvclock),
    ] {
        let there = features.map(|features| features.has(feature));
        checks.check(name, there.map_err(why).and_then(|there| same(there, true)));
    }
}

/// Xen's map, asked for once more, is the one we booted with.
fn memory_map(map: &MemoryMap) -> Outcome {
    let again = wiring::memory_map().map_err(why)?;
    holds(map.total_ram() > 0, "no RAM")?;
    same(again.regions(), map.regions())
}

/// The shared page is there and Xen writes it: the wall clock is set, every port masked by us.
fn shared_info(xen: &Xen) -> Outcome {
    let page = xen.events.shared_info();
    let mask = core::mem::offset_of!(SharedInfo, evtchn_mask);
    same(page.load_u64(mask), !0)?;
    let seconds = page.load_u32(core::mem::offset_of!(SharedInfo, wc_sec));
    holds(seconds != 0 && seconds != !0, "no wall clock")?;
    holds(size_of::<SharedInfo>() <= PAGE_SIZE, "larger than its page")
}

/// The toolstack's parameters can be read, and are not ours to set.
///
/// The one that is, the callback vector, cannot be taken back in a domain without a legacy
/// interrupt controller, and strikes for as long as the flag is up: handlers here only count.
fn parameter(xen: &Xen) -> Outcome {
    let value = || parameters::get(&xen.page, DomainId::SELF, Parameter::StorePfn).map_err(why);
    same(value()?, 0)?;
    let set = parameters::set(&xen.page, DomainId::SELF, Parameter::StorePfn, 1);
    same(set.map_err(|error| error.errno), Err(Errno::EPERM))?;
    same(value()?, 0)
}

/// A watchdog can be armed, put off and stopped; then it is none any more.
fn watchdog(checks: &mut Checks, xen: &Xen) {
    const SECONDS: u32 = 60;
    let call = |id, seconds| scheduling::watchdog(&xen.page, id, seconds).map_err(why);
    let armed = call(0, SECONDS);
    checks.check(
        "watchdog-armed",
        armed.clone().and_then(|id| holds(id != 0, "no number")),
    );
    let Ok(id) = armed else {
        return;
    };
    checks.check(
        "watchdog-put-off",
        call(id, SECONDS).and_then(|same_one| same(same_one, id)),
    );
    checks.check("watchdog-stopped", call(id, 0).map(drop));
    let gone = call(id, SECONDS);
    checks.check(
        "watchdog-gone",
        holds(gone.is_err(), "it can be put off still"),
    );
}
