//! Builds what goes into a machine: the image, gpuctl for Dom0, the guests' test programs.

use crate::command;
use crate::failure::Failure;
use crate::failure::Outcome;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// The image, built as users build it.
pub fn image(release: bool, log: &Path) -> Outcome<PathBuf> {
    let mut cargo = command::cargo();
    cargo.args(["build", "--package", "kernel"]);
    if release {
        cargo.arg("--release");
    }
    executable(&mut cargo, log)
}

/// Dom0's command. Dynamic, since it loads Dom0's libxenctrl.
pub fn gpuctl(log: &Path) -> Outcome<PathBuf> {
    let mut cargo = command::cargo();
    cargo.args(["build", "--release", "--package", "gpuctl"]);
    executable(&mut cargo, log)
}

/// The program of guests without a driver.
pub fn guest_test(log: &Path) -> Outcome<PathBuf> {
    for_guests("guest-test", log)
}

/// The program of guests with i915.
pub fn guest_render(log: &Path) -> Outcome<PathBuf> {
    for_guests("guest-render", log)
}

/// Static, since no library is in their initrd.
fn for_guests(package: &str, log: &Path) -> Outcome<PathBuf> {
    let mut cargo = command::cargo();
    // With --target, the flag does not reach build scripts and proc-macros.
    cargo.args(["rustc", "--release", "--package", package]);
    cargo.args(["--target", "x86_64-unknown-linux-gnu"]);
    let flags = ["--", "-C", "target-feature=+crt-static"];
    executable_with(&mut cargo, &flags, log)
}

fn executable(cargo: &mut Command, log: &Path) -> Outcome<PathBuf> {
    executable_with(cargo, &[], log)
}

/// Builds, and reads from cargo's messages where the program is: users may have moved `target`.
fn executable_with(cargo: &mut Command, flags: &[&str], log: &Path) -> Outcome<PathBuf> {
    cargo
        .arg("--message-format=json-render-diagnostics")
        .args(flags);
    let messages = command::text(cargo, log)?;
    last_executable(&messages).ok_or_else(|| {
        Failure::new(format!("`{}` built no program", command::typed(cargo))).with_log(log)
    })
}

/// The `"executable":"path"` of the last artifact that has one.
fn last_executable(messages: &str) -> Option<PathBuf> {
    let (_, rest) = messages.rsplit_once("\"executable\":\"")?;
    let mut path = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return Some(path.into()),
            '\\' => path.push(characters.next()?),
            other => path.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::last_executable;
    use std::path::Path;

    #[test]
    fn the_last_artifact_with_a_program_is_it() {
        let messages = r#"{"reason":"compiler-artifact","executable":null}
{"reason":"compiler-artifact","executable":"/t/build-script"}
{"reason":"compiler-artifact","target":{"name":"kernel"},"executable":"/t/a \"b\"/kernel","fresh":true}
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            last_executable(messages).as_deref(),
            Some(Path::new("/t/a \"b\"/kernel"))
        );
        assert_eq!(last_executable(r#"{"executable":null}"#), None);
    }
}
