//! `cargo xtask selftests`: i915's own live tests on a vGPU, compared with docs/fidelity.md.
//!
//! They are the driver's view of what a GPU does, written by those who know it, and say where the
//! software GPU or the mediator differs. They take long under software emulation, so no stage of
//! `cargo xtask test` runs them.

mod fidelity;
mod log;

use crate::bed::chain;
use crate::bed::chain::Options;
use crate::bed::scenario::Scenario;
use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::paths;
use crate::setup::Part;
use log::Reader;
use log::Verdict;
use std::fs;
use std::process::ExitCode;

const SCENARIO: &str = "selftests";
/// Seconds that a test may take.
const EACH: u32 = 900;

/// What one asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    /// Groups; all when empty.
    only: Vec<String>,
    /// The driver's `st_filter`.
    filter: String,
    /// Minutes after which the run is cut off, if any.
    minutes: Option<u32>,
    /// Seconds after which one test is cut off, if any.
    each: Option<u32>,
    /// Whether to write the table anew.
    renew: bool,
    /// Whether to show the consoles as they grow.
    live: bool,
}

impl Request {
    fn parse(arguments: &[String]) -> Outcome<Self> {
        let mut request = Self::default();
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match (word.as_str(), words.as_slice().first()) {
                ("--renew", _) => request.renew = true,
                ("--live", _) => request.live = true,
                ("--only", Some(name)) => {
                    // As in the names of the module's parameters, or without their prefix.
                    let name = name.strip_prefix("live_").unwrap_or(name);
                    request.only.push(name.to_owned());
                    words.next();
                }
                ("--minutes", Some(number)) => {
                    request.minutes = Some(between(word, 1, number, 230)?);
                    words.next();
                }
                ("--each", Some(number)) => {
                    request.each = Some(between(word, 30, number, 3600)?);
                    words.next();
                }
                ("--filter", Some(filter)) => {
                    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_/,!".contains(&byte);
                    if !filter.bytes().all(plain) {
                        return Err(Failure::new(
                            "a filter is a list of TEST or !TEST, separated by commas",
                        ));
                    }
                    request.filter.clone_from(filter);
                    words.next();
                }
                _ => {
                    return Err(Failure::new(format!(
                        "selftests takes --only GROUP, --filter FILTER, --minutes NUMBER, \
                         --each SECONDS, --live and --renew, not {word}"
                    )));
                }
            }
        }
        Ok(request)
    }
}

fn between(word: &str, least: u32, number: &str, most: u32) -> Outcome<u32> {
    let number = number.parse().ok();
    let number = number.filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| Failure::new(format!("{word} takes {least} to {most}")))
}

/// Runs them; fails if anything differs from the table.
pub fn run(arguments: &[String]) -> Outcome<ExitCode> {
    let request = Request::parse(arguments)?;
    let scenarios = Scenario::named(&[SCENARIO.to_owned()])?;
    let mut products = chain::products(Part::Flask, &scenarios)?;
    let Some(tests) = &mut products.selftests else {
        return Err(Failure::new("the scenario does not need its kernel"));
    };
    tests.filter.clone_from(&request.filter);
    tests.seconds = 60 * request.minutes.unwrap_or(230);
    tests.each = request.each.unwrap_or(EACH);
    let groups: Vec<_> = tests
        .groups
        .iter()
        .map(|group| group.name.clone())
        .collect();
    tests.choose(&request.only)?;
    println!(
        "{} groups of tests; logs of a run are in {}",
        tests.groups.len(),
        paths::output(SCENARIO).display()
    );

    let folder = paths::fresh_output(SCENARIO)?;
    let options = Options {
        flask: true,
        live: request.live,
    };
    let report = chain::run(&products, &scenarios, options, &folder)?;
    let mut reader = Reader::default();
    let mut files: Vec<_> = report.files.iter().collect();
    // By the number of the guest.
    files.sort_by_key(|(path, _)| (path.len(), path.as_str()));
    for (path, text) in files {
        if path.contains("/guest-selftest-") {
            reader.guest(text);
        }
    }
    let Reader { rows, mut done, .. } = reader;
    for row in &rows {
        println!(
            "{:15} {:40} {} {}",
            row.group, row.test, row.verdict, row.reason
        );
    }
    let count = |verdict| rows.iter().filter(|row| row.verdict == verdict).count();
    println!(
        "{} pass, {} fail, {} skip",
        count(Verdict::Pass),
        count(Verdict::Fail),
        count(Verdict::Skip)
    );

    // A filter leaves groups incomplete.
    done.retain(|_| request.filter.is_empty());
    let path = paths::root().join("docs/fidelity.md");
    let document = fs::read_to_string(&path).at("read", &path)?;
    if request.renew {
        let text = fidelity::renewed(&document, &rows, &done, &groups);
        fs::write(&path, text).at("write", &path)?;
        println!("wrote {}", path.display());
    }
    let committed = fidelity::rows(&document);
    let differences = fidelity::differences(&committed, &rows, &done);
    for difference in &differences {
        println!("differs from docs/fidelity.md: {difference}");
    }
    let failed = report.checks.iter().any(|check| check.failure.is_some());
    let good = (request.renew || differences.is_empty()) && !failed;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Outcome<Request> {
        let words: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
        Request::parse(&words)
    }

    #[test]
    fn groups_are_named_with_or_without_their_prefix() {
        let request = parse("--only live_gt_lrc --only mman --filter !a,b/c").expect("good");
        assert_eq!(request.only, ["gt_lrc", "mman"]);
        assert_eq!(request.filter, "!a,b/c");
        assert!(!request.renew && parse("--renew").expect("good").renew);
    }

    #[test]
    fn a_filter_that_would_not_stay_one_word_or_unknown_words_are_refused() {
        for words in [
            "--filter a;b",
            "--filter a#b",
            "--only",
            "gt_lrc",
            "--minutes 0",
            "--minutes x",
            "--each 5",
        ] {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
