//! What gpuctl has others do in Dom0: `xl`, and libxenctrl for one privileged call.

use std::process::Command;

use crate::error::{Error, Result};
use crate::target;

/// Dom0's toolstack; tests put their own in its place.
pub trait Toolstack {
    /// `xl create -p`: the guest exists but has not run one instruction.
    fn create_paused(&mut self, config: &str, more: &[String]) -> Result<()>;
    /// `xl unpause`.
    fn unpause(&mut self, guest: u32) -> Result<()>;
    /// `xl destroy`.
    fn destroy(&mut self, guest: u32) -> Result<()>;
    /// `xc_domain_set_target`.
    fn set_target(&mut self, service: u32, guest: u32) -> Result<()>;
}

/// The real one.
pub struct Xl;

impl Toolstack for Xl {
    fn create_paused(&mut self, config: &str, more: &[String]) -> Result<()> {
        let mut arguments = vec!["create", "-p", config];
        arguments.extend(more.iter().map(String::as_str));
        xl(&arguments)
    }

    fn unpause(&mut self, guest: u32) -> Result<()> {
        xl(&["unpause", &guest.to_string()])
    }

    fn destroy(&mut self, guest: u32) -> Result<()> {
        xl(&["destroy", &guest.to_string()])
    }

    fn set_target(&mut self, service: u32, guest: u32) -> Result<()> {
        target::set_target(service, guest)
    }
}

/// Runs xl with its output where ours goes: it explains its own failures.
fn xl(arguments: &[&str]) -> Result<()> {
    let outcome = match Command::new("xl").args(arguments).status() {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => status.to_string(),
        Err(error) => format!("cannot be started: {error}"),
    };
    Err(Error::Xl {
        command: arguments.join(" "),
        outcome,
    })
}
