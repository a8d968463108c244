//! The door to a GPU: four primitives, and the sequences every Gen9 driver performs with them.
//!
//! The provided methods are the real driver code (register by register, as the manual orders
//! them); the software GPU and the hardware run the same ones.

use crate::address::GttIndex;
use crate::spec::engine::{self, Engine};
use crate::spec::gtt::GttEntry;

/// What a call of [`Gpu::run`] left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing to do until somebody writes a register.
    Idle,
    /// Some engine still has work.
    Busy,
}

/// The device did not do what its manual says it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GpuFault {
    /// An engine did not become ready for reset (RESET_CTL).
    NotReadyForReset(Engine),
    /// GDRST did not clear.
    ResetStuck,
}

impl core::fmt::Display for GpuFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotReadyForReset(engine) => {
                write!(f, "{engine} did not become ready for reset (RESET_CTL)")
            }
            Self::ResetStuck => write!(f, "GDRST (0x941c) did not clear"),
        }
    }
}

/// How often a status register is read before the device is called stuck.
const POLLS: u32 = 100_000;

/// One Gen9 GPU.
pub trait Gpu {
    /// Reads the register at byte `offset` (4-byte aligned, below 2 MiB) of GTTMMADR.
    fn read(&mut self, offset: u32) -> u32;

    /// Writes the register at byte `offset` (4-byte aligned, below 2 MiB) of GTTMMADR.
    fn write(&mut self, offset: u32, value: u32);

    /// Reads one global GTT entry.
    fn read_gtt(&mut self, index: GttIndex) -> GttEntry;

    /// Writes one global GTT entry. It takes effect at the next [`Gpu::flush_gtt`].
    fn write_gtt(&mut self, index: GttIndex, entry: GttEntry);

    /// How many entries the global GTT has.
    fn gtt_entries(&self) -> u32;

    /// True once after each message-signalled interrupt of the device.
    fn take_interrupt(&mut self) -> bool;

    /// Tells a device without a clock of its own how late it is, nanoseconds. Hardware has one.
    fn time_is(&mut self, _now: u64) {}

    /// Gives a device that does not run by itself one bounded quantum of time to execute.
    /// Hardware does and answers [`Progress::Idle`].
    fn run(&mut self) -> Progress;

    /// Makes written GTT entries visible (GFX_FLSH_CNTL, 0x101008).
    fn flush_gtt(&mut self) {
        self.write(crate::spec::registers::GFX_FLSH_CNTL, 1);
    }

    /// Loads two context descriptors into an engine's submission port, element 0 first to run;
    /// a zero descriptor is an empty element. Four writes of ELSP, the last one acts.
    fn submit(&mut self, engine: Engine, elements: [u64; 2]) {
        let elsp = engine.base() + engine::ELSP;
        self.write(elsp, (elements[1] >> 32) as u32);
        self.write(elsp, elements[1] as u32);
        self.write(elsp, (elements[0] >> 32) as u32);
        self.write(elsp, elements[0] as u32);
    }

    /// Resets one engine: RESET_CTL handshake, then its GDRST bit.
    fn reset_engine(&mut self, engine: Engine) -> Result<(), GpuFault> {
        let control = engine.base() + engine::RESET_CTL;
        self.write(
            control,
            engine::masked(engine::RESET_REQUEST, engine::RESET_REQUEST),
        );
        let ready = (0..POLLS).any(|_| self.read(control) & engine::RESET_READY != 0);
        if !ready {
            self.write(control, engine::masked(engine::RESET_REQUEST, 0));
            return Err(GpuFault::NotReadyForReset(engine));
        }
        self.write(crate::spec::registers::GDRST, engine.reset_bit());
        let done = (0..POLLS).any(|_| self.read(crate::spec::registers::GDRST) == 0);
        self.write(control, engine::masked(engine::RESET_REQUEST, 0));
        if done {
            Ok(())
        } else {
            Err(GpuFault::ResetStuck)
        }
    }
}
