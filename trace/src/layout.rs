//! Tags of records, and what writer and reader both know.
//!
//! Both keep the same [`State`], so that a record tells only what is new: how far from the last
//! address, which frame after the last, a domain when it is another one.

/// First bytes of a trace.
pub const MAGIC: &[u8; 4] = b"GSDT";
/// Version of the layout.
pub const VERSION: u8 = 1;

pub const END: u8 = 0;
pub const DOMAIN: u8 = 1;
pub const TIME: u8 = 2;
pub const FILL: u8 = 3;
pub const NEXT: u8 = 4;
pub const OUTCOME: u8 = 5;
pub const MESSAGE: u8 = 6;
pub const WINDOW: u8 = 7;
pub const ADDED: u8 = 8;
pub const REMOVED: u8 = 9;
pub const IDLE: u8 = 10;
pub const BUSY: u8 = 11;
pub const PAGE: u8 = 12;
pub const GENERATION: u8 = 13;
pub const SETTLED: u8 = 14;
/// Accesses have this bit, and the ones below say which kind.
pub const ACCESS: u8 = 0x40;
pub const MEMORY_SPACE: u8 = 1;
pub const WRITE: u8 = 2;
/// Bits 3:2: log2 of 1, 2, 4 or 8 bytes.
pub const SIZE_SHIFT: u32 = 2;
pub const RUN: u8 = 1 << 4;
/// The size follows.
pub const ODD_SIZE: u8 = 1 << 5;

/// The clock is told in these, nanoseconds.
pub const TICK: u64 = 1024;

/// What both sides know from the records so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct State {
    pub domain: u16,
    pub config: u64,
    pub memory: u64,
    pub tick: u64,
    pub frame: u64,
    pub qword: u16,
}

impl State {
    /// The address that the next one of a space is told relative to.
    pub fn last(&mut self, memory: bool) -> &mut u64 {
        if memory {
            &mut self.memory
        } else {
            &mut self.config
        }
    }
}
