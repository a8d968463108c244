//! The eight by eight pixels of a pattern operand, ready to look up.

use super::operation::Pattern;
use crate::address::GraphicsAddress;
use crate::model::fault::Fault;
use crate::model::surface::Surface;

/// Largest pattern: 64 pixels of four bytes.
const BYTES: usize = 256;

/// A pattern at hand.
pub(super) enum Tile {
    /// One pixel everywhere.
    Solid(u32),
    /// Two colours; `None` paints nothing.
    Mono {
        bits: u64,
        background: Option<u32>,
        foreground: u32,
    },
    /// Pixels of this many bytes.
    Color { pixels: [u8; BYTES], pixel: usize },
}

impl Tile {
    /// Fetches it; the bytes that took.
    pub(super) fn fetch(
        surface: &mut dyn Surface,
        pattern: Pattern,
        pixel: usize,
        command: &[u32],
    ) -> Result<(Self, u64), Fault> {
        let mut pixels = [0; BYTES];
        let length = (64 * pixel).min(BYTES);
        match pattern {
            Pattern::Solid(color) => Ok((Self::Solid(color), 0)),
            Pattern::Mono {
                bits,
                background,
                foreground,
                transparent,
            } => {
                let background = (!transparent).then_some(background);
                Ok((
                    Self::Mono {
                        bits,
                        background,
                        foreground,
                    },
                    0,
                ))
            }
            Pattern::Memory(address) => {
                let (wanted, _) = pixels.split_at_mut(length);
                surface.read(GraphicsAddress(address), wanted)?;
                Ok((Self::Color { pixels, pixel }, length as u64))
            }
            Pattern::Immediate(first) => {
                let header = command.first().copied().unwrap_or(0);
                let data = command.get(first..first + length / 4);
                let data = data.ok_or(Fault::Malformed(header))?;
                for (bytes, dword) in pixels.chunks_exact_mut(4).zip(data) {
                    bytes.copy_from_slice(&dword.to_le_bytes());
                }
                Ok((Self::Color { pixels, pixel }, 0))
            }
        }
    }

    /// The pattern's pixel at (x, y) of its own eight by eight.
    pub(super) fn at(&self, x: i32, y: i32) -> Option<u32> {
        let (x, y) = ((x & 7) as usize, (y & 7) as usize);
        match self {
            Self::Solid(color) => Some(*color),
            Self::Mono {
                bits,
                background,
                foreground,
            } => {
                if bits >> (y * 8 + 7 - x) & 1 != 0 {
                    Some(*foreground)
                } else {
                    *background
                }
            }
            Self::Color { pixels, pixel } => Some(super::paint::load(pixels, y * 8 + x, *pixel)),
        }
    }
}
