//! What the mediator needs from outside: a hypervisor's services and a clock.
//!
//! Nothing here is Xen's: a simulated implementation serves host tests and loopback guests.

use gpu::{DmaAddress, DmaFault, DmaPage, PAGE_SIZE, Progress};

use crate::{Access, VgpuConfig};

/// A guest, by its hypervisor's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainId(pub u16);

impl core::fmt::Display for DomainId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "d{}", self.0)
    }
}

/// A guest-physical frame number as the guest alleges it; only [`Guests::pin`] makes it usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestFrame(pub u64);

/// Why a page could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageError {
    /// The guest has no RAM at this frame.
    Absent(GuestFrame),
    /// The guest's pin quota is used up.
    Quota {
        /// Pins allowed.
        limit: u32,
    },
    /// The service domain has no page left.
    OutOfMemory,
    /// The hypervisor refused; its error number.
    Refused(i32),
    /// An access of the guest is under way at this frame. Worth another try when
    /// [`crate::Mediator::access_settled`] says that one is over.
    Busy(GuestFrame),
}

impl core::fmt::Display for PageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Absent(frame) => write!(f, "no guest RAM at frame {:#x}", frame.0),
            Self::Quota { limit } => write!(f, "pin quota of {limit} pages used up"),
            Self::OutOfMemory => write!(f, "service domain out of pages"),
            Self::Refused(errno) => write!(f, "hypervisor refused with error {errno}"),
            Self::Busy(frame) => write!(f, "an access is under way at frame {:#x}", frame.0),
        }
    }
}

/// Windows of guest-physical space that the mediator has served by [`crate::Mediator::access`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// BAR0: registers and GTT entries.
    Registers,
    /// BAR2: the aperture.
    Aperture,
}

/// A call into the mediator, as it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A guest was to get a vGPU.
    Added {
        /// Who.
        domain: DomainId,
        /// Of what size.
        config: VgpuConfig,
        /// Whether it got one.
        accepted: bool,
    },
    /// A vGPU was taken away.
    Removed(DomainId),
    /// An access was served.
    Access {
        /// Whose.
        domain: DomainId,
        /// Which.
        access: Access,
        /// With what result.
        answer: u64,
    },
    /// [`crate::Mediator::access_settled`].
    Settled(DomainId),
    /// A round of service.
    Service(Progress),
}

/// Hypervisor services. Nothing here waits for a guest or for the GPU.
pub trait Guests {
    /// A call into the mediator begins. For whoever keeps a record; answering costs every access.
    fn entered(&mut self) {}

    /// The call ended.
    fn left(&mut self, _: Call) {}

    /// Holds a guest's page and tells its DMA address. Pins count: each needs one `unpin`.
    fn pin(&mut self, domain: DomainId, frame: GuestFrame) -> Result<DmaPage, PageError>;

    /// Gives back one pin of `frame` that `pin` answered with `page`. The caller made sure that the
    /// GPU reaches the page no more. Both are named because a guest can put another page at a
    /// frame while the old one is still held.
    fn unpin(&mut self, domain: DomainId, frame: GuestFrame, page: DmaPage);

    /// A zeroed page of the service domain that works for `domain`, or for nobody but the host.
    fn allocate(&mut self, domain: Option<DomainId>) -> Result<DmaPage, PageError>;

    /// Has a page from `allocate` work for another domain from now on, or for nobody but the host.
    /// Its contents stay.
    fn hand_over(&mut self, page: DmaPage, domain: Option<DomainId>);

    /// Gives back a page from `allocate`.
    fn free(&mut self, page: DmaPage);

    /// Copies out of a pinned or allocated page. Never crosses a page.
    fn read(&self, address: DmaAddress, data: &mut [u8]) -> Result<(), DmaFault>;

    /// Copies into a pinned or allocated page. Never crosses a page. Four bytes at a multiple of four
    /// arrive together: the GPU may be reading them.
    fn write(&mut self, address: DmaAddress, data: &[u8]) -> Result<(), DmaFault>;

    /// Sends a message-signalled interrupt exactly as the guest programmed it.
    fn inject(&mut self, domain: DomainId, address: u64, data: u32);

    /// Routes accesses to a window here: `Some((first, size))` bytes guest-physical, `None` stops
    /// it. Idempotent and cheap; guests toggle decoding half a dozen times at boot.
    fn trap(
        &mut self,
        domain: DomainId,
        window: Window,
        range: Option<(u64, u64)>,
    ) -> Result<(), PageError>;

    /// Makes writes to a guest's page arrive as accesses, or stops that. Reads go on without. The
    /// writes are not carried out: that is up to [`crate::Mediator::access`]. The guest may put
    /// another page there, which is then not protected. Writes may go on arriving for a while after
    /// it was stopped.
    fn write_protect(
        &mut self,
        domain: DomainId,
        frame: GuestFrame,
        on: bool,
    ) -> Result<(), PageError>;

    /// Places `count` frames of a real aperture, from `first`, at a guest frame without traps, or
    /// takes them away.
    fn map_frames(
        &mut self,
        domain: DomainId,
        at: GuestFrame,
        first: DmaPage,
        count: u64,
        on: bool,
    ) -> Result<(), PageError>;

    /// Changes whenever frames of the guest may have become other pages, or no pages.
    fn generation(&self, domain: DomainId) -> u32;

    /// Puts memory of the guest's own, filled with `contents`, at a trapped frame: from now on its
    /// CPUs read and write it there, and no access arrives. Never at the frame of an access that
    /// has not come to its end.
    fn open_page(
        &mut self,
        domain: DomainId,
        frame: GuestFrame,
        contents: &[u8; PAGE_SIZE as usize],
    ) -> Result<DmaPage, PageError>;

    /// Takes the memory away again, so that accesses arrive as before, and tells what was in it
    /// when the last of the guest's CPUs could write it.
    fn close_page(
        &mut self,
        domain: DomainId,
        frame: GuestFrame,
        page: DmaPage,
        contents: &mut [u8; PAGE_SIZE as usize],
    ) -> Result<(), DmaFault>;

    /// Pins that `domain` holds now, for status and leak checks.
    fn pins(&self, domain: DomainId) -> u32;
}

/// Monotonic time.
pub trait Clock {
    /// Nanoseconds since some fixed moment.
    fn now(&self) -> u64;
}
