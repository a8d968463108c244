//! What can go wrong with Xenstore, and whose fault it is.

use core::fmt;

use crate::abi::Errno;
use crate::abi::xenstore::{ERROR_COMM, ERROR_PROTO, ERROR_RINGIDX, PAYLOAD_MAX};
use crate::ring::RingError;

/// A Xenstore operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XenstoreError {
    // What we asked for.
    /// Empty, with a NUL inside, with `//`, or ending in `/`.
    BadPath,
    /// Longer than Xenstore takes.
    PathTooLong {
        /// Its length.
        length: usize,
        /// What it may be.
        limit: usize,
    },
    /// A token, name or value with a NUL where none may be.
    BadText,
    /// The request would not fit a message.
    TooLarge {
        /// Bytes of payload it would need.
        length: usize,
    },

    // What the daemon answered.
    /// It refused, with Xenstore's own reason.
    Refused(Errno),
    /// A commit kept colliding with other writers.
    Conflict {
        /// How often it was tried.
        attempts: u32,
    },

    // An answer that makes no sense.
    /// A reply to something we did not ask, or of another kind.
    WrongReply {
        /// Request number expected.
        expected: u32,
        /// Request number found.
        found: u32,
        /// Type found.
        kind: u32,
    },
    /// The reply's contents do not parse.
    Malformed,
    /// The value is not text.
    NotText,
    /// More unasked-for messages than anybody needs.
    Flooded,

    // A connection that is of no more use until it is made anew.
    /// A message longer than allowed: where the next one starts is anybody's guess.
    Oversize {
        /// Its claimed length.
        length: u32,
    },
    /// A ring index that makes no sense.
    Ring(RingError),
    /// The daemon says the connection is broken.
    Server(u32),
    /// The operating system's error, where the stream is a file or socket of a host tool.
    Host(i32),
    /// It broke earlier.
    Broken,

    /// No answer within the time the doorbell allows. The request may still be carried out.
    TimedOut,
}

impl XenstoreError {
    /// Whether the node simply does not exist.
    pub const fn is_not_found(self) -> bool {
        matches!(self, Self::Refused(Errno::ENOENT))
    }

    /// Whether the connection must be made anew.
    pub const fn is_fatal(self) -> bool {
        matches!(
            self,
            Self::Oversize { .. } | Self::Ring(_) | Self::Server(_) | Self::Host(_) | Self::Broken
        )
    }
}

impl From<RingError> for XenstoreError {
    fn from(error: RingError) -> Self {
        Self::Ring(error)
    }
}

impl fmt::Display for XenstoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Xenstore: ")?;
        match self {
            Self::BadPath => f.write_str("not a path"),
            Self::PathTooLong { length, limit } => {
                write!(f, "path of {length} bytes, limit {limit}")
            }
            Self::BadText => f.write_str("NUL inside a name or token"),
            Self::TooLarge { length } => {
                write!(f, "request of {length} bytes, limit {PAYLOAD_MAX}")
            }
            Self::Refused(errno) => write!(f, "{}", errno.name()),
            Self::Conflict { attempts } => {
                write!(
                    f,
                    "transaction collided with other writers {attempts} times"
                )
            }
            Self::WrongReply {
                expected,
                found,
                kind,
            } => write!(
                f,
                "reply of type {kind:#x} to request {found:#x}, expected one to {expected:#x}"
            ),
            Self::Malformed => f.write_str("reply does not parse"),
            Self::NotText => f.write_str("value is not UTF-8 text"),
            Self::Flooded => f.write_str("flooded with events while waiting for a reply"),
            Self::Oversize { length } => {
                write!(
                    f,
                    "message of {length:#x} bytes, limit {PAYLOAD_MAX:#x}; connection lost"
                )
            }
            Self::Ring(error) => write!(f, "{error}; connection lost"),
            Self::Server(code) => {
                let reason = match *code {
                    ERROR_COMM => "communication problem",
                    ERROR_RINGIDX => "invalid ring index",
                    ERROR_PROTO => "protocol violation",
                    _ => "unknown reason",
                };
                write!(f, "daemon closed the connection: {reason} ({code})")
            }
            Self::Host(number) => write!(f, "operating system error {number}; connection lost"),
            Self::Broken => f.write_str("connection lost earlier"),
            Self::TimedOut => f.write_str("no answer in time"),
        }
    }
}

impl core::error::Error for XenstoreError {}
