//! One guest's GPU: what it was given, what it sees, what we keep about it.

mod config;
mod counters;
mod limiter;

pub use config::{Display, VgpuConfig};
pub use counters::Counters;
pub(crate) use limiter::Limiter;

use core::fmt;

use gpu::spec::registers::SLOTS;
use gpu::{DmaPage, Engine, Gpu, GttIndex};

use crate::execlist::VirtualEngine;
use crate::execlist::contract::Contract;
use crate::gtt::VirtualGtt;
use crate::interrupts::Interrupts;
use crate::partition::Slice;
use crate::pci::PciConfig;
use crate::ppgtt::PpgttSpace;
use crate::pvinfo::Pvinfo;
use crate::registers::RegisterFile;
use crate::{AttachError, Clock, DomainId, Guests, Host, gtt, interrupts, registers, submission};

/// One guest's GPU.
pub struct Vgpu {
    // Fixed at attach.
    pub(crate) domain: DomainId,
    pub(crate) config: VgpuConfig,
    pub(crate) slice: Slice,
    /// What absent entries of the slice lead to; tagged with the domain.
    pub(crate) scratch: DmaPage,

    // What the guest sees.
    pub(crate) pci: PciConfig,
    pub(crate) registers: RegisterFile,
    pub(crate) gtt: VirtualGtt,
    pub(crate) pvinfo: Pvinfo,
    pub(crate) interrupts: Interrupts,

    // Submission.
    pub(crate) engines: [VirtualEngine; Engine::COUNT],
    pub(crate) ppgtts: PpgttSpace,

    // Our bookkeeping.
    pub(crate) counters: Counters,
    /// Console lines about this guest.
    pub(crate) log: Limiter,
}

impl Vgpu {
    /// Sets aside everything the vGPU will ever need; on refusal nothing stays taken.
    pub(crate) fn new<G: Gpu, H: Guests, C: Clock>(
        host: &mut Host<G, H, C>,
        domain: DomainId,
        config: VgpuConfig,
    ) -> Result<Self, AttachError> {
        let slice = host.partition.allocate(&config)?;
        let parts = VirtualGtt::new(&slice).and_then(|gtt| {
            let registers =
                RegisterFile::new(&config).ok_or(AttachError::OutOfMemory { asked: SLOTS * 4 })?;
            Ok((gtt, registers, host.guests.allocate(Some(domain))?))
        });
        let (gtt, registers, scratch) = match parts {
            Ok(parts) => parts,
            Err(error) => {
                host.partition.release(&slice);
                return Err(error);
            }
        };
        registers::close_fences(&mut host.gpu, &slice);
        gtt.fill(&mut host.gpu, &slice, scratch);
        host.gpu.flush_gtt();
        let mut vgpu = Self {
            domain,
            config,
            slice,
            scratch,
            pci: PciConfig::new(host.partition.total()),
            registers,
            gtt,
            pvinfo: Pvinfo::default(),
            interrupts: Interrupts::new(host.clock.now()),
            engines: Engine::ALL.map(|_| VirtualEngine::new()),
            ppgtts: PpgttSpace::new(),
            counters: Counters::default(),
            log: Limiter::console(host.clock.now()),
        };
        if let Err(error) = submission::attach(host, &mut vgpu) {
            vgpu.release(host);
            return Err(error.into());
        }
        Ok(vgpu)
    }

    /// Gives everything back, at any moment. The vGPU must not be used afterwards.
    pub(crate) fn release<G: Gpu, H: Guests, C: Clock>(&mut self, host: &mut Host<G, H, C>) {
        gtt::discard(host, self);
        for engine in Engine::ALL {
            let contract = self.contract(engine);
            if contract.submissions != 0 {
                log::info!("contract: {} {engine}0 {contract}", self.domain);
            }
        }
        // Scenarios look for these words too.
        let counters = &self.counters;
        let (violations, untracked) = (counters.violations, counters.untracked);
        log::info!(
            "offences: {} {violations} violations, {untracked} untracked {:x?}",
            self.domain,
            counters.first_untracked()
        );
        log::info!("large pages: {} {}", self.domain, self.ppgtts.large());
        // No window leads here any more, so nothing new can start; then nothing of it runs; then
        // the GPU reaches none of its pages; only then may they go.
        if let Err(error) = self.pci.close(self.domain, &self.slice, host) {
            log::warn!("{} pci: window cannot be closed: {error}", self.domain);
        }
        submission::release(host, self);
        registers::close_fences(&mut host.gpu, &self.slice);
        self.gtt.fill(&mut host.gpu, &self.slice, host.scratch);
        host.gpu.flush_gtt();
        self.gtt.release(&mut host.guests, self.domain);
        host.guests.free(self.scratch);
        host.partition.release(&self.slice);
    }

    /// What can wait: pins to give back, messages over their rate, page tables to follow. Bounded;
    /// true if some is left.
    pub(crate) fn background<G: Gpu, H: Guests, C: Clock>(
        &mut self,
        host: &mut Host<G, H, C>,
    ) -> bool {
        let pins = gtt::background(host, self);
        let message = interrupts::background(host, self);
        let tables = submission::background(host, self);
        pins || message || tables
    }

    /// Whose it is.
    pub fn domain(&self) -> DomainId {
        self.domain
    }

    /// What it was asked to be.
    pub fn config(&self) -> &VgpuConfig {
        &self.config
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What one of its engines was asked to do, and what its driver was told.
    pub fn contract(&self, engine: Engine) -> Contract {
        // PANIC: Engine::index is below Engine::COUNT, the array's length.
        let engine = &self.engines[engine.index()];
        Contract {
            waiting: engine.list.owes(),
            ..engine.contract
        }
    }

    /// First entry and number of entries of its low and of its high GM.
    pub fn graphics_memory(&self) -> [(GttIndex, u32); 2] {
        [self.slice.mappable, self.slice.nonmappable]
            .map(|region| (GttIndex(region.first), region.count))
    }

    /// One engine of it.
    pub(crate) fn engine(&mut self, engine: Engine) -> &mut VirtualEngine {
        // PANIC: Engine::index is below Engine::COUNT, the array's length.
        &mut self.engines[engine.index()]
    }

    /// One console line about this guest, unless it caused too many.
    pub(crate) fn warn(&mut self, now: u64, what: fmt::Arguments<'_>) {
        self.report(now, log::Level::Warn, what);
    }

    /// The same for something that is no trouble.
    pub(crate) fn report(&mut self, now: u64, level: log::Level, what: fmt::Arguments<'_>) {
        if self.log.take(now) {
            log::log!(level, "{} {what}", self.domain);
        } else {
            self.counters.silenced += 1;
        }
    }

    /// Counts and reports what only a broken or hostile driver does.
    pub(crate) fn violation(&mut self, now: u64, what: fmt::Arguments<'_>) {
        self.counters.violations += 1;
        self.warn(now, what);
    }

    /// Whether the guest's driver said that its probe succeeded (PVINFO `display_ready`).
    pub fn driver_ready(&self) -> bool {
        self.pvinfo.ready
    }
}
