//! The part of Linux i915 that submits, rebuilt from its source as a judge of devices.
//!
//! It assumes of the hardware what the driver assumes, and panics where the driver would reset the
//! engine, warn, or wait in vain. It knows neither the model nor the mediator: registers, memory
//! as a CPU addresses it, and messages are all it sees. Source: Linux 6.1 and 6.12,
//! `gt/intel_execlists_submission.c`, `intel_lrc.c`, `intel_reset.c`, `gen8_engine_cs.c`.
//!
//! ```text
//! submit -> queue -> dequeue -> ELSP        interrupt -> tasklet -> process_csb -> dequeue
//! ```

pub mod port;
pub mod random;
pub mod request;
pub mod reset;
pub mod scheduler;

/// The machine under the driver.
pub trait Machine {
    /// Reads a register.
    fn read(&mut self, offset: u32) -> u32;
    /// Writes a register.
    fn write(&mut self, offset: u32, value: u32);
    /// Reads a dword of memory.
    fn peek(&mut self, address: u64) -> u32;
    /// Writes a dword of memory.
    fn poke(&mut self, address: u64, value: u32);
    /// Whether a message-signalled interrupt arrived since the last call.
    fn message(&mut self) -> bool;
}
