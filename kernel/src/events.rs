//! What happens once everything is up: the shell is served, for ever.

use core::fmt::{self, Write};

use boot::Config;
use console::{Command, Commands, Output, Shell};
use log::info;

use crate::power::{self, ExitReason};
use crate::{frames, heap, scenario, wait};

/// Bytes taken from the keyboard before anything else gets its turn.
const TYPED: usize = 64;

/// Serves for ever, or until what the command line asks for is done.
pub fn run(config: &Config) -> ! {
    if let Some(scenario) = config.scenario {
        scenario::run(scenario);
    }
    let mut tables = Tables;
    // The console takes anything, and there is nobody to tell that it does not.
    let _ = tables.status(&mut Output);
    if config.exit {
        info!("done");
        power::exit(ExitReason::Done);
    }
    let mut shell = Shell::new();
    loop {
        for byte in core::iter::from_fn(console::read).take(TYPED) {
            let _ = shell.feed(byte, &mut tables, &mut Output);
        }
        wait::for_event(None);
    }
}

struct Tables;

impl Commands for Tables {
    fn table(&self) -> &[Command] {
        &[]
    }

    fn run(&mut self, _: &str, _: &str, _: &mut dyn Write) -> fmt::Result {
        Ok(())
    }

    fn status(&mut self, out: &mut dyn Write) -> fmt::Result {
        let counts = frames::counts();
        writeln!(out, "page frames: {} of {} free", counts.free, counts.total)?;
        match heap::statistics() {
            Some(heap) => writeln!(out, "heap: {heap}"),
            None => Ok(()),
        }
    }

    fn reboot(&mut self) {
        power::reboot();
    }
}
