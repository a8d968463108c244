//! Instructions on the mediator's hot paths: counted, shown, held against a baseline.
//!
//! callgrind runs `mediator/examples/instructions` once. It counts inside the functions of its
//! module `measured` only, and writes a count at each call of its `boundary`; the program tells
//! which is which. Two counts make a figure: (I(2N) - I(N)) / N, so that nothing constant is in it.
//!
//! The same code compiled by the same compiler gives the same counts. The C library's memcpy and
//! memcmp are in them, so the baseline names both, and whether the processor has AVX2: of their many
//! variants, the tunables below leave the one for AVX2 without anything newer, which every processor
//! with a Gen9 core graphics has, and hardly any that runs tests has not.

use crate::command;
use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::host;
use crate::paths;
use crate::stages::Summary;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::ExitCode;

/// In the repository.
const BASELINE: &str = "mediator/examples/instructions/baseline.txt";
/// A figure may rise by so many percent over its baseline.
const TOLERANCE: f64 = 3.0;
/// glibc does as if the processor had not these features; it ignores names that it does not know.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-EVEX,-ERMS,-FSRM,-RTM";

/// One path, measured.
#[derive(Debug, Clone, PartialEq)]
struct Figure {
    name: String,
    per: String,
    goal: Option<f64>,
    instructions: f64,
}

/// What the committed counts were made with, and the counts.
#[derive(Debug, Clone, PartialEq, Default)]
struct Baseline {
    tools: String,
    /// Name, per what, instructions.
    figures: Vec<(String, String, f64)>,
}

/// `cargo xtask bench [--renew]`.
pub fn bench(arguments: &[String]) -> Outcome<ExitCode> {
    let renew = match arguments {
        [] => false,
        [word] if word == "--renew" => true,
        _ => return Err(Failure::new("bench takes --renew, nothing else")),
    };
    let folder = paths::fresh_output("bench")?;
    if !renew {
        println!("{}", stage(&folder)?.note);
        return Ok(ExitCode::SUCCESS);
    }
    let figures = measure(&folder)?;
    let tools = tools(&folder)?;
    let path = paths::root().join(BASELINE);
    fs::write(&path, written(&tools, &figures)).at("write", &path)?;
    print!("{}", table(&figures, None));
    println!("{BASELINE} is new; commit it");
    Ok(ExitCode::SUCCESS)
}

/// The stage `bench`.
pub fn stage(folder: &Path) -> Outcome<Summary> {
    let path = paths::root().join(BASELINE);
    let baseline = parsed(&fs::read_to_string(&path).at("read", &path)?)?;
    let figures = measure(folder)?;
    let tools = tools(folder)?;
    let comparable = tools == baseline.tools;
    print!("{}", table(&figures, comparable.then_some(&baseline)));
    let mut complaints = goals_missed(&figures);
    if comparable {
        complaints.extend(regressions(&figures, &baseline));
    } else {
        // A compiler may do worse; that is nothing that a change of ours has to answer for.
        complaints.drain(..).for_each(|missed| println!("{missed}"));
        println!(
            "not compared with the baseline: that was made with {}, this with {tools}",
            baseline.tools
        );
    }
    if !complaints.is_empty() {
        return Err(Failure::new(format!(
            "{}\nto see where they go: callgrind_annotate --inclusive=yes {}",
            complaints.join("\n"),
            folder.join("count.NUMBER").display()
        )));
    }
    let other = if comparable {
        ""
    } else {
        ", not compared: other tools"
    };
    Ok(Summary {
        note: format!("{} figures{other}", figures.len()),
        ..Summary::default()
    })
}

/// Builds the program and counts.
fn measure(folder: &Path) -> Outcome<Vec<Figure>> {
    host::require(host::BENCH)?;
    let log = folder.join("cargo.log");
    let mut cargo = command::cargo();
    cargo.args(["build", "--release", "--package", "mediator"]);
    cargo.args(["--example", "instructions"]);
    // Nothing but the profile in Cargo.toml decides how it is compiled: an empty list of flags is
    // stronger than those of any configuration file.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text == "RUSTFLAGS" || text.starts_with("CARGO_PROFILE_") {
            cargo.env_remove(&name);
        }
    }
    cargo
        .env("CARGO_ENCODED_RUSTFLAGS", "")
        .env("CARGO_INCREMENTAL", "0");
    command::run(&mut cargo, &log)?;

    let program = paths::target().join("release/examples/instructions");
    let mut valgrind = command::command("valgrind")?;
    // What is in the environment moves the stack, and with it a few instructions of memcpy.
    valgrind
        .env_clear()
        .env("GLIBC_TUNABLES", TUNABLES)
        .current_dir(folder)
        .args(["--tool=callgrind", "--toggle-collect=*measured*"])
        .args(["--dump-before=*boundary*", "--callgrind-out-file=count"])
        .args(["--compress-strings=no", "--compress-pos=no"])
        .arg(&program);
    let lines = command::text(&mut valgrind, &folder.join("valgrind.log"))?;
    figures(&lines, |count| {
        let path = folder.join(format!("count.{count}"));
        let text = fs::read_to_string(&path).at("read", &path)?;
        total(&text)
            .ok_or_else(|| Failure::new(format!("callgrind wrote no sum into {}", path.display())))
    })
}

/// callgrind's own sum of one count.
fn total(text: &str) -> Option<u64> {
    let sum = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals: "))?;
    sum.trim().parse().ok()
}

/// Figures from the program's lines, `COUNT|NAME|PER|GOAL|UNITS`, always two for a figure.
fn figures(lines: &str, total: impl Fn(u64) -> Outcome<u64>) -> Outcome<Vec<Figure>> {
    let unreadable = |line: &str| Failure::new(format!("the measured program said `{line}`"));
    let mut figures = Vec::new();
    let mut shorter: Option<(String, u64, u64)> = None;
    for line in lines.lines() {
        let [count, name, per, goal, units] = line
            .split('|')
            .collect::<Vec<_>>()
            .try_into()
            .map_err(|_| unreadable(line))?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| unreadable(line));
        let (units, total) = (number(units)?, total(number(count)?)?);
        let Some((earlier, units_before, total_before)) = shorter.take() else {
            shorter = Some((name.to_owned(), units, total));
            continue;
        };
        if earlier != name || units <= units_before || total <= total_before {
            return Err(unreadable(line));
        }
        figures.push(Figure {
            name: name.to_owned(),
            per: per.to_owned(),
            goal: goal.parse().ok(),
            instructions: (total - total_before) as f64 / (units - units_before) as f64,
        });
    }
    if figures.is_empty() || shorter.is_some() {
        return Err(Failure::new("the measured program ended early"));
    }
    Ok(figures)
}

/// What counts depend on, in one line: compiler, C library, processor.
fn tools(folder: &Path) -> Outcome<String> {
    let log = folder.join("tools.log");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut rustc = Command::new(rustc);
    let compiler = command::text(rustc.arg("-V").current_dir(paths::root()), &log)?;
    let mut getconf = command::command("getconf")?;
    let library = command::text(getconf.arg("GNU_LIBC_VERSION"), &log)?;
    let processor = Path::new("/proc/cpuinfo");
    let features = fs::read_to_string(processor).at("read", processor)?;
    let avx2 = if features.split_whitespace().any(|word| word == "avx2") {
        "AVX2"
    } else {
        "no AVX2"
    };
    Ok(format!("{}, {}, {avx2}", compiler.trim(), library.trim()))
}

fn table(figures: &[Figure], baseline: Option<&Baseline>) -> String {
    let mut text = format!(
        "{:>12}  {:>6}  {:>16}  what\n",
        "instructions", "goal", "baseline"
    );
    for figure in figures {
        let goal = figure.goal.map(|goal| goal.to_string()).unwrap_or_default();
        let before = baseline
            .and_then(|baseline| before(figure, baseline))
            .map(|before| {
                let shown = shown(before);
                format!("{shown} {:>+5.1} %", change(figure.instructions, before))
            })
            .unwrap_or_default();
        let (value, per, name) = (shown(figure.instructions), &figure.per, &figure.name);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{value:>12}  {goal:>6}  {before:>16}  {name}, per {per}"
        );
    }
    text
}

/// Small numbers with two digits more: some are per byte.
fn shown(instructions: f64) -> String {
    if instructions < 100.0 {
        format!("{instructions:.2}")
    } else {
        format!("{instructions:.0}")
    }
}

fn change(now: f64, before: f64) -> f64 {
    (now - before) / before * 100.0
}

fn before(figure: &Figure, baseline: &Baseline) -> Option<f64> {
    let mut all = baseline.figures.iter();
    let (_, _, before) = all.find(|(name, per, _)| *name == figure.name && *per == figure.per)?;
    Some(*before)
}

fn goals_missed(figures: &[Figure]) -> Vec<String> {
    let missed = figures.iter().filter_map(|figure| {
        let goal = figure.goal.filter(|goal| figure.instructions > *goal)?;
        let (name, per) = (&figure.name, &figure.per);
        let now = shown(figure.instructions);
        Some(format!("{name}: {now} instructions per {per}, goal {goal}"))
    });
    missed.collect()
}

fn regressions(figures: &[Figure], baseline: &Baseline) -> Vec<String> {
    let mut complaints = Vec::new();
    for figure in figures {
        let (name, per, now) = (&figure.name, &figure.per, shown(figure.instructions));
        match before(figure, baseline) {
            None => complaints.push(format!("{name}, per {per}: not in the baseline")),
            Some(before) if change(figure.instructions, before) > TOLERANCE => {
                complaints.push(format!(
                    "{name}: {now} instructions per {per}, {:+.1} % over the baseline of {}",
                    change(figure.instructions, before),
                    shown(before)
                ));
            }
            Some(_) => {}
        }
    }
    for (name, per, _) in &baseline.figures {
        if !figures.iter().any(|f| f.name == *name && f.per == *per) {
            complaints.push(format!("{name}, per {per}: in the baseline, not measured"));
        }
    }
    if !complaints.is_empty() {
        complaints.push(format!(
            "if that is wanted: cargo xtask bench --renew, and commit {BASELINE}"
        ));
    }
    complaints
}

const HEAD: &str = "# Instructions on the mediator's hot paths; `cargo xtask bench --renew` writes \
                    this file.\n# They say something only about these tools:\n";

/// The baseline as it is committed.
fn written(tools: &str, figures: &[Figure]) -> String {
    let mut text = format!("{HEAD}{tools}\n");
    for figure in figures {
        let (value, per, name) = (figure.instructions, &figure.per, &figure.name);
        let _ = writeln!(text, "{value:.2}|{per}|{name}");
    }
    text
}

fn parsed(text: &str) -> Outcome<Baseline> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let tools = lines.next().unwrap_or_default().to_owned();
    let figures = lines.map(|line| {
        let fields: Vec<_> = line.split('|').collect();
        let [value, per, name] = fields[..] else {
            return Err(Failure::new(format!("{BASELINE}: cannot read `{line}`")));
        };
        let value: f64 = value
            .parse()
            .ok()
            .filter(|value| *value > 0.0)
            .ok_or_else(|| Failure::new(format!("{BASELINE}: no number in `{line}`")))?;
        Ok((name.to_owned(), per.to_owned(), value))
    });
    Ok(Baseline {
        tools,
        figures: figures.collect::<Outcome<_>>()?,
    })
}

#[cfg(test)]
#[path = "bench/tests.rs"]
mod tests;
