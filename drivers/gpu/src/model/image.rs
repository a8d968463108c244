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
//!       0xaa  MI_BATCH_BUFFER_END
//! ```
//!
//! RING_TAIL and what else software alone writes is loaded but never saved over: a driver moves
//! the tail in the image while the context runs (lite restore).
//!
//! Not done: the pages behind, with the 3D pipeline's state; they are left alone.

use super::registers::RegisterFile;
use crate::spec::context;
use crate::spec::engine::{self, Engine};
use crate::spec::registers::{Kind, REGISTERS, find};

/// Dwords of the page that carry state.
pub const DWORDS: usize = 0xab;

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

const fn blocks(engine: Engine) -> [&'static Block; 4] {
    let third = match engine {
        Engine::Rcs => &RENDER_POWER,
        Engine::Bcs | Engine::Vcs | Engine::Vecs => &SOFTWARE_CONTROL,
    };
    [&RING, &TABLES, third, &ENGINE]
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
    for block in blocks(engine) {
        if inhibited && block.header == ENGINE.header {
            continue;
        }
        for (number, register) in block.registers.iter().enumerate() {
            let offset = engine.base() + register;
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
    for block in blocks(engine) {
        let flag = if block.posted { FORCE_POSTED } else { 0 };
        let length = 2 * block.registers.len() as u32 - 1;
        set(page, block.header, LOAD_REGISTER_IMMEDIATE | flag | length);
        for (number, register) in block.registers.iter().enumerate() {
            let offset = engine.base() + register;
            set(page, block.header + 1 + 2 * number, offset);
            if block.header != ENGINE.header {
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
    set(page, DWORDS - 1, BATCH_BUFFER_END);
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
            for register in blocks(engine).iter().flat_map(|block| block.registers) {
                assert!(
                    find(engine.base() + register).is_some(),
                    "{engine} {register:#x}"
                );
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
            assert_eq!((index, loaded), (DWORDS - 1, 14 + 9 + 1 + 44));
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
