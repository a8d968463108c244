//! The register state page of a context image: what the hardware loads from it and saves to it.
//!
//! The page is a list of MI_LOAD_REGISTER_IMM commands. A driver takes the image that the first
//! run saved as template of every later context and compares the layout with its own table
//! (Linux `gt/intel_lrc.c`, `gen9_rcs_offsets` and `gen9_xcs_offsets`), so a save writes headers
//! and register offsets too, and closes the list.
//!
//! ```text
//! dword 0x01  14 registers: context control, ring, batch state, work-around batches
//!       0x21   9 registers: CTX_TIMESTAMP, PDP3 .. PDP0
//!       0x41   1 register:  R_PWR_CLK_STATE (render), SWCTRL (others)
//!       0x51  44 registers: engine state, restored unless inhibited
//!       0xaa  render: 36 registers of the pipeline, restored unless inhibited, and the end
//!             others: MI_BATCH_BUFFER_END
//! ```
//!
//! RING_TAIL and what else software alone writes is loaded but never saved over: a driver moves
//! the tail in the image while the context runs (lite restore).
//!
//! Not done: state of the 3D pipeline that is no register, with which hardware goes on behind; the
//! pages behind the first are left alone.

use super::registers::RegisterFile;
use crate::spec::context;
use crate::spec::engine::{self, Engine};
use crate::spec::registers::{Kind, REGISTERS, find};

/// Dwords of the page that carry state, on the render engine; the others need [`END`] and one.
pub const DWORDS: usize = PIPELINE.header + 2 * PIPELINE.registers.len() + 2;
/// Where the list ends on the other engines.
const END: usize = 0xaa;

/// Register state page, as far as it matters.
pub type Page = [u32; DWORDS];

/// MI_LOAD_REGISTER_IMM, and its flag "force posted".
const LOAD_REGISTER_IMMEDIATE: u32 = 0x22 << 23;
const FORCE_POSTED: u32 = 1 << 12;
const BATCH_BUFFER_END: u32 = 0x0a << 23;

/// One command of the list: dword of its header, flag, registers relative to the engine.
struct Block {
    header: usize,
    posted: bool,
    registers: &'static [u32],
}

const RING: Block = Block {
    header: 0x01,
    posted: true,
    registers: &[
        CONTEXT_CONTROL,
        engine::RING_HEAD,
        engine::RING_TAIL,
        engine::RING_START,
        engine::RING_CTL,
        BB_ADDR_UDW,
        BB_ADDR,
        BB_STATE,
        SBB_ADDR_UDW,
        SBB_ADDR,
        SBB_STATE,
        0x1c0,
        0x1c4,
        0x1c8,
    ],
};

const TABLES: Block = Block {
    header: 0x21,
    posted: true,
    registers: &[
        engine::CONTEXT_TIMESTAMP,
        0x28c,
        0x288,
        0x284,
        0x280,
        0x27c,
        0x278,
        0x274,
        0x270,
    ],
};

const RENDER_POWER: Block = Block {
    header: 0x41,
    posted: false,
    registers: &[0xc8],
};
const SOFTWARE_CONTROL: Block = Block {
    header: 0x41,
    posted: true,
    registers: &[0x200],
};

const ENGINE: Block = Block {
    header: 0x51,
    posted: true,
    registers: &[
        0x28, 0x9c, 0xc0, 0x178, 0x17c, 0x358, 0x170, 0x150, 0x154, 0x158, 0x41c, 0x600, 0x604,
        0x608, 0x60c, 0x610, 0x614, 0x618, 0x61c, 0x620, 0x624, 0x628, 0x62c, 0x630, 0x634, 0x638,
        0x63c, 0x640, 0x644, 0x648, 0x64c, 0x650, 0x654, 0x658, 0x65c, 0x660, 0x664, 0x668, 0x66c,
        0x670, 0x674, 0x678, 0x67c, 0x68,
    ],
};

/// The pipeline's registers: everywhere, not relative to the engine. Work-arounds and what user
/// batches may change; without them, they would be lost in a reset and leak into other contexts.
const PIPELINE: Block = Block {
    header: END,
    posted: true,
    registers: &[
        0x2580, 0x5280, 0x5284, 0x5288, 0x528c, 0x7000, 0x7004, 0x7008, 0x7010, 0x7014, 0x7018,
        0x7034, 0x7300, 0x7304, 0xe100, 0xe180, 0xe184, 0xe188, 0xe194, 0xe4f0, 0xe4f4, 0x2400,
        0x2404, 0x2408, 0x240c, 0x2410, 0x2414, 0x2420, 0x2430, 0x2434, 0x2438, 0x243c, 0x2440,
        0x2500, 0x2504, 0x2508,
    ],
};

/// CTX_CONTEXT_CONTROL, relative to the engine.
pub const CONTEXT_CONTROL: u32 = 0x244;
const BB_STATE: u32 = 0x110;
const SBB_ADDR: u32 = 0x114;
const SBB_STATE: u32 = 0x118;
const SBB_ADDR_UDW: u32 = 0x11c;
const BB_ADDR: u32 = 0x140;
const BB_ADDR_UDW: u32 = 0x168;

/// Dwords of the batch state values, upper address, lower address, state: first level, second.
pub const BATCH: [usize; 2] = [0x0d, 0x13];
/// BB_STATE bit 5: the batch lies in the PPGTT.
pub const BATCH_PPGTT: u32 = 1 << 5;
/// BB_ADDR bit 0: there is a batch to go on with.
pub const BATCH_VALID: u32 = 1 << 0;

/// The blocks of an engine, with what their registers are relative to.
fn blocks(engine: Engine) -> impl Iterator<Item = (&'static Block, u32)> {
    let third = match engine {
        Engine::Rcs => &RENDER_POWER,
        Engine::Bcs | Engine::Vcs | Engine::Vecs => &SOFTWARE_CONTROL,
    };
    let own = [&RING, &TABLES, third, &ENGINE].map(|block| (block, engine.base()));
    let pipeline = (engine == Engine::Rcs).then_some((&PIPELINE, 0));
    own.into_iter().chain(pipeline)
}

/// Dwords of the page that an engine reads and writes.
pub const fn dwords(engine: Engine) -> usize {
    match engine {
        Engine::Rcs => DWORDS,
        Engine::Bcs | Engine::Vcs | Engine::Vecs => END + 1,
    }
}

impl Block {
    /// The command that loads it.
    const fn command(&self) -> u32 {
        let flag = if self.posted { FORCE_POSTED } else { 0 };
        LOAD_REGISTER_IMMEDIATE | flag | (2 * self.registers.len() as u32 - 1)
    }
}

/// One value of a page; zero outside.
pub fn value(page: &Page, index: usize) -> u32 {
    page.get(index).copied().unwrap_or(0)
}

/// Replaces one value.
pub fn set(page: &mut Page, index: usize, value: u32) {
    if let Some(slot) = page.get_mut(index) {
        *slot = value;
    }
}

/// Whether the page says that engine state is not to be restored.
pub fn restore_inhibited(page: &Page) -> bool {
    value(page, context::CONTEXT_CONTROL) & context::RESTORE_INHIBIT != 0
}

/// Loads registers from the page. Values count, headers and offsets are taken for granted.
pub fn load(page: &Page, engine: Engine, file: &mut RegisterFile) {
    let inhibited = restore_inhibited(page);
    for (block, base) in blocks(engine) {
        if inhibited && block.header >= ENGINE.header {
            continue;
        }
        // An image that software made ends before it.
        if block.header == END && value(page, END) != block.command() {
            continue;
        }
        for (number, register) in block.registers.iter().enumerate() {
            let offset = base + register;
            let value = value(page, block.header + 2 + 2 * number);
            match kind(offset) {
                Kind::Masked => file.write(offset, value),
                Kind::ReadOnly => {}
                Kind::ReadWrite | Kind::WriteOneToClear | Kind::Trigger => file.set(offset, value),
            }
        }
    }
}

/// Fills headers, offsets and every value that the hardware owns. What [`Streamer`] knows
/// better (ring head, batch state, timestamp) it puts in afterwards.
///
/// [`Streamer`]: super::streamer::Streamer
pub fn save(page: &mut Page, engine: Engine, file: &RegisterFile) {
    for (block, base) in blocks(engine) {
        set(page, block.header, block.command());
        for (number, register) in block.registers.iter().enumerate() {
            let offset = base + register;
            set(page, block.header + 1 + 2 * number, offset);
            if block.header < ENGINE.header {
                continue;
            }
            let stored = file.get(offset);
            let stored = match kind(offset) {
                Kind::Masked => 0xffff_0000 | stored,
                _ => stored,
            };
            set(page, block.header + 2 + 2 * number, stored);
        }
    }
    // The engine state is complete now: the next run restores it.
    let control = value(page, context::CONTEXT_CONTROL);
    let inhibit = context::RESTORE_INHIBIT;
    set(
        page,
        context::CONTEXT_CONTROL,
        (control | inhibit << 16) & !inhibit,
    );
    set(page, dwords(engine) - 1, BATCH_BUFFER_END);
}

fn kind(offset: u32) -> Kind {
    find(offset)
        .and_then(|slot| REGISTERS.get(usize::from(slot.row)))
        .map_or(Kind::ReadOnly, |row| row.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_register_of_an_image_has_a_row() {
        for engine in Engine::ALL {
            for (block, base) in blocks(engine) {
                for register in block.registers {
                    assert!(find(base + register).is_some(), "{engine} {register:#x}");
                }
            }
        }
    }

    #[test]
    fn named_values_sit_where_the_layout_puts_their_registers() {
        let named = [
            (context::CONTEXT_CONTROL, CONTEXT_CONTROL),
            (context::RING_HEAD, engine::RING_HEAD),
            (context::RING_TAIL, engine::RING_TAIL),
            (context::RING_START, engine::RING_START),
            (context::RING_CTL, engine::RING_CTL),
            (BATCH[0], BB_ADDR_UDW),
            (BATCH[0] + 2, BB_ADDR),
            (BATCH[0] + 4, BB_STATE),
            (BATCH[1], SBB_ADDR_UDW),
            (BATCH[1] + 2, SBB_ADDR),
            (BATCH[1] + 4, SBB_STATE),
            (context::PER_CONTEXT_BATCH, 0x1c0),
            (context::INDIRECT_CONTEXT, 0x1c4),
            (context::INDIRECT_CONTEXT_OFFSET, 0x1c8),
            (context::TIMESTAMP, engine::CONTEXT_TIMESTAMP),
            (context::PDP0_UDW, 0x274),
            (context::PDP0_LDW, 0x270),
            (context::RPCS, 0xc8),
            (0x55, engine::MI_MODE),
        ];
        let mut page = [0; DWORDS];
        save(&mut page, Engine::Rcs, &RegisterFile::new());
        for (index, register) in named {
            assert_eq!(
                value(&page, index - 1),
                Engine::Rcs.base() + register,
                "{index:#x}"
            );
        }
    }

    #[test]
    fn a_saved_page_is_a_list_of_register_loads_from_end_to_end() {
        for engine in Engine::ALL {
            let mut page = [0; DWORDS];
            save(&mut page, engine, &RegisterFile::new());
            let mut index = 0;
            let mut loaded = 0;
            while page[index] != BATCH_BUFFER_END {
                if page[index] == 0 {
                    index += 1;
                    continue;
                }
                assert_eq!(page[index] >> 23, 0x22, "{engine} dword {index:#x}");
                let registers = (page[index] & 0xff).div_ceil(2) as usize;
                loaded += registers;
                index += 1 + 2 * registers;
            }
            let pipeline = if engine == Engine::Rcs { 36 } else { 0 };
            let all = 14 + 9 + 1 + 44 + pipeline;
            assert_eq!((index, loaded), (dwords(engine) - 1, all));
        }
    }

    #[test]
    fn the_pipelines_registers_are_the_render_contexts_own_and_ones_that_commands_may_load() {
        let [masked, plain] = [0x7304, 0x7034];
        let mut file = RegisterFile::new();
        file.write(masked, engine::masked(0x30, 0x10));
        file.set(plain, 0x1234);
        let mut page = [0; DWORDS];
        save(&mut page, Engine::Rcs, &file);
        let mut other = RegisterFile::new();
        other.write(masked, engine::masked(0x60, 0x60));
        load(&page, Engine::Rcs, &mut other);
        assert_eq!((other.get(masked), other.get(plain)), (0x10, 0x1234));
        // As software makes it.
        set(&mut page, END, BATCH_BUFFER_END);
        other.set(plain, 1);
        load(&page, Engine::Rcs, &mut other);
        assert_eq!(other.get(plain), 1);
        for register in PIPELINE.registers {
            let row = find(*register).map(|slot| &REGISTERS[usize::from(slot.row)]);
            assert!(row.is_some_and(|row| row.command), "{register:#x}");
        }
    }

    #[test]
    fn engine_state_survives_a_save_and_a_load_unless_inhibited() {
        let gpr = Engine::Bcs.base() + engine::GPR;
        let instpm = Engine::Bcs.base() + 0xc0;
        let mut file = RegisterFile::new();
        file.set(gpr, 0x1234);
        file.write(instpm, engine::masked(0x40, 0x40));
        let mut page = [0; DWORDS];
        set(
            &mut page,
            context::CONTEXT_CONTROL,
            context::RESTORE_INHIBIT,
        );
        save(&mut page, Engine::Bcs, &file);
        assert!(!restore_inhibited(&page));

        let mut other = RegisterFile::new();
        load(&page, Engine::Bcs, &mut other);
        assert_eq!((other.get(gpr), other.get(instpm)), (0x1234, 0x40));

        set(
            &mut page,
            context::CONTEXT_CONTROL,
            context::RESTORE_INHIBIT,
        );
        let mut inhibited = RegisterFile::new();
        load(&page, Engine::Bcs, &mut inhibited);
        assert_eq!(inhibited.get(gpr), 0);
    }
}
