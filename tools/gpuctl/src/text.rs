//! Strings from Xenstore, shown without letting them act on the terminal.
//!
//! What a service domain or a guest wrote is trusted less than the person reading it: control
//! characters could move the cursor or forge lines, and nothing limits a value to a line.

use core::fmt;

/// Longest part shown of a value from Xenstore, characters.
const SHOWN: usize = 240;

/// Bytes somebody else wrote. `Display` escapes and bounds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untrusted(pub Vec<u8>);

impl Untrusted {
    /// The value where it is exactly a short printable word, as states and numbers are.
    pub fn word(&self) -> Option<&str> {
        let text = core::str::from_utf8(&self.0).ok()?;
        (text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_graphic())).then_some(text)
    }

    /// The value where it is a decimal number.
    pub fn number(&self) -> Option<u32> {
        let word = self.word()?;
        word.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| word.parse().ok())?
    }
}

impl From<&str> for Untrusted {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(nothing)");
        }
        let shown = self.0.get(..SHOWN).unwrap_or(&self.0);
        for byte in shown {
            match byte {
                b' '..=b'~' if *byte != b'\\' => write!(f, "{}", char::from(*byte))?,
                _ => write!(f, "{}", byte.escape_ascii())?,
            }
        }
        if shown.len() < self.0.len() {
            write!(f, "… ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_line_breaks_are_shown_not_obeyed() {
        let hostile = Untrusted(b"ok\x1b[2J\r\nd7 attached\xff\\".to_vec());
        assert_eq!(hostile.to_string(), r"ok\x1b[2J\r\nd7 attached\xff\\");
    }

    #[test]
    fn a_value_of_any_length_takes_a_bounded_piece_of_the_screen() {
        let long = Untrusted(vec![b'a'; 4000]);
        assert!(long.to_string().chars().count() < 300);
        assert!(long.to_string().ends_with("(4000 bytes)"));
    }

    #[test]
    fn only_plain_decimal_is_a_number() {
        for (bytes, number) in [
            (&b"64"[..], Some(64)),
            (b"+64", None),
            (b"64\n", None),
            (b"", None),
            (b"99999999999", None),
        ] {
            assert_eq!(Untrusted(bytes.to_vec()).number(), number, "{bytes:?}");
        }
    }
}
