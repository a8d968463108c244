//! The stages of `cargo xtask test`, and how they are run, timed and counted.

mod emulated;
mod host_side;

pub use emulated::plain_machine;
pub use host_side::renew_dependencies;

use crate::bed::chain::STORY;
use crate::bed::report::Check;
use crate::bench;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::failure::printable;
use crate::paths;
use crate::progress::seconds;
use std::path::Path;
use std::time::Instant;

/// What a stage that worked has to say.
#[derive(Debug, Default)]
pub struct Summary {
    /// For the line that ends it.
    pub note: String,
    /// Results of its scenarios.
    pub checks: Vec<Check>,
    /// Their logs: path in the stage's folder, and text.
    pub files: Vec<(String, String)>,
}

impl Summary {
    fn note(text: impl Into<String>) -> Self {
        Self {
            note: text.into(),
            ..Self::default()
        }
    }
}

/// A part of the tests that can be run by its name.
#[derive(Debug, Clone, Copy)]
pub struct Stage {
    /// What one types.
    pub name: &'static str,
    /// One line of help.
    pub about: &'static str,
    /// A stage that must not have stopped short, when it is run as well.
    needs: Option<&'static str>,
    run: fn(&Path) -> Outcome<Summary>,
}

/// All stages, in the order they are run.
pub const STAGES: [Stage; 12] = [
    Stage {
        name: "fmt",
        about: "the sources are formatted",
        needs: None,
        run: host_side::fmt,
    },
    Stage {
        name: "clippy",
        about: "no lint says anything, tests included",
        needs: None,
        run: host_side::clippy,
    },
    Stage {
        name: "doc",
        about: "the documentation builds without a warning",
        needs: None,
        run: host_side::doc,
    },
    Stage {
        name: "dependencies",
        about: "the image is made of the crates in xtask/image-dependencies.txt, no others",
        needs: None,
        run: host_side::dependencies,
    },
    Stage {
        name: "host",
        about: "all tests that run on the host",
        needs: None,
        run: host_side::host,
    },
    Stage {
        name: "bench",
        about: "instructions per access, submission, command stay at the goals and the baseline",
        needs: None,
        run: bench::stage,
    },
    Stage {
        name: "image",
        about: "the release image builds and has at most 512 KiB",
        needs: None,
        run: host_side::image,
    },
    Stage {
        name: "qemu",
        about: "the image boots in plain QEMU as a PVH guest; loopback guests draw",
        needs: Some("image"),
        run: emulated::qemu,
    },
    Stage {
        name: "dom0",
        about: "the image as PVH Dom0 tries all that one domain can, on Debian's Xen and an old one",
        needs: Some("image"),
        run: emulated::dom0,
    },
    Stage {
        name: "xen",
        about: "the whole chain on Debian's Xen: Linux Dom0, service domain, HVM guest",
        needs: Some("image"),
        run: emulated::xen,
    },
    Stage {
        name: "flask",
        about: "the whole chain on Xen with FLASK and our policy, several guests",
        needs: Some("image"),
        run: emulated::flask,
    },
    Stage {
        name: "i915",
        about: "Debian's unmodified i915, of Linux 6.12 and 6.1, works on two vGPUs at once",
        needs: Some("image"),
        run: emulated::i915,
    },
];

/// The stages with these names, in the order of `STAGES`; without names all.
pub fn chosen(names: &[String]) -> Outcome<Vec<Stage>> {
    if let Some(unknown) = names
        .iter()
        .find(|name| STAGES.iter().all(|stage| stage.name != **name))
    {
        let known = STAGES.map(|stage| stage.name).join(" ");
        return Err(Failure::new(format!(
            "no stage {unknown}; there are: {known}"
        )));
    }
    let wanted = |stage: &&Stage| names.is_empty() || names.iter().any(|name| name == stage.name);
    Ok(STAGES.iter().filter(wanted).copied().collect())
}

/// Results so far.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    /// Names, to be repeated at the end.
    failed: Vec<String>,
    /// Stages that stopped short, so that others which need them need not be tried.
    stopped: Vec<&'static str>,
}

impl Tally {
    fn checks(&mut self, stage: &str, checks: &[Check]) {
        for check in checks {
            if check.failure.is_some() {
                self.failed.push(format!("{stage}: {}", check.name));
            } else {
                self.passed += 1;
            }
        }
    }
}

/// Runs them one after the other; a failed one stops only those that need it. True: all passed.
pub fn run(stages: &[Stage]) -> bool {
    let mut tally = Tally::default();
    let started = Instant::now();
    for stage in stages {
        run_one(stage, &mut tally);
    }
    println!();
    for name in &tally.failed {
        println!("failed: {name}");
    }
    println!("total {}", seconds(started.elapsed()));
    println!("{} passed, {} failed", tally.passed, tally.failed.len());
    tally.failed.is_empty()
}

fn run_one(stage: &Stage, tally: &mut Tally) {
    let name = stage.name;
    let is_stopped = |needed: &&str| tally.stopped.contains(needed);
    if let Some(needed) = stage.needs.filter(is_stopped) {
        println!("--- {name}: not run, because {needed} failed");
        tally.failed.push(name.to_owned());
        tally.stopped.push(name);
        return;
    }
    println!("--- {name}: {}", stage.about);
    let started = Instant::now();
    let result = paths::fresh_output(name).and_then(|folder| (stage.run)(&folder));
    let time = seconds(started.elapsed());
    match result {
        Ok(summary) => {
            tally.checks(name, &summary.checks);
            let bad = summary
                .checks
                .iter()
                .filter(|check| check.failure.is_some());
            match bad.count() {
                0 => {
                    tally.passed += 1;
                    println!("+++ {name}: passed in {time}{}", note(&summary.note));
                }
                count => {
                    tally.failed.push(name.to_owned());
                    println!(
                        "!!! {name}: {count} checks failed in {time}{}",
                        note(&summary.note)
                    );
                    explain(&summary, &paths::output(name));
                }
            }
        }
        Err(failure) => {
            tally.failed.push(name.to_owned());
            tally.stopped.push(name);
            println!("!!! {name}: failed in {time}");
            failure.print();
            println!("logs are in {}", paths::output(name).display());
        }
    }
}

/// What helps to find out why scenarios failed: how the run went, and the consoles of their domains.
fn explain(summary: &Summary, folder: &Path) {
    let story = folder.join(STORY);
    let place = Failure::new(format!("logs are in {}", folder.display()));
    if story.exists() {
        place.with_log(&story).print();
    } else {
        place.print();
    }
    let failed = |scenario: &str| {
        let prefix = format!("{scenario}/");
        summary.checks.iter().any(|check| {
            check.failure.is_some() && (check.name == scenario || check.name.starts_with(&prefix))
        })
    };
    for (path, text) in &summary.files {
        let Some((scenario, name)) = path.split_once('/') else {
            continue;
        };
        if name.starts_with("guest-") && failed(scenario) {
            println!("console: {}", folder.join(path).display());
            let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
            for line in lines.iter().skip(lines.len().saturating_sub(10)) {
                println!("  | {}", printable(line));
            }
        }
    }
}

fn note(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(" ({text})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_means_all_and_names_keep_the_order_of_stages() {
        let all = chosen(&[]).expect("all");
        assert_eq!(all.map_names(), STAGES.map(|stage| stage.name));
        let names = ["xen".to_owned(), "fmt".to_owned()];
        let stages = chosen(&names).expect("known");
        assert_eq!(stages.map_names(), ["fmt", "xen"]);
        let failure = chosen(&["xne".to_owned()]).expect_err("unknown");
        assert!(failure.message.contains("xne") && failure.message.contains("xen"));
    }

    trait Names {
        fn map_names(&self) -> Vec<&'static str>;
    }
    impl Names for Vec<Stage> {
        fn map_names(&self) -> Vec<&'static str> {
            self.iter().map(|stage| stage.name).collect()
        }
    }

    #[test]
    fn a_needed_stage_comes_before_those_that_need_it() {
        for (place, stage) in STAGES.iter().enumerate() {
            if let Some(needed) = stage.needs {
                assert!(STAGES[..place].iter().any(|other| other.name == needed));
            }
        }
    }

    #[test]
    fn checks_are_counted_by_how_they_ended() {
        let check = |failure: Option<&str>| Check {
            name: "s/c".to_owned(),
            failure: failure.map(str::to_owned),
        };
        let mut tally = Tally::default();
        tally.checks("xen", &[check(None), check(Some("why")), check(None)]);
        assert_eq!(tally.passed, 2);
        assert_eq!(tally.failed, ["xen: s/c"]);
    }
}
