//! Register operands: the allow-list, engine by engine, whatever command names them.
//!
//! A register of an engine's block belongs to the context that runs there, which at this moment
//! may be another guest's: commands reach their own engine's block only. Registers outside all
//! blocks are the render pipeline's and belong to the render engine's context. Timestamps are the
//! exception that Linux makes too: any engine may read any.
//!
//! FORCE_TO_NONPRIV opens a register to unprivileged batches. A slot may be loaded with a constant
//! that is on the allow-list; never with a value that is known only when the command runs.

use gpu::Engine;
use gpu::spec::commands::RegisterUse;
use gpu::spec::registers::{self, Behaviour, Kind, REGISTERS, Register};

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
            if (length - first) % step != 0 {
                return Err(What::Length(length as u32));
            }
            (first..length)
                .step_by(step)
                .try_for_each(|dword| one(audit, register_use, dword))
        }
    }
}

/// Checks one operand.
pub(super) fn one(audit: &Audit<'_>, register_use: RegisterUse, dword: usize) -> Result<(), What> {
    let operand = audit.command.get(dword).copied().unwrap_or(0);
    let offset = operand & OFFSET;
    let row = find(offset).ok_or(What::Register(offset))?;
    let reads = register_use == RegisterUse::Read;
    if row.behaviour == Behaviour::NonPrivileged && !reads {
        return slot(audit, register_use, dword, offset);
    }
    if !row.command {
        return Err(What::Register(offset));
    }
    if !reads && row.kind == Kind::ReadOnly {
        return Err(What::ReadOnly(offset));
    }
    if !belongs(audit.engine, offset) && !(reads && row.behaviour == Behaviour::Timestamp) {
        return Err(What::ForeignRegister(offset));
    }
    Ok(())
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

/// Whether a register is in this engine's reach.
fn belongs(engine: Engine, offset: u32) -> bool {
    let owner = Engine::ALL
        .into_iter()
        .find(|engine| offset & !(BLOCK - 1) == engine.base());
    owner.unwrap_or(Engine::Rcs) == engine
}
