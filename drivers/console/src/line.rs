//! One console line: bounded, formatted off the lock, harmless to a terminal.

use arrayvec::ArrayString;
use core::fmt::{self, Write};
use log::Level;

/// Longest line, bytes without its end; more is cut and marked.
pub const LINE_LIMIT: usize = 400;

const MARK: &str = "...";

/// A line being put together. Control characters are written escaped, so that text from a guest
/// or a toolstack can neither end the line nor steer the terminal.
#[derive(Debug, Default)]
pub struct Line {
    text: ArrayString<LINE_LIMIT>,
    full: bool,
}

impl Line {
    /// `[   12.345678] level subject: text`, the subject being the last part of a module path;
    /// an empty one is left out.
    pub fn new(now: u64, level: Level, target: &str, text: fmt::Arguments<'_>) -> Self {
        let (seconds, micros) = (now / 1_000_000_000, now / 1_000 % 1_000_000);
        let subject = target.rsplit("::").next().unwrap_or(target);
        let mut line = Self::default();
        // Writing to a `Line` never fails; a `Display` that does leaves what it wrote so far.
        let _ = write!(line, "[{seconds:5}.{micros:06}] {:5} ", word(level));
        if !subject.is_empty() {
            let _ = write!(line, "{subject}: ");
        }
        let _ = line.write_fmt(text);
        line
    }

    /// The text without its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn push(&mut self, character: char) {
        if self.full {
            return;
        }
        let room = LINE_LIMIT - MARK.len();
        if self.text.len() + character.len_utf8() > room {
            self.full = true;
            self.text.push_str(MARK);
        } else {
            self.text.push(character);
        }
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if character.is_control() {
                character
                    .escape_default()
                    .for_each(|escaped| self.push(escaped));
            } else {
                self.push(character);
            }
        }
        Ok(())
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_has_time_level_subject_and_text() {
        let line = Line::new(
            12_345_678_901,
            Level::Warn,
            "kernel::paging",
            format_args!("x {}", 1),
        );
        assert_eq!(line.as_str(), "[   12.345678] warn  paging: x 1");
    }

    #[test]
    fn control_characters_arrive_escaped() {
        let line = Line::new(0, Level::Info, "d5", format_args!("a\n\u{1b}[2Jb"));
        assert_eq!(line.as_str(), "[    0.000000] info  d5: a\\n\\u{1b}[2Jb");
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        let line = Line::new(
            0,
            Level::Info,
            "t",
            format_args!("{}", "é".repeat(LINE_LIMIT)),
        );
        assert!(line.as_str().len() <= LINE_LIMIT && line.as_str().ends_with("é..."));
    }

    proptest! {
        #[test]
        fn any_text_gives_one_bounded_line(target in ".*", text in ".{0,500}", now: u64) {
            let line = Line::new(now, Level::Trace, &target, format_args!("{text}"));
            prop_assert!(line.as_str().len() <= LINE_LIMIT);
            prop_assert!(!line.as_str().contains(char::is_control));
        }
    }
}
