//! Policy: shares one GPU among guests that trust neither it nor each other.
//!
//! The mediator knows neither Xen nor ports nor whether the GPU is real; [`gpu::Gpu`],
//! [`Guests`] and [`Clock`] are its whole outside world. The files read in the order data visits
//! them: an access comes in at `access`, touches `vgpu`, `pci`, `gtt` or a register, and a
//! submission goes on through `execlist`, `shadow`, `scan`, `ppgtt` and `scheduler` to the GPU and
//! back through `interrupts`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;
// The simulated world of `tests` is written against this crate's outside, and used inside too.
#[cfg(test)]
extern crate self as mediator;

mod access;
mod aperture;
mod execlist;
mod gtt;
mod host;
mod interrupts;
#[cfg(test)]
#[path = "../../drivers/gpu/tests/linux/mod.rs"]
#[expect(dead_code, reason = "unit tests use the judge of events alone")]
mod linux;
mod partition;
mod pci;
mod ppgtt;
mod pvinfo;
mod registers;
mod scan;
mod scheduler;
mod services;
mod shadow;
mod status;
mod submission;
mod vgpu;
#[cfg(test)]
#[path = "../tests/common/mod.rs"]
#[expect(dead_code, reason = "unit tests use a part of it")]
mod world;

pub use access::{Access, Space};
pub use execlist::contract::Contract;
pub use host::{Host, StartError};
pub use partition::AttachError;
pub use services::{Call, Clock, DomainId, GuestFrame, Guests, PageError, Window};
pub use vgpu::{Counters, Display, Vgpu, VgpuConfig};

use alloc::boxed::Box;
use arrayvec::ArrayVec;
use gpu::{Gpu, Progress};

/// Most vGPUs at once.
pub const MAX_VGPUS: usize = 16;

/// The whole mediator.
pub struct Mediator<G, H, C> {
    host: Host<G, H, C>,
    vgpus: ArrayVec<Box<Vgpu>, MAX_VGPUS>,
}

impl<G: Gpu, H: Guests, C: Clock> Mediator<G, H, C> {
    /// Takes the GPU over: status pages, execlists, interrupts, an empty global GTT.
    pub fn new(gpu: G, guests: H, clock: C) -> Result<Self, StartError> {
        Ok(Self {
            host: Host::new(gpu, guests, clock)?,
            vgpus: ArrayVec::new(),
        })
    }

    /// Gives `domain` a vGPU. Everything it will ever need is set aside here.
    pub fn domain_added(
        &mut self,
        domain: DomainId,
        config: VgpuConfig,
    ) -> Result<(), AttachError> {
        self.host.guests.entered();
        let result = self.add(domain, config);
        self.host.guests.left(Call::Added {
            domain,
            config,
            accepted: result.is_ok(),
        });
        result
    }

    fn add(&mut self, domain: DomainId, config: VgpuConfig) -> Result<(), AttachError> {
        if self.vgpus.iter().any(|vgpu| vgpu.domain() == domain) {
            return Err(AttachError::AlreadyAttached);
        }
        if self.vgpus.is_full() {
            return Err(AttachError::TooMany { limit: MAX_VGPUS });
        }
        let vgpu = Vgpu::new(&mut self.host, domain, config)?;
        self.vgpus.push(Box::new(vgpu));
        Ok(())
    }

    /// Takes the vGPU away, at any moment, and releases everything it held.
    pub fn domain_removed(&mut self, domain: DomainId) {
        if let Some(index) = self.vgpus.iter().position(|vgpu| vgpu.domain() == domain) {
            self.host.guests.entered();
            let mut vgpu = self.vgpus.remove(index);
            vgpu.release(&mut self.host);
            self.host.guests.left(Call::Removed(domain));
        }
    }

    /// Serves one trapped access; the value of a read, or 0. Never waits.
    pub fn access(&mut self, domain: DomainId, access: Access) -> u64 {
        let Some(vgpu) = self.vgpus.iter_mut().find(|vgpu| vgpu.domain() == domain) else {
            return access.absent();
        };
        self.host.guests.entered();
        let answer = access::serve(&mut self.host, vgpu, access);
        self.host.guests.left(Call::Access {
            domain,
            access,
            answer,
        });
        answer
    }

    /// An answered access of the domain is over: the CPU that made it makes none now. What was
    /// [`PageError::Busy`] may be possible.
    pub fn access_settled(&mut self, domain: DomainId) {
        if let Some(vgpu) = self.vgpus.iter_mut().find(|vgpu| vgpu.domain() == domain) {
            self.host.guests.entered();
            gtt::access_settled(&mut self.host, vgpu);
            self.host.guests.left(Call::Settled(domain));
        }
    }

    /// One bounded round of everything that is not an access: GPU time, completions, scheduling.
    pub fn service(&mut self) -> Progress {
        self.host.guests.entered();
        let work = submission::service(&mut self.host, &mut self.vgpus);
        let mut waiting = false;
        for vgpu in &mut self.vgpus {
            waiting |= vgpu.background(&mut self.host);
        }
        let progress = if waiting { Progress::Busy } else { work };
        self.host.guests.left(Call::Service(progress));
        progress
    }

    /// The attached vGPUs.
    pub fn vgpus(&self) -> impl Iterator<Item = &Vgpu> {
        self.vgpus.iter().map(|vgpu| &**vgpu)
    }

    /// What the mediator runs on.
    pub fn host(&self) -> &Host<G, H, C> {
        &self.host
    }

    /// What the mediator runs on, for whoever owns both.
    pub fn host_mut(&mut self) -> &mut Host<G, H, C> {
        &mut self.host
    }

    /// Every table, for the person at the console.
    pub fn status(&self, out: &mut dyn core::fmt::Write) -> core::fmt::Result {
        status::write(self, out)
    }
}
