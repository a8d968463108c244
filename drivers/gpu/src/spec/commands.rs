//! All Gen9 commands as one table: what the streamer may be told, and what we let a guest tell it.
//!
//! Sources: Intel PRM Kaby Lake volume 2a (command opcodes, lengths, fields), volume 7 (memory
//! interface), volume 8 (blitter); Linux i915 `gt/intel_gpu_commands.h` for what drivers emit and
//! `gvt/cmd_parser.c` for which commands a mediator has met in the field.
//!
//! Only the memory-interface commands and PIPE_CONTROL can choose the global GTT. Everything else
//! reaches memory through the context's own PPGTT, where the guest harms itself at most; such
//! addresses are listed where a command has few of them, as documentation.

mod blitter;
mod fields;
mod interface;
mod media;
mod render;
mod row;
mod shape;
mod table;
mod video;

#[cfg(test)]
mod tests;

pub use fields::{AddressField, AddressSpace, Bits, Extent, Rule};
pub use shape::Shape;
pub use table::COMMANDS;

use super::engine::Engine;

/// Set of engines that know a command, one bit per [`Engine::index`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Engines(pub u8);

impl Engines {
    /// Every engine.
    pub const ALL: Self = Self(0b1111);
    /// Render only.
    pub const RCS: Self = Self(1 << Engine::Rcs as u8);
    /// Blitter only.
    pub const BCS: Self = Self(1 << Engine::Bcs as u8);
    /// Video only.
    pub const VCS: Self = Self(1 << Engine::Vcs as u8);
    /// Video enhancement only.
    pub const VECS: Self = Self(1 << Engine::Vecs as u8);

    /// Whether `engine` is in the set.
    pub const fn contains(self, engine: Engine) -> bool {
        self.0 & 1 << engine as u8 != 0
    }

    /// Engines of either set.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How many dwords a command has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Always this many.
    Fixed(u8),
    /// The low `bits` of the header plus `bias`.
    Field {
        /// Width of the length field.
        bits: u8,
        /// Added to it, normally 2.
        bias: u8,
    },
}

/// Why the engine's status page is out of reach.
pub const STATUS_PAGE: &str = "writes the engine's status page, which the guests share";

/// What the audit says to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Harmless once its addresses and registers are checked.
    Allow,
    /// Register operands at these dwords, `step` apart, to the end: each checked.
    Registers {
        /// Dword of the first register offset.
        first: u8,
        /// Dwords between two; 0 for one only.
        step: u8,
    },
    /// Starts another batch, which is audited too.
    Batch,
    /// Ends this batch or ring.
    End,
    /// Writes the context's own status page if this bit is set or the batch is unprivileged, which
    /// the audit makes sure of; else the engine's: never ([`STATUS_PAGE`]).
    StatusPage(Bits),
    /// Never, and why.
    Refuse(&'static str),
}

/// What a command does with the registers it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterUse {
    /// Writes the immediate value in the dword after the offset.
    Immediate,
    /// Writes a value that is known only when it runs.
    Write,
    /// Reads.
    Read,
    /// Reads the first operand, writes the second.
    Move,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// The manual's name.
    pub name: &'static str,
    /// Header bits that identify it.
    pub opcode: u32,
    /// Which header bits those are.
    pub mask: u32,
    /// Engines that know it.
    pub engines: Engines,
    /// Length rule.
    pub length: Length,
    /// Fewest dwords with which every operand the audit reads is present.
    pub shortest: u8,
    /// Most dwords, if the length field can say more than the command has.
    pub longest: Option<u8>,
    /// Address operands.
    pub addresses: &'static [AddressField],
    /// Bits that must have one value.
    pub rules: &'static [Rule],
    /// What happens to the registers of [`Verdict::Registers`], or of a register operand that
    /// [`Self::post_sync`] switches on.
    pub register_use: RegisterUse,
    /// Condition under which dword 2 is not an address but a register (PIPE_CONTROL).
    pub post_sync: Option<Bits>,
    /// The audit's answer.
    pub verdict: Verdict,
}

impl Command {
    /// Length in dwords, header included; at least 1.
    pub const fn dwords(&self, header: u32) -> u32 {
        match self.length {
            Length::Fixed(dwords) => dwords as u32,
            Length::Field { bits, bias } => (header & ((1 << bits) - 1)) + bias as u32,
        }
    }

    /// Whether a length of `dwords` is one that the manual gives this command.
    pub const fn fits(&self, dwords: u32) -> bool {
        dwords >= self.shortest as u32
            && match self.longest {
                Some(longest) => dwords <= longest as u32,
                None => true,
            }
    }
}

/// The row of a command header on one engine, if the engine knows it.
#[inline]
pub fn find(engine: Engine, header: u32) -> Option<&'static Command> {
    table::find(engine, header)
}

/// What is needed to walk over a command: a cheaper [`find`]. Ask [`Shape::known_to`] first.
#[inline]
pub fn shape(engine: Engine, header: u32) -> &'static Shape {
    table::shape(engine, header)
}
