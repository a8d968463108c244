//! The physical GPU and the services around it, as the mediator holds them.

use core::fmt;

use gpu::spec::engine;
use gpu::spec::gtt::GttEntry;
use gpu::spec::registers::{GT_INTERRUPT_BANKS, MASTER_INTERRUPT};
use gpu::{DmaPage, Engine, Gpu, GpuFault, GttIndex};

use crate::partition::{Partition, Region};
use crate::shadow::LARGE_PAGES;
use crate::submission::HostEngines;
use crate::{Clock, Guests, PageError, submission};

/// RING_MODE bit 15: submission through execlists.
const EXECLIST_ENABLE: u32 = 1 << 15;
/// MI_MODE bit 8: the ring is stopped.
const STOP_RING: u32 = 1 << 8;
/// What the host listens to on every engine.
pub(crate) const EVENTS: u32 =
    engine::INTERRUPT_USER | engine::INTERRUPT_ERROR | engine::INTERRUPT_CONTEXT_SWITCH;

/// The GPU, the hypervisor and the time.
pub struct Host<G, H, C> {
    /// The device.
    pub gpu: G,
    /// The hypervisor's services.
    pub guests: H,
    /// Time.
    pub clock: C,
    /// Who has which part of the global GTT.
    pub(crate) partition: Partition,
    /// What the physical engines are doing.
    pub(crate) engines: HostEngines,
    /// What entries of nobody lead to.
    pub(crate) scratch: DmaPage,
    /// Hardware status page of each engine, by [`Engine::index`]; mapped by the first entries of
    /// the host region, in that order.
    pub(crate) status_pages: [DmaPage; Engine::COUNT],
    /// First page of a real aperture that guests may be shown without traps.
    pub(crate) aperture: Option<DmaPage>,
    /// GTT entries were written that the device has not been told about.
    pub(crate) gtt_stale: bool,
}

/// Why the GPU could not be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartError {
    /// The global GTT is too small to share; its entries.
    SmallGtt(u32),
    /// A page of our own could not be had.
    Page(PageError),
    /// The device misbehaves.
    Gpu(GpuFault),
}

impl From<PageError> for StartError {
    fn from(error: PageError) -> Self {
        Self::Page(error)
    }
}

impl From<GpuFault> for StartError {
    fn from(fault: GpuFault) -> Self {
        Self::Gpu(fault)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SmallGtt(entries) => {
                write!(
                    f,
                    "global GTT of {entries:#x} entries is too small to share"
                )
            }
            Self::Page(error) => write!(f, "{error}"),
            Self::Gpu(fault) => write!(f, "{fault}"),
        }
    }
}

impl<G: Gpu, H: Guests, C: Clock> Host<G, H, C> {
    /// Takes the device over. Whatever ran on it before is gone afterwards.
    pub fn new(mut gpu: G, mut guests: H, clock: C) -> Result<Self, StartError> {
        let entries = gpu.gtt_entries();
        let partition = Partition::new(entries).ok_or(StartError::SmallGtt(entries))?;
        let region = partition.host_region();

        // Nothing reports and nothing runs before its pages are there.
        gpu.write(MASTER_INTERRUPT, 0);
        for engine in Engine::ALL {
            gpu.reset_engine(engine)?;
        }
        let scratch = guests.allocate(None)?;
        for index in 0..entries {
            gpu.write_gtt(GttIndex(index), GttEntry::new(scratch.0));
        }
        let mut status_pages = [scratch; Engine::COUNT];
        for (index, page) in (region.first..).zip(&mut status_pages) {
            *page = guests.allocate(None)?;
            gpu.write_gtt(GttIndex(index), GttEntry::new(page.0));
        }
        gpu.flush_gtt();

        for (index, engine) in (region.first..).zip(Engine::ALL) {
            let base = engine.base();
            let status = GttIndex(index).address().0 as u32;
            gpu.write(base + engine::HWS_PGA, status);
            gpu.write(
                base + engine::RING_MODE,
                engine::masked(EXECLIST_ENABLE, EXECLIST_ENABLE),
            );
            gpu.write(base + engine::MI_MODE, engine::masked(STOP_RING, 0));
        }
        listen(&mut gpu);
        let mut host = Self {
            gpu,
            guests,
            clock,
            partition,
            engines: HostEngines::new(),
            scratch,
            status_pages,
            aperture: None,
            gtt_stale: false,
        };
        submission::start(&mut host)?;
        Ok(host)
    }

    /// Entries of the global GTT that vGPUs' slots may use: the host region behind the status pages,
    /// and before the large arena.
    pub(crate) fn own_region(&self) -> Region {
        let region = self.partition.host_region();
        let status = Engine::COUNT as u32;
        Region {
            first: region.first + status,
            count: region.count.saturating_sub(status + LARGE_PAGES as u32),
        }
    }

    /// MiB of low and of high GM, and fences, that are free.
    pub fn free(&self) -> (u32, u32, u32) {
        self.partition.free()
    }

    /// From now on guests see their slices of this real aperture without traps.
    pub fn set_aperture(&mut self, first: DmaPage) {
        self.aperture = Some(first);
    }

    /// Makes GTT entries written since the last flush visible to the device.
    pub(crate) fn flush_gtt(&mut self) {
        if self.gtt_stale {
            self.gtt_stale = false;
            self.gpu.flush_gtt();
        }
    }
}

/// Unmasks the events of every engine, then the master.
fn listen<G: Gpu>(gpu: &mut G) {
    let mut banks = [0u32; 4];
    for engine in Engine::ALL {
        let (bank, shift) = engine.interrupt_slot();
        gpu.write(engine.base() + engine::RING_IMR, !(EVENTS << shift));
        if let Some(bits) = banks.get_mut(bank) {
            *bits |= EVENTS << shift;
        }
    }
    for (bank, bits) in (GT_INTERRUPT_BANKS..).step_by(0x10).zip(banks) {
        gpu.write(bank + 0x8, !0); // IIR: forget what was before
        gpu.write(bank + 0xc, bits); // IER
        gpu.write(bank + 0x4, !bits); // IMR
    }
    gpu.write(MASTER_INTERRUPT, 1 << 31);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mediator;
    use crate::world::{Recorder, Simulated, VirtualClock};
    use gpu::ram::Ram;

    fn start(
        gtt_pages: u32,
        fail_at: Option<u64>,
    ) -> Result<Host<Recorder, Simulated, VirtualClock>, StartError> {
        let mut guests = Simulated::new(Ram::new(2048));
        guests.fail_at = fail_at;
        Host::new(Recorder::new(gtt_pages), guests, VirtualClock::default())
    }

    #[test]
    fn the_device_is_taken_over_with_every_entry_on_a_page_of_ours() {
        let host = start(0x2_0000, None).expect("starts");
        let region = host.partition.host_region();
        for (index, entry) in host.gpu.visible.iter().enumerate() {
            let status = (index as u32)
                .checked_sub(region.first)
                .and_then(|at| host.status_pages.get(at as usize));
            assert!(entry.present());
            if let Some(page) = status {
                assert_eq!(entry.frame(), page.0);
            } else if region.position(GttIndex(index as u32)).is_none() {
                assert_eq!(entry.frame(), host.scratch.0);
            }
        }
        for (engine, index) in Engine::ALL.into_iter().zip(region.first..) {
            let register = |offset| host.gpu.register(engine.base() + offset);
            assert_eq!(register(engine::HWS_PGA), index * 4096);
            assert_eq!(register(engine::RING_MODE), 1 << 31 | 1 << 15);
            let (_, shift) = engine.interrupt_slot();
            assert_eq!(register(engine::RING_IMR), !(EVENTS << shift));
        }
        assert_eq!(host.gpu.register(MASTER_INTERRUPT), 1 << 31);
    }

    #[test]
    fn a_device_that_cannot_be_shared_is_refused_with_the_reason() {
        let error = start(0x800, None).map(|_| ()).expect_err("8 MiB of GTT");
        assert_eq!(
            error.to_string(),
            "global GTT of 0x800 entries is too small to share"
        );
        let error = start(0x2_0000, Some(3))
            .map(|_| ())
            .expect_err("a page is missing");
        assert_eq!(error, StartError::Page(PageError::OutOfMemory));
        let guests = Simulated::new(Ram::new(1));
        let mediator = Mediator::new(Recorder::new(0x2_0000), guests, VirtualClock::default());
        assert!(mediator.is_err(), "one page is not enough");
    }
}
