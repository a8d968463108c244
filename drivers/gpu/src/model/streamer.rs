//! One command streamer: its execlists, its context, and what a register says of it.
//!
//! ```text
//! ELSP x4 -> pending pair -> element 0 loaded (image -> registers, ring, PPGTT) -> commands
//!                            element 1 waiting
//! ```
//!
//! The states and events are in [`execlists`](super::execlists), commands in
//! [`execute`](super::execute).

use arrayvec::ArrayVec;

use super::blitter::Setup;
use super::bus::{Space, View};
use super::fault::Fault;
use super::uncore::Uncore;
use crate::dma::Dma;
use crate::spec::context::Descriptor;
use crate::spec::engine::{self, Engine};

/// MI_MODE: stop fetching at the next command.
pub const STOP_RING: u32 = 1 << 8;
/// MI_MODE: the engine executes nothing.
pub const MODE_IDLE: u32 = 1 << 9;
/// RING_MODE: execlists enabled.
const EXECLIST_ENABLE: u32 = 1 << 15;
/// CONTEXT_STATUS_PTR after a reset: no entry written, the next goes to slot 0.
pub const NO_ENTRY: u32 = 7;

/// EIR: a command that the streamer does not know.
const INSTRUCTION_ERROR: u32 = 1 << 0;
/// EIR: an address that leads nowhere.
const PAGE_ERROR: u32 = 1 << 4;

/// One engine.
pub struct Streamer {
    /// Which.
    pub engine: Engine,
    /// Dwords of a submission that is not complete yet.
    pub(super) port: ArrayVec<u32, 4>,
    /// The latest complete submission, not looked at yet.
    pub(super) pending: Option<[Descriptor; 2]>,
    /// Complete submissions.
    pub(super) submissions: u64,
    /// Those that replaced one that was still pending.
    pub(super) overwritten: u64,
    /// Element 1.
    pub(super) waiting: Descriptor,
    /// Element 0, loaded.
    pub(super) running: Option<Running>,
    /// Number of the last context-status entry written.
    pub(super) entry: u32,
    /// What halted it.
    pub(super) fault: Option<Fault>,
    /// RESET_CTL: ready, and therefore still, until reset or released.
    pub(super) held: bool,
    /// IPEHR.
    pub(super) header: u32,
    /// The blitter's state; BCS only.
    pub(super) setup: Setup,
}

/// The loaded context.
#[derive(Debug)]
pub struct Running {
    pub(super) descriptor: Descriptor,
    pub(super) view: View,
    pub(super) ring: Ring,
    /// Work-around batches of the restore, the next one last.
    pub(super) prologue: ArrayVec<Batch, 2>,
    /// Batches the ring started: first level, second level.
    pub(super) batches: [Option<Batch>; 2],
    /// MI_ARB_ON_OFF.
    pub(super) arbitration: bool,
    /// The command just executed was one at which a batch may be preempted.
    pub(super) arbitration_point: bool,
    /// A blit is under way: its command is called again.
    pub(super) blitting: bool,
    /// It waits at a semaphore, which was reported.
    pub(super) semaphore_reported: bool,
    /// It goes away when it waits (CTX_CONTEXT_CONTROL does not inhibit that).
    pub(super) synchronous_switch: bool,
    /// CTX_TIMESTAMP when it was loaded, less TIMESTAMP then: both count the same clock.
    pub(super) timestamp: u32,
}

/// The ring of the loaded context.
#[derive(Debug, Clone, Copy)]
pub struct Ring {
    /// Byte offset of the next command.
    pub head: u32,
    /// Byte offset behind the last.
    pub tail: u32,
    /// Global GTT address.
    pub start: u32,
    /// RING_CTL.
    pub control: u32,
}

impl Ring {
    /// Length, bytes; a power of two or not, as software says.
    pub const fn size(&self) -> u32 {
        (self.control & 0x001f_f000) + 0x1000
    }

    /// Whether there is nothing (more) to execute.
    pub const fn empty(&self) -> bool {
        self.control & 1 == 0 || self.head == self.tail
    }

    /// Bytes from head to tail.
    pub const fn pending(&self) -> u32 {
        if self.tail >= self.head {
            self.tail - self.head
        } else {
            (self.size() + self.tail).saturating_sub(self.head)
        }
    }
}

/// A batch buffer being executed.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    /// The next command.
    pub address: u64,
    /// Where that is. A batch outside the global GTT is unprivileged.
    pub space: Space,
    /// Where it ends without a command saying so (indirect context).
    pub end: Option<u64>,
}

impl Streamer {
    /// After reset.
    pub fn new(engine: Engine) -> Self {
        Self {
            engine,
            port: ArrayVec::new(),
            pending: None,
            submissions: 0,
            overwritten: 0,
            waiting: Descriptor::default(),
            running: None,
            entry: NO_ENTRY,
            fault: None,
            held: false,
            header: 0,
            setup: Setup::default(),
        }
    }

    /// One of the four ELSP writes: element 1 high, low, element 0 high, low; the fourth acts.
    pub fn port_write<D: Dma>(&mut self, uncore: &Uncore<D>, value: u32) {
        if uncore.file.get(self.engine.base() + engine::RING_MODE) & EXECLIST_ENABLE == 0 {
            return;
        }
        self.port.push(value);
        let Ok([high_1, low_1, high_0, low_0]) = self.port.clone().into_inner() else {
            return;
        };
        self.port.clear();
        let element = |high: u32, low: u32| Descriptor(u64::from(high) << 32 | u64::from(low));
        let elements = [element(high_0, low_0), element(high_1, low_1)];
        if elements.first().is_some_and(|element| element.valid()) {
            self.submissions += 1;
            self.overwritten += u64::from(self.pending.is_some());
            self.pending = Some(elements);
        }
    }

    /// Stops everything at once: nothing is saved, nothing is reported, nothing moves any more.
    pub fn reset(&mut self) {
        *self = Self {
            submissions: self.submissions,
            overwritten: self.overwritten,
            held: self.held,
            ..Self::new(self.engine)
        };
    }

    /// Halts with an error, as after a command it cannot execute.
    pub(super) fn halt<D: Dma>(&mut self, uncore: &mut Uncore<D>, fault: Fault) {
        use crate::spec::registers::{FAULT, FAULT_TLB_DATA};
        self.fault = Some(fault);
        let base = self.engine.base();
        let error = match fault.address() {
            Some(at) => {
                // Valid, engine; address bits 47:44 and 43:12 as Gen8 splits them.
                uncore.file.set(FAULT, (self.engine as u32) << 12 | 1);
                uncore.file.set(FAULT_TLB_DATA, (at.0 >> 12) as u32);
                uncore
                    .file
                    .set(FAULT_TLB_DATA + 4, (at.0 >> 44) as u32 & 0xf);
                PAGE_ERROR
            }
            None => INSTRUCTION_ERROR,
        };
        uncore.file.set(base + engine::ESR, error);
        let reported = error & !uncore.file.get(base + engine::EMR);
        if reported != 0 {
            let identity = uncore.file.get(base + engine::EIR);
            uncore.file.set(base + engine::EIR, identity | reported);
            uncore.raise(self.engine, engine::INTERRUPT_ERROR);
        }
    }

    /// Whether MI_MODE tells it to stand still.
    pub(super) fn stopped<D: Dma>(&self, uncore: &Uncore<D>) -> bool {
        uncore.file.get(self.engine.base() + engine::MI_MODE) & STOP_RING != 0
    }

    /// Whether another turn would change anything.
    pub fn busy<D: Dma>(&self, uncore: &Uncore<D>) -> bool {
        (self.running.is_some() || self.pending.is_some())
            && self.fault.is_none()
            && !self.held
            && !self.stopped(uncore)
    }

    /// Bits of MI_MODE that the streamer itself knows.
    pub fn mode<D: Dma>(&self, uncore: &Uncore<D>) -> u32 {
        let idle = self.running.is_none() || self.stopped(uncore);
        if idle { MODE_IDLE } else { 0 }
    }

    /// The register at `offset` from the engine's base, where it is a view of the streamer, when
    /// TIMESTAMP is `timestamp`.
    pub fn register(&self, offset: u32, timestamp: impl Fn() -> u64) -> Option<u32> {
        match offset {
            engine::EXECLIST_STATUS_LO => return Some(self.status()),
            engine::EXECLIST_STATUS_HI => {
                let id = self
                    .running
                    .as_ref()
                    .map_or(0, |running| running.descriptor.id());
                return Some(id);
            }
            engine::IPEHR => return Some(self.header),
            engine::INSTDONE => return Some(if self.running.is_some() { !1 } else { !0 }),
            _ => {}
        }
        let value = self
            .running
            .as_ref()
            .map(|running| running.register(offset, timestamp));
        value.unwrap_or(is_view(offset).then_some(0))
    }

    /// EXECLIST_STATUS, lower half: which elements are valid and active.
    fn status(&self) -> u32 {
        let active = u32::from(self.running.is_some());
        let second = u32::from(self.waiting.valid());
        let full = u32::from(self.pending.is_some());
        full << 2 | second << 3 | active << 4 | active << 14 | active << 18
    }
}

/// Whether a register shows the loaded context.
const fn is_view(offset: u32) -> bool {
    matches!(
        offset,
        engine::RING_TAIL
            | engine::RING_HEAD
            | engine::RING_START
            | engine::RING_CTL
            | engine::ACTHD
            | engine::ACTHD_UDW
            | BB_ADDR
            | BB_ADDR_UDW
            | BB_STATE
    )
}

const BB_ADDR: u32 = 0x140;
const BB_ADDR_UDW: u32 = 0x168;
const BB_STATE: u32 = 0x110;

impl Running {
    /// CTX_TIMESTAMP when TIMESTAMP is `timestamp`.
    pub const fn context_timestamp(&self, timestamp: u64) -> u32 {
        self.timestamp.wrapping_add(timestamp as u32)
    }

    /// The batch whose commands are executed, if it is not the ring's turn.
    pub fn batch(&self) -> Option<&Batch> {
        let [first, second] = &self.batches;
        self.prologue.last().or(second.as_ref()).or(first.as_ref())
    }

    /// Address of the next command.
    pub fn active_head(&self) -> u64 {
        let ring = u64::from(self.ring.start) + u64::from(self.ring.head);
        self.batch().map_or(ring, |batch| batch.address)
    }

    /// A register that is a view of the loaded context, when TIMESTAMP is `timestamp`.
    pub fn register(&self, offset: u32, timestamp: impl Fn() -> u64) -> Option<u32> {
        let valid = u64::from(super::image::BATCH_VALID);
        let batch = self.batch().map_or(0, |batch| batch.address | valid);
        Some(match offset {
            engine::RING_HEAD => self.ring.head,
            engine::RING_TAIL => self.ring.tail,
            engine::RING_START => self.ring.start,
            engine::RING_CTL => self.ring.control,
            engine::ACTHD => self.active_head() as u32,
            engine::ACTHD_UDW => (self.active_head() >> 32) as u32,
            engine::CONTEXT_TIMESTAMP => self.context_timestamp(timestamp()),
            BB_ADDR => batch as u32,
            BB_ADDR_UDW => (batch >> 32) as u32,
            BB_STATE => self.batch().map_or(0, |batch| match batch.space {
                Space::Process => super::image::BATCH_PPGTT,
                Space::Global => 0,
            }),
            _ => return None,
        })
    }
}
