//! Batches that are executed from our copy: privileged ones, and every batch of the blitter.
//!
//! A batch is copied piece by piece while it is judged, so that nothing behind its end is read. The
//! MI_BATCH_BUFFER_START that leads to it is patched to the copy, in the global GTT. (That makes
//! a blitter's user batch privileged; the audit has refused whatever would make a difference.)
//! A start that leads into a copy, at a command that was judged, is patched to that place: loops
//! stay loops, and nobody jumps into the middle of a command.
//!
//! The work is done in a window of the arena. A slot's arena is one window; the large arena
//! (`large.rs`) is audited window by window, and [`Progress`] is where it goes on.

use gpu::spec::commands::Bits;
use gpu::{Engine, GraphicsAddress, PAGE_SIZE};

use super::copies::{Copied, Copies};
use super::memory::Memory;
use super::{Buffer, Refusal};
use crate::Guests;
use crate::scan::{self, BatchStart, Limits, Privilege, Sink, StatusStore, What};

/// Dwords read at once: most batches are short.
const PIECE: usize = 256;
/// Batches start at a cache line, in dwords.
const LINE: usize = 16;
/// MI_BATCH_BUFFER_START bit 8: in the PPGTT.
const PPGTT: u32 = 1 << 8;
/// Flag bits of a post-sync address that stay as they are.
const ADDRESS_FLAGS: u32 = 7;

/// Why a batch is not in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The context is refused.
    Refused(Refusal),
    /// The arena is full: the chunk must end before the command that starts the batch.
    Full,
    /// The window ends here; the next one goes on from [`Progress::position`].
    Later,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What one command refers to. A command starts one batch and stores once at most.
#[derive(Debug, Default)]
pub struct Found {
    pub batch: Option<BatchStart>,
    pub store: Option<StatusStore>,
    /// Bits of it that the copy must have set.
    pub bits: Option<Bits>,
    /// Whether engine status page stores can be patched.
    pub patchable: bool,
}

impl Sink for Found {
    fn batch(&mut self, start: BatchStart) -> bool {
        self.batch.replace(start).is_none()
    }

    fn status_store(&mut self, store: StatusStore) -> bool {
        self.patchable && self.store.replace(store).is_none()
    }

    fn set_bits(&mut self, _: usize, bits: Bits) -> bool {
        self.bits.replace(bits).is_none()
    }
}

/// How far the audit of a batch, and of all that it starts, came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// The batch that is being copied, as far as it is judged.
    copying: Option<Copied>,
    /// Else the batch whose starts are being patched, and the next command in it.
    batch: usize,
    command: Option<usize>,
}

impl Progress {
    /// Before a batch that goes into an empty arena.
    pub fn new(start: BatchStart) -> Self {
        Self {
            copying: Some(Copied::at(start, 0)),
            ..Self::default()
        }
    }

    /// Dword of the arena where the next window has to begin.
    pub fn position(&self, copies: &Copies) -> usize {
        match (self.copying, self.command) {
            (Some(copied), _) => copied.end(),
            (None, Some(command)) => command,
            (None, None) => copies
                .get(self.batch)
                .and_then(|copied| copied.calls)
                .unwrap_or(copies.used()),
        }
    }
}

/// A part of an arena being filled.
pub struct Arena<'a, 'm, H> {
    pub memory: &'a Memory<'m, H>,
    pub engine: Engine,
    pub limits: Limits,
    /// Where the GPU sees the arena.
    pub address: GraphicsAddress,
    /// Dwords of the arena.
    pub room: usize,
    /// The window: its first dword in the arena, its contents, and where what is judged of it ends.
    pub base: usize,
    pub window: &'a mut [u32],
    pub judged: usize,
    /// What the whole arena holds.
    pub copies: &'a mut Copies,
    /// The guest's own engine status page.
    pub status_page: Option<GraphicsAddress>,
}

impl<H: Guests> Arena<'_, '_, H> {
    /// Whether the hardware may execute this batch where the guest has it.
    fn in_place(&self, start: &BatchStart) -> bool {
        !start.global && self.engine != Engine::Bcs
    }

    /// Takes in the batch that `command` (in a buffer outside) starts, and all that it starts,
    /// and patches the command. Changes nothing but the arena's free part on failure.
    pub fn take(&mut self, start: BatchStart, command: &mut [u32]) -> Result<(), Failure> {
        if self.in_place(&start) {
            return Ok(());
        }
        let place = match self.copies.find(&start) {
            Some(place) => place,
            None => {
                let mark = self.copies.mark();
                let mut progress = Progress {
                    copying: Some(self.free_place(start, LINE)),
                    batch: self.copies.len(),
                    command: None,
                };
                let place = progress.position(self.copies);
                if let Err(failure) = self.run(&mut progress) {
                    self.copies.return_to(mark);
                    self.judged = self.copies.used();
                    return Err(failure);
                }
                place
            }
        };
        patch_start(command, self.address_of(place));
        Ok(())
    }

    /// Goes on with an audit until all of it is copied, judged and patched.
    pub fn run(&mut self, progress: &mut Progress) -> Result<(), Failure> {
        loop {
            // Each new copy may start more; all of them are in `copies`, judged, not yet patched.
            if let Some(copied) = &mut progress.copying {
                let privilege = copied.start.privilege();
                self.copy_on(copied, privilege)?;
                progress.copying = None;
            }
            let Some(copied) = self.copies.get(progress.batch) else {
                return Ok(());
            };
            match self.patch_on(&copied, &mut progress.command)? {
                Some(start) => progress.copying = Some(self.free_place(start, LINE)),
                None => {
                    progress.batch += 1;
                    progress.command = None;
                }
            }
        }
    }

    /// Copies and judges one batch, without those that it starts.
    pub fn copy(
        &mut self,
        start: BatchStart,
        privilege: Privilege,
        alignment: usize,
    ) -> Result<GraphicsAddress, Failure> {
        let mut copied = self.free_place(start, alignment);
        let place = copied.at;
        self.copy_on(&mut copied, privilege)?;
        Ok(self.address_of(place))
    }

    /// Copies commands of a known length, which end with it (INDIRECT_CTX).
    pub fn copy_lines(
        &mut self,
        address: GraphicsAddress,
        bytes: u32,
    ) -> Result<GraphicsAddress, Failure> {
        let base = self.copies.used().next_multiple_of(LINE);
        let end = base + bytes as usize / 4;
        let dwords = self.window.get_mut(base..end).ok_or(Failure::Full)?;
        self.memory.read(true, address, dwords)?;
        let mut none = Found::default();
        scan::scan(
            self.engine,
            Privilege::IndirectContext,
            dwords,
            &self.limits,
            &mut none,
        )
        .map_err(|what| Refusal::Command {
            buffer: Buffer::Context,
            at: address.0,
            what,
        })?;
        self.copies.extend(end);
        self.judged = end;
        Ok(self.address_of(base))
    }

    /// Copies and judges a batch to its end, or the window's; patches nothing but status page
    /// stores. What was read and not judged when it stops is read again.
    fn copy_on(&mut self, copied: &mut Copied, privilege: Privilege) -> Result<(), Failure> {
        let start = copied.start;
        if !start.address.0.is_multiple_of(4) {
            return Err(Refusal::Unreadable(start.address).into());
        }
        let mut at = copied.end();
        if at < self.base || at > self.base + self.window.len() {
            return Err(Failure::Later);
        }
        if let Some(gap) = self.window.get_mut(self.judged - self.base..at - self.base) {
            gap.fill(0);
        }
        let mut loaded = at;
        loop {
            let mut found = Found {
                patchable: self.status_page.is_some(),
                ..Found::default()
            };
            let limits = self.limits.at_level(start.level);
            let rest = self.window.get(at - self.base..loaded - self.base);
            let rest = rest.unwrap_or(&[]);
            let position = at - copied.at;
            let judged = if rest.is_empty() {
                None
            } else {
                match scan::step(self.engine, privilege, rest, position, &limits, &mut found) {
                    Err(violation) if matches!(violation.what, What::Truncated(_)) => None,
                    other => Some(other.map_err(|what| refused(&start, what))?),
                }
            };
            let Some(step) = judged else {
                loaded = self.load(copied, at, loaded)?;
                continue;
            };
            if let (Some(store), Some(page)) = (found.store, self.status_page)
                && let Some(command) = self.command(at, step.dwords)
            {
                patch_store(command, store, page);
            }
            if let Some(bits) = found.bits
                && let Some(command) = self.command(at, step.dwords)
                && let Some(dword) = command.get_mut(usize::from(bits.dword))
            {
                *dword |= bits.mask;
            }
            if copied.calls.is_none() && found.batch.is_some_and(|start| !self.in_place(&start)) {
                copied.calls = Some(at);
            }
            self.copies.mark_start(at);
            at += step.dwords;
            copied.dwords = at - copied.at;
            self.judged = at;
            if step.ends {
                break;
            }
        }
        self.copies.push(*copied).ok_or(Failure::Full)
    }

    /// Reads on, at most to the end of the guest's page.
    fn load(&mut self, copied: &Copied, at: usize, loaded: usize) -> Result<usize, Failure> {
        let done = (loaded - copied.at) as u64 * 4;
        let from = GraphicsAddress(copied.start.address.0.wrapping_add(done));
        let end = self.room.min(self.base + self.window.len());
        if loaded >= end {
            // A command that is longer than a window fits into none.
            let hopeless = loaded >= self.room || at == self.base;
            return Err(if hopeless {
                Failure::Full
            } else {
                Failure::Later
            });
        }
        let more = ((PAGE_SIZE - from.offset()) as usize / 4)
            .min(PIECE)
            .min(end - loaded);
        let place = loaded - self.base;
        let Some(dwords) = self.window.get_mut(place..place + more) else {
            return Err(Failure::Full);
        };
        self.memory.read(copied.start.global, from, dwords)?;
        Ok(loaded + more)
    }

    /// Patches the starts in a batch, from `command` on, as far as they lead to copies; the first
    /// one that does not.
    fn patch_on(
        &mut self,
        copied: &Copied,
        command: &mut Option<usize>,
    ) -> Result<Option<BatchStart>, Failure> {
        let Some(first) = copied.calls else {
            return Ok(None);
        };
        let mut at = command.unwrap_or(first);
        let end = copied.end().min(self.judged);
        while at < copied.end() {
            *command = Some(at);
            if at < self.base || at >= end {
                return Err(Failure::Later);
            }
            // Judged before: this only asks what it refers to.
            let mut found = Found {
                patchable: true,
                ..Found::default()
            };
            let limits = self.limits.at_level(copied.start.level);
            let rest = self.window.get(at - self.base..end - self.base);
            let step = scan::step(
                self.engine,
                copied.start.privilege(),
                rest.unwrap_or(&[]),
                at - copied.at,
                &limits,
                &mut found,
            );
            let step = match step {
                Ok(step) => step,
                Err(what) if matches!(what.what, What::Truncated(_)) && at > self.base => {
                    return Err(Failure::Later);
                }
                Err(what) => return Err(refused(&copied.start, what).into()),
            };
            if let Some(start) = found.batch
                && !self.in_place(&start)
            {
                let Some(place) = self.copies.find(&start) else {
                    return Ok(Some(start));
                };
                // A cycle has one start that leads back; a call that returns makes none.
                if place <= at && start.level == copied.start.level {
                    self.copies.set_loop();
                }
                let address = self.address_of(place);
                if let Some(command) = self.command(at, step.dwords) {
                    patch_start(command, address);
                }
            }
            at += step.dwords;
        }
        Ok(None)
    }

    /// A batch that is to be copied behind all others.
    fn free_place(&self, start: BatchStart, alignment: usize) -> Copied {
        Copied::at(start, self.copies.used().next_multiple_of(alignment))
    }

    fn command(&mut self, at: usize, dwords: usize) -> Option<&mut [u32]> {
        let place = at - self.base;
        self.window.get_mut(place..place + dwords)
    }

    fn address_of(&self, dword: usize) -> GraphicsAddress {
        GraphicsAddress(self.address.0 + dword as u64 * 4)
    }
}

fn refused(start: &BatchStart, what: scan::Violation) -> Refusal {
    Refusal::Command {
        buffer: Buffer::Batch,
        at: start.address.0,
        what,
    }
}

/// Makes MI_BATCH_BUFFER_START lead to `address` in the global GTT.
pub fn patch_start(command: &mut [u32], address: GraphicsAddress) {
    if let [header, low, high, ..] = command {
        *header &= !PPGTT;
        *low = address.0 as u32;
        *high = (address.0 >> 32) as u32;
    }
}

/// Makes a store by index into the engine's status page one into the guest's.
pub fn patch_store(command: &mut [u32], store: StatusStore, page: GraphicsAddress) {
    let (flags, mask) = store.index;
    if let Some(dword) = command.get_mut(flags) {
        *dword &= !mask;
    }
    if let Some([low, high]) = command.get_mut(store.address..store.address + 2) {
        *low = *low & ADDRESS_FLAGS | (page.0 as u32 + u32::from(store.offset));
        *high = 0;
    }
}
