//! A line editor and a few commands for the person at the console.
//!
//! `help`, `log LEVEL`, `recent N` and `reboot` are here; `status` and everything about vGPUs
//! comes from whoever implements [`Commands`].

use crate::output::print_recent;
use arrayvec::ArrayString;
use core::fmt::{self, Write};
use log::LevelFilter;

/// Longest command, bytes; more rings the bell.
const LIMIT: usize = 128;
const PROMPT: &str = "> ";
/// Lines that `recent` shows if it is not told.
const RECENT: usize = 20;

const BELL: &str = "\x07";
const RUB_OUT: &str = "\x08 \x08";
const CONTROL_C: u8 = 0x03;
const CONTROL_U: u8 = 0x15;
const ESCAPE: u8 = 0x1b;

/// One row of `help`.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// Its first word.
    pub name: &'static str,
    /// What may follow, for `help`.
    pub arguments: &'static str,
    /// What it does, in a few words.
    pub help: &'static str,
}

/// What the shell cannot do by itself.
pub trait Commands {
    /// The commands that [`Commands::run`] knows.
    fn table(&self) -> &[Command];

    /// Runs a command of the table; `arguments` is trimmed and may be empty.
    fn run(&mut self, name: &str, arguments: &str, out: &mut dyn Write) -> fmt::Result;

    /// Shows every table.
    fn status(&mut self, out: &mut dyn Write) -> fmt::Result;

    /// Starts the machine anew.
    fn reboot(&mut self);
}

const BUILT_IN: [Command; 5] = [
    Command {
        name: "help",
        arguments: "",
        help: "this list",
    },
    Command {
        name: "log",
        arguments: "[LEVEL]",
        help: "show or set the level: error .. trace",
    },
    Command {
        name: "recent",
        arguments: "[N]",
        help: "repeat the last lines",
    },
    Command {
        name: "reboot",
        arguments: "",
        help: "start the machine anew",
    },
    Command {
        name: "status",
        arguments: "",
        help: "show every table",
    },
];

/// Where an escape sequence (an arrow key, say) has got to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Text,
    /// After a carriage return: a line feed belongs to it.
    Return,
    Escape,
    Sequence,
}

/// The line being typed.
#[derive(Debug)]
pub struct Shell {
    line: ArrayString<LIMIT>,
    input: Input,
}

impl Shell {
    /// A shell with nothing typed yet.
    pub const fn new() -> Self {
        Self {
            line: ArrayString::new_const(),
            input: Input::Text,
        }
    }

    /// Takes one typed byte; echoes, and runs the line at its end.
    pub fn feed(
        &mut self,
        byte: u8,
        commands: &mut dyn Commands,
        out: &mut dyn Write,
    ) -> fmt::Result {
        let before = core::mem::replace(&mut self.input, Input::Text);
        match (before, byte) {
            (Input::Escape, b'[' | b'O') => self.input = Input::Sequence,
            (Input::Sequence, b'0'..=b'?') => self.input = Input::Sequence,
            (Input::Escape | Input::Sequence, b' '..=b'~') => {}
            (Input::Return, b'\n') => {}
            (_, ESCAPE) => self.input = Input::Escape,
            (_, b'\r' | b'\n') => {
                if byte == b'\r' {
                    self.input = Input::Return;
                }
                return self.end_of_line(commands, out);
            }
            (_, 0x08 | 0x7f) => self.rub_out(1, out)?,
            (_, CONTROL_U) => self.rub_out(LIMIT, out)?,
            (_, CONTROL_C) => {
                self.line.clear();
                write!(out, "^C\n{PROMPT}")?;
            }
            (_, b' '..=b'~') => match self.line.try_push(char::from(byte)) {
                Ok(()) => out.write_char(char::from(byte))?,
                Err(_) => out.write_str(BELL)?,
            },
            _ => {}
        }
        Ok(())
    }

    fn rub_out(&mut self, most: usize, out: &mut dyn Write) -> fmt::Result {
        for _ in 0..most.min(self.line.len()) {
            self.line.pop();
            out.write_str(RUB_OUT)?;
        }
        Ok(())
    }

    fn end_of_line(&mut self, commands: &mut dyn Commands, out: &mut dyn Write) -> fmt::Result {
        out.write_str("\n")?;
        let line = core::mem::take(&mut self.line);
        let result = run(line.trim(), commands, out);
        out.write_str(PROMPT)?;
        result
    }
}

impl Default for Shell {
    fn default() -> Self {
        Self::new()
    }
}

fn run(line: &str, commands: &mut dyn Commands, out: &mut dyn Write) -> fmt::Result {
    let (name, arguments) = line.split_once(' ').unwrap_or((line, ""));
    let arguments = arguments.trim();
    match name {
        "" => Ok(()),
        "help" => help(commands, out),
        "log" => level(arguments, out),
        "recent" if arguments.is_empty() => print_recent(RECENT, out),
        "recent" => match arguments.parse() {
            Ok(lines) => print_recent(lines, out),
            Err(_) => writeln!(out, "recent: how many lines is \"{arguments}\"?"),
        },
        "reboot" => {
            writeln!(out, "rebooting")?;
            commands.reboot();
            Ok(())
        }
        "status" => commands.status(out),
        _ if commands.table().iter().any(|command| command.name == name) => {
            commands.run(name, arguments, out)
        }
        _ => writeln!(out, "{name}: no such command; help lists them"),
    }
}

fn help(commands: &dyn Commands, out: &mut dyn Write) -> fmt::Result {
    for command in BUILT_IN.iter().chain(commands.table()) {
        writeln!(
            out,
            "  {:8} {:12} {}",
            command.name, command.arguments, command.help
        )?;
    }
    Ok(())
}

fn level(word: &str, out: &mut dyn Write) -> fmt::Result {
    if !word.is_empty() {
        match word.parse::<LevelFilter>() {
            Ok(level) => crate::set_level(level),
            Err(_) => return writeln!(out, "log: error, warn, info, debug or trace"),
        }
    }
    let name = log::max_level().as_str();
    write!(out, "log: ")?;
    name.chars()
        .try_for_each(|character| out.write_char(character.to_ascii_lowercase()))?;
    writeln!(out)
}

#[cfg(test)]
mod tests;
