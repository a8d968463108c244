//! The eight by eight pixels of a pattern operand, ready to look up.

use super::operation::Pattern;
use super::paint::load;
use crate::address::GraphicsAddress;
use crate::model::fault::Fault;
use crate::model::surface::Surface;

/// Largest pattern: 64 pixels of four bytes.
const BYTES: usize = 256;

/// A pattern at hand.
pub(super) struct Tile {
    kind: Kind,
    /// For [`Kind::Color`].
    pixels: [u8; BYTES],
    /// Bytes of a pixel.
    pixel: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    /// One pixel everywhere.
    Solid(u32),
    /// Two colours; `None` paints nothing.
    Mono {
        bits: u64,
        background: Option<u32>,
        foreground: u32,
    },
    /// Pixels.
    Color,
}

impl Tile {
    /// One that needs no fetching and paints nothing of its own.
    pub(super) fn unused() -> Self {
        Self {
            kind: Kind::Solid(0),
            pixels: [0; BYTES],
            pixel: 1,
        }
    }

    /// Fetches it; the bytes that took.
    pub(super) fn fetch(
        surface: &mut dyn Surface,
        pattern: Pattern,
        pixel: usize,
        command: &[u32],
    ) -> Result<(Self, u64), Fault> {
        let mut tile = Self {
            kind: Kind::Color,
            pixel,
            ..Self::unused()
        };
        let length = (64 * pixel).min(BYTES);
        let mut moved = 0;
        match pattern {
            Pattern::Solid(color) => tile.kind = Kind::Solid(color),
            Pattern::Mono {
                bits,
                background,
                foreground,
                transparent,
            } => {
                let background = (!transparent).then_some(background);
                tile.kind = Kind::Mono {
                    bits,
                    background,
                    foreground,
                };
            }
            Pattern::Memory(address) => {
                let (wanted, _) = tile.pixels.split_at_mut(length);
                surface.read(GraphicsAddress(address), wanted)?;
                moved = length as u64;
            }
            Pattern::Immediate(first) => {
                let header = command.first().copied().unwrap_or(0);
                let data = command.get(first..first + length / 4);
                let data = data.ok_or(Fault::Malformed(header))?;
                for (bytes, dword) in tile.pixels.chunks_exact_mut(4).zip(data) {
                    bytes.copy_from_slice(&dword.to_le_bytes());
                }
            }
        }
        Ok((tile, moved))
    }

    /// Its colour, if it has only one.
    pub(super) fn solid(&self) -> Option<u32> {
        match self.kind {
            Kind::Solid(color) => Some(color),
            Kind::Mono { .. } | Kind::Color => None,
        }
    }

    /// Whether it decides by itself which pixels are painted.
    pub(super) fn is_mono(&self) -> bool {
        matches!(self.kind, Kind::Mono { .. })
    }

    /// Whether some pixels are not painted.
    pub(super) fn is_transparent(&self) -> bool {
        matches!(
            self.kind,
            Kind::Mono {
                background: None,
                ..
            }
        )
    }

    /// The pattern's pixel at (x, y) of its own eight by eight.
    pub(super) fn at(&self, x: i32, y: i32) -> Option<u32> {
        let (x, y) = ((x & 7) as usize, (y & 7) as usize);
        match self.kind {
            Kind::Solid(color) => Some(color),
            Kind::Mono {
                bits,
                background,
                foreground,
            } => {
                if bits >> (y * 8 + 7 - x) & 1 != 0 {
                    Some(foreground)
                } else {
                    background
                }
            }
            Kind::Color => Some(load(&self.pixels, y * 8 + x, self.pixel)),
        }
    }
}
