//! Register operands: the allow-list, engine by engine, whatever command names them.
//!
//! A register of an engine's block belongs to the context that runs there, which at this moment
//! may be another guest's: commands reach their own engine's block only. Registers outside all
//! blocks are the render pipeline's and belong to the render engine's context. Timestamps are the
//! exception that Linux makes too: any engine may read any.
//!
//! A register that each guest has its own value of holds that value while the guest's commands run,
//! so that they may read it, whatever it is. i915 verifies its workarounds so.
//!
//! FORCE_TO_NONPRIV opens a register to unprivileged batches. A slot may be loaded with a constant
//! that is on the allow-list; never with a value that is known only when the command runs.

use gpu::Engine;
use gpu::spec::commands::RegisterUse;
use gpu::spec::registers::{self, Behaviour, Kind, Policy, REGISTERS, Register};

use super::{Audit, What};

/// Bits of an operand that are the register's offset.
const OFFSET: u32 = 0x007f_fffc;
/// Size of an engine's block.
const BLOCK: u32 = 0x1000;

/// Checks the operands of a command that names registers from dword `first` on.
pub(super) fn all(audit: &Audit<'_>, first: usize, step: usize) -> Result<(), What> {
    let length = audit.command.len();
    match audit.row.register_use {
        RegisterUse::Move => {
            one(audit, RegisterUse::Read, first)?;
            one(audit, RegisterUse::Write, first + 1)
        }
        register_use if step == 0 => one(audit, register_use, first),
        register_use => {
            // Offsets and values in pairs, or the last offset has no value.
            if !(length - first).is_multiple_of(step) {
                return Err(What::Length(length as u32));
            }
            (first..length)
                .step_by(step)
                .try_for_each(|dword| one(audit, register_use, dword))
        }
    }
}

/// Checks one operand.
#[inline]
pub(super) fn one(audit: &Audit<'_>, register_use: RegisterUse, dword: usize) -> Result<(), What> {
    let operand = audit.command.get(dword).copied().unwrap_or(0);
    let offset = operand & OFFSET;
    if listed(offset) && belongs(audit.engine, offset) {
        return Ok(());
    }
    unlisted(audit, register_use, dword, offset)
}

/// Not simply listed: an exception, or the reason why not.
#[inline(never)]
fn unlisted(
    audit: &Audit<'_>,
    register_use: RegisterUse,
    dword: usize,
    offset: u32,
) -> Result<(), What> {
    let row = find(offset).ok_or(What::Register(offset))?;
    let reads = register_use == RegisterUse::Read;
    if row.behaviour == Behaviour::NonPrivileged && !reads {
        return slot(audit, register_use, dword, offset);
    }
    if reads && row.policy == Policy::Shadow && registers::used_by(audit.engine, offset) {
        return Ok(());
    }
    if !row.command {
        return Err(What::Register(offset));
    }
    if !reads && row.kind == Kind::ReadOnly {
        return Err(What::ReadOnly(offset));
    }
    let public = reads && row.behaviour == Behaviour::Timestamp;
    if public || belongs(audit.engine, offset) {
        Ok(())
    } else {
        Err(What::ForeignRegister(offset))
    }
}

/// A write to a FORCE_TO_NONPRIV slot.
fn slot(
    audit: &Audit<'_>,
    register_use: RegisterUse,
    dword: usize,
    offset: u32,
) -> Result<(), What> {
    if !audit.privilege.privileged() {
        return Err(What::Register(offset));
    }
    if !belongs(audit.engine, offset) {
        return Err(What::ForeignRegister(offset));
    }
    if register_use != RegisterUse::Immediate {
        return Err(What::NonPrivileged(offset));
    }
    // PIPE_CONTROL has its value after the upper half of the operand, LRI right behind.
    let value = audit.command.get(
        dword
            + if dword == 2 && audit.row.post_sync.is_some() {
                2
            } else {
                1
            },
    );
    let value = value.copied().unwrap_or(u32::MAX);
    let opened = find(value).filter(|row| row.command && belongs(audit.engine, value));
    opened.map(|_| ()).ok_or(What::NonPrivileged(value))
}

fn find(offset: u32) -> Option<&'static Register> {
    REGISTERS.get(usize::from(registers::find(offset)?.row))
}

/// Registers that commands may read and write, a bit each, up to the end of the last engine's
/// block: the table at one glance.
static LISTED: [u64; LISTED_END as usize / 256] = {
    let mut bits = [0; LISTED_END as usize / 256];
    let mut number = 0;
    while number < REGISTERS.len() {
        let row = &REGISTERS[number];
        let writable = !matches!(row.kind, Kind::ReadOnly);
        let plain = row.command && writable && !matches!(row.behaviour, Behaviour::NonPrivileged);
        let mut element = 0;
        while plain && element < row.count {
            let offset = row.offset + element * row.stride;
            if offset < LISTED_END {
                bits[offset as usize / 256] |= 1 << (offset / 4 % 64);
            }
            element += 1;
        }
        number += 1;
    }
    bits
};

/// One past the last block of an engine.
const LISTED_END: u32 = Engine::Bcs.base() + BLOCK;

#[inline]
fn listed(offset: u32) -> bool {
    LISTED
        .get(offset as usize / 256)
        .is_some_and(|bits| bits >> (offset / 4 % 64) & 1 != 0)
}

/// Whether a register is in this engine's reach.
fn belongs(engine: Engine, offset: u32) -> bool {
    let block = offset & !(BLOCK - 1);
    if engine != Engine::Rcs {
        return block == engine.base();
    }
    let others = [Engine::Bcs, Engine::Vcs, Engine::Vecs];
    !others.into_iter().any(|other| block == other.base())
}
