//! The register state of a Gen9 context image: which register stands at which dword.
//!
//! Page 1 of an image is a batch of MI_LOAD_REGISTER_IMM that the hardware executes on restore
//! and writes anew on save. Its first 0xaa dwords have the same shape on every engine (Linux
//! `intel_lrc.c`, `gen9_rcs_offsets` and `gen9_xcs_offsets`):
//!
//! ```text
//! 0x01  LRI x 14   control, ring, batch addresses, context batches
//! 0x21  LRI x 9    timestamp, page-directory pointers
//! 0x41  LRI x 1    RCS: R_PWR_CLK_STATE, others: SWCTRL
//! 0x51  LRI x 44   MI_MODE, INSTPM, batch offsets, predicate, general-purpose registers
//! 0xaa  end
//! ```

use gpu::Engine;

/// MI_LOAD_REGISTER_IMM without a length.
const LOAD_REGISTER_IMM: u32 = 0x22 << 23;
/// MI_LOAD_REGISTER_IMM bit 12: posted writes.
const POSTED: u32 = 1 << 12;
/// MI_BATCH_BUFFER_END.
pub const BATCH_END: u32 = 0x0a << 23;
/// Dword after the last pair.
pub const END: usize = 0xaa;

/// One MI_LOAD_REGISTER_IMM of the image.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// Dword of the header.
    pub at: usize,
    posted: bool,
    /// Registers, as offsets from the engine's base.
    pub registers: &'static [u16],
}

impl Group {
    /// The command's header.
    pub const fn header(&self) -> u32 {
        let length = 2 * self.registers.len() as u32 - 1;
        LOAD_REGISTER_IMM | if self.posted { POSTED } else { 0 } | length
    }

    /// (dword of the register's offset, offset from the base); the value follows.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, u16)> {
        (self.at + 1..)
            .step_by(2)
            .zip(self.registers.iter().copied())
    }
}

const RING: Group = Group {
    at: 0x01,
    posted: true,
    registers: &[
        0x244, 0x034, 0x030, 0x038, 0x03c, 0x168, 0x140, 0x110, 0x11c, 0x114, 0x118, 0x1c0, 0x1c4,
        0x1c8,
    ],
};

const POINTERS: Group = Group {
    at: 0x21,
    posted: true,
    registers: &[
        0x3a8, 0x28c, 0x288, 0x284, 0x280, 0x27c, 0x278, 0x274, 0x270,
    ],
};

const POWER: Group = Group {
    at: 0x41,
    posted: false,
    registers: &[0x0c8],
};

const SOFTWARE: Group = Group {
    at: 0x41,
    posted: true,
    registers: &[0x200],
};

/// Where the group starts that RESTORE_INHIBIT leaves alone.
pub const ENGINE_STATE: usize = 0x51;

const STREAMER: Group = Group {
    at: ENGINE_STATE,
    posted: true,
    registers: &[
        0x028, 0x09c, 0x0c0, 0x178, 0x17c, 0x358, 0x170, 0x150, 0x154, 0x158, 0x41c, 0x600, 0x604,
        0x608, 0x60c, 0x610, 0x614, 0x618, 0x61c, 0x620, 0x624, 0x628, 0x62c, 0x630, 0x634, 0x638,
        0x63c, 0x640, 0x644, 0x648, 0x64c, 0x650, 0x654, 0x658, 0x65c, 0x660, 0x664, 0x668, 0x66c,
        0x670, 0x674, 0x678, 0x67c, 0x068,
    ],
};

/// The groups of an engine's image, in order.
pub const fn groups(engine: Engine) -> [Group; 4] {
    match engine {
        Engine::Rcs => [RING, POINTERS, POWER, STREAMER],
        _ => [RING, POINTERS, SOFTWARE, STREAMER],
    }
}

/// What a shadow does with the value of a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Ours alone: checked, replaced or dropped where the image is rebuilt.
    Ours,
    /// The context's own state: copied in and out.
    State,
}

/// Whose value the register at this offset from the base has. Everything that is not plainly the
/// context's own data (predicate, general-purpose registers, timestamp, blitter tiling) is ours.
pub const fn field(register: u16) -> Field {
    match register {
        0x3a8 | 0x200 | 0x0c8 | 0x41c | 0x600..=0x67c => Field::State,
        _ => Field::Ours,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpu::spec::context;

    #[test]
    fn groups_fill_the_image_without_overlap_and_agree_with_the_named_values() {
        for engine in Engine::ALL {
            let mut next = 0;
            for group in groups(engine) {
                assert!(group.at >= next);
                next = group.at + 1 + 2 * group.registers.len();
            }
            assert_eq!(next, END);
        }
        let value = |register: u16| {
            let mut pairs = groups(Engine::Bcs)
                .into_iter()
                .flat_map(|group| group.pairs().collect::<Vec<_>>());
            pairs
                .find(|(_, found)| *found == register)
                .map(|(at, _)| at + 1)
        };
        assert_eq!(value(0x244), Some(context::CONTEXT_CONTROL));
        assert_eq!(value(0x034), Some(context::RING_HEAD));
        assert_eq!(value(0x030), Some(context::RING_TAIL));
        assert_eq!(value(0x1c0), Some(context::PER_CONTEXT_BATCH));
        assert_eq!(value(0x1c4), Some(context::INDIRECT_CONTEXT));
        assert_eq!(value(0x3a8), Some(context::TIMESTAMP));
        assert_eq!(value(0x28c), Some(context::PDP3_UDW));
        assert_eq!(value(0x270), Some(context::PDP0_LDW));
        assert_eq!(value(0x09c), Some(0x55));
        assert_eq!(RING.header(), 0x1100_101b);
        assert_eq!(POWER.header(), 0x1100_0001);
    }
}
