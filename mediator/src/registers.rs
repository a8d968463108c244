//! A guest's register access: the row of the table says who answers and how.
//!
//! *Own* and *shadow* registers live in the vGPU's [`RegisterFile`]; a shadow one is loaded into
//! the hardware when the vGPU's work runs. *Pass* reads the hardware, *deny* answers zero. An
//! offset without a row reads zero, ignores writes, and is counted: a driver we support never
//! touches one.
//!
//! Bytes that a narrow write leaves out keep their value in plain registers; where a written one
//! does something (masked, write-one-to-clear, triggers) they count as zero.

mod effects;
mod fences;
mod file;
mod mailbox;

pub(crate) use fences::{close as close_fences, fence_at};
pub(crate) use file::RegisterFile;

use gpu::spec::engine::{EXECLIST_STATUS_LO, Engine, RESET_READY, RESET_REQUEST};
use gpu::spec::pvinfo as layout;
use gpu::spec::registers::{
    Behaviour, GT_INTERRUPT_BANKS, Kind, Policy, REGISTERS, Register, Slot, find,
};
use gpu::{Gpu, GraphicsAddress, PAGE_SIZE};

use crate::vgpu::Vgpu;
use crate::{Clock, Guests, Host, gtt, interrupts, pvinfo, submission};

/// Length of an engine's register block.
const ENGINE_BLOCK: u32 = 0x1000;
/// MI_MODE bit 8: the driver stopped the ring.
const STOP_RING: u32 = 1 << 8;
/// MI_MODE bit 9: nothing runs.
const MODE_IDLE: u32 = 1 << 9;
/// EXECLIST_STATUS bits 15:14: which element runs.
const ACTIVE_ELEMENT: u32 = 0b11 << 14;

/// Reads the register at `offset` (4-byte aligned).
pub fn read<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    offset: u32,
) -> u32 {
    vgpu.counters.register_reads += 1;
    let Some((slot, row)) = lookup(offset) else {
        untracked(host, vgpu, offset);
        return 0;
    };
    match row.policy {
        Policy::Own | Policy::Shadow => value(host, vgpu, offset, slot, row),
        Policy::Pass => {
            host.gpu.time_is(host.clock.now());
            host.gpu.read(offset)
        }
        Policy::Deny => {
            deny(host, vgpu, offset, row);
            0
        }
    }
}

/// Writes the bits `lanes` of the register at `offset` (4-byte aligned).
pub fn write<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    offset: u32,
    lanes: u32,
    written: u32,
) {
    vgpu.counters.register_writes += 1;
    let Some((slot, row)) = lookup(offset) else {
        untracked(host, vgpu, offset);
        return;
    };
    match row.policy {
        Policy::Own | Policy::Shadow => {}
        Policy::Pass => return,
        Policy::Deny => return deny(host, vgpu, offset, row),
    }
    let written = match row.kind {
        Kind::ReadOnly => return,
        Kind::ReadWrite if lanes != !0 && !clears_ones(offset, row) => {
            value(host, vgpu, offset, slot, row) & !lanes | written & lanes
        }
        Kind::ReadWrite | Kind::Masked | Kind::WriteOneToClear | Kind::Trigger => written & lanes,
    };
    store(host, vgpu, offset, slot, row, written);
}

/// The row and place of a register.
fn lookup(offset: u32) -> Option<(Slot, &'static Register)> {
    let slot = find(offset)?;
    Some((slot, REGISTERS.get(usize::from(slot.row))?))
}

/// What a register of the vGPU reads now. Has no side effect.
fn value<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    offset: u32,
    slot: Slot,
    row: &Register,
) -> u32 {
    match row.behaviour {
        Behaviour::Ring | Behaviour::ExeclistStatus | Behaviour::ContextStatus => {
            let Some((engine, inside)) = engine_at(offset) else {
                return 0;
            };
            submission::read_ring_register(host, vgpu, engine, inside)
        }
        Behaviour::MiMode => {
            let stored = vgpu.registers.get(slot) & !MODE_IDLE;
            let idle = stored & STOP_RING != 0 || idle(host, vgpu, offset);
            stored | if idle { MODE_IDLE } else { 0 }
        }
        Behaviour::InterruptTree => vgpu.interrupts.tree.read(offset).unwrap_or(0),
        Behaviour::Pvinfo => pvinfo::read(vgpu, offset.wrapping_sub(layout::BASE)),
        Behaviour::Timestamp => effects::timestamp(host.clock.now(), offset),
        Behaviour::Elsp | Behaviour::Gdrst => 0,
        Behaviour::Flush => effects::invalidated(offset)
            .is_some_and(|engine| vgpu.ppgtts.invalid(engine))
            .into(),
        Behaviour::Fence if !fences::owned(vgpu, offset) => 0,
        _ => vgpu.registers.get(slot),
    }
}

/// Stores a value (as the register's kind says) and does what it brings about.
fn store<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    offset: u32,
    slot: Slot,
    row: &Register,
    written: u32,
) {
    match row.behaviour {
        Behaviour::Ring | Behaviour::ExeclistStatus | Behaviour::ContextStatus => {
            if let Some((engine, inside)) = engine_at(offset) {
                submission::write_ring_register(host, vgpu, engine, inside, written);
            }
        }
        Behaviour::Elsp => {
            if let Some((engine, _)) = engine_at(offset) {
                gtt::synchronise(host, vgpu);
                submission::elsp_written(host, vgpu, engine, written);
            }
        }
        Behaviour::StatusPage => {
            let page = GraphicsAddress(u64::from(written) & !(PAGE_SIZE - 1));
            if written != 0 && !vgpu.slice.contains(page, PAGE_SIZE) {
                let now = host.clock.now();
                vgpu.violation(
                    now,
                    format_args!("status page at {written:#x} is not its own"),
                );
                return;
            }
            vgpu.registers.set(slot, written);
        }
        Behaviour::ResetControl => {
            let mask = written >> 16;
            let request = vgpu.registers.get(slot) & !mask | written & mask;
            let ready = if request & RESET_REQUEST != 0 {
                RESET_READY
            } else {
                0
            };
            vgpu.registers.set(slot, request & RESET_REQUEST | ready);
        }
        Behaviour::Gdrst => effects::reset(host, vgpu, written),
        Behaviour::InterruptTree => interrupts::write(host, vgpu, offset, written),
        Behaviour::NonPrivileged => effects::grant(host, vgpu, offset, slot, written),
        Behaviour::Flush => {
            gtt::synchronise(host, vgpu);
            if let Some(engine) = effects::invalidated(offset).filter(|_| written & 1 != 0) {
                submission::invalidate(host, vgpu, engine);
            }
        }
        Behaviour::Fence => fences::write(host, vgpu, offset, slot, written),
        Behaviour::Mailbox => mailbox::write(&mut vgpu.registers, offset, slot, written),
        Behaviour::PowerWell => {
            // Odd bits request, the even bit below each tells the state.
            const REQUESTS: u32 = 0xaaaa_aaaa;
            let requests = written & REQUESTS;
            vgpu.registers.set(slot, requests | requests >> 1);
        }
        Behaviour::ForceWake => effects::wake(&mut vgpu.registers, offset, slot, written),
        Behaviour::Pvinfo => {
            pvinfo::write(host, vgpu, offset.wrapping_sub(layout::BASE), written);
        }
        Behaviour::Storage
        | Behaviour::RingMode
        | Behaviour::MiMode
        | Behaviour::RingInterruptMask
        | Behaviour::InterruptBank
        | Behaviour::Timestamp => keep(&mut vgpu.registers, slot, row.kind, written),
    }
}

/// Plain storage, as the kind says.
fn keep(registers: &mut RegisterFile, slot: Slot, kind: Kind, written: u32) {
    let old = registers.get(slot);
    registers.set(
        slot,
        match kind {
            Kind::ReadWrite | Kind::Trigger => written,
            Kind::ReadOnly => old,
            Kind::Masked => {
                let mask = written >> 16;
                old & !mask & 0xffff | written & mask
            }
            Kind::WriteOneToClear => old & !written,
        },
    );
}

/// The engine whose block an offset lies in, and where there.
fn engine_at(offset: u32) -> Option<(Engine, u32)> {
    Engine::ALL.into_iter().find_map(|engine| {
        let inside = offset.checked_sub(engine.base())?;
        (inside < ENGINE_BLOCK).then_some((engine, inside))
    })
}

/// Whether the guest's engine has nothing to run.
fn idle<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    offset: u32,
) -> bool {
    let Some((engine, _)) = engine_at(offset) else {
        return true;
    };
    let status = submission::read_ring_register(host, vgpu, engine, EXECLIST_STATUS_LO);
    status & ACTIVE_ELEMENT == 0
}

/// IIR of an interrupt bank: its row covers the whole bank, whose others are plain.
const fn clears_ones(offset: u32, row: &Register) -> bool {
    matches!(row.behaviour, Behaviour::InterruptTree)
        && offset >= GT_INTERRUPT_BANKS
        && offset % 0x10 == 0x8
}

/// An access without a row; each new offset, as long as they are kept, is worth a line.
pub fn untracked<G: Gpu, H: Guests, C: Clock>(host: &Host<G, H, C>, vgpu: &mut Vgpu, offset: u32) {
    if vgpu.counters.count_untracked(offset) {
        let now = host.clock.now();
        vgpu.warn(now, format_args!("register {offset:#x} has no row"));
    }
}

fn deny<G: Gpu, H: Guests, C: Clock>(
    host: &Host<G, H, C>,
    vgpu: &mut Vgpu,
    offset: u32,
    row: &Register,
) {
    let now = host.clock.now();
    vgpu.violation(
        now,
        format_args!("register {} ({offset:#x}) denied", row.name),
    );
}
