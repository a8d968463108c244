//! What a register write brings about: resets, rights for user batches, wake-ups; and the clock.
//!
//! Source: PRM Kaby Lake vol. 2c (GDRST, FORCE_TO_NONPRIV, TIMESTAMP), Linux `intel_reset.c`,
//! `intel_workarounds.c`, `intel_uncore.c`, `intel_tlb.c`.

use gpu::Gpu;
use gpu::spec::engine::{Engine, NOPID};
use gpu::spec::registers::{Slot, TLB_INVALIDATE};

use super::{RegisterFile, engine_at};
use crate::vgpu::Vgpu;
use crate::{Clock, Guests, Host, submission};

/// GDRST bit 0: everything.
const RESET_ALL: u32 = 1 << 0;
/// A full reset leaves the registers from here on alone: interrupts, display, fences.
const RESET_END: u32 = 0x44200;

/// Registers a driver may open to its unprivileged batches besides each engine's NOPID: those that
/// i915 opens on Gen9. All of them are in the context image or harmless to others.
const GRANTABLE: [u32; 5] = [
    0x2248, // CTX_PREEMPT
    0x2580, // CS_CHICKEN1
    0x7014, // COMMON_SLICE_CHICKEN2
    0x7304, // HDC_CHICKEN1
    0xb118, // L3SQCREG4
];

/// The guest wrote GDRST: some engines, or all and their registers. Done at once, so it reads 0.
pub(super) fn reset<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    written: u32,
) {
    for engine in Engine::ALL {
        if written & (engine.reset_bit() | RESET_ALL) != 0 {
            vgpu.counters.resets += 1;
            submission::reset_engine(host, vgpu, engine);
        }
    }
    if written & RESET_ALL != 0 {
        vgpu.registers.reset(RESET_END);
    }
}

/// A FORCE_TO_NONPRIV slot: only what may be granted is stored.
pub(super) fn grant<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    offset: u32,
    slot: Slot,
    written: u32,
) {
    let filler = engine_at(offset).map(|(engine, _)| engine.base() + NOPID);
    if Some(written) == filler || GRANTABLE.contains(&written) {
        vgpu.registers.set(slot, written);
    } else {
        let now = host.clock.now();
        vgpu.violation(
            now,
            format_args!("register {written:#x} cannot be granted to batches"),
        );
    }
}

/// A forcewake request: the wells are always up, so it is acknowledged as asked.
pub(super) fn wake(registers: &mut RegisterFile, offset: u32, slot: Slot, written: u32) {
    let mask = written >> 16;
    let request = registers.get(slot) & !mask & 0xffff | written & mask;
    registers.set(slot, request);
    let acknowledgement = match offset {
        0xa278 => 0xd84,    // render
        0xa270 => 0xd88,    // media
        0xa188 => 0x130044, // GT ("blitter")
        _ => return,
    };
    registers.set_at(acknowledgement, request);
}

/// The engine whose TLB a register invalidates. VCS2, which this device lacks, has one too.
pub(super) fn invalidated(offset: u32) -> Option<Engine> {
    match offset.checked_sub(TLB_INVALIDATE)? {
        0x0 => Some(Engine::Rcs),
        0x4 => Some(Engine::Vcs),
        0xc => Some(Engine::Bcs),
        0x10 => Some(Engine::Vecs),
        _ => None,
    }
}

/// RING_TIMESTAMP and its upper half: 36 bits at 12 MHz.
pub(super) fn timestamp(now: u64, offset: u32) -> u32 {
    let ticks = now / 1000 * 12 + now % 1000 * 12 / 1000;
    if offset & 4 == 0 {
        ticks as u32
    } else {
        (ticks >> 32) as u32 & 0xf
    }
}
