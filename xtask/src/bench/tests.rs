use super::*;

const LINES: &str =
    "2|read|access|500|100\n3|read|access|500|200\n5|audit|byte||64\n6|audit|byte||128\n";

fn measured(totals: [u64; 4]) -> Outcome<Vec<Figure>> {
    figures(LINES, |count| {
        Ok(totals[match count {
            2 => 0,
            3 => 1,
            5 => 2,
            6 => 3,
            _ => unreachable!("a warm-up is no count"),
        }])
    })
}

#[test]
fn what_both_runs_have_in_common_is_in_no_figure() {
    let few = measured([7_000, 12_000, 9_064, 9_128]).expect("four counts");
    assert_eq!(few[0].instructions, 50.0);
    assert_eq!(few[1].instructions, 1.0);
    assert_eq!(few[0].goal, Some(500.0));
    assert_eq!(few[1].goal, None);
}

#[test]
fn a_program_that_ends_early_or_counts_backwards_gives_no_figures() {
    let total = |_| Ok(5);
    assert!(figures("", total).is_err());
    assert!(figures("2|read|access|500|100\n", total).is_err());
    assert!(measured([5, 5, 1, 2]).is_err(), "2N cost nothing more");
    assert!(figures("2|read|access|100\n", total).is_err());
}

#[test]
fn the_sum_is_callgrinds_own() {
    let text = "version: 1\nsummary: 9\n\nfn=a\n0 8\n\ntotals: 12345\n";
    assert_eq!(total(text), Some(12345));
    assert_eq!(total("version: 1\n"), None);
}

#[test]
fn the_written_baseline_reads_back_and_finds_nothing_to_say() {
    let figures = measured([7_000, 12_000, 9_064, 9_128]).expect("four counts");
    let baseline = parsed(&written("rustc 1, glibc 2", &figures)).expect("our own");
    assert_eq!(baseline.tools, "rustc 1, glibc 2");
    assert!(regressions(&figures, &baseline).is_empty());
}

#[test]
fn three_percent_more_pass_and_above_that_is_named_with_both_numbers() {
    let baseline = parsed("t\n50.00|access|read\n1.00|byte|audit\n").expect("two figures");
    let at = |total| measured([0, total, 0, 64]).expect("four counts");
    assert!(regressions(&at(5_150), &baseline).is_empty());
    assert!(regressions(&at(3_000), &baseline).is_empty());
    let complaints = regressions(&at(5_151), &baseline);
    let [complaint, remedy] = &complaints[..] else {
        panic!("{complaints:?}");
    };
    assert!(remedy.contains("cargo xtask bench --renew"), "{remedy}");
    assert!(
        complaint.contains("read") && complaint.contains("50.00"),
        "{complaint}"
    );
}

#[test]
fn a_figure_that_only_one_side_has_is_named() {
    let figures = measured([0, 5_000, 0, 64]).expect("four counts");
    let baseline = parsed("t\n50.00|access|read\n3.00|access|gone\n").expect("two figures");
    let complaints = regressions(&figures, &baseline).join("\n");
    assert!(complaints.contains("audit, per byte: not in the baseline"));
    assert!(complaints.contains("gone, per access: in the baseline, not measured"));
}

#[test]
fn a_missed_goal_is_named_and_a_met_one_is_not() {
    let figures = measured([0, 50_000, 0, 64]).expect("four counts");
    assert!(goals_missed(&figures).is_empty(), "500 is at most 500");
    let figures = measured([0, 50_001, 0, 64]).expect("four counts");
    assert_eq!(goals_missed(&figures).len(), 1);
}

#[test]
fn a_baseline_that_cannot_be_read_names_the_line() {
    for line in ["x|access|read", "-1|access|read", "5|read"] {
        let failure = parsed(&format!("t\n{line}\n")).expect_err("unreadable");
        assert!(failure.message.contains(line), "{failure}");
    }
}

#[test]
fn the_committed_baseline_is_readable() {
    let path = paths::root().join(BASELINE);
    let text = fs::read_to_string(&path).expect("committed");
    let baseline = parsed(&text).expect("readable");
    assert!(baseline.tools.starts_with("rustc ") && baseline.figures.len() > 10);
}
