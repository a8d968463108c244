//! The lines a scenario in Dom0 reads: `CHECK i915-<name> ok`, or `FAIL` and why.
//!
//! Every check runs in a thread of its own with a client of its own, so that neither a hanging
//! call nor a banned client takes the others with it. A thread that does not come back is left.

use core::fmt::Display;
use core::time::Duration;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use crate::device::Device;

/// What a check says: nothing, or why it failed.
pub type Outcome = Result<(), String>;

/// How long a check may take; generous, since the machine is emulated.
pub const LIMIT: Duration = Duration::from_secs(180);

/// Counts results while printing them.
#[derive(Debug, Default)]
pub struct Report {
    failed: u32,
    passed: u32,
}

impl Report {
    /// Runs a check and prints its result.
    pub fn check(
        &mut self,
        name: impl Display,
        check: impl FnOnce(&Device) -> Outcome + Send + 'static,
    ) {
        self.check_within(LIMIT, name, check);
    }

    /// Runs a check that may take so long.
    pub fn check_within(
        &mut self,
        limit: Duration,
        name: impl Display,
        check: impl FnOnce(&Device) -> Outcome + Send + 'static,
    ) {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let outcome = Device::open().and_then(|device| check(&device));
            // Nobody may be listening any more.
            let _ = sender.send(outcome);
        });
        let outcome = match receiver.recv_timeout(limit) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => Err(format!(
                "still running after {} s, left alone",
                limit.as_secs()
            )),
            Err(RecvTimeoutError::Disconnected) => Err("panicked".to_owned()),
        };
        match outcome {
            Ok(()) => {
                self.passed += 1;
                println!("CHECK i915-{name} ok");
            }
            Err(why) => {
                self.failed += 1;
                println!("CHECK i915-{name} FAIL {}", why.replace('\n', " "));
            }
        }
    }

    /// Whether everything passed, with a last line that says so.
    pub fn finish(self) -> bool {
        println!(
            "GUEST {} checks of i915 ok, {} failed",
            self.passed, self.failed
        );
        self.failed == 0 && self.passed > 0
    }
}

/// Prints a measurement.
pub fn figure(name: impl Display, value: impl Display) {
    println!("FIGURE i915-{name} {value}");
}

/// Fails unless the two are equal; `what` names them.
pub fn equal<T: PartialEq + core::fmt::LowerHex>(what: impl Display, got: T, want: T) -> Outcome {
    if got == want {
        Ok(())
    } else {
        Err(format!("{what} is {got:#x}, not {want:#x}"))
    }
}

/// Fails with `why` unless `holds`.
pub fn ensure(holds: bool, why: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(why()) }
}
