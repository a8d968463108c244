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
use gpu::spec::engine;

/// MI_LOAD_REGISTER_IMM without a length.
const LOAD_REGISTER_IMM: u32 = 0x22 << 23;
/// MI_LOAD_REGISTER_IMM bit 12: posted writes.
const POSTED: u32 = 1 << 12;
/// MI_BATCH_BUFFER_END.
pub const BATCH_END: u32 = 0x0a << 23;
/// MI_MODE, as offset from the base, and its STOP_RING.
const MI_MODE: u16 = 0x09c;
const STOP_RING: u32 = 1 << 8;
/// Dword after the last pair.
pub const END: usize = 0xaa;

/// One MI_LOAD_REGISTER_IMM of the image.
#[derive(Debug, Clone, Copy)]
struct Group {
    /// Dword of the header; pairs of register and value follow.
    at: usize,
    posted: bool,
    /// Registers, as offsets from the engine's base.
    registers: &'static [u16],
}

impl Group {
    /// The command's header.
    const fn header(&self) -> u32 {
        let length = 2 * self.registers.len() as u32 - 1;
        LOAD_REGISTER_IMM | if self.posted { POSTED } else { 0 } | length
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
const ENGINE_STATE: usize = 0x51;

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

const fn groups(engine: Engine) -> [Group; 4] {
    match engine {
        Engine::Rcs => [RING, POINTERS, POWER, STREAMER],
        _ => [RING, POINTERS, SOFTWARE, STREAMER],
    }
}

/// What a dword of the page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Between the lists, or a list's header.
    Fixed,
    /// The register that the next dword goes to.
    Register,
    /// A value that is ours alone: checked, replaced or dropped where the image is rebuilt.
    Ours,
    /// The context's own state: copied in and out.
    State,
    /// The same, meaningless before the first run.
    EngineState,
}

/// Dwords of a page as far as [`END`].
pub const DWORDS: usize = END + 1;

/// The page of an engine, as far as [`END`]. Masks are all ones or zero, so that whole pages are
/// checked and rebuilt without a branch for each dword.
#[derive(Debug)]
pub struct Page {
    /// What each dword is.
    pub kinds: [Kind; DWORDS],
    /// What it holds, unless it is state.
    pub fixed: [u32; DWORDS],
    /// [`Kind::Register`].
    pub registers: [u32; DWORDS],
    /// [`Kind::State`].
    pub state: [u32; DWORDS],
    /// [`Kind::State`] and [`Kind::EngineState`].
    pub all_state: [u32; DWORDS],
    /// [`Kind::Ours`].
    pub ours: [u32; DWORDS],
}

/// The page of each engine, by [`Engine::index`].
static PAGES: [Page; Engine::COUNT] = [
    build(Engine::ALL[0]),
    build(Engine::ALL[1]),
    build(Engine::ALL[2]),
    build(Engine::ALL[3]),
];

/// The page of an engine.
pub fn page(engine: Engine) -> &'static Page {
    // PANIC: Engine::index is below Engine::COUNT, the array's length.
    &PAGES[engine.index()]
}

const fn build(engine: Engine) -> Page {
    let mut page = Page {
        kinds: [Kind::Fixed; DWORDS],
        fixed: [0; DWORDS],
        registers: [0; DWORDS],
        state: [0; DWORDS],
        all_state: [0; DWORDS],
        ours: [0; DWORDS],
    };
    let groups = groups(engine);
    let mut number = 0;
    while number < groups.len() {
        let group = groups[number];
        page.fixed[group.at] = group.header();
        let mut index = 0;
        while index < group.registers.len() {
            let register = group.registers[index];
            let at = group.at + 1 + 2 * index;
            page.kinds[at] = Kind::Register;
            page.fixed[at] = engine.base() + register as u32;
            (page.kinds[at + 1], page.fixed[at + 1]) = value(register, group.at == ENGINE_STATE);
            index += 1;
        }
        number += 1;
    }
    page.fixed[END] = BATCH_END;
    let mut at = 0;
    while at < DWORDS {
        match page.kinds[at] {
            Kind::Fixed => {}
            Kind::Register => page.registers[at] = !0,
            Kind::Ours => page.ours[at] = !0,
            Kind::State => (page.state[at], page.all_state[at]) = (!0, !0),
            Kind::EngineState => page.all_state[at] = !0,
        }
        at += 1;
    }
    page
}

/// Everything that is not plainly the context's own data (predicate, general-purpose registers,
/// timestamp, power request, blitter tiling) is ours.
const fn value(register: u16, engine_state: bool) -> (Kind, u32) {
    match register {
        0x41c | 0x600..=0x67c if engine_state => (Kind::EngineState, 0),
        0x3a8 | 0x200 | 0x0c8 => (Kind::State, 0),
        MI_MODE => (Kind::Ours, engine::masked(STOP_RING, 0)),
        _ => (Kind::Ours, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpu::spec::context;

    #[test]
    fn groups_fill_the_page_without_overlap() {
        for engine in Engine::ALL {
            let mut next = 0;
            for group in groups(engine) {
                assert!(group.at >= next);
                next = group.at + 1 + 2 * group.registers.len();
            }
            assert_eq!(next, END);
        }
        assert_eq!(RING.header(), 0x1100_101b);
        assert_eq!(POWER.header(), 0x1100_0001);
    }

    #[test]
    fn named_values_stand_behind_their_registers() {
        let named = [
            (0x244, context::CONTEXT_CONTROL),
            (0x034, context::RING_HEAD),
            (0x030, context::RING_TAIL),
            (0x038, context::RING_START),
            (0x03c, context::RING_CTL),
            (0x1c0, context::PER_CONTEXT_BATCH),
            (0x1c4, context::INDIRECT_CONTEXT),
            (0x1c8, context::INDIRECT_CONTEXT_OFFSET),
            (0x3a8, context::TIMESTAMP),
            (0x28c, context::PDP3_UDW),
            (0x274, context::PDP0_UDW),
            (0x270, context::PDP0_LDW),
            (0x09c, 0x55),
        ];
        for engine in Engine::ALL {
            for (register, at) in named {
                assert_eq!(page(engine).kinds[at - 1], Kind::Register);
                assert_eq!(page(engine).fixed[at - 1], engine.base() + register);
            }
            let power = if engine == Engine::Rcs { 0x0c8 } else { 0x200 };
            assert_eq!(page(engine).fixed[context::RPCS - 1], engine.base() + power);
        }
    }
}
