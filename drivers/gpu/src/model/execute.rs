//! One command: fetch, decode, execute, move on.
//!
//! Memory is read anew for every command, so a batch that is rewritten while it runs, by the
//! CPU or by itself, does what it says at that moment. Lengths come from
//! [`spec::commands`](crate::spec::commands); what has no effect the model shows (3D, media,
//! video state) is skipped by its length.

use arrayvec::ArrayVec;

use super::blitter;
use super::bus::{Space, View};
use super::execlists::Turn;
use super::fault::Fault;
use super::streamer::{Running, Streamer};
use super::surface::{Step, Surface};
use super::uncore::Uncore;
use super::{flush, memory, registers_commands as registers, time};
use crate::address::GraphicsAddress;
use crate::dma::Dma;
use crate::spec::commands;
use crate::spec::engine::{self, Engine};

/// Most dwords of a command that has an effect: eight bits of length, plus two.
const MOST: usize = 257;

/// A command as fetched.
pub type Words = ArrayVec<u32, MOST>;

/// What a command came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Go on behind it.
    Next,
    /// It set the next address itself.
    Jumped,
    /// Execute it again, next turn.
    Wait,
    /// Execute it again, at once if there is time.
    Again,
}

/// Everything a command may touch.
pub struct Executor<'a, D> {
    /// The shared half of the device.
    pub uncore: &'a mut Uncore<D>,
    /// The loaded context.
    pub running: &'a mut Running,
    /// The blitter's state.
    pub setup: &'a mut blitter::Setup,
    /// The engine.
    pub engine: Engine,
    /// The command, header first.
    pub words: &'a Words,
}

impl Streamer {
    /// Executes the command at the active head of the loaded context.
    pub(super) fn execute<D: Dma>(&mut self, uncore: &mut Uncore<D>) -> Result<Turn, Fault> {
        let Some(running) = &mut self.running else {
            return Ok(Turn::Idle);
        };
        if running.leave_finished_prologue() {
            return Ok(Turn::Worked);
        }
        running.arbitration_point = false;
        let header = running.header(uncore)?;
        self.header = header;
        let command = commands::find(self.engine, header).ok_or(Fault::UnknownCommand(header))?;
        let dwords = command.dwords(header).max(1);
        if running.batch().is_none() && running.ring.pending() < dwords.saturating_mul(4) {
            return Err(Fault::Malformed(header));
        }
        uncore.slice += time::COMMAND + time::DWORD * u64::from(dwords);
        let outcome = if effective(header) {
            let mut words = Words::new();
            words.push(header);
            running.fetch(uncore, &mut words, dwords)?;
            Executor {
                uncore,
                running,
                setup: &mut self.setup,
                engine: self.engine,
                words: &words,
            }
            .run(header)?
        } else {
            Outcome::Next
        };
        if outcome == Outcome::Next {
            running.advance(dwords);
        }
        Ok(if outcome == Outcome::Wait {
            Turn::Waits
        } else {
            Turn::Worked
        })
    }
}

/// Whether the model does more with a command than skip it.
const fn effective(header: u32) -> bool {
    match header >> 29 {
        0 => header >> 23 != 0,
        2 => true,
        _ => header >> 16 == flush::PIPE_CONTROL,
    }
}

impl<D: Dma> Executor<'_, D> {
    fn run(&mut self, header: u32) -> Result<Outcome, Fault> {
        match header >> 29 {
            2 => self.blit(),
            3 => flush::pipe_control(self),
            _ => match header >> 23 & 0x3f {
                0x02 => {
                    self.uncore.raise(self.engine, engine::INTERRUPT_USER);
                    Ok(Outcome::Next)
                }
                0x05 => {
                    self.running.arbitration_point = true;
                    Ok(Outcome::Next)
                }
                0x08 => {
                    if self.privileged() {
                        self.running.arbitration = header & 1 != 0;
                    }
                    Ok(Outcome::Next)
                }
                0x0a => Ok(self.running.end_batch()),
                0x0c => registers::predicate(self),
                0x1a => super::math::execute(self),
                0x1c => memory::semaphore_wait(self),
                0x20 => memory::store_immediate(self),
                0x21 => memory::store_index(self),
                0x22 => registers::load_immediate(self),
                0x23 => memory::update_gtt(self),
                0x24 => registers::store_to_memory(self),
                0x26 => flush::flush_dword(self),
                0x29 => registers::load_from_memory(self),
                0x2a => registers::load_register(self),
                0x2e => memory::copy(self),
                0x2f => super::atomic::execute(self),
                0x31 => memory::start_batch(self),
                0x36 => memory::end_batch_if(self),
                _ => Ok(Outcome::Next),
            },
        }
    }

    /// One dword of the command.
    pub fn word(&self, index: usize) -> u32 {
        self.words.get(index).copied().unwrap_or(0)
    }

    /// Two dwords of the command, lower first.
    pub fn qword(&self, index: usize) -> u64 {
        u64::from(self.word(index + 1)) << 32 | u64::from(self.word(index))
    }

    /// A 48-bit address operand, without the bits below `align`.
    pub fn address(&self, index: usize, align: u64) -> u64 {
        self.qword(index) & 0xffff_ffff_ffff & !(align - 1)
    }

    /// Whether the command has this many dwords; else it is malformed.
    pub fn needs(&self, dwords: usize) -> Result<(), Fault> {
        if self.words.len() < dwords {
            Err(Fault::Malformed(self.word(0)))
        } else {
            Ok(())
        }
    }

    /// The view of memory that the context has.
    pub fn view(&self) -> View {
        self.running.view
    }

    /// Whether the command may use registers and the global GTT freely: it comes from the ring
    /// or a batch in the global GTT. Gen9's blitter engine never asks (CVE-2019-0155).
    pub fn privileged(&self) -> bool {
        self.engine == Engine::Bcs
            || self
                .running
                .batch()
                .is_none_or(|batch| batch.space == Space::Global)
    }

    /// The address space of an operand; none if an unprivileged batch asks for the global one,
    /// which makes the command a no-op.
    pub fn space(&self, global: bool) -> Option<Space> {
        match global {
            false => Some(Space::Process),
            true => self.privileged().then_some(Space::Global),
        }
    }

    fn blit(&mut self) -> Result<Outcome, Fault> {
        let swctrl = self.uncore.file.get(self.engine.base() + SWCTRL);
        let view = self.running.view;
        let mut surface = ContextSurface {
            uncore: &mut *self.uncore,
            view,
            swctrl,
        };
        let step = blitter::execute(&mut surface, self.setup, self.words);
        self.running.blitting = matches!(step, Ok(Step::More { .. }));
        let (bytes, outcome) = match step? {
            Step::Done { bytes } => (bytes, Outcome::Next),
            Step::More { bytes } => (bytes, Outcome::Again),
        };
        self.uncore.slice += bytes / time::BLIT_BYTES;
        Ok(outcome)
    }
}

/// BCS_SWCTRL, relative to the engine.
const SWCTRL: u32 = 0x200;

/// The blitter's door to the context's address space.
struct ContextSurface<'a, D> {
    uncore: &'a mut Uncore<D>,
    view: View,
    swctrl: u32,
}

impl<D: Dma> Surface for ContextSurface<'_, D> {
    fn read(&mut self, address: GraphicsAddress, data: &mut [u8]) -> Result<(), Fault> {
        self.uncore
            .bus
            .read(&self.view, Space::Process, address, data)
    }

    fn write(&mut self, address: GraphicsAddress, data: &[u8]) -> Result<(), Fault> {
        self.uncore
            .bus
            .write(&self.view, Space::Process, address, data)
    }

    fn software_control(&self) -> u32 {
        self.swctrl
    }
}

impl Running {
    /// Reads the first dword of the command at the active head.
    fn header<D: Dma>(&self, uncore: &mut Uncore<D>) -> Result<u32, Fault> {
        let space = self.batch().map_or(Space::Global, |batch| batch.space);
        uncore.bus.read_u32(&self.view, space, self.active_head())
    }

    /// Reads the rest of a command of `dwords` (at most [`MOST`] count), header given.
    fn fetch<D: Dma>(
        &self,
        uncore: &mut Uncore<D>,
        words: &mut Words,
        dwords: u32,
    ) -> Result<(), Fault> {
        let dwords = (dwords as usize).min(MOST);
        let mut chunk = [0; 64];
        while words.len() < dwords {
            let done = words.len() as u32 * 4;
            let (space, at, most) = match self.batch() {
                Some(batch) => (batch.space, batch.address + u64::from(done), chunk.len()),
                None => {
                    // The ring wraps, even inside a command.
                    let offset = (self.ring.head + done) % self.ring.size();
                    let left = (self.ring.size() - offset) as usize;
                    (
                        Space::Global,
                        u64::from(self.ring.start) + u64::from(offset),
                        left,
                    )
                }
            };
            let bytes = (4 * (dwords - words.len())).min(most).min(chunk.len());
            let Some(chunk) = chunk.get_mut(..bytes) else {
                break;
            };
            uncore
                .bus
                .read(&self.view, space, GraphicsAddress(at), chunk)?;
            for bytes in chunk.chunks_exact(4) {
                words.push(bytes.try_into().map_or(0, u32::from_le_bytes));
            }
        }
        Ok(())
    }

    /// Goes on behind a command of `dwords`.
    fn advance(&mut self, dwords: u32) {
        let [first, second] = &mut self.batches;
        let batch = self
            .prologue
            .last_mut()
            .or(second.as_mut())
            .or(first.as_mut());
        match batch {
            Some(batch) => batch.address += 4 * u64::from(dwords),
            None => self.ring.head = (self.ring.head + 4 * dwords) % self.ring.size(),
        }
    }

    /// Leaves a work-around batch of given length at its end; whether it did.
    fn leave_finished_prologue(&mut self) -> bool {
        let finished = |end: u64, address: u64| address >= end;
        let over = self
            .prologue
            .last()
            .is_some_and(|batch| batch.end.is_some_and(|end| finished(end, batch.address)));
        if over {
            self.prologue.pop();
        }
        over
    }

    /// MI_BATCH_BUFFER_END: back to where the batch was started. In the ring it does nothing.
    pub fn end_batch(&mut self) -> Outcome {
        let [first, second] = &mut self.batches;
        let ended = self.prologue.pop();
        let ended = ended.or_else(|| second.take()).or_else(|| first.take());
        if ended.is_some() {
            Outcome::Jumped
        } else {
            Outcome::Next
        }
    }
}
