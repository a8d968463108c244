//! What walking over a command needs of its row, close together: sixteen bytes instead of a row.

use super::{AddressSpace, COMMANDS, Command, Engine, Engines, Length, Verdict};

/// The measures of one command.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    mask: u32,
    base: u16,
    shortest: u16,
    longest: u16,
    row: u16,
    engines: Engines,
    plain: bool,
}

impl Shape {
    /// No command: no engine knows it.
    pub(super) const NONE: Self = Self {
        mask: 0,
        base: 1,
        shortest: 1,
        longest: 1,
        row: 0,
        engines: Engines(0),
        plain: false,
    };

    /// The shape of the row at this position.
    pub(super) const fn of(command: &Command, row: usize) -> Self {
        let (mask, base) = match command.length {
            Length::Fixed(dwords) => (0, dwords),
            Length::Field { bits, bias } => ((1 << bits) - 1, bias),
        };
        let mut plain = matches!(command.verdict, Verdict::Allow)
            && command.rules.is_empty()
            && command.post_sync.is_none();
        let mut field = 0;
        while field < command.addresses.len() {
            plain &= matches!(command.addresses[field].space, AddressSpace::Ppgtt);
            field += 1;
        }
        Self {
            mask,
            base: base as u16,
            shortest: command.shortest as u16,
            longest: match command.longest {
                Some(longest) => longest as u16,
                None => u16::MAX,
            },
            row: row as u16,
            engines: command.engines,
            plain,
        }
    }

    /// Whether `engine` knows it.
    #[inline]
    pub const fn known_to(&self, engine: Engine) -> bool {
        self.engines.contains(engine)
    }

    /// [`Command::dwords`].
    #[inline]
    pub const fn dwords(&self, header: u32) -> u32 {
        (header & self.mask) + self.base as u32
    }

    /// [`Command::fits`].
    #[inline]
    pub const fn fits(&self, dwords: u32) -> bool {
        dwords >= self.shortest as u32
            && (dwords <= self.longest as u32 || self.longest == u16::MAX)
    }

    /// Whether it is harmless on an engine that knows it, whatever its operands are: allowed, all
    /// addresses in the PPGTT, no register, no fixed bits.
    #[inline]
    pub const fn plain(&self) -> bool {
        self.plain
    }

    /// Its row, unless no engine knows it.
    #[inline]
    pub fn command(&self) -> Option<&'static Command> {
        if self.engines.0 == 0 {
            None
        } else {
            COMMANDS.get(usize::from(self.row))
        }
    }
}
