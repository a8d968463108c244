//! Virtual time: what work costs, and the clocks that follow from it.
//!
//! Each engine adds up the cost of what it executed; the device's time moves on by the longest of
//! them in every [`run`](crate::Gpu::run), as engines work side by side, and by what a register read
//! takes on the bus. Nobody works while nobody calls, but TIMESTAMP runs on hardware all the same:
//! whoever has a clock tells the time ([`time_is`](crate::Gpu::time_is)), and it is never less.
//! Telling it to a device that does nothing changes nothing else: in a recording such moments are
//! left out (`docs/trace.md`). Costs are those of a Kaby
//! Lake GT2 at 1 GHz to one significant digit; shares and ratios measured with them are exact.

use crate::spec::engine::Engine;

/// Parsing and executing one command, ns.
pub const COMMAND: u64 = 10;
/// Each dword of a command fetched, ns.
pub const DWORD: u64 = 1;
/// Restoring or saving a context, ns.
pub const CONTEXT: u64 = 1_000;
/// One look at a semaphore that is not signalled yet, ns.
pub const POLL: u64 = 200;
/// Bytes that the blitter reads or writes in one nanosecond.
pub const BLIT_BYTES: u64 = 8;
/// One register read over the bus, ns.
pub const REGISTER_READ: u64 = 100;

/// Ticks of TIMESTAMP in 1000 ns: 12 MHz.
const TICKS_PER_MICROSECOND: u64 = 12;

/// Clocks of the device, ns.
#[derive(Debug, Clone, Default)]
pub struct Time {
    now: u64,
    told: u64,
    busy: [u64; Engine::COUNT],
}

impl Time {
    /// Nanoseconds since power-on.
    pub fn now(&self) -> u64 {
        self.now.max(self.told)
    }

    /// Nanoseconds that one engine has worked.
    pub fn busy(&self, engine: Engine) -> u64 {
        self.busy.get(engine.index()).copied().unwrap_or(0)
    }

    /// TIMESTAMP now.
    pub fn timestamp(&self) -> u64 {
        ticks(self.now())
    }

    pub(super) const fn advance(&mut self, nanoseconds: u64) {
        self.now = self.now.wrapping_add(nanoseconds);
    }

    /// Somebody who has a clock says how late it is.
    pub(super) const fn tell(&mut self, now: u64) {
        self.told = now;
    }

    /// Work begins: what it takes comes on top of what was told.
    pub(super) fn begin(&mut self) {
        self.now = self.now();
    }

    pub(super) fn worked(&mut self, engine: Engine, nanoseconds: u64) {
        if let Some(busy) = self.busy.get_mut(engine.index()) {
            *busy = busy.wrapping_add(nanoseconds);
        }
    }
}

/// Nanoseconds as ticks of TIMESTAMP and CTX_TIMESTAMP.
pub const fn ticks(nanoseconds: u64) -> u64 {
    (nanoseconds as u128 * TICKS_PER_MICROSECOND as u128 / 1_000) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timestamp_counts_at_twelve_megahertz() {
        let mut time = Time::default();
        time.advance(1_000_000_000);
        assert_eq!(time.timestamp(), 12_000_000);
        time.advance(u64::MAX / 2);
        assert!(time.timestamp() > 12_000_000);
    }
}
