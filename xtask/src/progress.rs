//! One line per step: "[3/6] Dom0 root: unpacking 134 packages … 38 s".

use std::io::Write;
use std::time::Duration;
use std::time::Instant;

/// Counts the steps of one piece of work.
#[derive(Debug)]
pub struct Progress {
    done: usize,
    total: usize,
}

/// A step under way; say how it ended.
#[derive(Debug)]
pub struct Step {
    started: Instant,
}

impl Progress {
    /// `total` steps are to come.
    pub fn new(total: usize) -> Self {
        Self { done: 0, total }
    }

    /// Announces the next step.
    pub fn step(&mut self, what: &str) -> Step {
        self.done += 1;
        print!("[{}/{}] {what} … ", self.done, self.total);
        // Only shows late when it fails.
        let _ = std::io::stdout().flush();
        Step {
            started: Instant::now(),
        }
    }
}

impl Step {
    /// Ends the line with the time it took.
    pub fn done(self) {
        println!("{}", seconds(self.started.elapsed()));
    }

    /// Ends the line with the time and something worth knowing.
    pub fn done_with(self, what: &str) {
        println!("{} ({what})", seconds(self.started.elapsed()));
    }

    /// Ends the line of a step that failed.
    pub fn failed(self) {
        println!("failed after {}", seconds(self.started.elapsed()));
    }
}

/// Seconds for people: tenths below ten.
pub fn seconds(time: Duration) -> String {
    let value = time.as_secs_f64();
    if value < 10.0 {
        format!("{value:.1} s")
    } else {
        format!("{value:.0} s")
    }
}
