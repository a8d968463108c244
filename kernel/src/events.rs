//! The loop: serve accesses, give the GPU time, listen to the toolstack and the console, wait.
//!
//! Nothing in a round waits for a guest, for the GPU or for Xenstore. What has work left makes the
//! next round start at once; otherwise the only wait is at the bottom, with interrupts open there
//! alone.

use boot::Config;
use console::Shell;
use gpu::Progress;
use log::warn;
use trace::{LINE_LIMIT, Tape};

use crate::loopback::Players;
use crate::operator::Operator;
use crate::power::{self, ExitReason};
use crate::wiring::control::Control;
use crate::wiring::xen::Xen;
use crate::wiring::{Machine, serve};
use crate::{time, wait};

/// Longest sleep, nanoseconds: budgets of workloads are looked at this often.
const LONGEST_SLEEP: u64 = 100_000_000;

/// Everything the loop drives.
pub struct Service {
    /// The mediator with its GPU.
    pub machine: Machine,
    /// The hypervisor, if there is one.
    pub xen: Option<Xen>,
    /// The toolstack's requests, if there is a Xenstore.
    pub control: Option<Control>,
    /// Guests inside this image.
    pub players: Players,
    /// What crosses the mediator's boundary, recorded if that was asked for.
    pub tape: Tape,
    /// The next line of its dump to be shown.
    pub dump: Option<usize>,
}

/// Serves for ever, or until what the command line asks for is done.
pub fn run(config: &Config, mut service: Service) -> ! {
    let mut shell = Shell::new();
    loop {
        if let Some(xen) = &mut service.xen {
            xen.take_events();
        }
        time::refresh();
        let mut busy = serve::round(&mut service.machine);
        busy |= service.machine.service() == Progress::Busy;
        busy |= service.players.round(&mut service.machine);
        if let (Some(control), Some(xen)) = (&mut service.control, &service.xen) {
            busy |= control.round(&mut service.machine, xen);
        }
        busy |= listen(&mut shell, &mut service);
        busy |= show_trace(&mut service);

        if config.exit && service.players.finished() {
            let mut operator = Operator {
                service: &mut service,
            };
            if console::Commands::status(&mut operator, &mut console::Output).is_err() {
                warn!("status: the console took no more");
            }
            let good = service.players.succeeded();
            power::exit(if good {
                ExitReason::Done
            } else {
                ExitReason::Failed
            });
        }
        if !busy {
            sleep(&service);
        }
    }
}

/// At most one typed byte.
fn listen(shell: &mut Shell, service: &mut Service) -> bool {
    let Some(byte) = console::read() else {
        return false;
    };
    let mut operator = Operator { service };
    if shell
        .feed(byte, &mut operator, &mut console::Output)
        .is_err()
    {
        warn!("shell: the console took no more");
    }
    true
}

/// At most one line of a dump, if the console has room for it. A full console is looked at again
/// whenever the loop wakes.
fn show_trace(service: &mut Service) -> bool {
    /// What the console itself may have to add.
    const MARGIN: usize = 64;
    let Some(number) = service.dump else {
        return false;
    };
    if console::room() < LINE_LIMIT + MARGIN {
        return false;
    }
    let line = service
        .tape
        .with(|recorder| recorder.line(number))
        .flatten();
    service.dump = line.is_some().then_some(number + 1);
    if let Some(line) = line
        && core::fmt::Write::write_str(&mut console::Output, &line).is_err()
    {
        warn!("trace: the console took no more");
    }
    true
}

fn sleep(service: &Service) {
    let mut deadline = time::recent().saturating_add(LONGEST_SLEEP);
    if let Some(control) = &service.control {
        deadline = deadline.min(control.deadline());
    }
    match &service.xen {
        Some(xen) => {
            let guests = &service.machine.host().guests.guests;
            let now = time::recent();
            let pages = guests.iter().filter_map(|guest| guest.deadline(now));
            deadline = pages.fold(deadline, u64::min);
            let ports = guests.iter().flat_map(|guest| {
                guest
                    .server
                    .ports()
                    .iter()
                    .copied()
                    .chain(guest.server.buffered_port())
            });
            xen.wait(ports, deadline);
        }
        None => wait::for_event(Some(deadline)),
    }
}
