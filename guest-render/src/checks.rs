//! What must hold, word by word.

mod big;
mod chain;
mod contexts;
mod copy;
mod fences;
mod hang;
mod info;
mod many;
mod maps;
mod pages;
mod registers;
mod relocate;
mod spin;
mod store;
mod tiles;
mod whole;

use crate::report::Report;
#[cfg(test)]
pub use info::PARAMETERS;

/// Submissions of `many` unless told otherwise.
const MANY: u32 = 10_000;

/// Runs what a word of the command line stands for; whether it stands for anything.
pub fn run(report: &mut Report, word: &str, number: Option<u32>) -> bool {
    match (word, number) {
        ("info", None) => info::run(report),
        ("store", None) => store::run(report),
        ("registers", None) => registers::run(report),
        ("copy", None) => copy::run(report),
        ("maps", None) => {
            maps::run(report);
            tiles::run(report);
        }
        ("chain", None) => {
            chain::run(report);
            relocate::run(report);
        }
        ("fences", None) => fences::run(report),
        ("contexts", None) => contexts::run(report),
        ("spin", None) => spin::run(report),
        ("big", None) => big::run(report),
        ("pages", None) => pages::run(report),
        ("many", number) => many::run(report, number.unwrap_or(MANY)),
        ("hang", None) => hang::run(report),
        ("captured", None) => hang::captured(report),
        ("abandon", None) => hang::abandon(report),
        ("whole", None) => whole::run(report),
        ("all", None) => {
            for word in [
                "info",
                "store",
                "registers",
                "copy",
                "maps",
                "chain",
                "fences",
                "contexts",
                "spin",
                "big",
                "pages",
            ] {
                run(report, word, None);
            }
        }
        _ => return false,
    }
    true
}
