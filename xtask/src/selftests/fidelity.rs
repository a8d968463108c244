//! docs/fidelity.md: what i915's own tests say of a vGPU, and what a run says now.
//!
//! One table row a test: `| group | test | result | reason |`. The text around the table and the
//! reasons of rows whose result is still the same are people's.

use super::log::Row;
use super::log::Verdict;

/// What one table row says; without the words of people's that tell why.
fn verdict(text: &str) -> Option<Verdict> {
    [Verdict::Pass, Verdict::Fail, Verdict::Skip]
        .into_iter()
        .find(|verdict| verdict.to_string() == text)
}

/// The rows of the table in the document.
pub fn rows(document: &str) -> Vec<Row> {
    document.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let line = line.strip_prefix("| ")?.strip_suffix('|')?;
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let [group, test, result, reason] = cells.as_slice() else {
        return None;
    };
    Some(Row {
        group: (*group).to_owned(),
        test: (*test).to_owned(),
        verdict: verdict(result)?,
        reason: (*reason).to_owned(),
    })
}

fn text(row: &Row) -> String {
    let Row {
        group,
        test,
        verdict,
        reason,
    } = row;
    format!("| {group} | {test} | {verdict} | {reason} |\n")
}

/// What differs between the committed rows and those of a run in which the groups `done` ended, a
/// sentence each.
pub fn differences(committed: &[Row], found: &[Row], done: &[String]) -> Vec<String> {
    let name = |row: &Row| format!("{}/{}", row.group, row.test);
    let mut all = Vec::new();
    for row in found {
        let known = committed.iter().find(|known| known.is_of(row));
        match known {
            Some(known) if known.verdict == row.verdict => {}
            Some(known) => all.push(format!(
                "{}: {} instead of {}: {}",
                name(row),
                row.verdict,
                known.verdict,
                row.reason
            )),
            None => all.push(format!(
                "{}: new: {} {}",
                name(row),
                row.verdict,
                row.reason
            )),
        }
    }
    // Of a group that did not end nothing is known about the tests that did not run.
    for row in committed.iter().filter(|row| done.contains(&row.group)) {
        if !found.iter().any(|other| other.is_of(row)) {
            all.push(format!("{}: did not run", name(row)));
        }
    }
    all
}

/// The document with the rows of a run: those of groups that are `done` and of tests that were found
/// in place of the old ones, in the driver's order of `groups`.
pub fn renewed(document: &str, found: &[Row], done: &[String], groups: &[String]) -> String {
    let committed = rows(document);
    let mut new: Vec<Row> = Vec::new();
    // Where a test is, it stays; new ones come last in their group.
    for old in &committed {
        match found.iter().find(|row| row.is_of(old)) {
            Some(row) if row.verdict != old.verdict => new.push(row.clone()),
            Some(_) => new.push(old.clone()),
            None if done.contains(&old.group) => {}
            None => new.push(old.clone()),
        }
    }
    for row in found {
        if !new.iter().any(|other| other.is_of(row)) {
            new.push(row.clone());
        }
    }
    new.sort_by_key(|row| groups.iter().position(|group| *group == row.group));
    let is_row = |line: &str| row(line).is_some();
    let lines: Vec<&str> = document.lines().collect();
    let first = lines.iter().position(|line| is_row(line));
    let first = first.unwrap_or(lines.len());
    let mut text: String = lines[..first]
        .iter()
        .map(|line| format!("{line}\n"))
        .collect();
    text.extend(new.iter().map(self::text));
    let rest = lines[first..].iter().filter(|line| !is_row(line));
    text.extend(rest.map(|line| format!("{line}\n")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
# Fidelity

| group | test | result | reason |
|---|---|---|---|
| gt_lrc | live_a | pass |  |
| gt_lrc | live_b | fail | no RPCS |
| guc |  | skip | no firmware |

The end.
";

    fn found(group: &str, test: &str, verdict: Verdict) -> Row {
        Row {
            group: group.to_owned(),
            test: test.to_owned(),
            verdict,
            reason: "said so".to_owned(),
        }
    }

    #[test]
    fn only_changed_new_and_missing_tests_are_told() {
        let committed = rows(DOCUMENT);
        assert_eq!(committed.len(), 3);
        let done = ["gt_lrc".to_owned()];
        let run = [
            found("gt_lrc", "live_b", Verdict::Fail),
            found("gt_lrc", "live_c", Verdict::Pass),
        ];
        assert_eq!(
            differences(&committed, &run, &done),
            [
                "gt_lrc/live_c: new: pass said so",
                "gt_lrc/live_a: did not run"
            ]
        );
        let run = [found("gt_lrc", "live_b", Verdict::Pass)];
        assert_eq!(
            differences(&committed, &run, &[]),
            ["gt_lrc/live_b: pass instead of fail: said so"]
        );
    }

    #[test]
    fn renewing_keeps_other_groups_the_text_and_reasons_that_still_hold() {
        let groups = ["vma", "gt_lrc", "guc"].map(str::to_owned);
        let run = [
            found("gt_lrc", "live_b", Verdict::Fail),
            found("gt_lrc", "live_c", Verdict::Skip),
            found("vma", "live_v", Verdict::Pass),
        ];
        let renewed = renewed(DOCUMENT, &run, &["gt_lrc".to_owned()], &groups);
        let table = "\
|---|---|---|---|
| vma | live_v | pass | said so |
| gt_lrc | live_b | fail | no RPCS |
| gt_lrc | live_c | skip | said so |
| guc |  | skip | no firmware |

The end.
";
        assert!(renewed.starts_with("# Fidelity\n\n| group") && renewed.ends_with(table));
    }

    #[test]
    fn a_group_that_was_cut_off_keeps_the_tests_that_did_not_run() {
        let groups = ["gt_lrc", "guc"].map(str::to_owned);
        let run = [found("gt_lrc", "live_b", Verdict::Pass)];
        let rows = rows(&renewed(DOCUMENT, &run, &[], &groups));
        let text: String = rows.iter().map(super::text).collect();
        assert_eq!(
            text,
            "| gt_lrc | live_a | pass |  |\n| gt_lrc | live_b | pass | said so |\n\
             | guc |  | skip | no firmware |\n"
        );
    }
}
