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

/// A step under way; say when it is done.
#[derive(Debug)]
pub struct Step {
    started: Instant,
    ended: bool,
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
            ended: false,
        }
    }
}

/// How far the step is, on its line.
pub fn so_far(what: &str) {
    print!("{what} … ");
    let _ = std::io::stdout().flush();
}

impl Step {
    /// Ends the line with the time it took.
    pub fn done(mut self) {
        self.end("");
    }

    /// Ends the line with the time and something worth knowing.
    pub fn done_with(mut self, what: &str) {
        self.end(&format!(" ({what})"));
    }

    fn end(&mut self, what: &str) {
        println!("{}{what}", seconds(self.started.elapsed()));
        self.ended = true;
    }
}

/// A step that nobody called done has failed.
impl Drop for Step {
    fn drop(&mut self) {
        if !self.ended {
            println!("failed after {}", seconds(self.started.elapsed()));
        }
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
