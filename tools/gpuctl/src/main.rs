//! gpuctl, the Dom0 command line: gives guests their vGPUs and tells who has one.
//!
//! It decides nothing about the GPU: it asks the service domain through Xenstore (`attach`) and
//! has Dom0 do what only Dom0 may (`toolstack`, `target`). Errors say what to do about them.

mod arguments;
mod attach;
mod create;
mod domains;
mod error;
mod list;
mod nodes;
mod sizes;
mod target;
#[cfg(test)]
mod tests;
mod text;
mod toolstack;
mod xenstore;

use std::io::{self, Write};
use std::process::ExitCode;

use arguments::{Arguments, Command};
use attach::Session;
use error::{Error, Result};
use toolstack::{Toolstack, Xl};
use xenstore::Xenstore;

fn main() -> ExitCode {
    let answer = arguments::parse(std::env::args().skip(1)).and_then(|arguments| {
        if let Some(text) = without_xen(&arguments.command) {
            return Ok(text);
        }
        run(arguments, &mut Xenstore::connect()?, &mut Xl)
    });
    let printed = answer.and_then(|text| {
        io::stdout()
            .write_all(text.as_bytes())
            .map_err(Error::Output)
    });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gpuctl: {error}");
            ExitCode::from(error.status())
        }
    }
}

fn without_xen(command: &Command) -> Option<String> {
    match command {
        Command::Help => Some(include_str!("manual.txt").to_owned()),
        Command::Version => Some(format!("gpuctl {}\n", env!("CARGO_PKG_VERSION"))),
        _ => None,
    }
}

/// Carries one command out; what to print.
fn run(
    arguments: Arguments,
    store: &mut Xenstore,
    toolstack: &mut dyn Toolstack,
) -> Result<String> {
    let service = domains::find(store, &arguments.service).map_err(|error| match error {
        Error::NoDomain(name) if name == arguments::DEFAULT_SERVICE => Error::NoService,
        other => other,
    })?;
    let mut session = Session {
        store,
        toolstack,
        service,
        timeout: arguments.timeout,
    };
    match arguments.command {
        Command::Create { config, sizes, xl } => {
            let guest = create::create(&mut session, &config, &sizes, &xl)?;
            Ok(format!("d{guest} runs, with a vGPU of d{service}\n"))
        }
        Command::Attach { domain, sizes } => {
            let guest = domains::find_guest(session.store, &domain)?;
            session.attach(guest, &sizes)?;
            Ok(format!("d{guest} has a vGPU of d{service}\n"))
        }
        Command::Detach { domain } => {
            session.wait_ready()?;
            let guest = session.holder(&domain)?;
            session.detach(guest)?;
            Ok(format!("d{guest} has no vGPU any more\n"))
        }
        Command::List => {
            if session
                .store
                .read(&nodes::of_service(service, "state"))?
                .is_none()
            {
                return Err(Error::NotAService(service));
            }
            list::list(session.store, service)
        }
        Command::Help | Command::Version => Ok(without_xen(&arguments.command).unwrap_or_default()),
    }
}
