//! The test program of a guest with Linux i915: uses the vGPU as any user program would.
//!
//! It talks to `/dev/dri/renderD128` by plain ioctls. `checks` has one file for each word of the
//! command line; `picture` and the encoders in `commands` are its own and share no table with the
//! software GPU under test. Run as root, after i915 was loaded.

mod abi;
mod checks;
mod commands;
mod context;
mod device;
mod engine;
mod fence;
mod object;
mod picture;
mod report;
mod spinner;
mod submission;
mod syncobj;
mod system;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use report::Report;

const USAGE: &str = "\
guest-render WORD...: checks Linux i915 on the GPU of this machine, through /dev/dri/renderD128.
  info       what the driver says it found
  store      stores from batches of all four engines
  registers  general-purpose registers, arithmetic, predicates, and what must be refused
  copy       the blitter's fills and copies, linear and tiled, pixel by pixel
  maps       read and write calls, mappings of every kind, own pages of the program
  chain      jumps, second-level batches, relocations, many objects, far addresses
  fences     sync files, syncobjs and implicit order, between engines
  contexts   64 contexts with address spaces of their own; contexts closed while busy
  spin       endless batches, ended by the CPU, alone and at once
  big        a batch of 4 MiB on every engine
  pages      objects that pages of 64 KiB can map, where the driver uses them
  many [N]   N small submissions (10000), and how many of them in a second
  hang       a batch that the kernel has to reset, on every engine; it must not copy the
             batch first (debugfs: error_capture N), since that can take minutes
  captured   the same on one engine, with the copy
  whole      the same where the whole GPU is reset (debugfs: reset 1)
  abandon    endless batches on all engines, left running
  all        everything but those four and many
Results are lines `CHECK i915-<what> ok` or `CHECK i915-<what> FAIL <why>`, and `FIGURE`s.";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty()
        || words
            .iter()
            .any(|word| matches!(word.as_str(), "help" | "--help"))
    {
        println!("{USAGE}");
        return ExitCode::from(2);
    }
    let mut report = Report::default();
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        let number = words.peek().and_then(|next| next.parse::<u32>().ok());
        if number.is_some() {
            words.next();
        }
        if !checks::run(&mut report, word, number) {
            println!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    if report.finish() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
