//! The software GPU: Kaby Lake GT2 as a device, not a mock.
//!
//! It is driven as hardware is, by registers and memory, and runs whenever somebody calls
//! [`Gpu::run`]: each engine in turn for one quantum of virtual time. Work is bounded by its
//! cost (`time`), so no command stream, however wrong, holds the caller up for long.
//!
//! ```text
//! register write --> Model --> streamer (x4): execlists -> execute -> memory, flush, blitter …
//!                                 |  bus: GGTT/PPGTT walk, owner check --> Dma
//!                                 +-> status page, interrupt tree --> take_interrupt
//! ```
//!
//! Not done: drawing and media (state is skipped by its length), legacy ring submission, 32-bit
//! PPGTT, the display.

mod atomic;
mod behaviours;
pub mod blitter;
mod bus;

mod execlists;
mod execute;
pub mod fault;
mod flush;
mod image;
pub mod isolation;
mod math;
mod memory;
mod registers;
mod registers_commands;
mod streamer;
pub mod surface;
pub mod time;
mod uncore;

use execlists::Turn;
use fault::Fault;
use isolation::Breach;
use streamer::{NO_ENTRY, Streamer};
use uncore::Uncore;

use crate::address::GttIndex;
use crate::device::{Gpu, Progress};
use crate::dma::Dma;
use crate::spec::engine::{self, Engine};
use crate::spec::gtt::GttEntry;
use crate::spec::registers::{Behaviour, FENCE, GDRST, Slot};

/// Virtual nanoseconds each engine may work in one [`Gpu::run`], unless told otherwise.
pub const QUANTUM: u64 = 4_000;

/// The device.
pub struct Model<D> {
    uncore: Uncore<D>,
    streamers: [Streamer; Engine::COUNT],
    quantum: u64,
}

impl<D: Dma> Model<D> {
    /// A device just switched on, with `gtt_entries` entries of global GTT.
    pub fn new(dma: D, gtt_entries: u32) -> Self {
        Self {
            uncore: Uncore::new(dma, gtt_entries),
            streamers: Engine::ALL.map(Streamer::new),
            quantum: QUANTUM,
        }
    }

    /// The memory.
    pub fn dma(&self) -> &D {
        &self.uncore.bus.dma
    }

    /// The memory.
    pub fn dma_mut(&mut self) -> &mut D {
        &mut self.uncore.bus.dma
    }

    /// How often a context, or an engine's status write, reached a page that it must not.
    pub fn breaches(&self) -> u64 {
        self.uncore.bus.record.count
    }

    /// The latest of them.
    pub fn last_breach(&self) -> Option<Breach> {
        self.uncore.bus.record.last
    }

    /// Why an engine stands still, until it is reset.
    pub fn fault(&self, engine: Engine) -> Option<Fault> {
        self.streamer(engine).fault
    }

    /// Submissions to an engine.
    pub fn submissions(&self, engine: Engine) -> u64 {
        self.streamer(engine).submissions
    }

    /// Submissions to an engine that were overwritten before it looked at them.
    pub fn overwritten(&self, engine: Engine) -> u64 {
        self.streamer(engine).overwritten
    }

    /// Virtual nanoseconds that an engine has worked.
    pub fn busy_time(&self, engine: Engine) -> u64 {
        self.uncore.time.busy(engine)
    }

    /// Virtual nanoseconds since the device was switched on.
    pub fn now(&self) -> u64 {
        self.uncore.time.now()
    }

    /// Lets time pass in which nothing is executed.
    pub fn pass_time(&mut self, nanoseconds: u64) {
        self.uncore.time.advance(nanoseconds);
    }

    /// How long each engine may work in one [`Gpu::run`]; at least 1 ns, which is one command.
    pub fn set_quantum(&mut self, nanoseconds: u64) {
        self.quantum = nanoseconds.max(1);
    }

    fn streamer(&self, engine: Engine) -> &Streamer {
        let [rcs, bcs, vcs, vecs] = &self.streamers;
        match engine {
            Engine::Rcs => rcs,
            Engine::Bcs => bcs,
            Engine::Vcs => vcs,
            Engine::Vecs => vecs,
        }
    }

    fn streamer_mut(&mut self, engine: Engine) -> &mut Streamer {
        let [rcs, bcs, vcs, vecs] = &mut self.streamers;
        match engine {
            Engine::Rcs => rcs,
            Engine::Bcs => bcs,
            Engine::Vcs => vcs,
            Engine::Vecs => vecs,
        }
    }

    /// GDRST: bit 0 everything, else the engines whose bits are set.
    fn reset(&mut self, bits: u32) {
        let everything = bits & 1 != 0;
        for engine in Engine::ALL {
            if everything || bits & engine.reset_bit() != 0 {
                self.streamer_mut(engine).reset();
                self.uncore
                    .file
                    .reset(|offset| engine_of(offset) == Some(engine));
            }
        }
        if everything {
            // Below display and above: the graphics core and its fences.
            let graphics = |offset: u32| matches!(offset, 0x4000..0x9000 | 0xb000..0x1_0000);
            let fence = |offset: u32| (FENCE..FENCE + 0x100).contains(&offset);
            self.uncore
                .file
                .reset(|offset| graphics(offset) || fence(offset));
        }
        self.uncore.bus.invalidate();
    }

    fn write_engine(
        &mut self,
        engine: Engine,
        (slot, behaviour): (Slot, Behaviour),
        offset: u32,
        value: u32,
    ) {
        let [rcs, bcs, vcs, vecs] = &mut self.streamers;
        let streamer = match engine {
            Engine::Rcs => rcs,
            Engine::Bcs => bcs,
            Engine::Vcs => vcs,
            Engine::Vecs => vecs,
        };
        let uncore = &mut self.uncore;
        match behaviour {
            Behaviour::Elsp => streamer.port_write(uncore, value),
            Behaviour::ResetControl => {
                if value >> 16 & engine::RESET_REQUEST != 0 {
                    streamer.held = value & engine::RESET_REQUEST != 0;
                }
            }
            Behaviour::ContextStatus if offset == engine.base() + engine::CSB_POINTER => {
                let mask = value >> 16;
                let pointers = uncore.file.get(offset) & !mask | value & mask;
                uncore.file.set(offset, pointers);
                streamer.entry = pointers & NO_ENTRY;
            }
            Behaviour::ContextStatus | Behaviour::ExeclistStatus | Behaviour::Ring => {}
            _ => uncore.file.write_at(slot, value),
        }
    }

    fn read_engine(
        &self,
        engine: Engine,
        (slot, behaviour): (Slot, Behaviour),
        offset: u32,
    ) -> u32 {
        let streamer = self.streamer(engine);
        let stored = self.uncore.file.at(slot);
        match behaviour {
            Behaviour::Ring | Behaviour::ExeclistStatus => streamer
                .register(offset - engine.base(), || self.uncore.timestamp())
                .unwrap_or(stored),
            Behaviour::MiMode => stored & !streamer::MODE_IDLE | streamer.mode(&self.uncore),
            Behaviour::ResetControl if streamer.held => engine::RESET_REQUEST | engine::RESET_READY,
            Behaviour::ResetControl | Behaviour::Elsp => 0,
            _ => stored,
        }
    }
}

/// The engine whose register block holds `offset`.
fn engine_of(offset: u32) -> Option<Engine> {
    Engine::ALL
        .into_iter()
        .find(|engine| offset >> 12 == engine.base() >> 12)
}

impl<D: Dma> Gpu for Model<D> {
    fn read(&mut self, offset: u32) -> u32 {
        self.uncore.time.advance(time::REGISTER_READ);
        self.uncore.slice = 0;
        let Some((slot, behaviour)) = uncore::register(offset) else {
            return 0;
        };
        match (behaviour, engine_of(offset)) {
            (Behaviour::Timestamp, _) => self.uncore.timestamp_half(offset),
            (Behaviour::InterruptTree, _) => self.uncore.interrupts.read(offset).unwrap_or(0),
            (Behaviour::Pvinfo | Behaviour::Flush | Behaviour::Gdrst, _) => 0,
            (_, Some(engine)) => self.read_engine(engine, (slot, behaviour), offset),
            (_, None) => self.uncore.file.at(slot),
        }
    }

    fn write(&mut self, offset: u32, value: u32) {
        let Some((slot, behaviour)) = uncore::register(offset) else {
            return;
        };
        let uncore = &mut self.uncore;
        match (behaviour, engine_of(offset)) {
            (Behaviour::InterruptTree, _) => {
                uncore.message |= uncore.interrupts.write(offset, value)
            }
            (Behaviour::Flush, _) => uncore.bus.invalidate(),
            (Behaviour::Mailbox, _) => behaviours::mailbox(uncore, offset, value),
            (Behaviour::PowerWell, _) => behaviours::power_well(uncore, offset, value),
            (Behaviour::ForceWake, _) => behaviours::force_wake(uncore, offset, value),
            (Behaviour::Pvinfo, _) => {}
            (Behaviour::Gdrst, _) if offset == GDRST => self.reset(value),
            (_, Some(engine)) => self.write_engine(engine, (slot, behaviour), offset, value),
            (_, None) => uncore.file.write_at(slot, value),
        }
    }

    fn read_gtt(&mut self, index: GttIndex) -> GttEntry {
        self.uncore.bus.entry(index)
    }

    fn write_gtt(&mut self, index: GttIndex, entry: GttEntry) {
        self.uncore.bus.set_entry(index, entry);
    }

    fn gtt_entries(&self) -> u32 {
        self.uncore.bus.entries()
    }

    fn take_interrupt(&mut self) -> bool {
        core::mem::take(&mut self.uncore.message)
    }

    fn time_is(&mut self, now: u64) {
        self.uncore.time.tell(now);
    }

    fn run(&mut self) -> Progress {
        let mut longest = 0;
        let mut busy = false;
        if self.streamers.iter().any(|one| one.busy(&self.uncore)) {
            self.uncore.time.begin();
        }
        for streamer in &mut self.streamers {
            let uncore = &mut self.uncore;
            uncore.bus.invalidate();
            uncore.slice = 0;
            while uncore.slice < self.quantum {
                if streamer.step(uncore) != Turn::Worked {
                    break;
                }
            }
            uncore.time.worked(streamer.engine, uncore.slice);
            longest = longest.max(uncore.slice);
            busy |= streamer.busy(uncore);
        }
        self.uncore.slice = 0;
        self.uncore.time.advance(longest);
        if busy { Progress::Busy } else { Progress::Idle }
    }
}
