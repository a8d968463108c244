//! Encoders of the blitter's commands.
//!
//! Source: Intel PRM Kaby Lake volume 2a, XY_COLOR_BLT, XY_SRC_COPY_BLT, XY_FAST_COPY_BLT, and
//! volume 2c, BCS_SWCTRL. Pitches of tiled surfaces are in dwords. Bits 15 and 11 of the older
//! commands only say "tiled": in what way is up to BCS_SWCTRL.

use super::Commands;
use crate::engine::Engine;
use crate::picture::{Depth, Layout, Rectangle, Tiling};

/// Client 2.
const CLIENT: u32 = 2 << 29;
/// XY_SRC_COPY_BLT: the source is tiled.
const SOURCE_TILED: u32 = 1 << 15;
/// The target is tiled.
const TARGET_TILED: u32 = 1 << 11;
/// BCS_SWCTRL, a masked register.
pub const SOFTWARE_CONTROL: u32 = Engine::Blt.base() + 0x200;
/// Tiled sources are Y-tiled.
const SOURCE_Y: u32 = 1 << 0;
/// Tiled targets are Y-tiled.
const TARGET_Y: u32 = 1 << 1;

impl Depth {
    /// Bits 25:24 of the older commands.
    const fn bits(self) -> u32 {
        match self {
            Self::Bits8 => 0,
            Self::Bits16 => 1 << 24,
            Self::Bits32 => 3 << 24,
        }
    }

    /// Which bytes of a 32-bit pixel are written: all.
    const fn write_mask(self) -> u32 {
        match self {
            Self::Bits32 => 3 << 20,
            _ => 0,
        }
    }
}

impl Layout {
    const fn encoded_pitch(&self) -> u32 {
        match self.tiling {
            Tiling::Linear => self.pitch,
            _ => self.pitch / 4,
        }
    }
}

impl Tiling {
    const fn if_tiled(self, bit: u32) -> u32 {
        match self {
            Self::Linear => 0,
            _ => bit,
        }
    }

    const fn if_y(self, bit: u32) -> u32 {
        match self {
            Self::Y => bit,
            _ => 0,
        }
    }

    /// The two bits of XY_FAST_COPY_BLT.
    const fn bits(self) -> u32 {
        match self {
            Self::Linear => 0,
            Self::X => 1,
            Self::Y => 2,
        }
    }
}

const fn point(x: u32, y: u32) -> u32 {
    y << 16 | x
}

impl Commands {
    fn rectangle(self, at: Rectangle) -> Self {
        self.raw(&[
            point(at.left, at.top),
            point(at.left + at.width, at.top + at.height),
        ])
    }

    fn address(self, address: u64) -> Self {
        self.raw(&[address as u32, (address >> 32) as u32 & 0xffff])
    }

    /// BCS_SWCTRL for the blits that follow; needed where one is Y-tiled, and after it.
    pub fn tile_modes(self, target: Tiling, source: Tiling) -> Self {
        let value = target.if_y(TARGET_Y) | source.if_y(SOURCE_Y);
        self.load(&[(SOFTWARE_CONTROL, (SOURCE_Y | TARGET_Y) << 16 | value)])
    }

    /// XY_COLOR_BLT.
    pub fn fill(self, base: u64, target: &Layout, at: Rectangle, color: u32) -> Self {
        const PATTERN_COPY: u32 = 0xf0 << 16;
        let depth = target.depth;
        let tiled = target.tiling.if_tiled(TARGET_TILED);
        self.raw(&[
            CLIENT | 0x50 << 22 | depth.write_mask() | tiled | 5,
            depth.bits() | PATTERN_COPY | target.encoded_pitch(),
        ])
        .rectangle(at)
        .address(base)
        .raw(&[color])
    }

    /// XY_SRC_COPY_BLT.
    pub fn copy_rectangle(
        self,
        (base, target): (u64, &Layout),
        at: Rectangle,
        (source_base, source): (u64, &Layout),
        (left, top): (u32, u32),
    ) -> Self {
        const SOURCE_COPY: u32 = 0xcc << 16;
        let depth = target.depth;
        let tiled = target.tiling.if_tiled(TARGET_TILED) | source.tiling.if_tiled(SOURCE_TILED);
        self.raw(&[
            CLIENT | 0x53 << 22 | depth.write_mask() | tiled | 8,
            depth.bits() | SOURCE_COPY | target.encoded_pitch(),
        ])
        .rectangle(at)
        .address(base)
        .raw(&[point(left, top), source.encoded_pitch()])
        .address(source_base)
    }

    /// XY_FAST_COPY_BLT.
    pub fn fast_copy(
        self,
        (base, target): (u64, &Layout),
        at: Rectangle,
        (source_base, source): (u64, &Layout),
        (left, top): (u32, u32),
    ) -> Self {
        let tilings = source.tiling.bits() << 20 | target.tiling.bits() << 13;
        self.raw(&[
            CLIENT | 0x42 << 22 | tilings | 8,
            target.depth.bits() | target.encoded_pitch(),
        ])
        .rectangle(at)
        .address(base)
        .raw(&[point(left, top), source.encoded_pitch()])
        .address(source_base)
    }
}
