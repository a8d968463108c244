//! The four engines of Gen9 GT2, as i915's users name them.

use core::fmt;

use crate::abi::execution;

/// An engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Render.
    Render,
    /// Blitter.
    Blt,
    /// Video.
    Bsd,
    /// Video enhancement.
    Vebox,
}

impl Engine {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Render, Self::Blt, Self::Bsd, Self::Vebox];
    /// Those whose batches the kernel does not copy: they run what the CPU wrote last.
    pub const UNPARSED: [Self; 3] = [Self::Render, Self::Bsd, Self::Vebox];

    /// Bits of an execbuffer's flags.
    pub const fn flag(self) -> u64 {
        match self {
            Self::Render => execution::RENDER,
            Self::Blt => execution::BLT,
            Self::Bsd => execution::BSD,
            Self::Vebox => execution::VEBOX,
        }
    }

    /// I915_ENGINE_CLASS_*.
    pub const fn class(self) -> u16 {
        match self {
            Self::Render => 0,
            Self::Blt => 1,
            Self::Bsd => 2,
            Self::Vebox => 3,
        }
    }

    /// First register of its block.
    pub const fn base(self) -> u32 {
        match self {
            Self::Render => 0x2000,
            Self::Blt => 0x22000,
            Self::Bsd => 0x12000,
            Self::Vebox => 0x1a000,
        }
    }

    /// Lower half of a general-purpose register.
    pub const fn general(self, number: u32) -> u32 {
        self.base() + 0x600 + 8 * number
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Render => "render",
            Self::Blt => "blt",
            Self::Bsd => "bsd",
            Self::Vebox => "vebox",
        })
    }
}
