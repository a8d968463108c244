//! The Gen8+ GT interrupt tree as a value: banks, master, and when a message goes out.
//!
//! ```text
//! event --RING_IMR--> bank ISR --IMR--> IIR --IER--> master bit --master enable--> MSI
//! ```
//!
//! The message is sent on every 0 -> 1 of "something pending and master enabled": an event while
//! enabled, or the driver enabling the master with something still pending. The software GPU has
//! one such tree, each vGPU has one; real hardware has its own.

use crate::spec::engine::Engine;
use crate::spec::registers::{GT_INTERRUPT_BANKS, MASTER_INTERRUPT};

/// Bit 31 of the master register: interrupts enabled.
const MASTER_ENABLE: u32 = 1 << 31;

/// One bank: ISR, IMR, IIR, IER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bank {
    mask: u32,
    identity: u32,
    enable: u32,
}

/// GT banks 0 to 3 and the master register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterruptTree {
    banks: [Bank; 4],
    enabled: bool,
    /// Whether "pending and enabled" held after the last change: the MSI's level.
    asserted: bool,
}

impl Default for InterruptTree {
    fn default() -> Self {
        Self::new()
    }
}

impl InterruptTree {
    /// After reset: everything masked and disabled.
    pub const fn new() -> Self {
        let bank = Bank {
            mask: !0,
            identity: 0,
            enable: 0,
        };
        Self {
            banks: [bank; 4],
            enabled: false,
            asserted: false,
        }
    }

    /// Value of the register at `offset`, if it belongs to the tree.
    pub fn read(&self, offset: u32) -> Option<u32> {
        if offset == MASTER_INTERRUPT {
            return Some(self.summary() | if self.enabled { MASTER_ENABLE } else { 0 });
        }
        let (bank, register) = position(offset)?;
        let bank = self.banks.get(bank)?;
        Some(match register {
            1 => bank.mask,
            2 => bank.identity,
            3 => bank.enable,
            _ => 0,
        })
    }

    /// Writes a register of the tree; true if a message-signalled interrupt goes out.
    pub fn write(&mut self, offset: u32, value: u32) -> bool {
        if offset == MASTER_INTERRUPT {
            self.enabled = value & MASTER_ENABLE != 0;
        } else if let Some((bank, register)) = position(offset)
            && let Some(bank) = self.banks.get_mut(bank)
        {
            match register {
                1 => bank.mask = value,
                2 => bank.identity &= !value,
                3 => bank.enable = value,
                _ => {}
            }
        }
        self.edge()
    }

    /// An engine raises `bits` (unshifted, RING_IMR already applied); true if a message goes out.
    pub fn raise(&mut self, engine: Engine, bits: u32) -> bool {
        let (bank, shift) = engine.interrupt_slot();
        if let Some(bank) = self.banks.get_mut(bank) {
            bank.identity |= (bits << shift) & !bank.mask;
        }
        self.edge()
    }

    /// Master bits of all pending, enabled sources.
    fn summary(&self) -> u32 {
        let mut summary = 0;
        for engine in Engine::ALL {
            let (bank, shift) = engine.interrupt_slot();
            if let Some(bank) = self.banks.get(bank)
                && (bank.identity & bank.enable) >> shift & 0xffff != 0
            {
                summary |= 1 << master_bit(engine);
            }
        }
        summary
    }

    fn edge(&mut self) -> bool {
        let level = self.enabled && self.summary() != 0;
        let rising = level && !self.asserted;
        self.asserted = level;
        rising
    }
}

/// Bit of the master register that stands for an engine.
const fn master_bit(engine: Engine) -> u32 {
    match engine {
        Engine::Rcs => 0,
        Engine::Bcs => 1,
        Engine::Vcs => 2,
        Engine::Vecs => 6,
    }
}

/// (bank, register within it) of an offset inside the four GT banks.
fn position(offset: u32) -> Option<(usize, u32)> {
    let inside = offset.checked_sub(GT_INTERRUPT_BANKS)?;
    (inside < 0x40 && offset.is_multiple_of(4))
        .then_some((inside as usize / 0x10, inside % 0x10 / 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER_BCS: u32 = 1 << 16;

    fn listening() -> InterruptTree {
        let mut tree = InterruptTree::new();
        tree.write(GT_INTERRUPT_BANKS + 0x4, !USER_BCS);
        tree.write(GT_INTERRUPT_BANKS + 0xc, USER_BCS);
        tree.write(MASTER_INTERRUPT, MASTER_ENABLE);
        tree
    }

    #[test]
    fn one_message_per_edge_and_again_when_the_master_is_enabled_with_something_pending() {
        let mut tree = listening();
        assert!(tree.raise(Engine::Bcs, 1));
        assert!(!tree.raise(Engine::Bcs, 1), "the line is already up");
        assert_eq!(tree.read(MASTER_INTERRUPT), Some(MASTER_ENABLE | 1 << 1));
        assert!(!tree.write(MASTER_INTERRUPT, 0));
        assert!(tree.write(MASTER_INTERRUPT, MASTER_ENABLE), "still pending");
        assert!(!tree.write(GT_INTERRUPT_BANKS + 0x8, USER_BCS));
        assert_eq!(tree.read(MASTER_INTERRUPT), Some(MASTER_ENABLE));
        assert!(tree.raise(Engine::Bcs, 1));
    }

    #[test]
    fn masked_events_leave_no_trace() {
        let mut tree = listening();
        assert!(!tree.raise(Engine::Rcs, 1));
        assert_eq!(tree.read(GT_INTERRUPT_BANKS + 0x8), Some(0));
    }
}
