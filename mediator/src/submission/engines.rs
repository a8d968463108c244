//! The physical engines: what each runs, and the host's side of its status page.
//!
//! One element at a time: the second half of the port stays empty, so that every context switch
//! is a decision of ours and every event has one meaning.

use alloc::vec::Vec;
use gpu::spec::context::{CSB_ENTRIES, Descriptor, HWSP_CSB, HWSP_CSB_WRITE, status};
use gpu::spec::engine;
use gpu::spec::registers::{
    GT_INTERRUPT_BANKS, Kind, MASTER_INTERRUPT, Policy, REGISTERS, Slot, find, used_by,
};
use gpu::{DmaPage, Engine, Gpu, GttIndex};

use crate::host::Host;
use crate::partition::Region;
use crate::registers::RegisterFile;
use crate::scheduler::{Queue, RoundRobin};
use crate::shadow::{Large, VGPU_PAGES, Workspace};
use crate::{Clock, DomainId, Guests, MAX_VGPUS, PageError};

/// How long one piece of work may have an engine. A guest's own heartbeat gives up after ten
/// seconds, and others may wait behind this one.
const BUDGET: u64 = 4_000_000_000;
/// Most that the time between two looks counts for: a domain that was not scheduled itself must
/// not blame a guest whose work could not go on either.
const LOOK: u64 = 250_000_000;
/// RING_MODE bit 15: submission through execlists.
const EXECLIST_ENABLE: u32 = 1 << 15;
/// MI_MODE bit 8.
const STOP_RING: u32 = 1 << 8;
/// EIR: unknown command, and address that leads nowhere.
const ERRORS: u32 = 1 << 0 | 1 << 4;
/// Status pointer that stands before entry 0.
const BEFORE_FIRST: u32 = CSB_ENTRIES - 1;

/// What an engine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Whose work.
    pub domain: DomainId,
    /// Since when.
    pub since: u64,
    /// When it was looked at last, and what it has used of its budget.
    seen: u64,
    used: u64,
    /// Context id that we gave it.
    id: u32,
}

/// A register that each guest has its own value of.
#[derive(Debug, Clone, Copy)]
struct Loadable {
    slot: Slot,
    offset: u32,
    masked: bool,
    /// What the hardware has, if known.
    loaded: Option<u32>,
}

/// One physical engine.
#[derive(Debug, Default)]
pub struct HostEngine {
    pub queue: Queue,
    pub running: Option<Running>,
    /// The last status entry that was read.
    read: u32,
    next_id: u32,
    registers: Vec<Loadable>,
}

/// What every engine of the host runs, and our side of its status page.
#[derive(Debug, Default)]
pub struct HostEngines {
    engines: [HostEngine; Engine::COUNT],
    pub policy: RoundRobin,
    pub workspace: Workspace,
    /// Where batches are executed from that are too large for a slot.
    pub large: Large,
    /// Who has which part of the host's graphics memory.
    places: [Option<DomainId>; MAX_VGPUS],
    /// Nanoseconds that one piece of work may take.
    pub budget: u64,
    /// Whose page tables are followed next, counting engines of vGPUs.
    pub turn: usize,
}

impl HostEngines {
    /// Before [`super::start`]: nothing set up, nothing runs.
    pub fn new() -> Self {
        Self {
            budget: BUDGET,
            ..Self::default()
        }
    }

    /// Sets aside what every submission needs.
    pub fn set_up(&mut self) -> Result<(), PageError> {
        self.workspace = Workspace::new()?;
        for engine in Engine::ALL {
            let count = loadable(engine).count();
            let registers = &mut self.at(engine).registers;
            registers
                .try_reserve_exact(count)
                .map_err(|_| PageError::OutOfMemory)?;
            registers.extend(loadable(engine));
        }
        Ok(())
    }

    /// One engine.
    pub fn at(&mut self, engine: Engine) -> &mut HostEngine {
        // PANIC: Engine::index is below Engine::COUNT, the array's length.
        &mut self.engines[engine.index()]
    }

    /// A part of the host's graphics memory for a vGPU's slots.
    pub fn take_place(&mut self, domain: DomainId, region: &Region) -> Option<GttIndex> {
        let fits = (region.count / VGPU_PAGES) as usize;
        let free = self.places.iter().take(fits).position(Option::is_none)?;
        *self.places.get_mut(free)? = Some(domain);
        Some(GttIndex(region.first + free as u32 * VGPU_PAGES))
    }

    /// Gives it back.
    pub fn leave_place(&mut self, domain: DomainId) {
        for place in self
            .places
            .iter_mut()
            .filter(|place| **place == Some(domain))
        {
            *place = None;
        }
    }
}

impl HostEngine {
    /// Reads the status entries that are new; whether the running work is complete.
    pub fn poll<H: Guests>(&mut self, guests: &H, page: DmaPage) -> bool {
        let dword = |index: usize| {
            let mut bytes = [0; 4];
            let read = guests.read(page.at(index as u64 * 4), &mut bytes);
            read.ok().map(|()| u32::from_le_bytes(bytes))
        };
        let Some(write) = dword(HWSP_CSB_WRITE).filter(|write| *write < CSB_ENTRIES) else {
            return false;
        };
        let mut complete = false;
        // The device's word counts as little as a guest's: six entries at most, whatever it says.
        for _ in 0..CSB_ENTRIES {
            if self.read == write {
                break;
            }
            self.read = (self.read + 1) % CSB_ENTRIES;
            let entry = HWSP_CSB + self.read as usize * 2;
            let (what, context) = (dword(entry).unwrap_or(0), dword(entry + 1));
            complete |= what & status::COMPLETE != 0
                && self
                    .running
                    .is_some_and(|running| context == Some(running.id));
        }
        complete
    }

    /// Looks at the running work; whether it is over its budget.
    pub fn overdue(&mut self, now: u64, budget: u64) -> bool {
        let Some(running) = &mut self.running else {
            return false;
        };
        running.used += now.saturating_sub(running.seen).min(LOOK);
        running.seen = now;
        running.used > budget
    }

    /// Submits a guest's image.
    pub fn submit<G: Gpu>(
        &mut self,
        gpu: &mut G,
        engine: Engine,
        domain: DomainId,
        image: gpu::GraphicsAddress,
        now: u64,
    ) {
        self.next_id = (self.next_id + 1) & 0xf_ffff;
        let space = Descriptor::PPGTT_64 | Descriptor::PRIVILEGE;
        let flags = Descriptor::VALID | Descriptor::FORCE_RESTORE | space;
        let descriptor = u64::from(self.next_id) << 32 | image.0 | flags;
        self.running = Some(Running {
            domain,
            since: now,
            seen: now,
            used: 0,
            id: self.next_id,
        });
        gpu.submit(engine, [descriptor, 0]);
    }

    /// Gives the hardware the guest's values of the registers that are no part of a context.
    pub fn load<G: Gpu>(&mut self, gpu: &mut G, registers: &RegisterFile) {
        for register in &mut self.registers {
            let value = registers.get(register.slot);
            if register.loaded != Some(value) {
                register.loaded = Some(value);
                let written = if register.masked {
                    engine::masked(0xffff, value)
                } else {
                    value
                };
                gpu.write(register.offset, written);
            }
        }
    }
}

/// Stops whatever an engine runs and makes it ready again.
pub fn reset<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, engine: Engine) {
    if let Err(fault) = host.gpu.reset_engine(engine) {
        log::error!("host gpu: {fault}");
    }
    let index = engine.index();
    let base = engine.base();
    let first = host.partition.host_region().first;
    let status = GttIndex(first + index as u32).address().0 as u32;
    host.gpu.write(base + engine::HWS_PGA, status);
    host.gpu.write(
        base + engine::RING_MODE,
        engine::masked(EXECLIST_ENABLE, EXECLIST_ENABLE),
    );
    host.gpu
        .write(base + engine::MI_MODE, engine::masked(STOP_RING, 0));
    begin(host, engine);
    // What it reported before concerns nobody any more.
    let (bank, shift) = engine.interrupt_slot();
    let events = crate::host::EVENTS << shift;
    host.gpu.write(base + engine::RING_IMR, !events);
    host.gpu.write(
        GT_INTERRUPT_BANKS + 0x10 * bank as u32 + 0x8,
        0xffff << shift,
    );
    let engine = host.engines.at(engine);
    engine.running = None;
    engine
        .registers
        .iter_mut()
        .for_each(|register| register.loaded = None);
}

/// Agrees with an engine on where its next status entry goes, entry 0, and has it report errors.
pub fn begin<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, engine: Engine) {
    host.gpu.write(engine.base() + engine::EIR, !0);
    host.gpu.write(engine.base() + engine::EMR, !ERRORS);
    let pointer = BEFORE_FIRST << 8 | BEFORE_FIRST;
    host.gpu.write(
        engine.base() + engine::CSB_POINTER,
        engine::masked(0xffff, pointer),
    );
    if let Some(page) = host.status_pages.get(engine.index()) {
        let at = page.at(HWSP_CSB_WRITE as u64 * 4);
        let _ = host.guests.write(at, &BEFORE_FIRST.to_le_bytes());
    }
    host.engines.at(engine).read = BEFORE_FIRST;
}

/// Takes the interrupts that are pending: bits of each engine, by [`Engine::index`].
pub fn acknowledge<G: Gpu>(gpu: &mut G) -> [u32; Engine::COUNT] {
    gpu.write(MASTER_INTERRUPT, 0);
    let mut banks = [0; 4];
    for (register, bits) in (GT_INTERRUPT_BANKS + 0x8..).step_by(0x10).zip(&mut banks) {
        *bits = gpu.read(register);
        if *bits != 0 {
            gpu.write(register, *bits);
        }
    }
    gpu.write(MASTER_INTERRUPT, 1 << 31);
    Engine::ALL.map(|engine| {
        let (bank, shift) = engine.interrupt_slot();
        banks.get(bank).map_or(0, |bits| bits >> shift & 0xffff)
    })
}

/// The registers that are loaded when work of another guest comes to `engine`. Registers that all
/// engines share (page attributes, memory arbiter) stay the host's.
fn loadable(engine: Engine) -> impl Iterator<Item = Loadable> {
    REGISTERS
        .iter()
        .filter(|row| row.policy == Policy::Shadow)
        .flat_map(move |row| {
            let masked = row.kind == Kind::Masked;
            (0..row.count)
                .map(move |element| row.offset + element * row.stride)
                .filter(move |offset| used_by(engine, *offset))
                .filter_map(move |offset| {
                    Some(Loadable {
                        slot: find(offset)?,
                        offset,
                        masked,
                        loaded: None,
                    })
                })
        })
}
