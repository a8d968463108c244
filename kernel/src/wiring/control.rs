//! Attach and detach, asked for by the toolstack through Xenstore (docs/xenstore.md).
//!
//! Commands are carried out one at a time between rounds of accesses; `exchange` reads and answers
//! them without waiting for Xenstore.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};

use log::{info, warn};
use mediator::{DomainId, VgpuConfig};
use xen::ioreq::IoreqError;
use xen::xenstore::XenstoreError;
use xen::{Errno, events};

use super::Machine;
use super::exchange::{Exchange, NONE, Step, TOKEN};
use super::guest::XenGuest;
use super::nodes::{self, Command, Order, VGPUS, node};
use super::xen::{Store, StoreTransport, Xen};
use crate::time;

/// How often the guests are looked at for signs of life, nanoseconds.
const LIFE_PERIOD: u64 = 250_000_000;
/// Share of all window slots that one guest may pin.
const QUOTA_SHARE: u64 = 4;

/// The control side of the service.
pub struct Control {
    exchange: Exchange<StoreTransport>,
    next_look: u64,
}

/// Answer to a command.
enum Answer {
    Attached,
    Detached,
    NeedsTarget(String),
    Refused(String),
}

impl Answer {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Attached => ("attached", ""),
            Self::Detached => ("detached", ""),
            Self::NeedsTarget(reason) => ("needs-target", reason),
            Self::Refused(reason) => ("refused", reason),
        }
    }
}

impl Control {
    /// Announces the service and starts to listen; nothing is served yet, so this may wait.
    /// `failure` is why it cannot serve, if so.
    pub fn start(
        mut store: Store,
        machine: &Machine,
        failure: Option<&str>,
    ) -> Result<Self, XenstoreError> {
        let failed = failure.is_some();
        let mut say = |path: String, value: &str| store.write(NONE, &path, value.as_bytes());
        say(node("version"), env!("CARGO_PKG_VERSION"))?;
        for (path, value) in nodes::free(machine.host().free()) {
            say(path, &value)?;
        }
        say(node("reason"), failure.unwrap_or(""))?;
        if !failed {
            store.mkdir(NONE, VGPUS)?;
            store.watch(VGPUS, TOKEN)?;
        }
        let state = if failed { "failed" } else { "ready" };
        store.write(NONE, &node("state"), state.as_bytes())?;
        info!("xenstore: {state}");
        Ok(Self {
            exchange: Exchange::new(store),
            next_look: 0,
        })
    }

    /// One bounded round that does not wait: a step of a command, and between commands a look at
    /// the guests now and then. True if there was anything to do.
    pub fn round(&mut self, machine: &mut Machine, xen: &Xen) -> bool {
        let now = time::recent();
        let step = match self.dead_guest(machine, xen, now) {
            Some(domain) => {
                remove(machine, domain);
                info!("{domain} is gone: everything held for it is released");
                let answer = ("detached", "the guest is gone");
                let free = nodes::free(machine.host().free());
                self.exchange.answer(domain, answer, free, now)
            }
            None => match self.exchange.step(now) {
                Ok(Step::Command(command)) => self.obey(machine, xen, command, now),
                step => step,
            },
        };
        match step {
            Ok(step) => !matches!(step, Step::Nothing),
            Err(error) => {
                // What broke the connection has been told.
                if error != XenstoreError::Broken {
                    warn!("xenstore: {error}");
                }
                !error.is_fatal()
            }
        }
    }

    fn obey(
        &mut self,
        machine: &mut Machine,
        xen: &Xen,
        command: Command,
        now: u64,
    ) -> Result<Step, XenstoreError> {
        let Command {
            domain,
            name,
            order,
        } = command;
        let answer = match order {
            Ok(Order::Attach(config)) => attach(machine, xen, domain, config),
            Ok(Order::Detach) => detach(machine, domain),
            Err(reason) => Answer::Refused(reason),
        };
        let (state, reason) = answer.parts();
        info!(
            "{domain} {name}: {state}{}{reason}",
            if reason.is_empty() { "" } else { ": " }
        );
        let free = nodes::free(machine.host().free());
        self.exchange.answer(domain, (state, reason), free, now)
    }

    /// A guest that died: Xen has closed its end of our event channels. Looked for between
    /// commands, so that it can be told at once.
    fn dead_guest(&mut self, machine: &Machine, xen: &Xen, now: u64) -> Option<DomainId> {
        if now < self.next_look || !self.exchange.is_idle() {
            return None;
        }
        self.next_look = now.saturating_add(LIFE_PERIOD);
        let mut guests = machine.host().guests.guests.iter();
        guests
            .find(|guest| !lives(guest, xen))
            .map(|guest| guest.domain())
    }

    /// When there is something to do without an event: a reply is overdue, or the guests are to
    /// be looked at.
    pub fn deadline(&self) -> u64 {
        self.exchange.deadline().unwrap_or(self.next_look)
    }
}

fn attach(machine: &mut Machine, xen: &Xen, domain: DomainId, config: VgpuConfig) -> Answer {
    let services = &mut machine.host_mut().guests;
    if services.guest_mut(domain).is_some() {
        return Answer::Refused(format!("{domain} has a vGPU already"));
    }
    if xen.domain.is_some_and(|own| own.0 == domain.0) {
        return Answer::Refused(format!("{domain} is the service domain itself"));
    }
    let pair = (0..).find(|pair| services.guests.iter().all(|guest| guest.pair != *pair));
    let Some((pair, pages)) = pair.and_then(|pair| Some((pair, xen.server_pages(pair)?))) else {
        return Answer::Refused("all vGPUs are in use".to_string());
    };
    let (_, slots) = services.slots();
    let quota = u32::try_from(slots / QUOTA_SHARE).unwrap_or(u32::MAX);
    let guest = match XenGuest::new(xen.page, domain, pages, pair, quota) {
        Ok(guest) => guest,
        Err(IoreqError::Xen(error)) if error.errno == Errno::EPERM => {
            return Answer::NeedsTarget(format!("{error}"));
        }
        Err(error) => return Answer::Refused(format!("{error}")),
    };
    if let Err(mut guest) = services
        .guests
        .try_push(Box::new(guest))
        .map_err(|error| error.element())
    {
        guest.close();
        return Answer::Refused("all vGPUs are in use".to_string());
    }
    match machine.domain_added(domain, config) {
        Ok(()) => Answer::Attached,
        Err(error) => {
            machine.host_mut().guests.remove(domain);
            Answer::Refused(format!("{domain}: {error}"))
        }
    }
}

fn detach(machine: &mut Machine, domain: DomainId) -> Answer {
    if machine.host_mut().guests.guest_mut(domain).is_none() {
        return Answer::Refused(format!("{domain} has no vGPU"));
    }
    remove(machine, domain);
    Answer::Detached
}

/// The vGPU first, while its guest's services are still there, then those.
fn remove(machine: &mut Machine, domain: DomainId) {
    machine.domain_removed(domain);
    machine.host_mut().guests.remove(domain);
}

/// Whether Xen still connects our first port with the guest.
fn lives(guest: &XenGuest, xen: &Xen) -> bool {
    let Some(port) = guest.server.ports().first() else {
        return true;
    };
    match events::status(&xen.page, *port) {
        Ok(status) => matches!(status, events::PortStatus::Interdomain(..)),
        Err(error) => {
            warn!("{} xen: {error}", guest.domain());
            true
        }
    }
}
