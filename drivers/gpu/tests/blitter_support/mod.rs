//! A blit as a description, its encoding, and the naive painter.

mod encode;
mod memory;
mod reference;

pub use memory::Memory;
pub use reference::paint;

use gpu::model::blitter::{Setup, execute};
use gpu::model::surface::{STEP_BYTES, Step};

/// X-tiled.
pub const TILED_X: u8 = 1;
/// Y-tiled.
pub const TILED_Y: u8 = 2;

/// The forms under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Color,
    Pattern,
    PatternImmediate,
    MonoPattern,
    SourceCopy,
    MonoSource,
    MonoSourceImmediate,
    Full,
    FullMonoSource,
    FullMonoPattern,
    FullMonoPatternMonoSource,
    FullImmediatePattern,
    FullMonoSourceImmediatePattern,
    Pixel,
    ScanlinesColor,
    ScanlinesMono,
    Text,
    TextImmediate,
    FastCopy,
    PlainColor,
    PlainCopy,
}

/// What the source operand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    None,
    Color,
    Mono,
    Text,
}

/// What the pattern operand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatternKind {
    Unused,
    Solid,
    Mono,
    Color,
}

impl Form {
    pub const ALL: [Self; 21] = [
        Self::Color,
        Self::Pattern,
        Self::PatternImmediate,
        Self::MonoPattern,
        Self::SourceCopy,
        Self::MonoSource,
        Self::MonoSourceImmediate,
        Self::Full,
        Self::FullMonoSource,
        Self::FullMonoPattern,
        Self::FullMonoPatternMonoSource,
        Self::FullImmediatePattern,
        Self::FullMonoSourceImmediatePattern,
        Self::Pixel,
        Self::ScanlinesColor,
        Self::ScanlinesMono,
        Self::Text,
        Self::TextImmediate,
        Self::FastCopy,
        Self::PlainColor,
        Self::PlainCopy,
    ];

    pub fn source(self) -> SourceKind {
        match self {
            Self::SourceCopy
            | Self::Full
            | Self::FullMonoPattern
            | Self::FullImmediatePattern
            | Self::FastCopy
            | Self::PlainCopy => SourceKind::Color,
            Self::MonoSource
            | Self::MonoSourceImmediate
            | Self::FullMonoSource
            | Self::FullMonoPatternMonoSource
            | Self::FullMonoSourceImmediatePattern => SourceKind::Mono,
            Self::Text | Self::TextImmediate => SourceKind::Text,
            _ => SourceKind::None,
        }
    }

    pub fn pattern(self) -> PatternKind {
        match self {
            Self::Color | Self::PlainColor | Self::Pixel | Self::Text | Self::TextImmediate => {
                PatternKind::Solid
            }
            Self::MonoPattern
            | Self::FullMonoPattern
            | Self::FullMonoPatternMonoSource
            | Self::ScanlinesMono => PatternKind::Mono,
            Self::Pattern
            | Self::PatternImmediate
            | Self::Full
            | Self::FullMonoSource
            | Self::FullImmediatePattern
            | Self::FullMonoSourceImmediatePattern
            | Self::ScanlinesColor => PatternKind::Color,
            _ => PatternKind::Unused,
        }
    }

    pub fn has_color_source(self) -> bool {
        self.source() == SourceKind::Color
    }

    /// Rests on XY_SETUP_BLT or XY_SETUP_MONO_PATTERN_SL_BLT.
    pub fn needs_setup(self) -> bool {
        matches!(
            self,
            Self::Pixel
                | Self::ScanlinesColor
                | Self::ScanlinesMono
                | Self::Text
                | Self::TextImmediate
        )
    }

    fn immediate_source(self) -> bool {
        matches!(self, Self::MonoSourceImmediate | Self::TextImmediate)
    }

    fn plain(self) -> bool {
        matches!(self, Self::PlainColor | Self::PlainCopy)
    }
}

/// Source or target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Side {
    pub base: u64,
    /// Bytes.
    pub pitch: i32,
    /// 0, [`TILED_X`] or [`TILED_Y`].
    pub tiling: u8,
}

/// One blit, described.
#[derive(Debug, Clone)]
pub struct Blit {
    pub form: Form,
    /// The manual's code: 8, 16, 16, 32.
    pub depth: u32,
    pub rop: u8,
    pub byte_mask: u32,
    pub target: Side,
    pub source: Side,
    pub area: [i16; 4],
    pub from: (i16, i16),
    pub clip: Option<[i16; 4]>,
    pub source_transparent: bool,
    pub pattern_transparent: bool,
    pub solid: bool,
    /// Source background and foreground, pattern background and foreground.
    pub colors: [u32; 4],
    pub pattern: u64,
    pub pixels: [u32; 64],
    pub seed: (u32, u32),
    pub first_bit: u32,
    pub packed: bool,
}

impl Default for Blit {
    fn default() -> Self {
        Self {
            form: Form::Color,
            depth: 3,
            rop: 0xf0,
            byte_mask: 3,
            target: Side::default(),
            source: Side::default(),
            area: [0; 4],
            from: (0, 0),
            clip: None,
            source_transparent: false,
            pattern_transparent: false,
            solid: false,
            colors: [0x1122_3344, 0xaabb_ccdd, 0x0f1e_2d3c, 0x7766_5544],
            pattern: 0x8142_2418_1824_4281,
            pixels: core::array::from_fn(|index| index as u32 * 0x0103_0507),
            seed: (0, 0),
            first_bit: 0,
            packed: true,
        }
    }
}

impl Blit {
    /// Bytes of a pixel.
    pub fn pixel(&self) -> i64 {
        match self.depth {
            0 => 1,
            3 => 4,
            _ => 2,
        }
    }

    /// What the forms cannot express, taken out of the description.
    pub fn within_limits(mut self) -> Self {
        let width = self.area[2].max(self.area[0]) - self.area[0];
        if self.form.immediate_source() {
            self.area[2] = self.area[0] + width.min(90);
            self.area[3] = self.area[3].min(self.area[1] + 30);
        }
        if self.form == Form::Pixel {
            (self.area[2], self.area[3]) = (self.area[0] + 1, self.area[1] + 1);
        }
        if self.form == Form::FastCopy {
            (self.rop, self.byte_mask, self.clip) = (0xcc, 3, None);
            // No promise about overlaps.
            self.source.base |= 1 << 46;
        }
        if self.form.plain() {
            self.area = [0, 0, width, (self.area[3] - self.area[1]).max(0)];
            (self.from, self.clip, self.seed) = ((0, 0), None, (0, 0));
            (self.target.tiling, self.source.tiling) = (0, 0);
            self.source.base |= 1 << 46;
        }
        self
    }

    /// BCS_SWCTRL for these tilings.
    pub fn swctrl(&self) -> u32 {
        u32::from(self.source.tiling == TILED_Y) | u32::from(self.target.tiling == TILED_Y) << 1
    }
}

/// Executes one step; whether it was the last.
pub fn step(memory: &mut Memory, setup: &mut Setup, command: &[u32]) -> bool {
    memory.moved = 0;
    let step = execute(memory, setup, command).expect("the blit is legal");
    let (Step::Done { bytes } | Step::More { bytes }) = step;
    assert_eq!(bytes, memory.moved, "bytes reported and bytes moved");
    assert!(bytes <= STEP_BYTES);
    matches!(step, Step::Done { .. })
}

/// Executes a command to its end; how many steps that took.
pub fn run(memory: &mut Memory, setup: &mut Setup, command: &[u32]) -> usize {
    let mut steps = 1;
    while !step(memory, setup, command) {
        steps += 1;
    }
    steps
}

/// Executes the setup that a blit needs: its own, or one for the clip rectangle.
pub fn run_setup(memory: &mut Memory, setup: &mut Setup, blit: &Blit) {
    for command in blit.setup_commands() {
        run(memory, setup, &command);
    }
}
