//! Joins what the mediator needs to what is out there: memory, Xen, time.
//!
//! | file | story |
//! |---|---|
//! | `pages` | who owns which page, copies in and out |
//! | `pins` | which guest frame sits in which window slot |
//! | `protect` | when a write-protected page may be ordinary memory again |
//! | `underway` | where a Xen guest's vCPUs may have accesses under way |
//! | `open` | memory of a Xen guest's own at trapped frames |
//! | `guest` | what we hold of one Xen guest |
//! | `guests` | the mediator's hypervisor services over Xen and loopback guests |
//! | `serve` | a trapped access from its ioreq slot to the mediator and back |
//! | `control` | attach and detach, asked for through Xenstore |
//! | `nodes` | the nodes of such a command, and what they say |
//! | `exchange` | their commands and answers as requests to Xenstore, none of which is waited for |
//! | `xen` | Xen as this domain sees it: console, events, shared page |

pub mod control;
mod exchange;
pub mod guest;
pub mod guests;
mod nodes;
mod open;
pub mod pages;
mod pins;
mod protect;
pub mod serve;
mod underway;
pub mod xen;

use alloc::format;
use alloc::string::String;

use ::xen::{Port, Version};
use boot::{Config, MemoryMap};
use gpu::model::Model;
use log::{error, info};
use mediator::{Clock, Mediator};
use trace::{Recorder, Tape, Taped};

use crate::events::Service;
use crate::loopback::Players;
use crate::power::ExitReason;
use crate::{paging, start};
use control::Control;
use guests::DomainServices;
use pages::PhysicalMemory;
use xen::{Found, Xen};

/// The mediator as this image runs it.
pub type Machine =
    Mediator<Model<Taped<PhysicalMemory>>, Taped<DomainServices>, Taped<MonotonicClock>>;

/// Window slots for pinned pages, for each page frame of RAM: eight times as much guest memory can
/// be reached at once as this domain has, for 16 bytes of tables each.
const SLOTS_PER_FRAME: u64 = 8;
/// And never more than 16 GiB.
const SLOTS_LIMIT: u64 = 4 << 20;

/// The image's clock: the time of the present round of the event loop.
#[derive(Debug, Clone, Copy)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    fn now(&self) -> u64 {
        crate::time::recent()
    }
}

/// Brings the service up: hypervisor, GPU, mediator, toolstack, loopback guests.
pub fn start(
    found: Option<Found>,
    console_port: Option<Port>,
    map: &MemoryMap,
    config: &Config,
) -> Service {
    if config.gpu == boot::Gpu::Pci {
        error!("gpu=pci: this version drives the software GPU only");
        start::refuse(ExitReason::BadBootInformation, "no driver for gpu=pci");
    }
    let frames = map.top_of_ram() / gpu::PAGE_SIZE;
    let slots = (frames * SLOTS_PER_FRAME).min(SLOTS_LIMIT);
    let mut xen = found.and_then(|found| match Xen::start(found, console_port, slots) {
        Ok(xen) => Some(xen),
        Err(error) => {
            error!("xen: {error}");
            None
        }
    });
    let pins = xen
        .as_ref()
        .and_then(|xen| Some((xen.page, xen.pin_window()?)));
    let services = match pins {
        Some((page, window)) => {
            pages::init(frames as usize, window.first(), window.frames() as usize);
            DomainServices::with_xen(page, window)
        }
        None => {
            pages::init(frames as usize, paging::window_base().0, 0);
            DomainServices::new()
        }
    };
    let tape = recording(config);
    let memory = tape.around(PhysicalMemory);
    let gpu = Model::new(memory, config.gtt_mib * GTT_ENTRIES_PER_MIB);
    let (services, clock) = (tape.around(services), tape.around(MonotonicClock));
    let mut machine = Mediator::new(gpu, services, clock)
        .unwrap_or_else(|error| start::refuse(ExitReason::OutOfMemory, error));
    info!("software GPU with a global GTT of {} MiB", config.gtt_mib);
    let failure = xen.as_ref().and_then(|xen| too_old(xen.version));
    let store = xen.as_mut().and_then(|xen| xen.store.take());
    let control = store.and_then(|store| {
        Control::start(store, &machine, failure.as_deref())
            .inspect_err(|error| error!("xenstore: {error}"))
            .ok()
    });
    let players = Players::start(&mut machine, config.loopback);
    Service {
        machine,
        xen,
        control,
        players,
        tape,
        dump: None,
    }
}

/// A recorder of the mediator's boundary, if the command line asks for one (docs/trace.md).
fn recording(config: &Config) -> Tape {
    let tape = Tape::default();
    if config.record != 0 {
        let bytes = config.record;
        match Recorder::new(bytes, config.gtt_mib, MonotonicClock.now()) {
            Some(recorder) => {
                tape.start(recorder);
                info!("trace: recording in {} KiB", bytes / 1024);
            }
            None => error!("trace: {bytes} bytes are too few, or more than the heap has"),
        }
    }
    tape
}

/// Entries that map one MiB.
const GTT_ENTRIES_PER_MIB: u32 = (1 << 20) / gpu::PAGE_SIZE as u32;

/// Why this Xen cannot be served on.
fn too_old(version: Version) -> Option<String> {
    let refusal = version.require(Version::REQUIRED).err()?;
    error!("xen: {refusal}");
    Some(format!("{refusal}"))
}
