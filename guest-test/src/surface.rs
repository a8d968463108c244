//! A picture in own pages that the blitter draws into, and what it should look like.
//!
//! The expected bytes are kept and drawn by code that shares nothing with the model under test:
//! pixels one by one, straight from the definition of a filled or copied rectangle.

use crate::commands::{Commands, Depth, Rectangle, Target};
use crate::machine::{Machine, PAGE, Page};
use crate::ppgtt::Ppgtt;
use crate::report::Outcome;

/// One linear picture.
pub struct Surface {
    /// Where it is in the PPGTT, how its lines lie.
    pub target: Target,
    pages: Vec<Page>,
    expected: Vec<u8>,
}

impl Surface {
    /// A picture filled with a pattern in which no two neighbours are alike, mapped in `space`.
    pub fn new(
        machine: &mut dyn Machine,
        space: &mut Ppgtt,
        (width, height): (u32, u32),
        depth: Depth,
    ) -> Result<Self, String> {
        // A pitch wider than the lines shows whether the gap is left alone.
        let pitch = (width * depth.bytes()).next_multiple_of(64) + 64;
        let count = u64::from(pitch * height).div_ceil(PAGE);
        let pages: Result<Vec<Page>, _> = (0..count).map(|_| machine.page()).collect();
        let pages = pages.map_err(|trouble| trouble.0)?;
        let address = space.map(machine, &pages)?;
        let expected = vec![0; (count * PAGE) as usize];
        let target = Target {
            address,
            pitch,
            depth,
        };
        let mut surface = Self {
            target,
            pages,
            expected,
        };
        surface.fill_pattern(machine);
        Ok(surface)
    }

    /// Puts the pattern back.
    pub fn fill_pattern(&mut self, machine: &mut dyn Machine) {
        for (index, byte) in self.expected.iter_mut().enumerate() {
            *byte = (index as u32).wrapping_mul(0x9e37_79b1).to_be_bytes()[0];
        }
        for (dword, bytes) in self.expected.chunks_exact(4).enumerate() {
            let value = bytes
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u32::from(*byte));
            let Some(page) = self.pages.get(dword / 1024) else {
                break;
            };
            machine.write(*page, dword % 1024, value);
        }
    }

    /// Adds a filled rectangle to the commands and to what is expected.
    pub fn fill(&mut self, commands: Commands, at: Rectangle, color: u32) -> Commands {
        let bytes = self.target.depth.bytes() as usize;
        for (column, line) in pixels(at) {
            let offset = self.offset(column, line);
            for (index, value) in color.to_le_bytes().into_iter().take(bytes).enumerate() {
                if let Some(byte) = self.expected.get_mut(offset + index) {
                    *byte = value;
                }
            }
        }
        commands.color_blit(self.target, at, color)
    }

    /// Adds a copy out of another picture.
    pub fn copy(
        &mut self,
        commands: Commands,
        at: Rectangle,
        source: &Self,
        from: (u32, u32),
    ) -> Commands {
        let bytes = self.target.depth.bytes() as usize;
        for (column, line) in pixels(at) {
            let (to, of) = (
                self.offset(column, line),
                source.offset(from.0 + column - at.left, from.1 + line - at.top),
            );
            for index in 0..bytes {
                let value = source.expected.get(of + index).copied().unwrap_or(0);
                if let Some(byte) = self.expected.get_mut(to + index) {
                    *byte = value;
                }
            }
        }
        commands.copy_blit(self.target, at, source.target, from)
    }

    /// Compares every byte, pixels and gaps.
    pub fn verify(&self, machine: &dyn Machine) -> Outcome {
        let mut wrong = 0;
        let mut first = None;
        for (dword, want) in self.expected.chunks_exact(4).enumerate() {
            let Some(page) = self.pages.get(dword / 1024) else {
                break;
            };
            let got = machine.read(*page, dword % 1024).to_le_bytes();
            for (index, (got, want)) in got.iter().zip(want).enumerate() {
                if got != want {
                    wrong += 1;
                    first.get_or_insert((4 * dword + index, *got, *want));
                }
            }
        }
        match first {
            None => Ok(()),
            Some((offset, got, want)) => {
                let (line, column) = (
                    offset as u32 / self.target.pitch,
                    offset as u32 % self.target.pitch,
                );
                Err(format!(
                    "{wrong} bytes differ, first line {line} byte {column}: {got:#04x}, not \
                     {want:#04x}"
                ))
            }
        }
    }

    fn offset(&self, column: u32, line: u32) -> usize {
        (line * self.target.pitch + column * self.target.depth.bytes()) as usize
    }
}

fn pixels(at: Rectangle) -> impl Iterator<Item = (u32, u32)> {
    (at.top..at.top + at.height)
        .flat_map(move |line| (at.left..at.left + at.width).map(move |column| (column, line)))
}
