//! Runs a QEMU: its serial line into a log and to us, line by line, with a time limit.

use crate::command;
use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::failure::printable;
use crate::setup::FIRMWARE;
use std::fs::File;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// isa-debug-exit's `(0x10 << 1) | 1`: the image's way to say that all went well.
pub const SUCCESS: i32 = 33;

/// The same of a run in which checks failed.
pub const FAILED: i32 = 43;

/// How a run ended.
#[derive(Debug)]
pub struct Ending {
    /// QEMU's exit status; none if it was stopped because its time was over.
    pub status: Option<ExitStatus>,
    /// How long it ran.
    pub time: Duration,
    /// The serial log.
    pub log: PathBuf,
}

impl Ending {
    /// Fails unless QEMU ended with this status.
    pub fn expect(&self, code: i32) -> Outcome<()> {
        let what = match self.status {
            None => format!("no end within {} s", self.time.as_secs()),
            Some(status) if status.code() == Some(code) => return Ok(()),
            Some(status) => format!("QEMU ended with {status}, expected {code}"),
        };
        Err(Failure::new(what).with_log(&self.log))
    }
}

/// A QEMU under software emulation. Never KVM: where guest kernels are emulated it breaks SSE.
pub fn qemu() -> Outcome<Command> {
    Ok(console_only(command::command("qemu-system-x86_64")?))
}

/// The same of a QEMU of our own, with the firmware of the machine's.
pub fn own_qemu(program: &Path) -> Command {
    let mut qemu = Command::new(program);
    qemu.env("LC_ALL", "C").stdin(Stdio::null());
    for folder in FIRMWARE {
        qemu.args(["-L", folder]);
    }
    console_only(qemu)
}

fn console_only(mut qemu: Command) -> Command {
    qemu.args(["-accel", "tcg", "-nodefaults", "-nographic", "-no-reboot"]);
    qemu.args(["-serial", "stdio"]);
    qemu
}

/// Runs it for at most `limit`; every line of its serial port goes to `log` and to `on_line`, which
/// may set a new limit from then on.
pub fn run(
    command: &mut Command,
    log: &Path,
    limit: Duration,
    mut on_line: impl FnMut(&str) -> Option<Duration>,
) -> Outcome<Ending> {
    let started = Instant::now();
    let mut file = File::create(log).at("create", log)?;
    let complaints = log.with_extension("stderr");
    let errors = File::create(&complaints).at("create", &complaints)?;
    let text = command::typed(command);
    let typed = log.with_extension("command");
    std::fs::write(&typed, format!("{text}\n")).at("write", &typed)?;
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .map_err(|error| Failure::new(format!("cannot run `{text}`: {error}")))?;

    let (sender, lines) = mpsc::channel();
    let stdout = child.stdout.take();
    let reader = thread::spawn(move || {
        let mut input = BufReader::new(stdout.into_iter().next()?);
        loop {
            let mut line = Vec::new();
            match input.read_until(b'\n', &mut line) {
                Ok(1..) => sender.send(line).ok()?,
                _ => return Some(()),
            }
        }
    });
    let mut deadline = started + limit;
    let status = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) => {
                let text = String::from_utf8_lossy(&line);
                file.write_all(text.replace('\r', "").as_bytes())
                    .at("write", log)?;
                if let Some(limit) = on_line(&text) {
                    deadline = Instant::now() + limit;
                }
            }
            Err(RecvTimeoutError::Disconnected) => break Some(wait(&mut child)?),
            Err(RecvTimeoutError::Timeout) => {
                // It may have ended by itself in this very moment.
                let _ = child.kill();
                wait(&mut child)?;
                break None;
            }
        }
    };
    let _ = reader.join();
    let said = std::fs::read_to_string(&complaints).unwrap_or_default();
    // What QEMU itself says when it cannot even start belongs to the log that is shown.
    for line in said
        .lines()
        .filter(|line| !line.contains("TCG doesn't support"))
    {
        writeln!(file, "{}", printable(line)).at("write", log)?;
    }
    Ok(Ending {
        status,
        time: started.elapsed(),
        log: log.to_path_buf(),
    })
}

fn wait(child: &mut std::process::Child) -> Outcome<ExitStatus> {
    child
        .wait()
        .map_err(|error| Failure::new(format!("cannot wait for QEMU: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> (Ending, Vec<String>, String) {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("xtask-machine-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("temporary folder");
        let log = folder.join("serial.log");
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let ending = run(&mut command, &log, limit, |line| {
            lines.push(line.to_owned());
            line.starts_with("more").then_some(Duration::from_secs(60))
        })
        .expect("sh runs");
        let text = std::fs::read_to_string(&log).expect("log");
        std::fs::remove_dir_all(&folder).expect("remove");
        (ending, lines, text)
    }

    #[test]
    fn every_line_is_seen_and_kept_and_the_status_is_the_programs() {
        let (ending, lines, log) = shell(
            "printf 'one\\r\\ntwo'; echo oops >&2; exit 33",
            Duration::from_secs(60),
        );
        assert_eq!(lines, ["one\r\n", "two"]);
        assert_eq!(log, "one\ntwooops\n");
        ending.expect(SUCCESS).expect("status 33");
        assert!(ending.expect(35).is_err());
    }

    #[test]
    fn a_line_may_give_it_more_time() {
        let script = "echo more; sleep 0.5; echo end; exit 33";
        let (ending, _, log) = shell(script, Duration::from_millis(400));
        assert_eq!(log, "more\nend\n");
        ending.expect(SUCCESS).expect("status 33");
    }

    #[test]
    fn a_program_that_does_not_end_is_stopped() {
        let (ending, lines, _) = shell("echo up; exec sleep 1000", Duration::from_secs(1));
        assert_eq!(lines, ["up\n"]);
        assert_eq!(ending.status, None);
        let failure = ending.expect(SUCCESS).expect_err("no end");
        assert!(failure.message.contains("no end within"));
    }
}
