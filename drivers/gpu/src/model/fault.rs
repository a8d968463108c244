//! What stops an engine of the software GPU: the command streamer's own errors.
//!
//! A fault halts the engine as hardware does: EIR set, error interrupt, nothing moves until a
//! reset. An isolation breach is not a fault: the access is refused and counted, work goes on; nor
//! is a write to a read-only page, which Gen9 drops.

use core::fmt;

use crate::address::GraphicsAddress;

/// Why a command could not be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The header names no command of this engine.
    UnknownCommand(u32),
    /// The command exists, but its length or an operand does not fit; its header.
    Malformed(u32),
    /// Nothing is mapped there.
    Unmapped(GraphicsAddress),
    /// The mapping leads to no memory.
    NoMemory(GraphicsAddress),
    /// The context image cannot be reached; its global GTT address.
    NoContext(GraphicsAddress),
}

impl Fault {
    /// The graphics address at fault, if it is about one.
    pub const fn address(self) -> Option<GraphicsAddress> {
        match self {
            Self::Unmapped(at) | Self::NoMemory(at) | Self::NoContext(at) => Some(at),
            Self::UnknownCommand(_) | Self::Malformed(_) => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCommand(header) => write!(f, "unknown command {header:#010x}"),
            Self::Malformed(header) => write!(f, "malformed command {header:#010x}"),
            Self::Unmapped(at) => write!(f, "nothing mapped at graphics address {:#x}", at.0),
            Self::NoMemory(at) => write!(f, "no memory behind graphics address {:#x}", at.0),
            Self::NoContext(at) => write!(f, "no context image at graphics address {:#x}", at.0),
        }
    }
}
