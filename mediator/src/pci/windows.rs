//! Where the guest-physical windows of BAR0 and BAR2 are, and moving them.

use core::ops::Range;

use gpu::spec::registers::BAR0_SIZE;
use gpu::{Gpu, PAGE_SIZE};

use crate::partition::Slice;
use crate::{Clock, DomainId, GuestFrame, Guests, Host, PageError, Window, aperture};

/// BARs below this would lie over the platform's fixed RAM and ROM.
const LOWEST: u64 = 1 << 20;
/// Physical address bits that every machine we run on has.
const HIGHEST: u64 = 1 << 46;
/// Interrupt controllers and firmware flash, up to 4 GiB. Sizing a BAR with decoding on passes by.
const RESERVED: Range<u64> = 0xfec0_0000..1 << 32;

/// A memory BAR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bar {
    /// BAR0: registers and GTT entries.
    Registers = 0,
    /// BAR2: the aperture.
    Aperture = 1,
}

impl Bar {
    const ALL: [Self; 2] = [Self::Registers, Self::Aperture];

    /// Bytes.
    pub const fn size(self) -> u64 {
        match self {
            Self::Registers => BAR0_SIZE,
            Self::Aperture => 256 << 20,
        }
    }

    const fn window(self) -> Window {
        match self {
            Self::Registers => Window::Registers,
            Self::Aperture => Window::Aperture,
        }
    }
}

/// Bases of the routed windows, in the order of [`Bar::ALL`].
#[derive(Debug, Default)]
pub(super) struct Windows {
    bases: [Option<u64>; 2],
    /// Where the aperture slice is mapped without traps.
    mapped: Option<GuestFrame>,
}

impl Windows {
    /// Goes where the guest wants its BARs, `None` with decoding off. A window that cannot go
    /// there stays; the last refusal is told.
    pub(super) fn follow<G: Gpu, H: Guests, C: Clock>(
        &mut self,
        wanted: Option<[u64; 2]>,
        domain: DomainId,
        slice: &Slice,
        host: &mut Host<G, H, C>,
    ) -> Result<(), PageError> {
        let mut result = Ok(());
        // Twice the first: it may have to wait until the second left its place.
        for bar in [Bar::Registers, Bar::Aperture, Bar::Registers] {
            // PANIC: a Bar is 0 or 1.
            let new = wanted.map(|bases| bases[bar as usize]);
            if new == self.base(bar) {
                continue;
            }
            if let Some(base) = new
                && !self.sensible(bar, base, domain, host)
            {
                continue;
            }
            if bar == Bar::Aperture {
                result = self.unmap(domain, slice, host).and(result);
            }
            let range = new.map(|base| (base, bar.size()));
            match host.guests.trap(domain, bar.window(), range) {
                Ok(()) => self.set(bar, new),
                Err(error) => result = Err(error),
            }
            if bar == Bar::Aperture {
                result = self.map(domain, slice, host).and(result);
            }
        }
        result
    }

    pub(super) fn locate(&self, address: u64) -> Option<(Bar, u64, u64)> {
        Bar::ALL.into_iter().find_map(|bar| {
            let offset = address.checked_sub(self.base(bar)?)?;
            let left = bar.size().checked_sub(offset)?;
            (left != 0).then_some((bar, offset, left))
        })
    }

    pub(super) fn base(&self, bar: Bar) -> Option<u64> {
        // PANIC: a Bar is 0 or 1.
        self.bases[bar as usize]
    }

    fn set(&mut self, bar: Bar, base: Option<u64>) {
        // PANIC: a Bar is 0 or 1.
        self.bases[bar as usize] = base;
    }

    /// Whether a window may lie there: in the address space, off the other window, off RAM.
    fn sensible<G: Gpu, H: Guests, C: Clock>(
        &self,
        bar: Bar,
        base: u64,
        domain: DomainId,
        host: &mut Host<G, H, C>,
    ) -> bool {
        let Some(end) = base.checked_add(bar.size()) else {
            return false;
        };
        if base < LOWEST || end > HIGHEST || base < RESERVED.end && RESERVED.start < end {
            return false;
        }
        let others = Bar::ALL.into_iter().filter(|&other| other != bar);
        for other in others {
            if let Some(start) = self.base(other)
                && start < end
                && base < start + other.size()
            {
                return false;
            }
        }
        // A frame that can be pinned is RAM. The ends are where a wrong BAR overlaps first; one
        // that covers RAM in between harms only the guest that put it there.
        let frames = [base / PAGE_SIZE, (end - 1) / PAGE_SIZE].map(GuestFrame);
        frames
            .into_iter()
            .all(|frame| match host.guests.pin(domain, frame) {
                Ok(page) => {
                    host.guests.unpin(domain, frame, page);
                    false
                }
                Err(_) => true,
            })
    }

    /// Shows the guest its slice of a real aperture. A refusal leaves it trapped: slower, and
    /// otherwise the same.
    fn map<G: Gpu, H: Guests, C: Clock>(
        &mut self,
        domain: DomainId,
        slice: &Slice,
        host: &mut Host<G, H, C>,
    ) -> Result<(), PageError> {
        let Some(base) = self.base(Bar::Aperture) else {
            return Ok(());
        };
        let at = GuestFrame((base + slice.mappable.start().0) / PAGE_SIZE);
        if aperture::map_slice(host, domain, slice, at, true)? {
            self.mapped = Some(at);
        }
        Ok(())
    }

    fn unmap<G: Gpu, H: Guests, C: Clock>(
        &mut self,
        domain: DomainId,
        slice: &Slice,
        host: &mut Host<G, H, C>,
    ) -> Result<(), PageError> {
        match self.mapped.take() {
            Some(at) => aperture::map_slice(host, domain, slice, at, false).map(|_| ()),
            None => Ok(()),
        }
    }
}
