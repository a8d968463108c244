//! All Gen9 commands as one table: what the streamer may be told, and what we let a guest tell it.

mod table;

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

/// One address inside a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressField {
    /// Dword of the low half; the high half follows.
    pub dword: u8,
    /// Where the bit sits that selects the global GTT.
    pub space: AddressSpace,
}

/// Which address space an address field means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressSpace {
    /// Always the context's own PPGTT.
    Ppgtt,
    /// Global GTT if this bit of this dword is set, else PPGTT.
    GlobalIfSet(u8, u8),
    /// PPGTT if this bit of this dword is set, else global GTT (batch starts).
    PpgttIfSet(u8, u8),
}

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
    /// Never, and why.
    Refuse(&'static str),
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
    /// Address operands.
    pub addresses: &'static [AddressField],
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
}

/// The row of a command header on one engine, if the engine knows it.
pub fn find(engine: Engine, header: u32) -> Option<&'static Command> {
    table::find(engine, header)
}
