//! What is counted: guests' drivers at work, one hot path at a time.
//!
//! `tests/allocation.rs` runs the same list and counts allocations instead.

mod entries;
mod registers;
mod submission;
mod tables;

use gpu::Engine;
use gpu::spec::engine;
use gpu::spec::pvinfo;
use gpu::spec::registers::{FENCE, GDRST, GFX_FLSH_CNTL, GT_INTERRUPT_BANKS, MASTER_INTERRUPT};
use mediator::{Access, Space};

use crate::common::BAR0;
use crate::driver::{self, Driver, Machine};
use crate::measured;
use entries::{Entry, bursts, entry_writes};
use registers::{busy_reads, fences_on, reads, writes};
use submission::{
    Commands, audits, completions, continuations, idle_rounds, large_audits, lite_restores,
    submissions, switches,
};
use tables::{changes, mappings, trapped_writes};

/// One path.
pub struct Figure {
    /// What happens.
    pub name: &'static str,
    /// Instructions per what.
    pub per: &'static str,
    /// At most so many.
    pub goal: Option<u32>,
    /// How often in the shorter run.
    pub rounds: u32,
    /// Sets a machine up. What it returns does the work so many times, and tells how many units
    /// that were.
    pub prepare: fn() -> Run,
}

/// The work of a figure.
pub type Run = Box<dyn FnMut(u32) -> u64>;

/// Registers of the blitter.
const BCS: u32 = Engine::Bcs.base();
/// The blitter's bit of GDRST.
const ENGINE_RESET: u32 = Engine::Bcs.reset_bit();
/// Nothing is there.
const NOWHERE: u32 = 0x18_0000;
/// Observation of all guests' work.
const OACONTROL: u32 = 0x2b00;
/// The render engine's forcewake request.
const FORCEWAKE: u32 = 0xa278;

macro_rules! figures {
    ($($goal:expr, $rounds:literal { $($name:literal per $per:literal: $run:expr;)* })*) => {
        /// All of them.
        pub const ALL: &[Figure] = &[$($(Figure {
            name: $name,
            per: $per,
            goal: $goal,
            rounds: $rounds,
            prepare: || Box::new($run),
        }),*),*];
    };
}

figures! {
    Some(500), 200 {
        "register read, stored" per "read": reads(BCS + engine::HWS_PGA);
        "register read, PVINFO" per "read": reads(pvinfo::BASE + pvinfo::MAPPABLE_SIZE);
        "register read, interrupt bank" per "read": reads(GT_INTERRUPT_BANKS + 0x8);
        "register read, clock" per "read": reads(BCS + engine::TIMESTAMP);
        "register read, ring of an idle engine" per "read": reads(BCS + engine::RING_HEAD);
        "register read, ring of a busy engine" per "read": busy_reads(BCS + engine::RING_HEAD);
        "register read, no such register" per "read": reads(NOWHERE);
    }
    Some(500), 200 {
        "register write, stored" per "write": writes(BCS + engine::RING_IMR, !0);
        "register write, masked" per "write": writes(BCS + engine::RING_MODE, 0x8000_8000);
        "register write, master interrupt" per "write": writes(MASTER_INTERRUPT, 1 << 31);
        "register write, status pointer" per "write": writes(BCS + engine::CSB_POINTER, 0x700_0500);
        "register write, forcewake" per "write": writes(FORCEWAKE, 0x1_0001);
        "register write, flush" per "write": writes(GFX_FLSH_CNTL, 1);
        "register write, fence" per "write": writes(FENCE, 0);
        "register write, reset of an idle engine" per "write": writes(GDRST, ENGINE_RESET);
        "register write, denied register" per "write": writes(OACONTROL, 1);
        "register write, fence switched on" per "write": fences_on();
    }
    Some(800), 300 {
        "GGTT entry write, mapped" per "write": entry_writes(Entry::Mapped);
        "GGTT entry write, replaced" per "write": entry_writes(Entry::Replaced);
        "GGTT entry write, cleared" per "write": entry_writes(Entry::Cleared);
        "GGTT entry write, not its own" per "write": entry_writes(Entry::Foreign);
    }
    Some(800), 2 {
        "GGTT entry in a burst" per "entry": bursts();
    }
    Some(20_000), 20 {
        "ELSP, one-batch blit" per "submission": submissions();
        "ELSP, the running context again" per "submission": lite_restores();
    }
    Some(20_000), 20 {
        "ELSP, one store, page tables quiet" per "submission": changes(false);
        "ELSP, one store, an entry changed" per "submission": changes(true);
    }
    Some(1_000), 20 {
        "page-table write, trapped" per "write": trapped_writes();
    }
    Some(1_000), 100 {
        "page-table entry, newly shadowed" per "page": mappings();
    }
    None, 20 {
        "service, completion" per "completion": completions();
        "service, the context goes on" per "completion": continuations(false);
        "service, the next context" per "completion": continuations(true);
        "service, switch between guests" per "switch": switches(false);
        "service, switch, other MOCS" per "switch": switches(true);
        "service, nothing to do" per "round": idle_rounds();
    }
    None, 200 {
        "audit, render ring" per "command": audits(&Commands::RENDER_RING, false);
        "audit, render ring" per "byte": audits(&Commands::RENDER_RING, true);
        "audit, privileged render batch" per "command": audits(&Commands::RENDER_BATCH, false);
        "audit, privileged render batch" per "byte": audits(&Commands::RENDER_BATCH, true);
        "audit, blitter batch" per "command": audits(&Commands::BLITTER_BATCH, false);
        "audit, blitter batch" per "byte": audits(&Commands::BLITTER_BATCH, true);
    }
    // 2 and 4 MiB.
    None, 512 {
        "audit, 4 MiB blitter batch" per "byte": large_audits();
    }
}

/// A machine with a guest and its driver.
fn seat() -> (Machine, Driver) {
    let mut machine = driver::machine();
    let driver = Driver::new(&mut machine, 1);
    driver::back_memory(&mut machine);
    (machine, driver)
}

/// A counted access to BAR0.
fn access(machine: &mut Machine, driver: &Driver, offset: u32, size: u8, write: Option<u64>) {
    let space = Space::Memory(BAR0 + u64::from(offset));
    measured::access(machine, driver.domain, Access { space, size, write });
}

/// Uncounted: everything that is due happens, and enough time passes for any rate.
fn settle(machine: &mut Machine, driver: &Driver) {
    driver::settle(machine);
    machine.clock.advance(200_000);
    machine.domain(driver.domain).messages.clear();
}
