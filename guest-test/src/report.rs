//! The lines a scenario in Dom0 reads: `CHECK guest-<name> ok`, or `FAIL` and why.

/// What a check says: nothing, or why it failed.
pub type Outcome = Result<(), String>;

/// Counts results while printing them.
#[derive(Debug, Default)]
pub struct Report {
    failed: u32,
    passed: u32,
}

impl Report {
    /// Prints one result.
    pub fn check(&mut self, name: &str, outcome: Outcome) {
        match outcome {
            Ok(()) => {
                self.passed += 1;
                println!("CHECK guest-{name} ok");
            }
            Err(why) => {
                self.failed += 1;
                println!("CHECK guest-{name} FAIL {}", why.replace('\n', " "));
            }
        }
    }

    /// Whether everything passed, with a last line that says so.
    pub fn finish(self) -> bool {
        println!("GUEST {} checks ok, {} failed", self.passed, self.failed);
        self.failed == 0 && self.passed > 0
    }
}

/// Fails unless the two are equal; `what` names them.
pub fn equal<T: PartialEq + core::fmt::LowerHex>(what: &str, got: T, want: T) -> Outcome {
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
