//! Batches that are executed from our copy: privileged ones, and every batch of the blitter.
//!
//! A batch is copied piece by piece while it is judged, so that nothing behind its end is read. The
//! MI_BATCH_BUFFER_START that leads to it is patched to the copy, in the global GTT. (That makes
//! a blitter's user batch privileged; the audit has refused whatever would make a difference.)
//! A start that leads into a copy, at a command that was judged, is patched to that place: loops
//! stay loops, and nobody jumps into the middle of a command.
//!
//! Not done: a batch of the blitter that its guest changes while it runs goes on unchanged.

use arrayvec::ArrayVec;
use gpu::{Engine, GraphicsAddress, PAGE_SIZE};

use super::memory::Memory;
use super::{Buffer, Refusal};
use crate::Guests;
use crate::scan::{self, BatchStart, Limits, Privilege, Sink, StatusStore, What};

/// Most batches of one chunk.
const BATCHES: usize = 32;
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
}

/// One batch in the arena.
#[derive(Debug, Clone, Copy)]
struct Copied {
    start: BatchStart,
    /// First dword in the arena.
    at: usize,
    dwords: usize,
}

/// The arena being filled.
pub struct Arena<'a, 'm, H> {
    pub memory: &'a Memory<'m, H>,
    pub engine: Engine,
    pub limits: Limits,
    /// Where the GPU sees it.
    pub address: GraphicsAddress,
    /// Its contents, and which dwords start a judged command.
    pub dwords: &'a mut [u32],
    pub starts: &'a mut [u64],
    /// The guest's own engine status page.
    pub status_page: Option<GraphicsAddress>,
    used: usize,
    /// No dword from here on is marked.
    marked: usize,
    copies: ArrayVec<Copied, BATCHES>,
}

impl<'a, 'm, H: Guests> Arena<'a, 'm, H> {
    /// An empty arena over buffers of equal extent; `starts` is clear.
    pub fn new(
        memory: &'a Memory<'m, H>,
        (engine, limits): (Engine, Limits),
        address: GraphicsAddress,
        (dwords, starts): (&'a mut [u32], &'a mut [u64]),
        status_page: Option<GraphicsAddress>,
    ) -> Self {
        Self {
            memory,
            engine,
            limits,
            address,
            dwords,
            starts,
            status_page,
            used: 0,
            marked: 0,
            copies: ArrayVec::new(),
        }
    }

    /// Dwords filled.
    pub fn used(&self) -> usize {
        self.used
    }

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
        let (used, copies) = (self.used, self.copies.len());
        let result = self.take_all(start);
        match result {
            Ok(address) => patch_start(command, address),
            Err(failure) => {
                self.used = used;
                self.copies.truncate(copies);
                self.forget_starts(used);
                return Err(failure);
            }
        }
        Ok(())
    }

    fn take_all(&mut self, first: BatchStart) -> Result<GraphicsAddress, Failure> {
        let mut next = self.copies.len();
        let address = self.copy_or_find(first)?;
        // Each new copy may start more; all of them are in `copies`, judged, not yet patched.
        while let Some(copied) = self.copies.get(next).copied() {
            next += 1;
            let mut at = copied.at;
            let end = copied.at + copied.dwords;
            while at < end {
                let mut found = Found {
                    patchable: true,
                    ..Found::default()
                };
                let step = self.judge(&copied.start, at, end, copied.at, &mut found);
                let step = step.map_err(|what| self.refused(&copied.start, what))?;
                if let Some(start) = found.batch
                    && !self.in_place(&start)
                {
                    let address = self.copy_or_find(start)?;
                    if let Some(command) = self.dwords.get_mut(at..at + step.dwords) {
                        patch_start(command, address);
                    }
                }
                at += step.dwords;
            }
        }
        Ok(address)
    }

    fn copy_or_find(&mut self, start: BatchStart) -> Result<GraphicsAddress, Failure> {
        for copied in &self.copies {
            let inside = start.address.0.wrapping_sub(copied.start.address.0);
            let at = copied.at + inside as usize / 4;
            if (copied.start.global, copied.start.level) == (start.global, start.level)
                && inside < copied.dwords as u64 * 4
                && inside.is_multiple_of(4)
                && self.is_start(at)
            {
                return Ok(self.address_of(at));
            }
        }
        self.copy(start, start.privilege(), LINE)
    }

    /// Copies and judges one batch; patches nothing but status page stores.
    pub fn copy(
        &mut self,
        start: BatchStart,
        privilege: Privilege,
        alignment: usize,
    ) -> Result<GraphicsAddress, Failure> {
        if !start.address.0.is_multiple_of(4) {
            return Err(Refusal::Unreadable(start.address).into());
        }
        let base = self.used.next_multiple_of(alignment);
        let (mut at, mut loaded) = (base, base);
        loop {
            let mut found = Found {
                patchable: self.status_page.is_some(),
                ..Found::default()
            };
            let limits = self.limits.at_level(start.level);
            let rest = self.dwords.get(at..loaded).unwrap_or(&[]);
            let judged = if rest.is_empty() {
                None
            } else {
                match scan::step(self.engine, privilege, rest, at - base, &limits, &mut found) {
                    Err(violation) if matches!(violation.what, What::Truncated(_)) => None,
                    other => Some(other.map_err(|what| self.refused(&start, what))?),
                }
            };
            let Some(step) = judged else {
                loaded = self.load(&start, base, loaded)?;
                continue;
            };
            if let (Some(store), Some(page)) = (found.store, self.status_page)
                && let Some(command) = self.dwords.get_mut(at..at + step.dwords)
            {
                patch_store(command, store, page);
            }
            self.mark_start(at);
            at += step.dwords;
            if step.ends {
                break;
            }
        }
        let copied = Copied {
            start,
            at: base,
            dwords: at - base,
        };
        self.copies.try_push(copied).map_err(|_| Failure::Full)?;
        self.used = at;
        Ok(self.address_of(base))
    }

    /// Copies commands of a known length, which end with it (INDIRECT_CTX).
    pub fn copy_lines(
        &mut self,
        address: GraphicsAddress,
        bytes: u32,
    ) -> Result<GraphicsAddress, Failure> {
        let base = self.used.next_multiple_of(LINE);
        let end = base + bytes as usize / 4;
        let dwords = self.dwords.get_mut(base..end).ok_or(Failure::Full)?;
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
        self.used = end;
        Ok(self.address_of(base))
    }

    /// Reads on, at most to the end of the guest's page.
    fn load(&mut self, start: &BatchStart, base: usize, loaded: usize) -> Result<usize, Failure> {
        let at = GraphicsAddress(start.address.0.wrapping_add((loaded - base) as u64 * 4));
        let more = ((PAGE_SIZE - at.offset()) as usize / 4)
            .min(PIECE)
            .min(self.dwords.len() - loaded);
        let Some(dwords) = self
            .dwords
            .get_mut(loaded..loaded + more)
            .filter(|d| !d.is_empty())
        else {
            return Err(Failure::Full);
        };
        self.memory.read(start.global, at, dwords)?;
        Ok(loaded + more)
    }

    /// Judges again a command that was judged: what it refers to.
    fn judge(
        &self,
        start: &BatchStart,
        at: usize,
        end: usize,
        base: usize,
        found: &mut Found,
    ) -> Result<scan::Step, scan::Violation> {
        let limits = self.limits.at_level(start.level);
        let rest = self.dwords.get(at..end).unwrap_or(&[]);
        scan::step(
            self.engine,
            start.privilege(),
            rest,
            at - base,
            &limits,
            found,
        )
    }

    fn refused(&self, start: &BatchStart, what: scan::Violation) -> Refusal {
        Refusal::Command {
            buffer: Buffer::Batch,
            at: start.address.0,
            what,
        }
    }

    fn address_of(&self, dword: usize) -> GraphicsAddress {
        GraphicsAddress(self.address.0 + dword as u64 * 4)
    }

    fn is_start(&self, dword: usize) -> bool {
        self.starts
            .get(dword / 64)
            .is_some_and(|word| word >> (dword % 64) & 1 != 0)
    }

    fn mark_start(&mut self, dword: usize) {
        self.marked = self.marked.max(dword + 1);
        if let Some(word) = self.starts.get_mut(dword / 64) {
            *word |= 1 << (dword % 64);
        }
    }

    /// Takes back the marks from `from` on.
    fn forget_starts(&mut self, from: usize) {
        let end = (self.marked / 64 + 1).min(self.starts.len());
        self.marked = from;
        for (index, word) in self.starts.iter_mut().enumerate().take(end).skip(from / 64) {
            let kept = from.saturating_sub(index * 64).min(63) as u32;
            *word &= (1 << kept) - 1;
        }
    }
}

impl<H> Drop for Arena<'_, '_, H> {
    /// Leaves `starts` clear for the next one, however this one ended.
    fn drop(&mut self) {
        let end = (self.marked / 64 + 1).min(self.starts.len());
        self.starts.iter_mut().take(end).for_each(|word| *word = 0);
    }
}

/// Makes MI_BATCH_BUFFER_START lead to `address` in the global GTT.
fn patch_start(command: &mut [u32], address: GraphicsAddress) {
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
