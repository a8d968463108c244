//! Why commands were refused, for the person at the console.

use core::fmt;

use gpu::Engine;

/// What is wrong with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// This engine has no such command.
    Unknown(Engine),
    /// The manual gives it no length of so many dwords.
    Length(u32),
    /// So many dwords would reach beyond the end.
    Truncated(u32),
    /// A batch without MI_BATCH_BUFFER_END.
    NoEnd,
    /// MI_BATCH_BUFFER_END in a ring.
    EndOutsideBatch,
    /// Never allowed, and why.
    Refused(&'static str),
    /// A bit that must be clear is set, and what it does.
    Fixed(&'static str),
    /// Bytes of the global GTT outside the vGPU's slice.
    Address {
        /// First byte.
        address: u64,
        /// How many.
        bytes: u64,
    },
    /// The global GTT, from an unprivileged batch.
    Unprivileged,
    /// An index beyond the status page.
    StatusPage(u64),
    /// The engine's own status page, where that cannot be patched.
    EngineStatusPage,
    /// A register that no command may name.
    Register(u32),
    /// A register that commands may read, not write.
    ReadOnly(u32),
    /// A register of another engine.
    ForeignRegister(u32),
    /// A FORCE_TO_NONPRIV slot with a value that is not on the allow-list, or not known.
    NonPrivileged(u32),
    /// Batches too deep, or started where none may be.
    Nested,
    /// More batches than one submission may have.
    TooManyBatches,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(engine) => write!(f, "unknown to {engine}"),
            Self::Length(dwords) => write!(f, "cannot be {dwords} dwords long"),
            Self::Truncated(dwords) => write!(f, "{dwords} dwords long, beyond the end"),
            Self::NoEnd => write!(f, "the batch has no MI_BATCH_BUFFER_END"),
            Self::EndOutsideBatch => write!(f, "not in a batch"),
            Self::Refused(why) | Self::Fixed(why) => write!(f, "{why}"),
            Self::Address { address, bytes } => {
                write!(
                    f,
                    "{bytes} bytes at global GTT {address:#x} are not the guest's"
                )
            }
            Self::Unprivileged => write!(f, "global GTT from an unprivileged batch"),
            Self::StatusPage(offset) => write!(f, "index {offset:#x} beyond the status page"),
            Self::EngineStatusPage => write!(f, "stores to the engine's status page"),
            Self::Register(offset) => write!(f, "register {offset:#x} is not for commands"),
            Self::ReadOnly(offset) => write!(f, "register {offset:#x} is read-only"),
            Self::ForeignRegister(offset) => {
                write!(f, "register {offset:#x} belongs to another engine")
            }
            Self::NonPrivileged(value) => {
                write!(f, "FORCE_TO_NONPRIV would open register {value:#x}")
            }
            Self::Nested => write!(f, "batches nested too deep"),
            Self::TooManyBatches => write!(f, "too many batches in one submission"),
        }
    }
}

/// A refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Why.
    pub what: What,
    /// The manual's name of the command, if it has one.
    pub command: Option<&'static str>,
    /// Dword of its header in what was judged.
    pub position: usize,
    /// The header.
    pub header: u32,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.command.unwrap_or("command");
        write!(
            f,
            "{name} ({:#010x}) at dword {:#x}: {}",
            self.header, self.position, self.what
        )
    }
}
