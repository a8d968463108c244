//! The recent lines, in fixed memory.

/// Bytes of recent text kept.
pub const RING_SIZE: usize = 16 * 1024;

/// The last [`RING_SIZE`] bytes of console lines.
#[derive(Debug)]
pub struct Ring {
    bytes: [u8; RING_SIZE],
    /// Bytes ever written; the newest lies just before this, modulo the size.
    written: usize,
}

impl Ring {
    /// An empty ring.
    pub const fn new() -> Self {
        Self {
            bytes: [0; RING_SIZE],
            written: 0,
        }
    }

    /// Adds a line, over the oldest ones where needed.
    pub fn push(&mut self, line: &[u8]) {
        for &byte in line.iter().chain(b"\n") {
            self.bytes[self.written % RING_SIZE] = byte;
            self.written = self.written.wrapping_add(1);
        }
    }

    /// The last `lines` whole lines, oldest first, each with its end.
    pub fn tail(&self, lines: usize) -> impl Iterator<Item = u8> + '_ {
        let oldest = self.written.saturating_sub(RING_SIZE);
        let mut start = self.written;
        let mut seen = 0;
        // Walk back to just behind the end of the line before the first one wanted.
        while start > oldest {
            if start < self.written && self.at(start - 1) == b'\n' {
                seen += 1;
                if seen == lines {
                    break;
                }
            }
            start -= 1;
        }
        if lines == 0 {
            start = self.written;
        } else if seen < lines && oldest > 0 {
            // The oldest line is overwritten in part: begin behind its end.
            while start < self.written && self.at(start) != b'\n' {
                start += 1;
            }
            start = self.written.min(start + 1);
        }
        (start..self.written).map(|position| self.at(position))
    }

    fn at(&self, position: usize) -> u8 {
        self.bytes[position % RING_SIZE]
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tail(ring: &Ring, lines: usize) -> String {
        String::from_utf8(ring.tail(lines).collect()).unwrap()
    }

    #[test]
    fn an_empty_ring_has_no_lines() {
        assert_eq!(tail(&Ring::new(), 5), "");
    }

    #[test]
    fn the_last_lines_come_oldest_first() {
        let mut ring = Ring::new();
        for line in ["one", "two", "three"] {
            ring.push(line.as_bytes());
        }
        assert_eq!(tail(&ring, 0), "");
        assert_eq!(tail(&ring, 1), "three\n");
        assert_eq!(tail(&ring, 2), "two\nthree\n");
        assert_eq!(tail(&ring, 9), "one\ntwo\nthree\n");
    }

    proptest! {
        #[test]
        fn the_tail_is_always_the_newest_whole_lines(
            lines in prop::collection::vec("[a-z]{0,900}", 0..40),
            wanted in 0usize..45,
        ) {
            let mut ring = Ring::new();
            for line in &lines {
                ring.push(line.as_bytes());
            }
            let mut expected = String::new();
            for line in lines.iter().rev().take(wanted) {
                if expected.len() + line.len() + 1 > RING_SIZE {
                    break;
                }
                expected = format!("{line}\n{expected}");
            }
            let kept = tail(&ring, wanted);
            // A line that fills the ring exactly cannot be told from a cut one: it may be missing.
            prop_assert!(
                kept == expected
                    || expected.len() == RING_SIZE && expected.ends_with(&kept),
                "{} bytes kept, {} expected", kept.len(), expected.len()
            );
        }
    }
}
