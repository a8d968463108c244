//! What a run said on its serial line: results of checks, ends of scenarios, log files.
//!
//! Lines, each at the start of a line (testbed/README.md):
//! `T <seconds> SCENARIO <name> start`, `CHECK <name> ok`, `CHECK <name> FAIL <why>`,
//! `SCENARIO <name> done` (or how else it ended), `=== file <scenario>/<name>` … `=== end`.

use super::scenario::Scenario;
use crate::failure::printable;

/// One result of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// `scenario/name`.
    pub name: String,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Collects while the run goes on.
#[derive(Debug, Default)]
pub struct Report {
    /// Results, in order.
    pub checks: Vec<Check>,
    /// Log files: path and text.
    pub files: Vec<(String, String)>,
    /// How scenarios ended.
    ends: Vec<(String, String)>,
    /// The one that is running.
    scenario: String,
    in_file: bool,
}

impl Report {
    /// Takes one line of the serial log; the result if it was one.
    pub fn line(&mut self, line: &str) -> Option<&Check> {
        let line = line.trim_end_matches(['\r', '\n']);
        if let Some(path) = line.strip_prefix("=== file ") {
            self.files.push((path.trim().to_owned(), String::new()));
            self.in_file = true;
            return None;
        }
        if self.in_file {
            // Guests may print anything: inside a log nothing else has a meaning.
            if line == "=== end" {
                self.in_file = false;
            } else if let Some((_, text)) = self.files.last_mut() {
                text.push_str(line);
                text.push('\n');
            }
            return None;
        }
        let line = printable(line);
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["T", _, "SCENARIO", name, "start"] => {
                self.scenario = (*name).to_owned();
                None
            }
            ["SCENARIO", name, end @ ..] => {
                self.ends.push(((*name).to_owned(), end.join(" ")));
                None
            }
            ["CHECK", name, "ok"] => self.check(name, None),
            ["CHECK", name, "FAIL", why @ ..] => self.check(name, Some(why.join(" "))),
            ["CHECK", name, ..] => self.check(name, Some(format!("unreadable: {line}"))),
            _ => None,
        }
    }

    /// Whether a log file has begun and not ended.
    pub fn is_in_file(&self) -> bool {
        self.in_file
    }

    fn check(&mut self, name: &str, failure: Option<String>) -> Option<&Check> {
        let name = format!("{}/{name}", self.scenario);
        self.checks.push(Check { name, failure });
        self.checks.last()
    }

    /// After the run: one more result per scenario, telling whether it came to its end.
    pub fn judge(&mut self, scenarios: &[Scenario]) -> &[Check] {
        let first = self.checks.len();
        for scenario in scenarios {
            let prefix = format!("{}/", scenario.name);
            let mine = self.checks[..first]
                .iter()
                .filter(|check| check.name.starts_with(&prefix))
                .count();
            let end = self.ends.iter().find(|(name, _)| *name == scenario.name);
            let failure = match end {
                None => Some("did not come to its end".to_owned()),
                Some((_, end)) if end != "done" => Some(end.clone()),
                Some(_) if mine < scenario.checks => {
                    Some(format!("{mine} results of at least {}", scenario.checks))
                }
                Some(_) => None,
            };
            self.checks.push(Check {
                name: scenario.name.clone(),
                failure,
            });
        }
        &self.checks[first..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn scenario(name: &str, checks: usize) -> Scenario {
        Scenario {
            name: name.to_owned(),
            stages: Vec::new(),
            needs: Vec::new(),
            timeout: Duration::from_secs(1),
            checks,
        }
    }

    fn report(text: &str) -> Report {
        let mut report = Report::default();
        for line in text.lines() {
            report.line(line);
        }
        report
    }

    const RUN: &str = "\
\u{1b}cSeaBIOS\r
T 10.1 SCENARIO one start\r
CHECK created ok\r
(XEN) something CHECK not-this ok\r
CHECK drawn FAIL 3 of 7 pixels differ\r
SCENARIO one done\r
=== file one/guest-a.log\r
CHECK forged ok\r
SCENARIO two done\r
=== end\r
T 20.1 SCENARIO two start\r
CHECK created ok\r
";

    #[test]
    fn results_are_counted_and_named_after_their_scenario() {
        let mut report = report(RUN);
        report.judge(&[scenario("one", 2), scenario("two", 0)]);
        let results: Vec<_> = report
            .checks
            .iter()
            .map(|check| (check.name.as_str(), check.failure.as_deref()))
            .collect();
        assert_eq!(
            results,
            [
                ("one/created", None),
                ("one/drawn", Some("3 of 7 pixels differ")),
                ("two/created", None),
                ("one", None),
                ("two", Some("did not come to its end")),
            ]
        );
    }

    #[test]
    fn what_guests_print_inside_a_log_file_has_no_meaning() {
        let report = report(RUN);
        assert_eq!(report.files.len(), 1);
        assert_eq!(report.files[0].0, "one/guest-a.log");
        assert_eq!(report.files[0].1, "CHECK forged ok\nSCENARIO two done\n");
    }

    #[test]
    fn a_scenario_with_too_few_results_or_another_end_failed() {
        let mut few = report("T 1 SCENARIO a start\nCHECK x ok\nSCENARIO a done\n");
        let end = few.judge(&[scenario("a", 2)])[0].clone();
        assert_eq!(end.failure.as_deref(), Some("1 results of at least 2"));
        let mut late = report("SCENARIO a timed out after 240 s\n");
        let end = late.judge(&[scenario("a", 0)])[0].clone();
        assert_eq!(end.failure.as_deref(), Some("timed out after 240 s"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(lines in proptest::collection::vec(".*", 0..20)) {
            let mut report = Report::default();
            for line in &lines {
                report.line(line);
            }
            report.judge(&[scenario("a", 1)]);
        }

        #[test]
        fn a_failed_check_is_never_counted_as_passed(why in "[^\r\n]*") {
            let text = format!("CHECK name FAIL {why}");
            let mut report = Report::default();
            let check = report.line(&text).expect("a result");
            prop_assert!(check.failure.is_some());
        }
    }
}
