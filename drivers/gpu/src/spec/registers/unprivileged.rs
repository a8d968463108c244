//! Registers that the hardware itself lets an unprivileged batch write.
//!
//! Source: PRM Kaby Lake vol. 2a, MI_LOAD_REGISTER_IMM, "user mode non-privileged registers". An
//! engine's FORCE_TO_NONPRIV slots add to it. Everything else is dropped silently.

use crate::spec::engine::{self, Engine};

/// Whether an unprivileged batch on `engine` may write the register at `offset`.
pub const fn unprivileged(engine: Engine, offset: u32) -> bool {
    let inside = offset.wrapping_sub(engine.base());
    let general = inside >= engine::GPR && inside < engine::GPR + 4 * engine::GPR_DWORDS;
    match engine {
        // SWCTRL.
        Engine::Bcs => general || inside == 0x200,
        Engine::Vcs | Engine::Vecs => general,
        Engine::Rcs => general || render(offset),
    }
}

const fn render(offset: u32) -> bool {
    matches!(
        offset,
        // EXCC, INSTPM, dispatched threads, pipeline statistics.
        0x2028 | 0x20c0 | 0x2290..=0x2294 | 0x2300..=0x2354
        // Predicates, indirect draw and dispatch parameters.
        | 0x23bc | 0x2400..=0x241c | 0x2420 | 0x2430..=0x2440 | 0x2500..=0x2508
        // Stream-out counters, cache modes, GT mode, L3 partition.
        | 0x5200..=0x521c | 0x5240..=0x525c | 0x5280..=0x528c | 0x7000..=0x7008 | 0x7034
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::registers::{REGISTERS, find};

    #[test]
    fn every_unprivileged_register_has_a_row_that_commands_may_name() {
        for engine in Engine::ALL {
            for offset in (0..0x30000)
                .step_by(4)
                .filter(|offset| unprivileged(engine, *offset))
            {
                let slot = find(offset).unwrap_or_else(|| panic!("{offset:#x}"));
                assert!(REGISTERS[slot.row as usize].command, "{offset:#x}");
            }
        }
    }

    #[test]
    fn nothing_that_steers_an_engine_is_unprivileged() {
        for engine in Engine::ALL {
            for offset in [
                engine::ELSP,
                engine::HWS_PGA,
                engine::RING_MODE,
                engine::NONPRIV,
            ] {
                assert!(!unprivileged(engine, engine.base() + offset));
            }
        }
    }
}
