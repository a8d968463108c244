use gpu::spec::engine::{INTERRUPT_CONTEXT_SWITCH, INTERRUPT_USER};
use gpu::spec::registers::{GT_INTERRUPT_BANKS, MASTER_INTERRUPT};

use super::*;
use crate::world::{BAR0, MESSAGE, Recorder, SMALL, World};
use crate::{DomainId, Space};

const IMR: u32 = GT_INTERRUPT_BANKS + 0x4;
const IIR: u32 = GT_INTERRUPT_BANKS + 0x8;
const IER: u32 = GT_INTERRUPT_BANKS + 0xc;
/// The blitter's user interrupt in bank 0.
const USER: u32 = INTERRUPT_USER << 16;

/// A guest that listens to its blitter's user interrupts.
fn listening() -> (World<Recorder>, DomainId) {
    let mut world = World::new(512);
    let guest = world.booted(1, SMALL);
    world.write(guest, Engine::Bcs.base() + engine::RING_IMR, !USER);
    world.write(guest, IMR, !USER);
    world.write(guest, IER, USER);
    world.enable_master(guest);
    (world, guest)
}

fn event(world: &mut World<Recorder>, bits: u32) {
    let mediator = &mut world.mediator;
    raise(
        &mut mediator.host,
        &mut mediator.vgpus[0],
        Engine::Bcs,
        bits,
    );
}

fn messages(world: &mut World<Recorder>, guest: DomainId) -> usize {
    world.domain(guest).messages.len()
}

#[test]
fn an_event_becomes_the_message_the_guest_programmed_and_further_ones_wait_for_its_handler() {
    let (mut world, guest) = listening();
    event(&mut world, INTERRUPT_USER);
    event(&mut world, INTERRUPT_USER);
    assert_eq!(world.domain(guest).messages, [MESSAGE]);
    // The handler: master off, identity cleared, an event meanwhile, master on.
    world.write(guest, MASTER_INTERRUPT, 0);
    assert_eq!(world.read(guest, IIR), USER);
    world.write(guest, IIR, USER);
    event(&mut world, INTERRUPT_USER);
    assert_eq!(messages(&mut world, guest), 1);
    world.enable_master(guest);
    assert_eq!(world.domain(guest).messages, [MESSAGE; 2]);
}

#[test]
fn a_narrow_write_clears_no_identity_outside_its_bytes() {
    let (mut world, guest) = listening();
    event(&mut world, INTERRUPT_USER);
    let place = |byte: u32| Space::Memory(BAR0 + u64::from(IIR + byte));
    for byte in [0, 1, 3] {
        world.access(guest, place(byte), 1, Some(0xff));
        assert_eq!(world.read(guest, IIR), USER);
    }
    world.access(guest, place(2), 1, Some(0xff));
    assert_eq!(world.read(guest, IIR), 0);
}

#[test]
fn masked_events_and_guests_without_messages_get_none() {
    let (mut world, guest) = listening();
    event(&mut world, INTERRUPT_CONTEXT_SWITCH);
    assert_eq!(world.read(guest, IIR), 0, "masked in RING_IMR");
    world.config_write(guest, 0x04, 2, 0x2);
    event(&mut world, INTERRUPT_USER);
    assert_eq!(messages(&mut world, guest), 0);
    assert_eq!(world.vgpu(guest).counters().interrupts_lost, 1);
}

#[test]
fn a_storm_of_edges_is_cut_to_the_rate_and_its_last_message_is_never_lost() {
    let (mut world, guest) = listening();
    event(&mut world, INTERRUPT_USER);
    let storm = 5000;
    for _ in 1..storm {
        world.write(guest, MASTER_INTERRUPT, 0);
        world.enable_master(guest);
    }
    let sent = messages(&mut world, guest);
    assert_eq!(sent, BURST as usize);
    assert!(world.vgpu(guest).counters().interrupts_held > 0);
    assert_eq!(world.mediator.service(), gpu::Progress::Busy, "one waits");
    assert_eq!(messages(&mut world, guest), sent);
    world.clock.advance(INTERVAL);
    world.mediator.service();
    assert_eq!(messages(&mut world, guest), sent + 1);
    world.clock.advance(INTERVAL);
    world.mediator.service();
    assert_eq!(messages(&mut world, guest), sent + 1, "one stood for all");
}
