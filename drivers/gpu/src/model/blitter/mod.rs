//! The blitter: the commands of client 2, pixel for pixel as the manual defines them.
//!
//! A command is decoded to one operation (target, source, pattern, raster operation), and that
//! is painted in spans of at most 1 KiB of a row, 64 KiB of traffic a call. Nothing is kept
//! between two calls for one command but the next row and column, so a command that runs for
//! seconds can be interleaved with anything, and never allocates.
//!
//! Source and target that overlap come out right when they have one base address, as on the
//! hardware; otherwise rows and columns ascend, and what overlaps is read span by span.

mod decode;
mod fields;
mod operation;
mod paint;
mod pattern;
mod plane;
mod raster;
mod setup;

pub use setup::Setup;

use super::fault::Fault;
use super::surface::{Step, Surface};

/// Executes one command (whole, header first), or a bounded piece of it.
pub fn execute(
    surface: &mut dyn Surface,
    setup: &mut Setup,
    command: &[u32],
) -> Result<Step, Fault> {
    let from = core::mem::take(&mut setup.progress);
    let Some(operation) = decode::decode(setup, surface.software_control(), command)? else {
        return Ok(Step::Done { bytes: 0 });
    };
    let (bytes, rest) = paint::paint(surface, &operation, command, from)?;
    match rest {
        None => Ok(Step::Done { bytes }),
        Some(progress) => {
            setup.progress = progress;
            Ok(Step::More { bytes })
        }
    }
}
