//! What a picture should look like: pixels in the program's own memory, drawn one by one.
//!
//! It shares nothing with the GPU under test but the manual's definition of the layouts: an X tile
//! is 512 bytes wide and 8 lines high, line after line; a Y tile 128 bytes wide and 32 lines high,
//! column after column of 16 bytes (PRM volume 5, "Tiling").

use core::fmt;

/// Bytes of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// One byte.
    Bits8,
    /// Two bytes.
    Bits16,
    /// Four bytes.
    Bits32,
}

impl Depth {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bits8, Self::Bits16, Self::Bits32];

    /// As a number.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::Bits8 => 1,
            Self::Bits16 => 2,
            Self::Bits32 => 4,
        }
    }
}

/// How lines lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tiling {
    /// One after the other.
    Linear,
    /// In X tiles.
    X,
    /// In Y tiles.
    Y,
}

impl Tiling {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Linear, Self::X, Self::Y];

    /// Bytes and lines of a tile.
    pub const fn tile(self) -> (u32, u32) {
        match self {
            Self::Linear => (64, 1),
            Self::X => (512, 8),
            Self::Y => (128, 32),
        }
    }
}

impl fmt::Display for Tiling {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Linear => "linear",
            Self::X => "x-tiled",
            Self::Y => "y-tiled",
        })
    }
}

/// Where each pixel lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Bytes from one line to the next (tiled: of a row of tiles that go with one line).
    pub pitch: u32,
    /// Lines.
    pub height: u32,
    /// Pixel format.
    pub depth: Depth,
    /// How lines lie.
    pub tiling: Tiling,
}

impl Layout {
    /// The smallest that has room for so many pixels and a little more.
    pub const fn new((width, height): (u32, u32), depth: Depth, tiling: Tiling) -> Self {
        let (bytes, lines) = tiling.tile();
        Self {
            pitch: (width * depth.bytes() + 1).next_multiple_of(bytes),
            height: height.next_multiple_of(lines),
            depth,
            tiling,
        }
    }

    /// Bytes of memory.
    pub const fn size(&self) -> usize {
        (self.pitch * self.height) as usize
    }

    /// Offset of a byte of a line.
    pub const fn offset(&self, byte: u32, line: u32) -> usize {
        let (tile_bytes, tile_lines) = self.tiling.tile();
        let (column, row) = (byte / tile_bytes, line / tile_lines);
        let (byte_in, line_in) = (byte % tile_bytes, line % tile_lines);
        let tile = (row * (self.pitch / tile_bytes) + column) * 4096;
        (match self.tiling {
            Tiling::Linear => line * self.pitch + byte,
            Tiling::X => tile + line_in * 512 + byte_in,
            Tiling::Y => tile + byte_in / 16 * 512 + line_in * 16 + byte_in % 16,
        }) as usize
    }
}

/// Pixels of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rectangle {
    /// First column.
    pub left: u32,
    /// First line.
    pub top: u32,
    /// Columns.
    pub width: u32,
    /// Lines.
    pub height: u32,
}

impl Rectangle {
    /// Its pixels.
    fn pixels(self) -> impl Iterator<Item = (u32, u32)> {
        (self.top..self.top + self.height).flat_map(move |line| {
            (self.left..self.left + self.width).map(move |column| (column, line))
        })
    }
}

/// A picture as it should be.
#[derive(Debug, Clone)]
pub struct Picture {
    /// How it lies in memory.
    pub layout: Layout,
    /// The memory.
    pub bytes: Vec<u8>,
}

impl Picture {
    /// Filled with a pattern in which no two neighbours are alike.
    pub fn new(layout: Layout, seed: u32) -> Self {
        let byte = |index: usize| {
            (index as u32 ^ seed)
                .wrapping_mul(0x9e37_79b1)
                .to_be_bytes()[0]
        };
        Self {
            layout,
            bytes: (0..layout.size()).map(byte).collect(),
        }
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, at: Rectangle, color: u32) {
        for (column, line) in at.pixels() {
            for (byte, value) in (0..self.layout.depth.bytes()).zip(color.to_le_bytes()) {
                self.set(column, line, byte, value);
            }
        }
    }

    /// Copies a rectangle of another picture of the same depth.
    pub fn copy(&mut self, at: Rectangle, source: &Self, (left, top): (u32, u32)) {
        for (column, line) in at.pixels() {
            for byte in 0..self.layout.depth.bytes() {
                let from = (left + column - at.left, top + line - at.top);
                let value = source.get(from.0, from.1, byte);
                self.set(column, line, byte, value);
            }
        }
    }

    fn get(&self, column: u32, line: u32, byte: u32) -> u8 {
        let offset = self
            .layout
            .offset(column * self.layout.depth.bytes() + byte, line);
        self.bytes.get(offset).copied().unwrap_or(0)
    }

    fn set(&mut self, column: u32, line: u32, byte: u32, value: u8) {
        let offset = self
            .layout
            .offset(column * self.layout.depth.bytes() + byte, line);
        if let Some(place) = self.bytes.get_mut(offset) {
            *place = value;
        }
    }

    /// Compares every byte, pixels and gaps, with what lies in memory.
    pub fn compare(&self, got: &[u8]) -> Result<(), String> {
        let differing = |(_, (want, got)): &(usize, (&u8, &u8))| want != got;
        let pairs = self.bytes.iter().zip(got).enumerate();
        let wrong = pairs.clone().filter(differing).count();
        match pairs.clone().find(differing) {
            None if got.len() < self.bytes.len() => {
                Err(format!("{} bytes of {}", got.len(), self.bytes.len()))
            }
            None => Ok(()),
            Some((offset, (want, got))) => Err(format!(
                "{wrong} of {} bytes differ, first at {offset:#x}: {got:#04x}, not {want:#04x}",
                self.bytes.len()
            )),
        }
    }
}
