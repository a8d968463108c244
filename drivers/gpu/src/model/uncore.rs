//! What the four engines share: bus, registers, interrupts, clocks.

use super::bus::{Bus, Space, View};
use super::isolation::Client;
use super::registers::RegisterFile;
use super::time::{Time, ticks};
use crate::address::GraphicsAddress;
use crate::dma::Dma;
use crate::interrupts::InterruptTree;
use crate::spec::engine::{self, Engine};
use crate::spec::registers::{Behaviour, REGISTERS, Slot, find, unprivileged};

/// Bits 22:2 of a register operand: byte offset.
const REGISTER_OFFSET: u32 = 0x7f_fffc;

/// The shared half of the device.
pub struct Uncore<D> {
    /// Memory and global GTT.
    pub bus: Bus<D>,
    /// Stored register values.
    pub file: RegisterFile,
    /// GT interrupts.
    pub interrupts: InterruptTree,
    /// A message-signalled interrupt went out and nobody took it yet.
    pub message: bool,
    /// Clocks.
    pub time: Time,
    /// Nanoseconds that the engine whose turn it is has worked in this turn.
    pub slice: u64,
}

impl<D: Dma> Uncore<D> {
    /// A device just switched on.
    pub fn new(dma: D, entries: u32) -> Self {
        Self {
            bus: Bus::new(dma, entries),
            file: RegisterFile::new(),
            interrupts: InterruptTree::new(),
            message: false,
            time: Time::default(),
            slice: 0,
        }
    }

    /// An engine reports an event; RING_IMR holds its mask at the place of its GT bits.
    pub fn raise(&mut self, engine: Engine, bits: u32) {
        let (_, shift) = engine.interrupt_slot();
        let mask = self.file.get(engine.base() + engine::RING_IMR) >> shift;
        let bits = bits & !mask;
        if bits != 0 {
            self.message |= self.interrupts.raise(engine, bits);
        }
    }

    /// TIMESTAMP as a command of this turn sees it.
    pub fn timestamp(&self) -> u64 {
        ticks(self.time.now().wrapping_add(self.slice))
    }

    /// The engine writes its own status page, at `offset` bytes. Nothing stops it if the page
    /// is not the host's, except this model: refused and counted.
    pub fn write_status_page(&mut self, engine: Engine, offset: u64, data: &[u8]) {
        let page = self.file.get(engine.base() + engine::HWS_PGA) & 0xffff_f000;
        let view = View {
            engine,
            context: 0,
            client: Client::Host,
            root: None,
        };
        let at = GraphicsAddress(u64::from(page) + offset);
        // Hardware drops status writes that reach nothing.
        let _ = self.bus.write(&view, Space::Global, at, data);
    }

    /// A command writes a register. What an unprivileged batch may not write stays as it is.
    pub fn command_write(&mut self, engine: Engine, privileged: bool, operand: u32, value: u32) {
        let offset = operand & REGISTER_OFFSET;
        if !privileged && !unprivileged(engine, offset) && !self.exempt(engine, offset) {
            return;
        }
        match behaviour(offset) {
            Behaviour::Storage
            | Behaviour::StatusPage
            | Behaviour::RingMode
            | Behaviour::MiMode
            | Behaviour::RingInterruptMask
            | Behaviour::NonPrivileged
            | Behaviour::Fence => self.file.write(offset, value),
            // Steering the streamer from its own stream is undefined; here it does nothing.
            _ => {}
        }
    }

    /// A command reads a register that no streamer answers for.
    pub fn command_read(&self, operand: u32) -> u32 {
        let offset = operand & REGISTER_OFFSET;
        match behaviour(offset) {
            Behaviour::Timestamp => self.timestamp_half(offset),
            Behaviour::InterruptTree => self.interrupts.read(offset).unwrap_or(0),
            _ => self.file.get(offset),
        }
    }

    /// The half of the timestamp that lies at `offset`.
    pub fn timestamp_half(&self, offset: u32) -> u32 {
        let shift = if offset & 4 == 0 { 0 } else { 32 };
        (self.timestamp() >> shift) as u32
    }

    /// Whether one of the engine's FORCE_TO_NONPRIV slots names the register.
    fn exempt(&self, engine: Engine, offset: u32) -> bool {
        let slots = engine.base() + engine::NONPRIV;
        (0..engine::NONPRIV_SLOTS)
            .any(|slot| self.file.get(slots + 4 * slot) & 0x3ff_fffc == offset)
    }
}

/// What the register at `offset` does; [`Behaviour::Pvinfo`], which is nothing on bare
/// hardware, where there is none.
pub fn behaviour(offset: u32) -> Behaviour {
    register(offset).map_or(Behaviour::Pvinfo, |(_, behaviour)| behaviour)
}

/// The place of the register at `offset`, and what it does.
pub fn register(offset: u32) -> Option<(Slot, Behaviour)> {
    let slot = find(offset)?;
    let row = REGISTERS.get(usize::from(slot.row))?;
    Some((slot, row.behaviour))
}
