//! The command audit: judges a private copy of commands by the table of `gpu::spec::commands`.
//!
//! Nothing here knows a command by name. A row says how long a command is, which dwords are
//! addresses and in which space, which are registers, which bits are fixed, and what follows; the
//! audit checks that all of it stays inside what the vGPU owns. Unknown is refused.
//!
//! ```text
//! ring (level 0) --MI_BATCH_BUFFER_START--> batch (1) --second level--> batch (2)
//!                                            `--chained--> batch (1)
//! ```
//!
//! One call judges one contiguous piece. Batches that it starts are reported to the [`Sink`], who
//! copies, judges and patches them in turn; their number is the sink's to bound, their depth is
//! bounded here. Each step consumes at least one dword, so a verdict takes at most as many steps
//! as there are dwords, whatever they say.
//!
//! An address in the context's own PPGTT is not checked: the shadow tables hold nothing but the
//! guest's pages. The blitter of Gen9 does not enforce the privilege of its batches
//! (CVE-2019-0155), so the audit does, on every engine alike.

mod registers;
mod violation;

#[cfg(test)]
mod tests;

pub(crate) use violation::{Violation, What};

use gpu::spec::commands::{self, AddressField, Bits, Command, Shape, Verdict};
use gpu::{Engine, GraphicsAddress};

use crate::partition::{Region, Slice};

/// Deepest level of batches below a ring that the hardware has.
const DEEPEST: u8 = 2;
/// MI_BATCH_BUFFER_START bit 22: comes back to the batch that started it.
const SECOND_LEVEL: u32 = 1 << 22;
/// MI_BATCH_BUFFER_START bit 15: only if the predicate is set.
const PREDICATED: u32 = 1 << 15;

/// Where the commands stand, and with it what they may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// A ring: ends where the guest's tail is.
    Ring,
    /// A batch in the global GTT.
    Privileged,
    /// A batch in the context's PPGTT.
    Unprivileged,
    /// INDIRECT_CTX: a number of cache lines, without an end of its own.
    IndirectContext,
    /// BB_PER_CTX_PTR: ends with MI_BATCH_BUFFER_END.
    PerContext,
}

impl Privilege {
    /// Whether the hardware would let these commands name the global GTT and any register.
    const fn privileged(self) -> bool {
        !matches!(self, Self::Unprivileged)
    }

    /// Whether the piece is complete without MI_BATCH_BUFFER_END.
    const fn ends_by_length(self) -> bool {
        matches!(self, Self::Ring | Self::IndirectContext)
    }
}

/// What the vGPU owns, and how deep in batches these commands are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Its parts of the global GTT: mappable and non-mappable.
    pub global: [Region; 2],
    /// 0 for a ring or a context batch, 1 for a batch, 2 for a batch that a batch called.
    pub level: u8,
}

impl Limits {
    /// The limits of a vGPU with this slice, for a ring.
    pub(crate) const fn new(slice: &Slice) -> Self {
        Self {
            global: [slice.mappable, slice.nonmappable],
            level: 0,
        }
    }

    /// The same vGPU, at another level.
    pub(crate) const fn at_level(self, level: u8) -> Self {
        Self { level, ..self }
    }

    fn contain(&self, start: u64, bytes: u64) -> bool {
        let start = GraphicsAddress(start);
        self.global
            .iter()
            .any(|region| region.contains(start, bytes))
    }
}

/// A batch that the commands start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchStart {
    /// Dword of the MI_BATCH_BUFFER_START; its address is in the two that follow.
    pub position: usize,
    /// First command of the batch.
    pub address: GraphicsAddress,
    /// Whether it lies in the global GTT, where it runs privileged.
    pub global: bool,
    /// Level of the batch.
    pub level: u8,
}

impl BatchStart {
    /// The privilege its commands have.
    pub(crate) const fn privilege(&self) -> Privilege {
        if self.global {
            Privilege::Privileged
        } else {
            Privilege::Unprivileged
        }
    }
}

/// A store to the engine's status page (post-sync, store index, global GTT): the page belongs to
/// the host, so the command must be patched to the guest's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatusStore {
    /// Dword of the command.
    pub position: usize,
    /// Dword of its address operand.
    pub address: usize,
    /// Dword and bit that make it an index.
    pub index: (usize, u32),
    /// Byte in the page.
    pub offset: u16,
}

/// Who wants to know what the commands refer to.
pub(crate) trait Sink {
    /// A batch is started. `false`: there are too many.
    fn batch(&mut self, start: BatchStart) -> bool;

    /// The engine's status page is written. `false`: that cannot be patched here.
    fn status_store(&mut self, _store: StatusStore) -> bool {
        false
    }

    /// These bits of the command at this dword have to be set. `false`: that cannot be done here.
    fn set_bits(&mut self, _position: usize, _bits: Bits) -> bool {
        false
    }

    /// The piece ends before this dword; what follows is never executed.
    fn end(&mut self, _position: usize) {}
}

/// What a command under audit was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Its dwords, at least one.
    pub dwords: usize,
    /// Whether nothing behind it is executed.
    pub ends: bool,
}

/// Judges `dwords` as commands for `engine`.
pub(crate) fn scan(
    engine: Engine,
    privilege: Privilege,
    dwords: &[u32],
    limits: &Limits,
    found: &mut impl Sink,
) -> Result<(), Violation> {
    let mut position = 0;
    while let Some(rest) = dwords.get(position..).filter(|rest| !rest.is_empty()) {
        let step = step(engine, privilege, rest, position, limits, found)?;
        position += step.dwords;
        if step.ends {
            found.end(position);
            return Ok(());
        }
    }
    if privilege.ends_by_length() {
        found.end(position);
        return Ok(());
    }
    Err(Violation {
        what: What::NoEnd,
        command: None,
        position,
        header: 0,
    })
}

/// Judges the one command at the head of `rest`, which stands at dword `position` of its buffer.
/// [`What::Truncated`] says how many dwords must be there.
#[inline]
pub(crate) fn step(
    engine: Engine,
    privilege: Privilege,
    rest: &[u32],
    position: usize,
    limits: &Limits,
    found: &mut impl Sink,
) -> Result<Step, Violation> {
    let header = rest.first().copied().unwrap_or(0);
    let shape = commands::shape(engine, header);
    let length = shape.dwords(header);
    // Most commands of a batch are state: nothing in them to look at.
    if shape.plain()
        && shape.known_to(engine)
        && shape.fits(length)
        && length as usize <= rest.len()
    {
        return Ok(Step {
            dwords: length as usize,
            ends: false,
        });
    }
    judge(engine, shape, privilege, rest, position, limits, found)
}

/// The same for a command that refers to something, or is wrong. Apart, so that the walk stays small.
#[inline(never)]
fn judge(
    engine: Engine,
    shape: &Shape,
    privilege: Privilege,
    rest: &[u32],
    position: usize,
    limits: &Limits,
    found: &mut impl Sink,
) -> Result<Step, Violation> {
    let header = rest.first().copied().unwrap_or(0);
    let Some(row) = shape.command().filter(|_| shape.known_to(engine)) else {
        return Err(Violation {
            what: What::Unknown(engine),
            command: None,
            position,
            header,
        });
    };
    let violation = |what| Violation {
        what,
        command: Some(row.name),
        position,
        header,
    };
    let length = shape.dwords(header);
    if !shape.fits(length) {
        return Err(violation(What::Length(length)));
    }
    let Some(command) = rest.get(..length as usize) else {
        return Err(violation(What::Truncated(length)));
    };
    let audit = Audit {
        engine,
        privilege,
        limits,
        row,
        position,
        header,
        command,
    };
    match audit.judge(found) {
        Ok(ends) => Ok(Step {
            dwords: command.len(),
            ends,
        }),
        Err(what) => Err(violation(what)),
    }
}

/// One command under audit.
struct Audit<'a> {
    engine: Engine,
    privilege: Privilege,
    limits: &'a Limits,
    row: &'static Command,
    position: usize,
    header: u32,
    command: &'a [u32],
}

impl Audit<'_> {
    /// Whether it ends the piece.
    fn judge(&self, found: &mut impl Sink) -> Result<bool, What> {
        for rule in self.row.rules {
            if !rule.kept(self.command) {
                return Err(What::Fixed(rule.why));
            }
        }
        let loads_register = self
            .row
            .post_sync
            .is_some_and(|when| when.any(self.command));
        if loads_register {
            registers::one(self, self.row.register_use, 2)?;
        } else {
            for field in self.row.addresses {
                self.address(field, found)?;
            }
        }
        match self.row.verdict {
            Verdict::Allow => Ok(false),
            Verdict::Registers { first, step } => {
                registers::all(self, usize::from(first), usize::from(step))?;
                Ok(false)
            }
            Verdict::Batch => self.batch(found),
            Verdict::End if self.privilege == Privilege::Ring => Err(What::EndOutsideBatch),
            Verdict::End => Ok(true),
            Verdict::StatusPage(own) => self.status_page(own, found),
            Verdict::Refuse(why) => Err(What::Refused(why)),
        }
    }

    /// The blitter's hardware would write the engine's page, whoever asks.
    #[cold]
    #[inline(never)]
    fn status_page(&self, own: Bits, found: &mut impl Sink) -> Result<bool, What> {
        let unprivileged = !self.privilege.privileged();
        if own.any(self.command) || unprivileged && found.set_bits(self.position, own) {
            Ok(false)
        } else {
            Err(What::Refused(commands::STATUS_PAGE))
        }
    }

    fn address(&self, field: &AddressField, found: &mut impl Sink) -> Result<(), What> {
        let global = field.space.global(self.command);
        let index = field.index.filter(|index| index.any(self.command));
        if !global && index.is_none() || field.when.is_some_and(|when| !when.any(self.command)) {
            return Ok(());
        }
        if global && !self.privilege.privileged() {
            return Err(What::Unprivileged);
        }
        let bytes = field.extent.bytes(self.header, self.command.len() as u32);
        let address = field
            .address(self.command)
            .ok_or(What::Length(self.command.len() as u32))?;
        let Some(index) = index else {
            return if self.limits.contain(address, bytes) {
                Ok(())
            } else {
                Err(What::Address { address, bytes })
            };
        };
        // An index stays inside one page, the context's own unless the GTT bit is set.
        if address > gpu::PAGE_SIZE - bytes {
            return Err(What::StatusPage(address));
        }
        let store = StatusStore {
            position: self.position,
            address: usize::from(field.dword),
            index: (usize::from(index.dword), index.mask),
            offset: address as u16,
        };
        if global && !found.status_store(store) {
            return Err(What::EngineStatusPage);
        }
        Ok(())
    }

    fn batch(&self, found: &mut impl Sink) -> Result<bool, What> {
        let Some(field) = self.row.addresses.first() else {
            return Ok(false);
        };
        let address = field
            .address(self.command)
            .ok_or(What::Length(self.command.len() as u32))?;
        let calls = self.header & SECOND_LEVEL != 0;
        let level = match (self.privilege, calls) {
            (Privilege::IndirectContext | Privilege::PerContext, _) => return Err(What::Nested),
            (Privilege::Ring, false) => 1,
            (Privilege::Ring, true) => return Err(What::Nested),
            (_, true) => self.limits.level.saturating_add(1),
            (_, false) => self.limits.level,
        };
        if level > DEEPEST {
            return Err(What::Nested);
        }
        let global = field.space.global(self.command);
        let start = BatchStart {
            position: self.position,
            address: GraphicsAddress(address),
            global,
            level,
        };
        if !found.batch(start) {
            return Err(What::TooManyBatches);
        }
        // A batch that chains does not come back, unless its predicate may say no.
        let returns = self.privilege == Privilege::Ring || calls || self.header & PREDICATED != 0;
        Ok(!returns)
    }
}
