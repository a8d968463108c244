//! The test program of an HVM guest: drives the vGPU at 00:02.0 by hand and tells what it saw.
//!
//! It is a small i915 of its own: every sequence (`driver`, `context`, `ggtt`, `ppgtt`,
//! `commands`) is written after the Linux driver and the manual, and shares no code or table with
//! the mediator and the software GPU it tests. `checks` says what must work and what must be
//! refused. Run as root, as /guest-test in the guest's initrd.

mod bench;
mod checks;
mod commands;
mod context;
mod draw;
mod driver;
mod ggtt;
mod hardware;
mod linux;
mod machine;
mod ppgtt;
mod race;
mod report;
mod surface;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use linux::Linux;
use report::Report;

const USAGE: &str = "guest-test [checks] | misbehave ROUNDS | draw N (0: for ever) | bench [READS] | race [ROUNDS]\n\
                     Several may follow each other: guest-test checks bench 500";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut linux = match Linux::open() {
        Ok(linux) => linux,
        Err(trouble) => {
            println!("CHECK guest-device FAIL {trouble}");
            return ExitCode::from(2);
        }
    };
    let mut report = Report::default();
    report.check("device", Ok(()));
    let mut words = words.iter().map(String::as_str).peekable();
    if words.peek().is_none() {
        checks::all(&mut linux, &mut report);
    }
    while let Some(word) = words.next() {
        let number = words.peek().and_then(|next| next.parse::<u32>().ok());
        if number.is_some() {
            words.next();
        }
        match (word, number) {
            ("checks", None) => checks::all(&mut linux, &mut report),
            ("misbehave", rounds) => {
                checks::misbehave(&mut linux, &mut report, rounds.unwrap_or(1));
            }
            ("draw", Some(count)) => draw::draw(&mut linux, &mut report, count),
            ("bench", reads) => {
                report.check("bench", bench::bench(&mut linux, reads.unwrap_or(200)));
            }
            ("race", rounds) => {
                report.check("race", race::race(&mut linux, rounds.unwrap_or(1)));
            }
            _ => {
                println!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    if report.finish() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
