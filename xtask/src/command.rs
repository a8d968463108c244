//! Running other programs: output into a log, or back to us, errors that name the program.

use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::host;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::Command;
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
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .at("open", log)?;
    writeln!(file, "$ {}", typed(command)).at("write", log)?;
    let errors = file.try_clone().at("open", log)?;
    let status = command
        .stdout(file)
        .stderr(errors)
        .status()
        .map_err(|error| Failure::new(format!("cannot run `{}`: {error}", typed(command))))?;
    if status.success() {
        return Ok(());
    }
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or_default();
    Err(Failure::new(format!("{program} failed ({status})")).with_log(log))
}

/// Runs to the end; what it printed on standard output, the rest appended to `log`.
pub fn output(command: &mut Command, log: &Path) -> Outcome<Vec<u8>> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .at("open", log)?;
    writeln!(file, "$ {}", typed(command)).at("write", log)?;
    let output = command
        .stderr(file)
        .output()
        .map_err(|error| Failure::new(format!("cannot run `{}`: {error}", typed(command))))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let text = typed(command);
    Err(Failure::new(format!("`{text}` failed ({})", output.status)).with_log(log))
}

/// As `output`, as text.
pub fn text(command: &mut Command, log: &Path) -> Outcome<String> {
    Ok(String::from_utf8_lossy(&output(command, log)?).into_owned())
}
