//! Context-status events on their way into the guest's memory.

use gpu::spec::engine::{HWS_PGA, INTERRUPT_CONTEXT_SWITCH};
use gpu::{Engine, Gpu, GraphicsAddress, PAGE_SIZE};

use crate::execlist::list::Events;
use crate::interrupts;
use crate::vgpu::Vgpu;
use crate::{Clock, Guests, Host};

/// Writes the events to the guest's status page and registers, then interrupts it once. A guest
/// without a status page of its own has the registers only.
pub fn deliver<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
    events: &Events,
) {
    if events.is_empty() {
        return;
    }
    let address = u64::from(vgpu.registers.at(engine.base() + HWS_PGA)) & !(PAGE_SIZE - 1);
    let page = vgpu
        .gtt
        .translate(GraphicsAddress(address))
        .map(|(_, page)| page);
    for event in events {
        let delivery = vgpu.engine(engine).status.push(*event);
        let mut write = |at, data: &[u8]| match page {
            Some(page) => host.guests.write(page.at(at), data).is_ok(),
            None => true,
        };
        if write(delivery.entry_at, &delivery.entry.to_le_bytes())
            && write(delivery.pointer_at, &delivery.pointer.to_le_bytes())
        {
            vgpu.engine(engine).contract.told(event.status);
        }
    }
    interrupts::raise(host, vgpu, engine, INTERRUPT_CONTEXT_SWITCH);
}
