//! Why a step did not work, for the person at the terminal.

use std::fmt;
use std::io;
use std::path::Path;
use std::path::PathBuf;

/// What went wrong and where more is written.
#[derive(Debug, Clone)]
pub struct Failure {
    /// One sentence, or a few lines; names the remedy where there is one.
    pub message: String,
    /// The log whose last lines are worth printing.
    pub log: Option<PathBuf>,
}

/// The result of every step.
pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// A failure without a log.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            log: None,
        }
    }

    /// The same, with the log that tells more.
    pub fn with_log(mut self, log: &Path) -> Self {
        self.log = Some(log.to_path_buf());
        self
    }

    /// Prints the message, where the log is, and its last 40 lines.
    pub fn print(&self) {
        eprintln!("error: {}", self.message);
        if let Some(log) = &self.log {
            eprintln!("log: {}; its last lines:", log.display());
            for line in last_lines(log, 40) {
                eprintln!("  | {line}");
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Adds "what we were doing to which file" to an I/O error.
pub trait At<T> {
    /// Names the action and the path.
    fn at(self, action: &str, path: &Path) -> Outcome<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &str, path: &Path) -> Outcome<T> {
        self.map_err(|error| Failure::new(format!("cannot {action} {}: {error}", path.display())))
    }
}

/// The last `count` lines of a file; none if it cannot be read.
pub fn last_lines(path: &Path, count: usize) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(count))
        .map(|line| printable(line))
        .collect()
}

/// A line without the control characters and escape sequences that firmware likes to print.
pub fn printable(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            // ESC: "[" parameters letter, or "c" (reset).
            '\u{1b}' => {
                if characters.next() == Some('[') {
                    for parameter in characters.by_ref() {
                        if parameter.is_ascii_alphabetic() {
                            break;
                        }
                    }
                }
            }
            '\t' => kept.push(' '),
            other if other.is_control() => {}
            other => kept.push(other),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn firmware_noise_is_not_printed() {
        let noise = "\u{1b}c\u{1b}[?7l\u{1b}[2J\u{1b}[0mSeaBIOS\r";
        assert_eq!(printable(noise), "SeaBIOS");
    }

    #[test]
    fn a_lone_escape_at_the_end_ends_the_line() {
        assert_eq!(printable("abc\u{1b}"), "abc");
        assert_eq!(printable("abc\u{1b}[12"), "abc");
    }
}
