//! The image in QEMU under software emulation: boot it, read its console, take its exit status.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A run that has not ended by itself by then is stuck.
const STUCK: Duration = Duration::from_secs(120);

/// Exit statuses of QEMU: the image's code, doubled, plus one.
pub const DONE: Option<i32> = Some(33);

/// One machine to boot.
pub struct Machine {
    machine: &'static str,
    memory: &'static str,
    serial: bool,
    arguments: Vec<&'static str>,
    typed: Vec<(&'static str, &'static str)>,
}

/// What came of it.
pub struct Run {
    /// QEMU's exit status.
    pub status: Option<i32>,
    /// Everything the first console said.
    pub log: String,
}

impl Machine {
    /// A q35 with 32 MiB, which is what the image promises to run in.
    pub fn new() -> Self {
        Self {
            machine: "q35",
            memory: "32M",
            serial: true,
            arguments: Vec::new(),
            typed: Vec::new(),
        }
    }

    /// Another machine type.
    pub fn machine(mut self, machine: &'static str) -> Self {
        self.machine = machine;
        self
    }

    /// Another amount of memory.
    pub fn memory(mut self, memory: &'static str) -> Self {
        self.memory = memory;
        self
    }

    /// Port 0xE9 on standard output instead of COM1, which is left out.
    pub fn port_e9_only(mut self) -> Self {
        self.serial = false;
        self.arguments.extend(["-debugcon", "stdio"]);
        self
    }

    /// No console at all.
    pub fn mute(mut self) -> Self {
        self.serial = false;
        self
    }

    /// Bytes to type at COM1 once the image has spoken.
    pub fn typed(self, typed: &'static str) -> Self {
        // The last line of the bring-up: from now on somebody listens.
        self.typed_after("software GPU", typed)
    }

    /// Bytes to type once the console has said something; each waits for the one before.
    pub fn typed_after(mut self, said: &'static str, typed: &'static str) -> Self {
        self.typed.push((said, typed));
        self
    }

    /// Boots with a command line and waits for the end.
    pub fn boot(self, command_line: &str) -> Run {
        let serial = if self.serial { "stdio" } else { "none" };
        let mut child = Command::new("qemu-system-x86_64")
            .args(["-accel", "tcg", "-machine", self.machine, "-m", self.memory])
            .args([
                "-display",
                "none",
                "-monitor",
                "none",
                "-no-reboot",
                "-nodefaults",
            ])
            .args([
                "-device",
                "isa-debug-exit,iobase=0xf4,iosize=4",
                "-serial",
                serial,
            ])
            .args([
                "-kernel",
                env!("CARGO_BIN_EXE_kernel"),
                "-append",
                command_line,
            ])
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("qemu-system-x86_64 cannot be run: install Debian's package qemu-system-x86");
        let mut output = child.stdout.take().expect("piped");
        let mut input = child.stdin.take().expect("piped");
        let mut typed = self.typed.into_iter().peekable();
        let reader = thread::spawn(move || {
            let mut log = Vec::new();
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut chunk) {
                log.extend_from_slice(&chunk[..length]);
                let text = String::from_utf8_lossy(&log);
                while let Some((_, typed)) = typed.next_if(|(said, _)| text.contains(said)) {
                    // Fails if the image left already, which the log then shows.
                    let _ = input.write_all(typed.as_bytes());
                }
            }
            String::from_utf8_lossy(&log).into_owned()
        });
        let status = wait(&mut child);
        let log = reader.join().expect("the reader only reads");
        match status {
            Ok(status) => Run { status, log },
            Err(()) => panic!("the image neither exited nor crashed; its console:\n{log}"),
        }
    }
}

fn wait(child: &mut Child) -> Result<Option<i32>, ()> {
    let start = Instant::now();
    while start.elapsed() < STUCK {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return Ok(status.code());
        }
        thread::sleep(Duration::from_millis(10));
    }
    child
        .kill()
        .and_then(|()| child.wait())
        .expect("it is our child");
    Err(())
}

impl Run {
    /// Fails with the whole log unless the status and every text is there.
    pub fn expect(&self, status: Option<i32>, texts: &[&str]) {
        assert_eq!(
            self.status, status,
            "exit status; the console:\n{}",
            self.log
        );
        for text in texts {
            assert!(
                self.log.contains(text),
                "no \"{text}\" on the console:\n{}",
                self.log
            );
        }
    }
}
