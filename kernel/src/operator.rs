//! What the person at the console can ask for beyond the shell's own commands.

use core::fmt::{self, Write};

use console::{Command, Commands};

use crate::events::Service;
use crate::{frames, heap, power};

/// The shell's way to the service.
pub struct Operator<'a> {
    /// Everything there is to tell about.
    pub service: &'a mut Service,
}

impl Commands for Operator<'_> {
    fn table(&self) -> &[Command] {
        &[Command {
            name: "trace",
            arguments: "[dump LABEL]",
            help: "the recording (boot word record=): how it stands; end it and show it",
        }]
    }

    fn run(&mut self, _: &str, arguments: &str, out: &mut dyn Write) -> fmt::Result {
        let Service { tape, dump, .. } = &mut *self.service;
        if let Some(label) = arguments.strip_prefix("dump") {
            tape.finish(label);
            *dump = Some(0);
        }
        tape.with(|recorder| recorder.status(out))
            .unwrap_or_else(|| writeln!(out, "trace: nothing was recorded"))
    }

    fn status(&mut self, out: &mut dyn Write) -> fmt::Result {
        let Service {
            machine,
            xen,
            players,
            ..
        } = &*self.service;
        machine.status(out)?;
        if let Some(xen) = xen {
            write!(out, "xen: version {}", xen.version)?;
            match xen.domain {
                Some(domain) => writeln!(out, ", this is {domain}")?,
                None => writeln!(out)?,
            }
        }
        players.status(out)?;
        let services = &machine.host().guests;
        let (used, all) = services.slots();
        let ports: usize = services
            .guests
            .iter()
            .map(|guest| {
                guest.server.ports().len() + usize::from(guest.server.buffered_port().is_some())
            })
            .sum();
        let pins: u32 = services.guests.iter().map(|guest| guest.pins.pins()).sum();
        let open: u32 = services.guests.iter().map(|guest| guest.open).sum();
        // One line, always the same words: tests compare it before and after.
        writeln!(
            out,
            "resources: {} servers, {ports} ports, {pins} pins, {open} open, {used} of {all} window \
             slots, {} service pages",
            services.guests.len(),
            services.allocated()
        )?;
        let counts = frames::counts();
        write!(
            out,
            "memory: {} of {} page frames free",
            counts.free, counts.total
        )?;
        match heap::statistics() {
            Some(heap) => writeln!(out, ", heap {heap}"),
            None => writeln!(out),
        }
    }

    fn reboot(&mut self) {
        power::reboot()
    }
}
