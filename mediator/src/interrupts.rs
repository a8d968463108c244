//! A vGPU's events on their way to the guest: masks, tree, message.
//!
//! ```text
//! event --RING_IMR--> tree (gpu::interrupts) --edge--> rate limit --MSI as programmed--> guest
//! ```
//!
//! The tree coalesces: while the guest has not acknowledged, further events send nothing. A guest
//! that masks and unmasks in a loop would still cost a hypercall each time, so messages beyond the
//! rate wait, as one, for background work.

use gpu::interrupts::InterruptTree;
use gpu::spec::engine;
use gpu::{Engine, Gpu};

use crate::vgpu::{Limiter, Vgpu};
use crate::{Clock, Guests, Host};

/// Messages at once.
const BURST: u32 = 1024;
/// And then one per this many nanoseconds: 50,000 a second.
const INTERVAL: u64 = 20_000;

/// The guest's interrupt registers and what waits.
pub struct Interrupts {
    pub tree: InterruptTree,
    rate: Limiter,
    /// A message waits for the rate limit.
    held: bool,
}

impl Interrupts {
    /// After reset.
    pub fn new(now: u64) -> Self {
        Self {
            tree: InterruptTree::new(),
            rate: Limiter::new(BURST, INTERVAL, now),
            held: false,
        }
    }
}

/// An engine of the vGPU raises `bits` (unshifted).
pub fn raise<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
    bits: u32,
) {
    // The register has an engine's bits where its interrupt bank has them.
    let (_, shift) = engine.interrupt_slot();
    let masked = vgpu.registers.at(engine.base() + engine::RING_IMR) >> shift;
    if vgpu.interrupts.tree.raise(engine, bits & !masked) {
        send(host, vgpu);
    }
}

/// The guest wrote a register of the tree.
pub fn write<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    offset: u32,
    value: u32,
) {
    if vgpu.interrupts.tree.write(offset, value) {
        send(host, vgpu);
    }
}

/// Sends what waited for the rate limit; true if it still waits.
pub fn background<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu) -> bool {
    if vgpu.interrupts.held && vgpu.interrupts.rate.take(host.clock.now()) {
        vgpu.interrupts.held = false;
        message(host, vgpu);
    }
    vgpu.interrupts.held
}

fn send<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu) {
    if vgpu.interrupts.held {
        return;
    }
    if vgpu.interrupts.rate.take(host.clock.now()) {
        message(host, vgpu);
    } else {
        vgpu.interrupts.held = true;
        vgpu.counters.interrupts_held += 1;
    }
}

fn message<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu) {
    match vgpu.pci.message() {
        Some((address, data)) => {
            vgpu.counters.interrupts += 1;
            host.guests.inject(vgpu.domain, address, data);
        }
        None => vgpu.counters.interrupts_lost += 1,
    }
}

#[cfg(test)]
mod tests;
