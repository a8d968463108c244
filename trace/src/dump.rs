//! A trace as lines of text, for a console that may lose or mix lines; and back from its log.
//!
//! ```text
//! TRACE-BEGIN <label> <bytes>
//! TRACE <offset> <48 bytes in base64>        each line in order; others may come between
//! TRACE-END <label> <bytes> <hash>
//! ```

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use arrayvec::ArrayString;

use crate::Recorder;

/// First word of the first line.
pub const BEGIN: &str = "TRACE-BEGIN ";
/// First word of the lines with bytes.
pub const MARK: &str = "TRACE ";
/// First word of the last line.
const END: &str = "TRACE-END ";
/// Longest line, bytes, with its end.
pub const LINE_LIMIT: usize = 120;
/// Bytes told in one line.
const PER_LINE: usize = 48;
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// One line.
pub type Line = ArrayString<LINE_LIMIT>;

impl Recorder {
    /// Line `number` of the dump; none after the last.
    pub fn line(&self, number: usize) -> Option<Line> {
        let header = self.header();
        let bytes = || header.iter().chain(self.log()).copied();
        let (length, label) = (header.len() + self.log().len(), self.label());
        let mut line = Line::new();
        let written = match number.checked_sub(1).map(|number| number * PER_LINE) {
            None => writeln!(line, "{BEGIN}{label} {length}"),
            Some(at) if at < length => {
                let begun = write!(line, "{MARK}{at} ");
                let told = encode(bytes().skip(at).take(PER_LINE), &mut line);
                begun.and(told).and(line.write_char('\n'))
            }
            Some(at) if at < length + PER_LINE => {
                writeln!(line, "{END}{label} {length} {:016x}", hash(bytes()))
            }
            Some(_) => return None,
        };
        // A label of 48 and three numbers fit.
        written.ok().map(|()| line)
    }
}

/// FNV-1a.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Base64 without padding.
fn encode(bytes: impl Iterator<Item = u8>, line: &mut Line) -> core::fmt::Result {
    let digit = |bits: u32| {
        DIGITS
            .get(bits as usize & 63)
            .copied()
            .map_or('=', char::from)
    };
    let (mut bits, mut count, mut written) = (0u32, 0, Ok(()));
    for byte in bytes {
        (bits, count) = (bits << 8 | u32::from(byte), count + 8);
        while count >= 6 {
            count -= 6;
            written = written.and(line.write_char(digit(bits >> count)));
        }
    }
    if count > 0 {
        written = written.and(line.write_char(digit(bits << (6 - count))));
    }
    written
}

fn decode(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let (mut bits, mut count) = (0u32, 0);
    for character in text.bytes() {
        let digit = DIGITS.iter().position(|digit| *digit == character)?;
        (bits, count) = (bits << 6 | digit as u32, count + 6);
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(())
}

/// What is wrong with a dump in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DumpError {
    /// The line for this offset is missing or damaged.
    Lost(usize),
    /// The log ends before the dump does.
    Unfinished,
    /// All lines are there, but their contents are not what was sent.
    Damaged,
}

impl core::fmt::Display for DumpError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Lost(at) => write!(f, "the line for byte {at} is missing or damaged"),
            Self::Unfinished => write!(f, "the log ends before it does"),
            Self::Damaged => write!(f, "its bytes are not those that were sent"),
        }
    }
}

/// Label and contents of each dump, in order.
pub type Dumps = Vec<(String, Result<Vec<u8>, DumpError>)>;

/// Finds all dumps in the log of a console. A prefix before each line, and other lines, are no
/// matter.
pub fn dumps(log: &str) -> Dumps {
    let mut found = Dumps::new();
    let mut open: Option<(String, Vec<u8>)> = None;
    let lost = |open: &mut Option<(String, Vec<u8>)>, found: &mut Dumps| {
        if let Some((label, _)) = open.take() {
            found.push((label, Err(DumpError::Unfinished)));
        }
    };
    for line in log.lines().map(str::trim_end) {
        if let Some((_, words)) = line.split_once(BEGIN) {
            lost(&mut open, &mut found);
            let label = words.split(' ').next().unwrap_or_default();
            open = Some((label.to_string(), Vec::new()));
        } else if let Some((_, words)) = line.split_once(MARK) {
            if let Some((label, bytes)) = &mut open {
                let place = bytes.len();
                let data = words.split_once(' ');
                let data = data.filter(|(at, _)| at.parse() == Ok(place));
                if data.and_then(|(_, data)| decode(data, bytes)).is_none() {
                    found.push((core::mem::take(label), Err(DumpError::Lost(place))));
                    open = None;
                }
            }
        } else if let Some((_, words)) = line.split_once(END)
            && let Some((label, bytes)) = open.take()
        {
            let expected = alloc::format!("{} {:016x}", bytes.len(), hash(bytes.iter().copied()));
            let whole = words.split_once(' ').map(|(_, rest)| rest) == Some(expected.as_str());
            found.push((
                label,
                if whole {
                    Ok(bytes)
                } else {
                    Err(DumpError::Damaged)
                },
            ));
        }
    }
    lost(&mut open, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn recording() -> Recorder {
        let mut recorder = Recorder::new(64 << 10, 512, 5_000).expect("there is memory");
        for number in 0..500 {
            recorder.entered();
            assert!(recorder.left(mediator::Call::Removed(mediator::DomainId(number))));
        }
        recorder.finish("a label");
        recorder
    }

    fn text(recorder: &Recorder) -> String {
        (0..)
            .map_while(|number| recorder.line(number))
            .map(|line| line.to_string())
            .collect()
    }

    #[test]
    fn a_dump_comes_back_out_of_a_log_with_other_lines_and_prefixes() {
        let recorder = recording();
        let lines = text(&recorder).replace('\n', "\r\n[  1.2] info  something else\r\n(d1) ");
        let bytes: Vec<u8> = recorder
            .header()
            .iter()
            .chain(recorder.log())
            .copied()
            .collect();
        assert_eq!(dumps(&lines), [("alabel".to_string(), Ok(bytes))]);
    }

    #[test]
    fn what_is_lost_or_damaged_is_named() {
        let whole = text(&recording());
        let without: String = whole
            .lines()
            .enumerate()
            .filter(|(at, _)| *at != 3)
            .map(|(_, line)| alloc::format!("{line}\n"))
            .collect();
        assert_eq!(dumps(&without)[0].1, Err(DumpError::Lost(96)));
        let short = &whole[..whole.len() / 2];
        assert!(matches!(dumps(short)[0].1, Err(DumpError::Unfinished)));
        let at = whole.find("TRACE 48 ").expect("a second line") + 12;
        let mut wrong = whole.clone();
        let other = if &wrong[at..=at] == "A" { "B" } else { "A" };
        wrong.replace_range(at..=at, other);
        assert_eq!(dumps(&wrong)[0].1, Err(DumpError::Damaged));
        let twice = alloc::format!("{short}\n{whole}");
        let found = dumps(&twice);
        assert_eq!(
            (found.len(), found[1].1.is_ok()),
            (2, true),
            "asked for again"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_survive_base64(bytes in prop::collection::vec(any::<u8>(), 0..=PER_LINE)) {
            let (mut line, mut back) = (Line::new(), Vec::new());
            prop_assert!(encode(bytes.iter().copied(), &mut line).is_ok());
            prop_assert_eq!(decode(&line, &mut back), Some(()));
            prop_assert_eq!(back, bytes);
        }
    }
}
