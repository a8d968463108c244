//! Reads what i915's live tests said on a guest's console.
//!
//! Lines of the driver (`selftests/i915_selftest.c`), behind the kernel's time stamp:
//! `i915: Running GROUP`, `i915: Running CALLER/TEST`, `i915/CALLER: TEST failed with error -N`,
//! `i915/CALLER: setup failed for TEST`. That a test passed is said by nobody: the next one begins, or
//! the group ends. Lines of the guest's init: `SELFTEST GROUP begin`, `end`, or `crash`; of the scenario,
//! behind all others: `SELFTEST - hang`, `slow`, `cut` or `lost`.

use std::fmt;

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It came to its end and nothing complained.
    Pass,
    /// It failed, or the kernel warned, or the guest did not survive it.
    Fail,
    /// The driver found nothing to test on this GPU, or said that it skips the test.
    Skip,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
        })
    }
}

/// One test, or a group that has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// As in `i915_live_selftests.h`.
    pub group: String,
    /// The test's function; empty for the group itself.
    pub test: String,
    /// How it ended.
    pub verdict: Verdict,
    /// Why, if it did not pass.
    pub reason: String,
}

impl Row {
    /// Whether both are of the same test.
    pub fn is_of(&self, other: &Self) -> bool {
        (&self.group, &self.test) == (&other.group, &other.test)
    }
}

/// Rows from the consoles of several guests.
#[derive(Debug, Default)]
pub struct Reader {
    /// What ended so far.
    pub rows: Vec<Row>,
    /// The groups of which everything has ended.
    pub done: Vec<String>,
    group: String,
    /// Whether the driver has begun the group.
    is_running: bool,
    /// Whether something in it failed already.
    has_failed: bool,
    current: Option<Row>,
}

/// What the kernel says when something is wrong with it, or with the driver's assertions.
const COMPLAINTS: [&str; 5] = [
    "WARNING: ",
    "BUG: ",
    "kernel BUG at ",
    "GEM_BUG_ON(",
    "Oops: ",
];
/// The driver did not even begin a test. When it was loaded anew, it may have.
const NOT_BEGUN: &str = "the GPU was not idle, or wedged, before it";
/// After a group that did not fail, the driver says this about the device.
const AS_ASKED: &str = "failed with error -25";

impl Reader {
    /// Takes the whole console of one guest.
    pub fn guest(&mut self, console: &str) {
        for line in console.lines() {
            self.line(message(line.trim_end()));
        }
        self.stopped("the guest ended in it");
        self.group.clear();
    }

    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["SELFTEST", group, "begin"] => {
                self.group = (*group).to_owned();
                self.is_running = false;
                self.has_failed = false;
            }
            ["SELFTEST", "-", "hang"] => self.stopped("it hung"),
            ["SELFTEST", "-", "slow"] => self.stopped("it took too long"),
            // Nobody knows how the test would have ended.
            ["SELFTEST", "-", "cut" | "lost"] => {
                self.current = None;
                self.group.clear();
            }
            ["SELFTEST", _, "crash"] => self.stopped("the kernel crashed"),
            ["SELFTEST", _, "end"] => {
                self.close();
                // Also not in a guest before this one.
                let is_new = self.rows.iter().all(|row| row.group != self.group);
                if !self.group.is_empty() && is_new {
                    self.nothing_ran();
                }
                self.done.push(std::mem::take(&mut self.group));
            }
            ["i915:", "Running", name] => {
                self.close();
                self.is_running = true;
                if let Some((_, test)) = name.split_once('/') {
                    self.current = Some(self.row(test, Verdict::Pass, ""));
                }
            }
            [driver, test, "failed", "with", "error", number] if driver.starts_with("i915/") => {
                self.fail(test, &format!("error {number}"));
            }
            [driver, "setup", "failed", "for", test] if driver.starts_with("i915/") => {
                self.close();
                self.fail(test, NOT_BEGUN);
            }
            ["i915:", function, "-", "ok!"] if function.ends_with("sanitycheck()") => {
                self.push(self.row("", Verdict::Pass, ""));
            }
            _ => self.remark(line),
        }
    }

    fn row(&self, test: &str, verdict: Verdict, reason: &str) -> Row {
        Row {
            group: self.group.clone(),
            test: test.to_owned(),
            verdict,
            reason: reason.to_owned(),
        }
    }

    /// The test that ran has ended; whatever was not held against it, it passed.
    fn close(&mut self) {
        if let Some(row) = self.current.take() {
            self.push(row);
        }
    }

    fn push(&mut self, row: Row) {
        self.has_failed |= row.verdict == Verdict::Fail;
        self.rows
            .retain(|other| !other.is_of(&row) || other.reason != NOT_BEGUN);
        self.rows.push(row);
    }

    fn fail(&mut self, test: &str, why: &str) {
        let mut row = self
            .current
            .take()
            .filter(|row| row.test == test)
            .unwrap_or_else(|| self.row(test, Verdict::Fail, ""));
        row.verdict = Verdict::Fail;
        row.reason = joined(why, &row.reason);
        self.push(row);
    }

    /// A line that is none of the above.
    fn remark(&mut self, line: &str) {
        if line.contains("probe with driver i915 failed") && !line.ends_with(AS_ASKED) {
            self.close();
            if !self.has_failed {
                let why = if self.is_running {
                    "the group"
                } else {
                    "the driver's probe"
                };
                let number = line.rsplit(' ').next().unwrap_or_default();
                self.push(self.row("", Verdict::Fail, &format!("{why}: error {number}")));
            }
            return;
        }
        let Some(row) = &mut self.current else { return };
        if COMPLAINTS.iter().any(|words| line.contains(words)) {
            row.verdict = Verdict::Fail;
            row.reason = joined(&row.reason, line);
        } else if row.verdict == Verdict::Pass && line.to_lowercase().contains("skipping") {
            row.verdict = Verdict::Skip;
            line.clone_into(&mut row.reason);
        }
    }

    /// The guest ended, or its driver did, in the middle of a group.
    fn stopped(&mut self, why: &str) {
        if let Some(mut row) = self.current.take() {
            row.verdict = Verdict::Fail;
            row.reason = joined(&row.reason, why);
            self.push(row);
        } else if !self.group.is_empty() {
            self.push(self.row("", Verdict::Fail, why));
        }
        self.group.clear();
    }

    fn nothing_ran(&mut self) {
        let row = if self.is_running {
            self.row("", Verdict::Skip, "nothing to test on this GPU")
        } else {
            self.row("", Verdict::Fail, "the driver found no GPU")
        };
        self.push(row);
    }
}

/// Two reasons, the first complaint only: what follows it is mostly its consequence.
fn joined(one: &str, other: &str) -> String {
    let parts: Vec<_> = [one, other]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    let text = parts.join("; ").replace('|', "/");
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The line without the kernel's `[   12.345678] `.
fn message(line: &str) -> &str {
    line.strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
        .filter(|(time, _)| time.trim().parse::<f64>().is_ok())
        .map_or(line, |(_, message)| message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<(String, String, Verdict, String)> {
        let mut reader = Reader::default();
        reader.guest(text);
        let rows = reader.rows.into_iter();
        rows.map(|row| (row.group, row.test, row.verdict, row.reason))
            .collect()
    }

    fn row(
        group: &str,
        test: &str,
        verdict: Verdict,
        reason: &str,
    ) -> (String, String, Verdict, String) {
        (group.into(), test.into(), verdict, reason.into())
    }

    #[test]
    fn tests_pass_when_the_next_begins_or_the_group_ends() {
        let text = "\
SELFTEST gt_lrc begin\r
[    3.100000] i915: Performing live selftests with st_random_seed=0x1 st_timeout=500\r
[    3.200000] i915: Running gt_lrc\r
[    3.200000] i915: Running intel_lrc_live_selftests/live_lrc_layout\r
[    3.300000] i915: Running intel_lrc_live_selftests/live_lrc_fixed\r
[    3.300000] i915/intel_lrc_live_selftests: live_lrc_fixed failed with error -22\r
[    3.400000] i915 0000:00:02.0: probe with driver i915 failed with error -22\r
[    4.300000] i915: Running gt_lrc\r
[    4.300000] i915: Running intel_lrc_live_selftests/live_lrc_state\r
[    4.400000] i915 0000:00:02.0: probe with driver i915 failed with error -25\r
SELFTEST gt_lrc end\r
";
        assert_eq!(
            read(text),
            [
                row("gt_lrc", "live_lrc_layout", Verdict::Pass, ""),
                row("gt_lrc", "live_lrc_fixed", Verdict::Fail, "error -22"),
                row("gt_lrc", "live_lrc_state", Verdict::Pass, ""),
            ]
        );
    }

    #[test]
    fn warnings_and_skips_are_held_against_the_test_that_runs() {
        let text = "\
SELFTEST hugepages begin
i915: Running hugepages
i915: Running a/igt_one
WARNING: CPU: 0 PID: 9 at drivers/x.c:12 f+0x1/0x2
i915: Running a/igt_two
device lacks PS64, skipping
i915: Running a/igt_three
i915/a: setup failed for igt_four
SELFTEST hugepages end
";
        let warning = "WARNING: CPU: 0 PID: 9 at drivers/x.c:12 f+0x1/0x2";
        let wedged = "the GPU was not idle, or wedged, before it";
        assert_eq!(
            read(text),
            [
                row("hugepages", "igt_one", Verdict::Fail, warning),
                row(
                    "hugepages",
                    "igt_two",
                    Verdict::Skip,
                    "device lacks PS64, skipping"
                ),
                row("hugepages", "igt_three", Verdict::Pass, ""),
                row("hugepages", "igt_four", Verdict::Fail, wedged),
            ]
        );
    }

    #[test]
    fn a_group_without_tests_a_failed_probe_and_no_gpu_are_told_apart() {
        let text = "\
SELFTEST sanitycheck begin
i915: Running sanitycheck
i915: i915_live_sanitycheck() - ok!
i915 0000:00:02.0: probe with driver i915 failed with error -25
SELFTEST sanitycheck end
SELFTEST guc begin
i915: Running guc
i915 0000:00:02.0: probe with driver i915 failed with error -25
SELFTEST guc end
SELFTEST mman begin
i915 0000:00:02.0: probe with driver i915 failed with error -5
SELFTEST mman end
SELFTEST vma begin
SELFTEST vma end
";
        assert_eq!(
            read(text),
            [
                row("sanitycheck", "", Verdict::Pass, ""),
                row("guc", "", Verdict::Skip, "nothing to test on this GPU"),
                row("mman", "", Verdict::Fail, "the driver's probe: error -5"),
                row("vma", "", Verdict::Fail, "the driver found no GPU"),
            ]
        );
    }

    #[test]
    fn a_guest_that_crashed_or_vanished_failed_the_test_it_was_in() {
        let crash = "\
SELFTEST reset begin
i915: Running reset
i915: Running r/igt_wedge
kernel BUG at drivers/y.c:7!
SELFTEST reset crash
GUEST end
";
        let why = "kernel BUG at drivers/y.c:7!; the kernel crashed";
        assert_eq!(read(crash), [row("reset", "igt_wedge", Verdict::Fail, why)]);
        let hang = "SELFTEST reset begin\ni915: Running reset\ni915: Running r/igt_wedge\n";
        let why = "the guest ended in it";
        assert_eq!(read(hang), [row("reset", "igt_wedge", Verdict::Fail, why)]);
        let early = "SELFTEST reset begin\n";
        assert_eq!(read(early), [row("reset", "", Verdict::Fail, why)]);
    }

    #[test]
    fn a_test_that_was_cut_off_has_no_result_and_one_that_did_not_begin_may_have_one_later() {
        let text = "\
SELFTEST reset begin
i915: Running reset
i915: Running r/igt_wedge
i915/r: igt_wedge failed with error -5
i915/r: setup failed for igt_reset
i915 0000:00:02.0: probe with driver i915 failed with error -5
i915: Running reset
i915: Running r/igt_reset
i915: Running r/igt_last

SELFTEST - cut
";
        let rows = [
            row("reset", "igt_wedge", Verdict::Fail, "error -5"),
            row("reset", "igt_reset", Verdict::Pass, ""),
        ];
        assert_eq!(read(text), rows);
        let hang = text.replace("- cut", "- hang");
        let last = row("reset", "igt_last", Verdict::Fail, "it hung");
        assert_eq!(read(&hang).last(), Some(&last));
    }

    #[test]
    fn a_group_that_went_on_in_another_guest_is_done_with_the_rows_of_both() {
        let mut reader = Reader::default();
        reader.guest("SELFTEST a begin\ni915: Running a\ni915: Running r/one\nSELFTEST a crash\n");
        assert!(reader.done.is_empty());
        reader.guest("SELFTEST a begin\ni915: Running a\nSELFTEST a end\n");
        assert_eq!(
            (reader.rows.len(), &*reader.done),
            (1, &["a".to_owned()][..])
        );
    }

    proptest! {
        #[test]
        fn any_console_is_read_without_a_panic(
            lines in proptest::collection::vec(
                "(SELFTEST [a-z-]{1,2} (begin|end|crash|hang|slow|cut)|i915: Running [a-z]{1,2}(/[a-z])?|\
                 i915/a: [a-z] failed with error -5|WARNING: x|.{0,40})",
                0..40,
            )
        ) {
            let _ = read(&lines.join("\n"));
        }
    }
}
