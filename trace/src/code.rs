//! Numbers as few bytes: counts and distances as varints, hardware's values by their bytes.
//!
//! A varint has seven bits a byte, lowest first, the top bit set on all but the last. A value is
//! one byte that tells which of its eight bytes are not zero, and those: registers and page-table
//! entries have few of them, anywhere.

use arrayvec::ArrayVec;

use crate::TraceError;

/// Longest record, bytes.
pub const LONGEST: usize = 96;

/// A record as bytes.
#[derive(Debug, Clone, Default)]
pub struct Bytes(ArrayVec<u8, LONGEST>);

impl core::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Bytes {
    /// Appends a byte. No record is longer than [`LONGEST`].
    #[inline(never)]
    pub fn push(&mut self, byte: u8) {
        let fits = self.0.try_push(byte).is_ok();
        debug_assert!(fits, "a record of more than {LONGEST} bytes");
    }

    /// Appends a varint.
    pub fn put(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.push(number as u8);
    }

    /// Appends how far `to` is from `from`, short both ways.
    pub fn put_distance(&mut self, from: u64, to: u64) {
        let distance = to.wrapping_sub(from) as i64;
        self.put(((distance << 1) ^ (distance >> 63)) as u64);
    }

    /// Appends a value.
    pub fn put_value(&mut self, value: u64) {
        let bytes = value.to_le_bytes();
        let bit = |(bit, byte): (usize, &u8)| u8::from(*byte != 0) << bit;
        self.push(bytes.iter().enumerate().map(bit).sum());
        for byte in bytes.into_iter().filter(|byte| *byte != 0) {
            self.push(byte);
        }
    }
}

/// Reads what the functions above wrote.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Source<'a> {
    /// From the first byte on.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// The next byte.
    pub fn byte(&mut self) -> Result<u8, TraceError> {
        let byte = *self.bytes.get(self.at).ok_or(TraceError::Short)?;
        self.at += 1;
        Ok(byte)
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], TraceError> {
        let end = self.at.checked_add(count).ok_or(TraceError::Short)?;
        let bytes = self.bytes.get(self.at..end).ok_or(TraceError::Short)?;
        self.at = end;
        Ok(bytes)
    }

    /// A varint.
    pub fn number(&mut self) -> Result<u64, TraceError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(TraceError::Malformed(self.at))
    }

    /// A varint that fits a smaller type.
    pub fn small<T: TryFrom<u64>>(&mut self) -> Result<T, TraceError> {
        T::try_from(self.number()?).map_err(|_| TraceError::Malformed(self.at))
    }

    /// A number told as a distance.
    pub fn near(&mut self, from: u64) -> Result<u64, TraceError> {
        let folded = self.number()?;
        let distance = (folded >> 1) as i64 ^ -((folded & 1) as i64);
        Ok(from.wrapping_add(distance as u64))
    }

    /// A value.
    pub fn value(&mut self) -> Result<u64, TraceError> {
        let mask = self.byte()?;
        let mut bytes = [0; 8];
        for (bit, byte) in bytes.iter_mut().enumerate() {
            if mask >> bit & 1 != 0 {
                *byte = self.byte()?;
            }
        }
        Ok(u64::from_le_bytes(bytes))
    }
}
