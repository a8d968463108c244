//! Stages that need no emulated machine: cargo's, and what the image is made of.

use super::Summary;
use crate::bed::image;
use crate::bed::report::Check;
use crate::command;
use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::host;
use crate::paths;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// The stripped image may not be larger.
const IMAGE_LIMIT: u64 = 512 * 1024;

fn cargo(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome<String> {
    let log = folder.join("cargo.log");
    let mut cargo = command::cargo();
    cargo.args(arguments).envs(environment.iter().copied());
    command::run(&mut cargo, &log)?;
    fs::read_to_string(&log).at("read", &log)
}

pub fn fmt(folder: &Path) -> Outcome<Summary> {
    component(folder, "fmt", "rustfmt")?;
    cargo(folder, &["fmt", "--all", "--check"], &[])?;
    Ok(Summary::default())
}

pub fn clippy(folder: &Path) -> Outcome<Summary> {
    component(folder, "clippy", "clippy")?;
    // libxen-dev and the like may be read by build scripts and tests.
    host::require(host::TESTS)?;
    let arguments = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    cargo(folder, &arguments, &[])?;
    Ok(Summary::default())
}

pub fn doc(folder: &Path) -> Outcome<Summary> {
    let arguments = ["doc", "--workspace", "--no-deps"];
    cargo(folder, &arguments, &[("RUSTDOCFLAGS", "-D warnings")])?;
    Ok(Summary::default())
}

/// cargo's plug-ins are packages of their own, with rustup and in Debian.
fn component(folder: &Path, plug_in: &str, name: &str) -> Outcome<()> {
    let log = folder.join("component.log");
    let mut cargo = command::cargo();
    command::run(cargo.args([plug_in, "--version"]), &log).map_err(|_| {
        Failure::new(format!(
            "cargo {plug_in} is missing: rustup component add {name}"
        ))
    })
}

pub fn host(folder: &Path) -> Outcome<Summary> {
    host::require(host::TESTS)?;
    // The kernel package's tests boot the image: stage qemu.
    let arguments = [
        "test",
        "--workspace",
        "--exclude",
        "kernel",
        "--no-fail-fast",
    ];
    let log = cargo(folder, &arguments, &[("RUST_BACKTRACE", "1")])?;
    Ok(Summary::note(format!("{} tests", passed_tests(&log))))
}

/// The sum of what every test program said: `test result: ok. 12 passed; 0 failed; …`.
pub fn passed_tests(log: &str) -> usize {
    log.lines()
        .filter_map(|line| line.strip_prefix("test result: ok. ")?.split(' ').next())
        .filter_map(|number| number.parse::<usize>().ok())
        .sum()
}

pub fn image(folder: &Path) -> Outcome<Summary> {
    host::require(host::IMAGE)?;
    let log = folder.join("cargo.log");
    let built = image::image(true, &log)?;
    let stripped = folder.join("image.stripped");
    let mut strip = command::command("strip")?;
    command::run(strip.arg("-o").arg(&stripped).arg(&built), &log)?;
    let size = fs::metadata(&stripped).at("measure", &stripped)?.len();
    let text = format!(
        "{} KiB stripped, limit {} KiB",
        size.div_ceil(1024),
        IMAGE_LIMIT / 1024
    );
    // A large image is still worth booting: a failed check, not the end of the stage.
    let failure = (size > IMAGE_LIMIT).then(|| text.clone());
    if let Some(failure) = &failure {
        println!("    FAIL  size: {failure}");
    }
    Ok(Summary {
        note: text,
        checks: vec![Check {
            name: "size".to_owned(),
            failure,
        }],
        files: Vec::new(),
    })
}

pub fn dependencies(folder: &Path) -> Outcome<Summary> {
    let path = list_of_dependencies();
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let found = image_dependencies(folder)?;
    let differences = differences(&committed, &found);
    if differences.is_empty() {
        return Ok(Summary::note(format!("{} packages", found.lines().count())));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Err(Failure::new(format!(
        "the image's dependencies differ from xtask/{name}:\n{differences}if that is wanted: \
         cargo xtask renew-dependencies, and commit the list"
    )))
}

/// Writes the list anew.
pub fn renew_dependencies() -> Outcome<()> {
    let folder = paths::fresh_output("dependencies")?;
    let path = list_of_dependencies();
    fs::write(&path, image_dependencies(&folder)?).at("write", &path)
}

fn list_of_dependencies() -> PathBuf {
    paths::root().join("xtask/image-dependencies.txt")
}

/// Name and version of every package in the image, sorted.
fn image_dependencies(folder: &Path) -> Outcome<String> {
    let mut cargo = command::cargo();
    cargo.args(["tree", "--package", "kernel", "--edges", "normal"]);
    cargo.args(["--prefix", "none", "--target", "x86_64-unknown-linux-gnu"]);
    let tree = command::text(&mut cargo, &folder.join("cargo.log"))?;
    Ok(packages_of_tree(&tree))
}

/// `name v1.2.3 (path or registry) (*)` → `name v1.2.3`.
fn packages_of_tree(tree: &str) -> String {
    let packages: BTreeSet<String> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some(format!("{} {}\n", words.next()?, words.next()?))
        })
        .collect();
    packages.into_iter().collect()
}

fn differences(committed: &str, found: &str) -> String {
    let committed: BTreeSet<&str> = committed.lines().collect();
    let found: BTreeSet<&str> = found.lines().collect();
    let gone = committed
        .difference(&found)
        .map(|line| format!("  - {line}\n"));
    let new = found
        .difference(&committed)
        .map(|line| format!("  + {line}\n"));
    gone.chain(new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_becomes_a_sorted_list_without_repetitions_and_paths() {
        let tree = "\
kernel v0.1.0 (/somewhere/kernel)
x86_64 v0.15.5
bitflags v2.13.2
bitflags v2.13.2 (*)

";
        assert_eq!(
            packages_of_tree(tree),
            "bitflags v2.13.2\nkernel v0.1.0\nx86_64 v0.15.5\n"
        );
    }

    #[test]
    fn what_came_and_what_went_is_shown() {
        assert_eq!(differences("a v1\nb v1\n", "b v1\na v1\n"), "");
        assert_eq!(
            differences("a v1\nb v1\n", "a v2\nb v1\n"),
            "  - a v1\n  + a v2\n"
        );
    }

    #[test]
    fn tests_of_all_programs_are_added_up() {
        let log = "test result: ok. 12 passed; 0 failed; 1 ignored\nx\ntest result: ok. 3 passed; 0 failed\n";
        assert_eq!(passed_tests(log), 15);
    }
}
