//! How the rows of the table are written: the manual's opcode fields, then what deviates.

use super::{AddressField, Command, Engines, Length, RegisterUse, Rule, Verdict};

/// A memory-interface command: client 0, opcode in bits 28:23, one dword.
pub(super) const fn mi(name: &'static str, opcode: u32) -> Command {
    Command {
        name,
        opcode: opcode << 23,
        mask: 0xff80_0000,
        engines: Engines::ALL,
        length: Length::Fixed(1),
        shortest: 1,
        longest: None,
        addresses: &[],
        rules: &[],
        register_use: RegisterUse::Read,
        post_sync: None,
        verdict: Verdict::Allow,
    }
}

/// A blitter command: client 2, opcode in bits 28:22, length in bits 7:0.
pub(super) const fn blit(name: &'static str, opcode: u32, dwords: u8) -> Command {
    let row = mi(name, 0).on(Engines::BCS).sized(8, dwords);
    Command {
        opcode: 2 << 29 | opcode << 22,
        mask: 0xffc0_0000,
        ..row
    }
}

/// A command of client 3: bits 31:16 identify it, length in bits 7:0.
pub(super) const fn pipeline(name: &'static str, header: u32) -> Command {
    let row = mi(name, 0).on(Engines::RCS).sized(8, 2);
    Command {
        opcode: header << 16,
        mask: 0xffff_0000,
        ..row
    }
}

impl Command {
    /// Only these engines know it.
    pub(super) const fn on(self, engines: Engines) -> Self {
        Self { engines, ..self }
    }

    /// A length field of `bits` with the usual bias of 2, and at least `shortest` dwords.
    pub(super) const fn sized(self, bits: u8, shortest: u8) -> Self {
        Self {
            length: Length::Field { bits, bias: 2 },
            shortest,
            ..self
        }
    }

    /// A length field, but only one right value.
    pub(super) const fn exactly(self, bits: u8, dwords: u8) -> Self {
        self.sized(bits, dwords).at_most(dwords)
    }

    /// No length field.
    pub(super) const fn fixed(self, dwords: u8) -> Self {
        Self {
            length: Length::Fixed(dwords),
            shortest: dwords,
            ..self
        }
    }

    /// No more dwords than this.
    pub(super) const fn at_most(self, dwords: u8) -> Self {
        Self {
            longest: Some(dwords),
            ..self
        }
    }

    /// Has address operands.
    pub(super) const fn at(self, addresses: &'static [AddressField]) -> Self {
        Self { addresses, ..self }
    }

    /// Has bits that must have one value.
    pub(super) const fn rules(self, rules: &'static [Rule]) -> Self {
        Self { rules, ..self }
    }

    /// Names registers.
    pub(super) const fn registers(self, register_use: RegisterUse, first: u8, step: u8) -> Self {
        Self {
            register_use,
            verdict: Verdict::Registers { first, step },
            ..self
        }
    }

    /// Answers something else than [`Verdict::Allow`].
    pub(super) const fn verdict(self, verdict: Verdict) -> Self {
        Self { verdict, ..self }
    }

    /// Is never let through.
    pub(super) const fn refuse(self, why: &'static str) -> Self {
        self.verdict(Verdict::Refuse(why))
    }
}
