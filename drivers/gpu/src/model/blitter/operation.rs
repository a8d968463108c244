//! A decoded blit: what is painted where, from what.

use super::plane::Plane;
use super::raster::RasterOperation;

/// Pixels from (x1, y1) up to and without (x2, y2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rectangle {
    pub(super) x1: i32,
    pub(super) y1: i32,
    pub(super) x2: i32,
    pub(super) y2: i32,
}

impl Rectangle {
    /// From two coordinate dwords: y in the upper half, x in the lower, both signed.
    pub(super) fn new(top_left: u32, bottom_right: u32) -> Self {
        let (x1, y1) = coordinates(top_left);
        let (x2, y2) = coordinates(bottom_right);
        Self { x1, y1, x2, y2 }
    }

    /// What both have in common.
    pub(super) fn clip(self, to: Self) -> Self {
        Self {
            x1: self.x1.max(to.x1),
            y1: self.y1.max(to.y1),
            x2: self.x2.min(to.x2),
            y2: self.y2.min(to.y2),
        }
    }

    /// Pixels of a row; 0 if it is empty or inside out.
    pub(super) fn width(&self) -> u32 {
        self.x2.saturating_sub(self.x1).max(0).unsigned_abs()
    }

    /// Rows.
    pub(super) fn height(&self) -> u32 {
        self.y2.saturating_sub(self.y1).max(0).unsigned_abs()
    }
}

/// x and y of a coordinate dword.
pub(super) fn coordinates(dword: u32) -> (i32, i32) {
    (
        i32::from(dword as u16 as i16),
        i32::from((dword >> 16) as u16 as i16),
    )
}

/// Where monochrome bits come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bits {
    /// Graphics memory.
    Memory(u64),
    /// The command itself, from this dword.
    Immediate(usize),
}

/// The source operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// None: reads as zero.
    None,
    /// Pixels like the destination's, `(dx, dy)` away from it.
    Color {
        plane: Plane,
        dx: i32,
        dy: i32,
        /// Right to left.
        x_backwards: bool,
        /// Bottom to top.
        y_backwards: bool,
    },
    /// One bit a pixel, most significant first; a set one is the foreground.
    Mono {
        bits: Bits,
        /// Pixel of the first bit.
        origin: (i32, i32),
        /// Bits before the first pixel in every row.
        skip: u32,
        /// Bits of a row.
        stride: u64,
        background: u32,
        foreground: u32,
        /// Clear bits paint nothing.
        transparent: bool,
    },
}

/// The pattern operand, eight by eight pixels repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// The same pixel everywhere.
    Solid(u32),
    /// Row 0 in the lowest byte, its leftmost pixel the most significant bit.
    Mono {
        bits: u64,
        background: u32,
        foreground: u32,
        transparent: bool,
    },
    /// Pixels in graphics memory.
    Memory(u64),
    /// Pixels in the command, from this dword.
    Immediate(usize),
}

/// One blit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) target: Plane,
    /// Clipped.
    pub(super) area: Rectangle,
    /// Bytes of a pixel.
    pub(super) pixel: usize,
    /// Bits of a pixel that are written.
    pub(super) mask: u32,
    pub(super) raster: RasterOperation,
    pub(super) source: Source,
    pub(super) pattern: Pattern,
    /// Where in the pattern the pixel (0, 0) of the destination is.
    pub(super) seed: (i32, i32),
}
