//! Attach and detach, asked for by the toolstack through Xenstore (docs/xenstore.md).
//!
//! Requests run one at a time between rounds of accesses. Nodes may hold anything: every value is
//! bounded and parsed, and what does not parse is answered with the node's name.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};

use log::{info, warn};
use mediator::{Display, DomainId, VgpuConfig};
use xen::ioreq::IoreqError;
use xen::xenstore::{Transaction, XenstoreError};
use xen::{Errno, events};

use super::Machine;
use super::guest::XenGuest;
use super::xen::{Store, Xen};
use crate::time;

const ROOT: &str = "data/gpu";
const VGPUS: &str = "data/gpu/vgpu";
const TOKEN: &str = "vgpu";
/// Longest value that is looked at, bytes.
const VALUE_LIMIT: usize = 32;
/// How often the guests are looked at for signs of life, nanoseconds.
const LIFE_PERIOD: u64 = 250_000_000;
/// Share of all window slots that one guest may pin.
const QUOTA_SHARE: u64 = 4;
/// Each request stands alone.
const NONE: Transaction = Transaction::NONE;

/// The control side of the service.
pub struct Control {
    store: Store,
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
    /// Announces the service and starts to listen. `failure` is why it cannot serve, if so.
    pub fn start(
        mut store: Store,
        machine: &Machine,
        failure: Option<&str>,
    ) -> Result<Self, XenstoreError> {
        store.write(NONE, &node("version"), env!("CARGO_PKG_VERSION").as_bytes())?;
        let mut control = Self {
            store,
            next_look: 0,
        };
        control.publish(machine)?;
        control
            .store
            .write(NONE, &node("reason"), failure.unwrap_or("").as_bytes())?;
        let state = if failure.is_some() { "failed" } else { "ready" };
        if failure.is_none() {
            control.store.mkdir(NONE, VGPUS)?;
            control.store.watch(VGPUS, TOKEN)?;
        }
        control
            .store
            .write(NONE, &node("state"), state.as_bytes())?;
        info!("xenstore: {state}");
        Ok(control)
    }

    /// One bounded round: at most one event, and a look at the guests now and then. True if there
    /// was anything to do.
    pub fn round(&mut self, machine: &mut Machine, xen: &Xen) -> bool {
        let looked = self.look_after_guests(machine, xen);
        let event = match self.store.next_event() {
            Ok(event) => event,
            Err(error) => {
                warn!("xenstore: {error}");
                return looked;
            }
        };
        let lost = self.store.take_events_lost();
        let result = match event {
            Some(event) if event.token == TOKEN => match command_of(&event.path) {
                Some(domain) => self.command(machine, xen, domain),
                None if event.path == VGPUS => self.all_commands(machine, xen),
                None => Ok(()),
            },
            Some(_) => Ok(()),
            None if lost => self.all_commands(machine, xen),
            None => return looked,
        };
        if let Err(error) = result {
            warn!("xenstore: {error}");
        }
        true
    }

    /// Commands given before the watch was set, or whose event was lost.
    fn all_commands(&mut self, machine: &mut Machine, xen: &Xen) -> Result<(), XenstoreError> {
        for name in self.store.directory(NONE, VGPUS)? {
            if let Ok(number) = name.parse() {
                self.command(machine, xen, DomainId(number))?;
            }
        }
        Ok(())
    }

    /// Does what a guest's `command` node says, unless it was answered already.
    fn command(
        &mut self,
        machine: &mut Machine,
        xen: &Xen,
        domain: DomainId,
    ) -> Result<(), XenstoreError> {
        if self.value(domain, "state")?.is_some() {
            return Ok(());
        }
        let Some(command) = self.value(domain, "command")? else {
            return Ok(());
        };
        let answer = match command.as_str() {
            "attach" => match self.sizes(domain)? {
                Ok(config) => attach(machine, xen, domain, config),
                Err(reason) => Answer::Refused(reason),
            },
            "detach" => detach(machine, domain),
            other => Answer::Refused(format!("command: \"{}\" is unknown", other.escape_debug())),
        };
        let (state, reason) = answer.parts();
        info!(
            "{domain} {command}: {state}{}{reason}",
            if reason.is_empty() { "" } else { ": " }
        );
        self.answer(domain, state, reason)?;
        self.publish(machine)
    }

    fn answer(&mut self, domain: DomainId, state: &str, reason: &str) -> Result<(), XenstoreError> {
        self.store
            .write(NONE, &vgpu_node(domain, "reason"), reason.as_bytes())?;
        self.store
            .write(NONE, &vgpu_node(domain, "state"), state.as_bytes())
    }

    /// The sizes asked for, or which node is wrong.
    fn sizes(&mut self, domain: DomainId) -> Result<Result<VgpuConfig, String>, XenstoreError> {
        let mut numbers = [0; 4];
        let names = ["low-gm", "high-gm", "fences", "weight"];
        for (number, name) in numbers.iter_mut().zip(names) {
            let value = self.value(domain, name)?;
            let digits = value
                .as_deref()
                .filter(|v| v.bytes().all(|byte| byte.is_ascii_digit()));
            match digits.and_then(|value| value.parse().ok()) {
                Some(parsed) => *number = parsed,
                None => return Ok(Err(format!("{name}: missing, or not a number"))),
            }
        }
        let [low_mib, high_mib, fences, weight] = numbers;
        match self.value(domain, "display")?.as_deref() {
            None | Some("none") => {}
            Some(other) => {
                let other = other.escape_debug();
                return Ok(Err(format!(
                    "display: \"{other}\" is not supported, only \"none\""
                )));
            }
        }
        let huge_gtt = match self.value(domain, "huge-gtt")?.as_deref() {
            None | Some("0") => false,
            Some("1") => true,
            Some(_) => return Ok(Err("huge-gtt: neither 0 nor 1".into())),
        };
        Ok(Ok(VgpuConfig {
            low_mib,
            high_mib,
            fences,
            weight,
            display: Display::None,
            huge_gtt,
        }))
    }

    /// A node of a guest's directory; `None` if it is not there. Values that are too long or no
    /// text come back as something that no command or number is.
    fn value(&mut self, domain: DomainId, name: &str) -> Result<Option<String>, XenstoreError> {
        match self.store.read(NONE, &vgpu_node(domain, name)) {
            Ok(bytes) => {
                let bytes = bytes.get(..bytes.len().min(VALUE_LIMIT)).unwrap_or(&[]);
                Ok(Some(String::from_utf8_lossy(bytes).to_string()))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is left to give, for `gpuctl` and people.
    fn publish(&mut self, machine: &Machine) -> Result<(), XenstoreError> {
        let (low, high, fences) = machine.host().free();
        let numbers = [
            ("free-low-gm", low),
            ("free-high-gm", high),
            ("free-fences", fences),
        ];
        for (name, number) in numbers {
            self.store
                .write(NONE, &node(name), format!("{number}").as_bytes())?;
        }
        Ok(())
    }

    /// Lets go of guests that died: Xen has closed their end of our event channels.
    fn look_after_guests(&mut self, machine: &mut Machine, xen: &Xen) -> bool {
        let now = time::recent();
        if now < self.next_look {
            return false;
        }
        self.next_look = now.saturating_add(LIFE_PERIOD);
        let dead = machine
            .host()
            .guests
            .guests
            .iter()
            .find(|guest| !lives(guest, xen));
        let Some(domain) = dead.map(|guest| guest.domain()) else {
            return false;
        };
        remove(machine, domain);
        info!("{domain} is gone: everything held for it is released");
        let told = self.answer(domain, "detached", "the guest is gone");
        if let Err(error) = told.and_then(|()| self.publish(machine)) {
            warn!("xenstore: {error}");
        }
        true
    }

    /// When the next look at the guests is due.
    pub fn deadline(&self) -> u64 {
        self.next_look
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

fn node(name: &str) -> String {
    format!("{ROOT}/{name}")
}

fn vgpu_node(domain: DomainId, name: &str) -> String {
    format!("{VGPUS}/{}/{name}", domain.0)
}

/// The guest whose `command` node a path names.
fn command_of(path: &str) -> Option<DomainId> {
    let (number, name) = path
        .strip_prefix(VGPUS)?
        .strip_prefix('/')?
        .split_once('/')?;
    (name == "command").then(|| number.parse().ok().map(DomainId))?
}
