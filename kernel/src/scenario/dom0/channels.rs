//! Event channels between this domain and itself, and the interrupt they raise.

use alloc::string::String;
use xen::events::{self, PortStatus};
use xen::{DomainId, Hypervisor, Port, PortSet};

use super::{Checks, Outcome, holds, same, why};
use crate::wiring::xen::Xen;
use crate::{interrupts, scenario};

/// This domain, as statuses name it.
const OURSELVES: DomainId = DomainId(0);

/// How many ports of this domain are connected, or wait for somebody.
pub fn open_ports<H: Hypervisor>(hypervisor: &H) -> usize {
    (1..)
        .map_while(|number| events::status(hypervisor, Port(number)).ok())
        .filter(|status| *status != PortStatus::Closed)
        .count()
}

/// Two ports of ours that are each other's end.
struct Pair {
    near: Port,
    far: Port,
}

impl Pair {
    fn open(xen: &Xen) -> Result<Self, String> {
        let near = events::alloc_unbound(&xen.page, DomainId::SELF).map_err(why)?;
        let far = events::bind_interdomain(&xen.page, DomainId::SELF, near).map_err(why)?;
        // Xen announces a fresh connection, in case something was sent before.
        xen.events.take(near);
        xen.events.take(far);
        Ok(Self { near, far })
    }

    fn close(self, xen: &Xen) -> Outcome {
        events::close(&xen.page, self.far).map_err(why)?;
        events::close(&xen.page, self.near).map_err(why)
    }
}

/// A check with a pair of ports, which are closed whatever it says.
fn with_pair(xen: &Xen, check: impl FnOnce(&Pair) -> Outcome) -> Outcome {
    let pair = Pair::open(xen)?;
    let outcome = check(&pair);
    pair.close(xen)?;
    outcome
}

pub fn run(checks: &mut Checks, xen: &Xen) {
    checks.check("port-life", life(xen));
    checks.check(
        "port-send-take",
        with_pair(xen, |pair| send_take(xen, pair)),
    );
    checks.check("port-masked", with_pair(xen, |pair| masked(xen, pair)));
    checks.check("port-take-all", with_pair(xen, |pair| take_all(xen, pair)));
    checks.check("port-virq", virq(xen));
    checks.check("port-ipi", ipi(xen));
    checks.check("port-close-all", close_all(xen));
    checks.check("port-closed-refused", closed_refused(xen));
    let taken = with_pair(xen, |pair| taken_refused(xen, pair));
    checks.check("port-taken-refused", taken);
}

fn status(xen: &Xen, port: Port) -> Result<PortStatus, String> {
    events::status(&xen.page, port).map_err(why)
}

/// Unbound, connected, unbound again when the other end goes, closed.
fn life(xen: &Xen) -> Outcome {
    let before = open_ports(&xen.page);
    let near = events::alloc_unbound(&xen.page, DomainId::SELF).map_err(why)?;
    same(status(xen, near)?, PortStatus::Unbound(OURSELVES))?;
    let far = events::bind_interdomain(&xen.page, DomainId::SELF, near).map_err(why)?;
    same(status(xen, near)?, PortStatus::Interdomain(OURSELVES, far))?;
    same(status(xen, far)?, PortStatus::Interdomain(OURSELVES, near))?;
    same(open_ports(&xen.page), before + 2)?;
    events::bind_vcpu(&xen.page, near, 0).map_err(why)?;
    events::close(&xen.page, far).map_err(why)?;
    same(status(xen, far)?, PortStatus::Closed)?;
    same(status(xen, near)?, PortStatus::Unbound(OURSELVES))?;
    events::close(&xen.page, near).map_err(why)?;
    same(open_ports(&xen.page), before)
}

fn send_take(xen: &Xen, pair: &Pair) -> Outcome {
    holds(
        !xen.events.take(pair.near),
        "pending before anything was sent",
    )?;
    events::send(&xen.page, pair.far).map_err(why)?;
    holds(xen.events.is_pending(pair.near), "nothing came")?;
    holds(!xen.events.is_pending(pair.far), "it came back")?;
    // Twice is once.
    events::send(&xen.page, pair.far).map_err(why)?;
    holds(xen.events.take(pair.near), "nothing to take")?;
    holds(!xen.events.take(pair.near), "taken twice")
}

/// A masked port collects; unmasking announces what it has collected.
fn masked(xen: &Xen, pair: &Pair) -> Outcome {
    let mut announced = PortSet::new();
    xen.events.take_pending(0, &mut announced);
    announced.clear();
    xen.events.mask(pair.near);
    events::send(&xen.page, pair.far).map_err(why)?;
    same(xen.events.take_pending(0, &mut announced), 0)?;
    holds(
        xen.events.is_pending(pair.near),
        "a masked port forgot its event",
    )?;
    xen.events.unmask(pair.near).map_err(why)?;
    same(xen.events.take_pending(0, &mut announced), 1)?;
    holds(announced.contains(pair.near), "another port was announced")?;
    // Unmasked and idle: Xen announces by itself.
    announced.clear();
    events::send(&xen.page, pair.far).map_err(why)?;
    same(xen.events.take_pending(0, &mut announced), 1)?;
    xen.events.mask(pair.near);
    holds(
        announced.contains(pair.near),
        "the next event was not announced",
    )
}

fn take_all(xen: &Xen, pair: &Pair) -> Outcome {
    let mut taken = PortSet::new();
    xen.events.take_all(&mut taken);
    taken.clear();
    events::send(&xen.page, pair.far).map_err(why)?;
    events::send(&xen.page, pair.near).map_err(why)?;
    same(xen.events.take_all(&mut taken), 2)?;
    holds(
        taken.contains(pair.near) && taken.contains(pair.far),
        "other ports",
    )
}

fn virq(xen: &Xen) -> Outcome {
    /// Each vCPU has its own (`xen/xen.h`).
    const VIRQ_DEBUG: u32 = 1;
    let port = events::bind_virq(&xen.page, VIRQ_DEBUG, 0).map_err(why)?;
    let found = status(xen, port);
    let second = events::bind_virq(&xen.page, VIRQ_DEBUG, 0);
    events::close(&xen.page, port).map_err(why)?;
    same(found?, PortStatus::Virq)?;
    holds(second.is_err(), "bound twice")
}

fn ipi(xen: &Xen) -> Outcome {
    let port = events::bind_ipi(&xen.page, 0).map_err(why)?;
    let found = status(xen, port);
    let sent = events::send(&xen.page, port).map_err(why);
    let came = xen.events.take(port);
    events::close(&xen.page, port).map_err(why)?;
    same(found?, PortStatus::Ipi)?;
    sent?;
    holds(came, "nothing came")
}

/// What a restart in place does with ports that nobody remembers.
fn close_all(xen: &Xen) -> Outcome {
    let before = open_ports(&xen.page);
    let Pair { near, far } = Pair::open(xen)?;
    // Closing one end leaves the other waiting, connected to nobody.
    let closed = events::close_all_with(&xen.page, OURSELVES).map_err(why)?;
    same(closed, 1)?;
    let waiting =
        |port: &Port| matches!(events::status(&xen.page, *port), Ok(PortStatus::Unbound(_)));
    for port in [near, far].into_iter().filter(waiting) {
        events::close(&xen.page, port).map_err(why)?;
    }
    same(open_ports(&xen.page), before)
}

fn closed_refused(xen: &Xen) -> Outcome {
    let port = events::alloc_unbound(&xen.page, DomainId::SELF).map_err(why)?;
    events::close(&xen.page, port).map_err(why)?;
    holds(events::send(&xen.page, port).is_err(), "sent on")?;
    holds(events::close(&xen.page, port).is_err(), "closed twice")
}

fn taken_refused(xen: &Xen, pair: &Pair) -> Outcome {
    let Ok(third) = events::bind_interdomain(&xen.page, DomainId::SELF, pair.near) else {
        return Ok(());
    };
    events::close(&xen.page, third).map_err(why)?;
    Err("it has a third end".into())
}

/// Events as interrupts of the local APIC. Cannot be undone: last of all.
pub fn upcall(checks: &mut Checks, xen: &Xen) {
    let outcome = with_pair(xen, |pair| {
        events::set_upcall_vector(&xen.page, 0, scenario::VECTOR).map_err(why)?;
        interrupted(xen, pair)?;
        // A second one comes only if the first was acknowledged.
        interrupted(xen, pair)
    });
    checks.check("upcall-vector", outcome);
}

/// An event at an unmasked port strikes once interrupts are open, and once only.
fn interrupted(xen: &Xen, pair: &Pair) -> Outcome {
    let mut announced = PortSet::new();
    xen.events.take_pending(0, &mut announced);
    announced.clear();
    xen.events.unmask(pair.near).map_err(why)?;
    interrupts::open();
    let before = interrupts::ticks();
    let sent = events::send(&xen.page, pair.far).map_err(why);
    let closed = interrupts::ticks() - before;
    interrupts::open();
    let opened = interrupts::ticks() - before;
    xen.events.take_pending(0, &mut announced);
    xen.events.mask(pair.near);
    interrupts::open();
    sent?;
    same((closed, opened, interrupts::ticks() - before), (0, 1, 1))?;
    holds(announced.contains(pair.near), "another port was announced")
}
