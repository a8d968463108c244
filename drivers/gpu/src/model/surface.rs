//! What the blitter sees of its context: an address space, and how far one call may go.
//!
//! The blitter has one entry, called by the command streamer of BCS for every command of client 2:
//!
//! ```text
//! pub fn execute(surface: &mut dyn Surface, setup: &mut Setup, command: &[u32]) -> Result<Step, Fault>
//! ```
//!
//! `command` is the whole command, header first. `Setup` (with `Default`) is the blitter's state
//! between commands of one context (XY_SETUP_*), and its progress inside one: after
//! [`Step::More`] the streamer calls again with the same command, possibly much later; after
//! [`Step::Done`] or a fault there is no progress left in `Setup`. Between two `More`s the
//! blitter moves at most [`STEP_BYTES`].

use super::fault::Fault;
use crate::address::GraphicsAddress;

/// Most bytes one call of the blitter reads and writes, together.
pub const STEP_BYTES: u64 = 64 * 1024;

/// The graphics address space of the running context.
pub trait Surface {
    /// Copies out. Crosses pages; nothing is promised about `data` after a fault.
    fn read(&mut self, address: GraphicsAddress, data: &mut [u8]) -> Result<(), Fault>;

    /// Copies in. Crosses pages; pages before the faulting one were written.
    fn write(&mut self, address: GraphicsAddress, data: &[u8]) -> Result<(), Fault>;

    /// BCS_SWCTRL (0x22200): bit 0 = tiled sources are Y-tiled, bit 1 = tiled destinations are.
    fn software_control(&self) -> u32 {
        0
    }
}

/// How far a call got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The command is complete; bytes read and written by this call.
    Done {
        /// Bytes moved.
        bytes: u64,
    },
    /// There is more to do; bytes read and written by this call.
    More {
        /// Bytes moved.
        bytes: u64,
    },
}
