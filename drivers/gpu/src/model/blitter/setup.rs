//! The blitter's state between commands, and inside one.

use super::fields::Control;
use super::operation::Rectangle;
use super::plane::{Plane, Tiling};

/// Which pattern XY_SCANLINES_BLT paints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SetupPattern {
    /// XY_SETUP_BLT: pixels at this address.
    Color(u64),
    /// XY_SETUP_MONO_PATTERN_SL_BLT: these bits.
    Mono(u64),
}

/// The next piece of a command to paint, in the order of painting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Progress {
    pub(super) row: u32,
    pub(super) column: u32,
}

/// What XY_SETUP_BLT and its kin left behind, and how far the current command has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    pub(super) control: Control,
    pub(super) mask: u32,
    pub(super) clip: Rectangle,
    pub(super) target: Plane,
    pub(super) background: u32,
    pub(super) foreground: u32,
    pub(super) pattern: SetupPattern,
    pub(super) progress: Progress,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            control: Control::default(),
            mask: u32::MAX,
            clip: Rectangle::default(),
            target: Plane {
                base: 0,
                pitch: 0,
                tiling: Tiling::Linear,
            },
            background: 0,
            foreground: 0,
            pattern: SetupPattern::Mono(0),
            progress: Progress::default(),
        }
    }
}
