//! Xen as this domain sees it: hypercalls, shared page, console, Xenstore, and how to wait.
//!
//! ```text
//! window base   +0 shared info   +1 ioreq pages, two for each guest   +33 pinned guest pages
//! ```
//! Everything lies above RAM, where nothing of ours is; console and Xenstore pages are where the
//! toolstack put them, below 4 GiB.
#![expect(
    unsafe_code,
    reason = "vouching for address space that holds nothing of Rust's"
)]

use alloc::boxed::Box;
use arrayvec::ArrayVec;
use boot::{BootError, MemoryMap, REGION_LIMIT};
use log::{info, warn};
use mediator::MAX_VGPUS;
use spin::{Mutex, Once};
use xen::abi::hvm::Parameter;
use xen::abi::memory::E820Entry;
use xen::console::Console;
use xen::detect::Presence;
use xen::hypercall::cpuid;
use xen::memory::{self, MemoryError, Window};
use xen::scheduling::{self, ShutdownReason};
use xen::shared::MappedPage;
use xen::time::TimeRecord;
use xen::xenstore::{Client, PollDoorbell, RingTransport};
use xen::{DomainId, EventChannels, HypercallPage, Port, PortSet, Version, parameters};

use crate::frames::Frame;
use crate::power::{self, ExitReason};
use crate::{paging, time};

/// Page frames of the windows: shared page, then two for each guest's IOREQ server.
const SHARED_INFO: u64 = 0;
const SERVER_PAGES: u64 = 1;
const PINS: u64 = SERVER_PAGES + xen::ioreq::FRAMES * MAX_VGPUS as u64;

/// Seconds that one Xenstore request may take at start-up, where it is waited for.
const XENSTORE_SECONDS: u32 = 1;

/// This domain's Xenstore connection.
pub type Store = Client<StoreTransport>;
/// What it goes through.
pub type StoreTransport = RingTransport<MappedPage, PollDoorbell<HypercallPage, MappedPage>>;

static PAGE: Once<HypercallPage> = Once::new();
static SHARED_PAGE: Once<MappedPage> = Once::new();
static CONSOLE: Mutex<Option<Console<HypercallPage, MappedPage>>> = Mutex::new(None);

/// Xen, before there is memory to speak of.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// The way in.
    pub page: HypercallPage,
    presence: Presence,
}

impl Found {
    /// First of Xen's CPUID leaves.
    pub fn leaves(&self) -> u32 {
        self.presence.base
    }

    /// The pages below 4 GiB that the toolstack shares with this domain; final page tables have
    /// to map them before the console speaks again.
    pub fn shared_pages(&self) -> impl Iterator<Item = Frame> + use<> {
        let page = self.page;
        [Parameter::ConsolePfn, Parameter::StorePfn]
            .into_iter()
            .filter_map(move |parameter| parameter_of(&page, parameter))
            .map(Frame)
    }

    /// Makes the Xen console a sink: the first thing to do, so that nothing dies unheard.
    pub fn open_console(&self) -> Option<Port> {
        let (page, port) =
            shared_ring(&self.page, Parameter::ConsolePfn, Parameter::ConsoleEvtchn)?;
        *CONSOLE.lock() = Some(Console::new(self.page, page, port));
        // A box of nothing: no memory is taken, so this works before there is a heap.
        if !console::add_sink(Box::leak(Box::new(ConsoleRing))) {
            warn!("console: no place for the Xen console ring");
        }
        Some(port)
    }
}

/// Looks for Xen and opens the way in.
pub fn find() -> Option<Found> {
    let presence = xen::detect::find(cpuid)?;
    // SAFETY: `presence` was found with `cpuid`; the image runs in ring 0, identity mapped.
    let page = unsafe { HypercallPage::install(presence) };
    PAGE.call_once(|| page);
    power::set_exit(exit);
    console::set_last_resort(|bytes| {
        if let Some(page) = PAGE.get() {
            // Refused by release builds of Xen; there is no other place left to speak to.
            let _ = xen::console::write_hypervisor_log(page, bytes);
        }
    });
    Some(Found { page, presence })
}

/// Speaks no more through the Xen console.
pub fn close_console() {
    *CONSOLE.lock() = None;
}

/// Leaves: a guest ends itself through Xen; Dom0 has QEMU's exit device under Xen.
fn exit(reason: ExitReason) -> ! {
    let dom0 = xen::detect::find(cpuid).is_some_and(|xen| xen.domain == Some(DomainId(0)));
    if let (false, Some(page)) = (dom0, PAGE.get()) {
        let reason = match reason {
            ExitReason::Done => ShutdownReason::PowerOff,
            _ => ShutdownReason::Crash,
        };
        // Returns only if refused; then the last way is as good as any.
        let _ = scheduling::shutdown(page, reason);
    }
    power::debug_exit(reason)
}

/// Asks Xen for the memory map, for loaders that give none (PVH Dom0).
pub fn memory_map() -> Result<MemoryMap, BootError> {
    let page = PAGE.get().ok_or(BootError::NoMemoryMap)?;
    let mut entries = [E820Entry::default(); REGION_LIMIT];
    let count = memory::memory_map(page, &mut entries).map_err(|error| {
        warn!("xen: {error}");
        BootError::NoMemoryMap
    })?;
    MemoryMap::new(entries.iter().take(count).map(|entry| {
        let E820Entry { addr, size, r#type } = *entry;
        (addr, size, r#type)
    }))
}

/// Xen, in service.
pub struct Xen {
    /// The way in.
    pub page: HypercallPage,
    /// Which Xen.
    pub version: Version,
    /// This domain.
    pub domain: Option<DomainId>,
    /// Event channels.
    pub events: EventChannels<HypercallPage, MappedPage>,
    /// Xenstore, unless this is Dom0.
    pub store: Option<Store>,
    store_port: Option<Port>,
    console_port: Option<Port>,
    windows: Window,
    pending: PortSet,
}

impl Xen {
    /// Maps what Xen shares with this domain and opens console and Xenstore.
    pub fn start(
        found: Found,
        console_port: Option<Port>,
        pin_slots: u64,
    ) -> Result<Self, MemoryError> {
        let Found { page, presence } = found;
        let windows = window(paging::window_base(), PINS + pin_slots)?;
        let shared = windows.part(SHARED_INFO, 1).ok_or(NO_ROOM)?;
        memory::map_shared_info(&page, shared)?;
        let shared = shared.page(0).ok_or(NO_ROOM)?;
        SHARED_PAGE.call_once(|| shared);
        let events = EventChannels::new(page, shared);
        events.mask_all();
        let mut xen = Self {
            page,
            version: presence.version,
            domain: presence.domain,
            events,
            store: None,
            store_port: None,
            console_port,
            windows,
            pending: PortSet::new(),
        };
        xen.open_store();
        Ok(xen)
    }

    /// Frames for the IOREQ server pages of guest number `pair`.
    pub fn server_pages(&self, pair: usize) -> Option<Window> {
        self.windows.part(
            SERVER_PAGES + pair as u64 * xen::ioreq::FRAMES,
            xen::ioreq::FRAMES,
        )
    }

    /// Frames for pinned pages.
    pub fn pin_window(&self) -> Option<Window> {
        self.windows.part(PINS, self.windows.frames() - PINS)
    }

    /// Forgets the events that came so far; what they announced is looked at next.
    pub fn take_events(&mut self) {
        self.events.take_all(&mut self.pending);
        self.pending.clear();
    }

    /// Sleeps until one of `ports`, the console or Xenstore has news, or until `deadline`.
    pub fn wait(&self, ports: impl Iterator<Item = Port>, deadline: u64) {
        let mut all = ArrayVec::<Port, { xen::abi::sched::POLL_PORTS_MAX }>::new();
        let own = [self.console_port, self.store_port];
        let mut left_out = false;
        for port in own.into_iter().flatten().chain(ports) {
            left_out |= all.try_push(port).is_err();
        }
        // Ports beyond what one call takes are looked at every millisecond.
        let deadline = if left_out {
            deadline.min(time::now().saturating_add(1_000_000))
        } else {
            deadline
        };
        if let Err(error) = scheduling::poll(&self.page, &all, Some(to_system_time(deadline))) {
            warn!("xen: {error}");
            scheduling::yield_now(&self.page);
        }
    }

    fn open_store(&mut self) {
        let ring = shared_ring(&self.page, Parameter::StorePfn, Parameter::StoreEvtchn);
        let Some((page, port)) = ring else {
            info!("xen: no Xenstore for this domain");
            return;
        };
        let now = || to_system_time(time::now());
        let doorbell = PollDoorbell::new(self.events, self.page, port, now, XENSTORE_SECONDS);
        self.store_port = Some(port);
        self.store = Some(Client::new(RingTransport::new(page, doorbell)));
    }
}

/// Xen's system time: its record of vCPU 0, the only one, read anew each time, because Xen
/// corrects it as it goes. `None` before the shared page is mapped.
pub fn system_time() -> Option<u64> {
    let record = TimeRecord::read(SHARED_PAGE.get()?, 0)?;
    Some(record.nanoseconds(time::cycles()))
}

/// A time of [`time::now`] as Xen's system time; without a record any will do, the call that gets
/// it returns at once.
fn to_system_time(time: u64) -> u64 {
    match system_time() {
        // Two steps: `time` may lie before now, and Xen's clock below ours.
        Some(xen) => xen.saturating_add(time).saturating_sub(time::now()),
        None => time,
    }
}

/// A parameter of this domain; `None` where the toolstack left it 0, as it does for Dom0.
fn parameter_of(page: &HypercallPage, parameter: Parameter) -> Option<u64> {
    match parameters::get(page, DomainId::SELF, parameter) {
        Ok(0) => None,
        Ok(value) => Some(value),
        Err(error) => {
            warn!("xen: {error}");
            None
        }
    }
}

/// A page and port that the toolstack set up; `None` where it did not.
fn shared_ring(
    page: &HypercallPage,
    frame: Parameter,
    port: Parameter,
) -> Option<(MappedPage, Port)> {
    let (frame, port) = (parameter_of(page, frame)?, parameter_of(page, port)?);
    // SAFETY: a page that the toolstack reserved for sharing; pvh.S maps it, as everything below
    // 4 GiB, and so do the final tables (`Found::shared_pages`).
    let page = unsafe { Window::new(frame, 1) }.page(0)?;
    Some((page, Port(u32::try_from(port).ok()?)))
}

const NO_ROOM: MemoryError = MemoryError::DoesNotFit { asked: 1, room: 0 };

/// Address space for pages of others.
fn window(first: Frame, frames: u64) -> Result<Window, MemoryError> {
    paging::map_window(first, frames).map_err(|error| {
        warn!("page tables: {error}");
        MemoryError::DoesNotFit {
            asked: frames,
            room: 0,
        }
    })?;
    // SAFETY: above RAM, or a page that the toolstack reserved for sharing: paging::map_window
    // refuses the image, and the frame allocator never had these frames.
    Ok(unsafe { Window::new(first.0, frames) })
}

/// The Xen console as a place to speak and listen.
struct ConsoleRing;

impl console::Sink for ConsoleRing {
    fn name(&self) -> &'static str {
        "xen"
    }

    fn write(&mut self, bytes: &[u8]) {
        // Held only if a panic interrupted a write: then that line is lost.
        let Some(mut console) = CONSOLE.try_lock() else {
            return;
        };
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, end) = match line.strip_suffix(b"\n") {
                Some(text) => (text, &b"\r\n"[..]),
                None => (line, &b""[..]),
            };
            if let Some(console) = &mut *console {
                // What a full ring loses, the ring itself counts and reports.
                console.write(text);
                console.write(end);
            }
        }
    }

    fn room(&self) -> usize {
        let console = CONSOLE.try_lock();
        console.map_or(0, |console| {
            console.as_ref().map_or(usize::MAX, Console::room)
        })
    }

    fn read(&mut self) -> Option<u8> {
        let mut byte = [0];
        let got = CONSOLE.try_lock()?.as_mut()?.read(&mut byte);
        (got == 1).then_some(byte[0])
    }
}
