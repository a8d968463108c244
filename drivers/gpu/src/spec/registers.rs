//! Every register that anybody may touch: one row each, and the only place that says so.
//!
//! The same row drives the software GPU (reset value, how it stores), the mediator (who answers a
//! guest's access) and the command audit (may a guest's command name it).

mod display;
mod engines;
mod gt;
mod interrupts;
mod power;
mod row;
mod table;
mod unprivileged;

pub use table::REGISTERS;
pub use unprivileged::unprivileged;

use super::engine::Engine;

/// How the register behaves on the hardware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Plain storage.
    ReadWrite,
    /// Writes are ignored.
    ReadOnly,
    /// Upper sixteen bits of a write say which of the lower sixteen change.
    Masked,
    /// Writing one to a bit clears it.
    WriteOneToClear,
    /// Writing starts something that ends by itself; the behaviour says what.
    Trigger,
}

/// Who answers a guest's access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The vGPU itself emulates it; the hardware never sees the guest's value.
    Own,
    /// A value per vGPU, loaded into the hardware when that vGPU's work runs.
    Shadow,
    /// Read from the hardware; guest writes are ignored. Side-effect-free registers only.
    Pass,
    /// Reads zero, writes ignored; counted as a violation.
    Deny,
}

/// What happens on an access beyond storing, by subject. The model and the mediator each give
/// these names their meaning; `Storage` has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Nothing beyond [`Kind`].
    Storage,
    /// RING_TAIL, HEAD, START, CTL and ACTHD of an engine: views of the loaded context.
    Ring,
    /// HWS_PGA.
    StatusPage,
    /// ELSP.
    Elsp,
    /// EXECLIST_STATUS.
    ExeclistStatus,
    /// CSB entries and pointer.
    ContextStatus,
    /// RING_MODE.
    RingMode,
    /// MI_MODE: MODE_IDLE follows STOP_RING and the engine.
    MiMode,
    /// RESET_CTL: ready follows request.
    ResetControl,
    /// GDRST.
    Gdrst,
    /// RING_IMR.
    RingInterruptMask,
    /// GT interrupt banks 0x44300 + 0x10n and the master 0x44200.
    InterruptTree,
    /// Other interrupt banks (display, PCU): IMR, IIR, IER storage with write-one-to-clear IIR.
    InterruptBank,
    /// FORCE_TO_NONPRIV slots: only registers on the allow list.
    NonPrivileged,
    /// GFX_FLSH_CNTL and TLB invalidation requests: done at once, read zero.
    Flush,
    /// Free-running timestamp.
    Timestamp,
    /// Fence register halves.
    Fence,
    /// PCODE mailbox.
    Mailbox,
    /// Power well control: state bit follows request bit.
    PowerWell,
    /// Forcewake request and acknowledgement.
    ForceWake,
    /// PVINFO page (mediator only; bare hardware has nothing there).
    Pvinfo,
}

/// One row: `count` registers, `stride` bytes apart.
#[derive(Debug, Clone, Copy)]
pub struct Register {
    /// The manual's name.
    pub name: &'static str,
    /// Byte offset in GTTMMADR of the first one.
    pub offset: u32,
    /// How many like it follow at `stride`.
    pub count: u32,
    /// Distance, bytes; 4 unless they interleave with others.
    pub stride: u32,
    /// Storage rule.
    pub kind: Kind,
    /// Who answers a guest.
    pub policy: Policy,
    /// Special behaviour.
    pub behaviour: Behaviour,
    /// Value after reset.
    pub reset: u32,
    /// Whether a guest's unprivileged or audited command (LRI, LRM, SRM, LRR) may name it.
    pub command: bool,
}

/// GFX_FLSH_CNTL: makes GTT writes visible.
pub const GFX_FLSH_CNTL: u32 = 0x101008;
/// GDRST: bit 0 everything, then one bit per engine.
pub const GDRST: u32 = 0x941c;
/// Bytes of register space in BAR0.
pub const REGISTER_SPACE: u32 = 0x20_0000;
/// Where GTT entries begin in BAR0.
pub const GTT_BASE: u32 = 0x80_0000;
/// Size of BAR0, bytes.
pub const BAR0_SIZE: u64 = 0x100_0000;
/// GEN8_MASTER_IRQ.
pub const MASTER_INTERRUPT: u32 = 0x44200;
/// First GT interrupt bank: ISR, IMR, IIR, IER at 4-byte steps; four banks 0x10 apart.
pub const GT_INTERRUPT_BANKS: u32 = 0x44300;

/// RING_FAULT_REG: bit 0 valid, 14:12 engine, 2:1 type of the last page fault.
pub const FAULT: u32 = 0x4094;
/// FAULT_TLB_DATA0 and 1: the faulting graphics page.
pub const FAULT_TLB_DATA: u32 = 0x4b10;
/// TLB invalidation requests: RCS, VCS, VCS2, BCS, VECS.
pub const TLB_INVALIDATE: u32 = 0x4260;

/// The register that has `engine` forget its cached translations: writing 1 starts, reading 0 is
/// done (Linux `gt/intel_tlb.c`). VCS2, which this device lacks, has the one at offset 8.
pub const fn tlb_invalidate(engine: Engine) -> u32 {
    TLB_INVALIDATE
        + match engine {
            Engine::Rcs => 0x0,
            Engine::Vcs => 0x4,
            Engine::Bcs => 0xc,
            Engine::Vecs => 0x10,
        }
}
/// First of the memory-object control states of an engine, by [`Engine::index`]; 64 each.
const MOCS: [u32; Engine::COUNT] = [0xc800, 0xcc00, 0xc900, 0xcb00];
const MOCS_BYTES: u32 = 0x100;
/// What the render engine alone uses outside its block: L3 and its caching table.
const RENDER: u32 = 0xb000;
const RENDER_BYTES: u32 = 0x200;
const BLOCK_BYTES: u32 = 0x1000;

/// Whether `engine` alone uses the register at `offset`.
pub const fn used_by(engine: Engine, offset: u32) -> bool {
    // PANIC: Engine::index is below Engine::COUNT, the array's length.
    let mocs = MOCS[engine.index()];
    within(offset, engine.base(), BLOCK_BYTES)
        || within(offset, mocs, MOCS_BYTES)
        || matches!(engine, Engine::Rcs) && within(offset, RENDER, RENDER_BYTES)
}

const fn within(offset: u32, first: u32, bytes: u32) -> bool {
    offset.wrapping_sub(first) < bytes
}

/// First fence register: lower, upper dword of each.
pub const FENCE: u32 = 0x10_0000;
/// How many fences there are.
pub const FENCES: u32 = 32;
/// L3 cacheability table.
pub const L3CC: u32 = 0xb020;
/// PCODE mailbox: bit 31 busy, 7:0 command, then error.
pub const PCODE_MAILBOX: u32 = 0x13_8124;
/// First power-well control register; drivers use the second.
pub const POWER_WELL: u32 = 0x45400;

/// Position of one register: the row and which of its `count` registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Index in [`REGISTERS`].
    pub row: u16,
    /// Which register of the row, below `count`.
    pub element: u16,
    /// Position among all registers of all rows: index into a storage array of [`SLOTS`] dwords.
    pub storage: u16,
}

/// The register at `offset` (4-byte aligned), if it has a row. Constant number of steps.
pub fn find(offset: u32) -> Option<Slot> {
    table::find(offset)
}

/// How many registers all rows have together.
pub const SLOTS: usize = table::SLOTS;
