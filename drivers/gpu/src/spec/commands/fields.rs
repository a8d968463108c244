//! Operands of a command as data: where an address is, what it reaches, which bits are fixed.

/// Some bits of one dword of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bits {
    /// Which dword; 0 is the header.
    pub dword: u8,
    /// Which bits of it.
    pub mask: u32,
}

impl Bits {
    /// One bit.
    pub const fn bit(dword: u8, bit: u8) -> Self {
        Self {
            dword,
            mask: 1 << bit,
        }
    }

    /// Whether any of them is set; absent dwords count as zero.
    pub fn any(self, command: &[u32]) -> bool {
        command
            .get(usize::from(self.dword))
            .is_some_and(|dword| dword & self.mask != 0)
    }
}

/// One address inside a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressField {
    /// Dword of the low half; the high half (bits 47:32) follows.
    pub dword: u8,
    /// Where the bit sits that selects the global GTT.
    pub space: AddressSpace,
    /// Bytes that the command touches from there.
    pub extent: Extent,
    /// Low bits that are flags, not address.
    pub flags: u8,
    /// The operand counts only if any of these bits is set.
    pub when: Option<Bits>,
    /// If this bit is set, the operand is an offset in a hardware status page: the context's own
    /// without the global GTT bit, the engine's with it.
    pub index: Option<Bits>,
}

impl AddressField {
    /// An address in the context's PPGTT.
    pub const fn ppgtt(dword: u8) -> Self {
        Self::new(dword, AddressSpace::Ppgtt, Extent::Bytes(0))
    }

    /// An address in the global GTT if bit 22 of the header is set.
    pub const fn header22(dword: u8, extent: Extent) -> Self {
        Self::new(dword, AddressSpace::GlobalIfSet(0, 22), extent)
    }

    /// An address whose two lowest bits are no part of it.
    pub const fn new(dword: u8, space: AddressSpace, extent: Extent) -> Self {
        Self {
            dword,
            space,
            extent,
            flags: 3,
            when: None,
            index: None,
        }
    }

    /// The address itself: bits 47 to the first that is no flag.
    pub fn address(&self, command: &[u32]) -> Option<u64> {
        let first = usize::from(self.dword);
        let (low, high) = (*command.get(first)?, *command.get(first + 1)?);
        Some(u64::from(high & 0xffff) << 32 | u64::from(low & !u32::from(self.flags)))
    }
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

impl AddressSpace {
    /// Whether the command means the global GTT.
    pub fn global(self, command: &[u32]) -> bool {
        match self {
            Self::Ppgtt => false,
            Self::GlobalIfSet(dword, bit) => Bits::bit(dword, bit).any(command),
            Self::PpgttIfSet(dword, bit) => !Bits::bit(dword, bit).any(command),
        }
    }
}

/// How many bytes an operand reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// This many.
    Bytes(u16),
    /// MI_STORE_DATA_IMM: the data from this dword to the end, and eight bytes at least if header
    /// bit 21 says that it is a qword.
    Immediate(u8),
    /// MI_ATOMIC: 4, 8 or 16 bytes by header bits 20:19.
    Atomic,
}

impl Extent {
    /// Bytes for a command of this header and length.
    pub const fn bytes(self, header: u32, dwords: u32) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes as u64,
            Self::Immediate(first) => {
                let data = dwords.saturating_sub(first as u32) as u64 * 4;
                let least = if header & 1 << 21 != 0 { 8 } else { 4 };
                if data > least { data } else { least }
            }
            Self::Atomic => 4 << (header >> 19 & 3),
        }
    }
}

/// Bits that must have one value, or the command is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The bits.
    pub bits: Bits,
    /// The value they must have.
    pub expected: u32,
    /// Applies only if any of these is set.
    pub when: Option<Bits>,
    /// Why, for the person at the console.
    pub why: &'static str,
}

impl Rule {
    /// These bits must be zero.
    pub const fn zero(bits: Bits, why: &'static str) -> Self {
        Self {
            bits,
            expected: 0,
            when: None,
            why,
        }
    }

    /// Whether a command keeps it.
    pub fn kept(&self, command: &[u32]) -> bool {
        if self.when.is_some_and(|when| !when.any(command)) {
            return true;
        }
        let dword = command
            .get(usize::from(self.bits.dword))
            .copied()
            .unwrap_or(0);
        dword & self.bits.mask == self.expected
    }
}
