//! A trapped access on its way from Xen's ioreq slot to the mediator and back.
//!
//! One request is one guest vCPU asleep; whatever it says, it gets an answer. Repeated string
//! instructions come as one request with a count: the device is accessed once for each element,
//! and values that live in guest memory are copied from and to there (Xen does not).

use gpu::PAGE_SIZE;
use log::{Level, warn};
use mediator::{Access, DomainId, GuestFrame, Guests, Space};
use xen::ioreq::{Direction, Element, Kind, Next, Request};

use super::Machine;
use super::guest::FUNCTION;
use crate::time;

/// Serves at most one request of each vCPU of each guest; true if there was any.
pub fn round(machine: &mut Machine) -> bool {
    let mut served = false;
    for index in 0..machine.host().guests.guests.len() {
        served |= guest_round(machine, index);
    }
    served
}

fn guest_round(machine: &mut Machine, index: usize) -> bool {
    let mut served = false;
    let mut vcpu = 0;
    // The guest is looked up anew for each vCPU: serving an access borrows the whole machine.
    while let Some(guest) = machine.host_mut().guests.guests.get_mut(index)
        && vcpu < guest.server.vcpus()
    {
        let domain = guest.domain();
        match guest.server.next(vcpu) {
            Next::Idle => {}
            Next::Refused(refusal) => {
                served = true;
                console::report(Level::Warn, domain.0, "ioreq", format_args!("{refusal}"));
            }
            Next::Request(request) => {
                served = true;
                guest.requested(&request, time::recent());
                let data = answer(machine, domain, &request);
                if let Some(guest) = machine.host_mut().guests.guests.get_mut(index) {
                    guest.served(&request);
                    if let Err(error) = guest.server.complete(&request, data) {
                        warn!("{domain} vCPU {vcpu}: answered, but not notified: {error}");
                    }
                }
            }
        }
        vcpu += 1;
    }
    if let Some(guest) = machine.host_mut().guests.guests.get_mut(index) {
        served |= guest.unprotect(time::recent());
    }
    drain_buffered(machine, index);
    served
}

/// Nothing we serve is ever buffered by Xen; what comes nevertheless is taken out and dropped.
fn drain_buffered(machine: &mut Machine, index: usize) {
    const BUDGET: u32 = 16;
    if let Some(guest) = machine.host_mut().guests.guests.get_mut(index)
        && let Some(ring) = guest.server.buffered()
    {
        let domain = guest.domain();
        ring.drain(BUDGET, |request| {
            let text = format_args!("unexpected buffered {request:?} dropped");
            console::report(Level::Warn, domain.0, "ioreq", text);
        });
    }
}

/// The value that completes a request.
fn answer(machine: &mut Machine, domain: DomainId, request: &Request) -> u64 {
    match request.kind {
        Kind::Memory | Kind::PciConfig => elements(machine, domain, request),
        // No port range is claimed, and the guest's clock is not ours.
        Kind::PortIo => !0,
        Kind::TimeOffset => 0,
        Kind::Invalidate => {
            if let Some(guest) = machine.host_mut().guests.guest_mut(domain)
                && guest.invalidated()
            {
                guest.pins.invalidate();
            }
            machine.access_settled(domain);
            0
        }
    }
}

/// Makes each access of a request; what the last one read.
fn elements(machine: &mut Machine, domain: DomainId, request: &Request) -> u64 {
    let mut last = !0;
    for element in request.elements() {
        let Some(space) = space(request, element) else {
            return !0;
        };
        let size = request.size;
        last = match request.direction {
            Direction::Read => {
                let value = machine.access(
                    domain,
                    Access {
                        space,
                        size,
                        write: None,
                    },
                );
                if request.data_is_pointer {
                    let bytes = value.to_le_bytes();
                    copy_in(
                        machine,
                        domain,
                        element.data,
                        bytes.get(..size.into()).unwrap_or(&[]),
                    );
                }
                value
            }
            Direction::Write => {
                let value = if request.data_is_pointer {
                    copy_out(machine, domain, element.data, size)
                } else {
                    element.data
                };
                machine.access(
                    domain,
                    Access {
                        space,
                        size,
                        write: Some(value),
                    },
                )
            }
        };
    }
    last
}

/// Where an element goes; `None` for a function that is not ours.
fn space(request: &Request, element: Element) -> Option<Space> {
    match request.configuration() {
        Some((function, register)) => (function == FUNCTION).then_some(Space::Config(register)),
        None => Some(Space::Memory(element.address)),
    }
}

/// Reads a value from guest memory; all-ones where there is none.
fn copy_out(machine: &mut Machine, domain: DomainId, address: u64, size: u8) -> u64 {
    let mut bytes = [0xff; 8];
    let wanted = bytes.get_mut(..size.into()).unwrap_or(&mut []);
    each_page(
        machine,
        domain,
        address,
        wanted.len(),
        |guests, place, range| {
            if let Some(part) = wanted.get_mut(range) {
                // A page that vanished leaves all-ones.
                let _ = guests.read(place, part);
            }
        },
    );
    let mut value = [0; 8];
    for (to, from) in value.iter_mut().zip(bytes).take(size.into()) {
        *to = from;
    }
    u64::from_le_bytes(value)
}

/// Writes a value to guest memory; dropped where there is none.
fn copy_in(machine: &mut Machine, domain: DomainId, address: u64, bytes: &[u8]) {
    each_page(
        machine,
        domain,
        address,
        bytes.len(),
        |guests, place, range| {
            if let Some(part) = bytes.get(range) {
                // A page that vanished takes nothing.
                let _ = guests.write(place, part);
            }
        },
    );
}

/// Splits `length` bytes at a guest-physical address by pages, each pinned while it is used.
fn each_page(
    machine: &mut Machine,
    domain: DomainId,
    address: u64,
    length: usize,
    mut act: impl FnMut(&mut super::guests::DomainServices, gpu::DmaAddress, core::ops::Range<usize>),
) {
    let guests = &mut machine.host_mut().guests;
    let mut done = 0;
    while done < length {
        let Some(at) = address.checked_add(done as u64) else {
            return;
        };
        let room = (PAGE_SIZE - at % PAGE_SIZE) as usize;
        let part = room.min(length - done);
        let frame = GuestFrame(at / PAGE_SIZE);
        match guests.pin(domain, frame) {
            Ok(page) => {
                act(guests, page.at(at % PAGE_SIZE), done..done + part);
                guests.unpin(domain, frame, page);
            }
            Err(error) => console::report(
                Level::Warn,
                domain.0,
                "ioreq",
                format_args!("string access: {error}"),
            ),
        }
        done += part;
    }
}
