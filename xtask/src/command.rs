//! Running other programs: output into a log, or back to us, errors that name the program.

use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::host;
use std::ffi::OsStr;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;

/// A command whose program is looked up in `PATH` and the `sbin` folders, in the C locale.
pub fn command(program: &str) -> Outcome<Command> {
    let path = host::find(program).ok_or_else(|| host::missing(&[program]))?;
    let mut command = Command::new(path);
    command.env("LC_ALL", "C").stdin(Stdio::null());
    Ok(command)
}

/// cargo, the one that runs us.
pub fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(crate::paths::root())
        .stdin(Stdio::null());
    // Those that `cargo run` set for us must not reach the packages that we build.
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// The command as one would type it, for messages and logs.
pub fn typed(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .map(|word| {
            if word.is_empty() || word.contains(|c: char| c.is_whitespace() || c == '\'') {
                format!("{word:?}")
            } else {
                word.into_owned()
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs to the end; everything printed is appended to `log`.
pub fn run(command: &mut Command, log: &Path) -> Outcome<()> {
    let file = open(command, log)?;
    let errors = file.try_clone().at("open", log)?;
    let status = command.stdout(file).stderr(errors).status();
    judge(
        command,
        status.map_err(|error| cannot(command, &error))?,
        log,
    )
}

/// As `run`; every line on standard output also goes to `on_line`.
pub fn run_lines(command: &mut Command, log: &Path, mut on_line: impl FnMut(&str)) -> Outcome<()> {
    let mut file = open(command, log)?;
    let errors = file.try_clone().at("open", log)?;
    let child = command.stdout(Stdio::piped()).stderr(errors).spawn();
    let mut child = child.map_err(|error| cannot(command, &error))?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(|error| cannot(command, &error))?;
            let line = String::from_utf8_lossy(&line);
            writeln!(file, "{line}").at("write", log)?;
            on_line(&line);
        }
    }
    let status = child.wait().map_err(|error| cannot(command, &error))?;
    judge(command, status, log)
}

/// Runs to the end; what it printed on standard output, the rest appended to `log`.
pub fn output(command: &mut Command, log: &Path) -> Outcome<Vec<u8>> {
    let errors = open(command, log)?;
    let output = command.stderr(errors).output();
    let output = output.map_err(|error| cannot(command, &error))?;
    judge(command, output.status, log)?;
    Ok(output.stdout)
}

/// The log, with the command in it.
fn open(command: &Command, log: &Path) -> Outcome<File> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .at("open", log)?;
    writeln!(file, "$ {}", typed(command)).at("write", log)?;
    Ok(file)
}

fn cannot(command: &Command, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot run `{}`: {error}", typed(command)))
}

fn judge(command: &Command, status: ExitStatus, log: &Path) -> Outcome<()> {
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{}` failed ({status})", typed(command))).with_log(log))
}

/// As `output`, as text.
pub fn text(command: &mut Command, log: &Path) -> Outcome<String> {
    Ok(String::from_utf8_lossy(&output(command, log)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_and_kept_and_the_status_is_judged() {
        let log = std::env::temp_dir().join(format!("xtask-command-{}", std::process::id()));
        let mut shell = command("sh").expect("there is a shell");
        shell.args(["-c", "echo one; echo two >&2; printf three; exit 3"]);
        let mut lines = Vec::new();
        let result = run_lines(&mut shell, &log, |line| lines.push(line.to_owned()));
        let text = std::fs::read_to_string(&log).expect("log");
        std::fs::remove_file(&log).expect("remove");
        assert_eq!(lines, ["one", "three"]);
        assert!(text.contains("two") && text.ends_with("three\n"), "{text}");
        assert!(
            result
                .expect_err("status 3")
                .message
                .contains("exit status: 3")
        );
    }
}
