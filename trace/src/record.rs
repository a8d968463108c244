//! What a trace is made of. The layout of its bytes is in docs/trace.md.

use arrayvec::ArrayString;
use mediator::{Access, DomainId, GuestFrame, PageError, VgpuConfig, Window};

use crate::layout::VERSION;

/// Longest label, bytes.
const LABEL: usize = 48;

/// What a trace begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// MiB that the global GTT maps.
    pub gtt_mib: u32,
    /// The clock when the mediator was started, nanoseconds.
    pub start: u64,
    /// Whose driver this is, in the words of whoever recorded it.
    pub label: ArrayString<LABEL>,
}

/// How often an access came in a row, and what each adds to the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// At least 1.
    pub count: u64,
    /// Bytes.
    pub address: u64,
    /// To what is written, or to the answer.
    pub value: u64,
}

impl Repeat {
    /// An access that came once.
    pub const ONCE: Self = Self {
        count: 1,
        address: 0,
        value: 0,
    };
}

/// What the mediator asked the outside world for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// A pin of a guest's frame.
    Pin(GuestFrame),
    /// A page of the service domain.
    Allocate,
    /// Routing of BAR0, or of BAR2.
    Trap(bool),
    /// Write protection of a guest's frame.
    Protect(GuestFrame),
    /// A real aperture at a guest's frame.
    Place(GuestFrame),
    /// Memory at a trapped frame.
    Open(GuestFrame),
}

/// One thing that crossed the boundary. Those that are no calls concern the call that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// The clock said this.
    Time(u64),
    /// Guest memory held these `count` qwords from qword `first` of a frame: `value`, and `step`
    /// more each.
    Memory {
        /// Whose.
        domain: DomainId,
        /// Which frame.
        frame: u64,
        /// Which qword of it.
        first: u16,
        /// How many.
        count: u16,
        /// The first.
        value: u64,
        /// Added to each next one.
        step: u64,
    },
    /// From now on such requests are refused, or met again. Until told otherwise they are met.
    Outcome {
        /// For whom.
        domain: DomainId,
        /// What.
        request: Request,
        /// With what result.
        result: Result<(), PageError>,
    },
    /// [`Guests::generation`](mediator::Guests::generation) is this from now on; 0 before.
    Generation {
        /// Whose.
        domain: DomainId,
        /// Its number.
        generation: u32,
    },
    /// A message-signalled interrupt was sent.
    Message {
        /// To whom.
        domain: DomainId,
        /// Where.
        address: u64,
        /// What.
        data: u32,
    },
    /// A window was routed here, or no more.
    Window {
        /// Whose.
        domain: DomainId,
        /// Which.
        window: Window,
        /// First byte and size.
        range: Option<(u64, u64)>,
    },
    /// Call: a guest was given a vGPU.
    Added {
        /// Who.
        domain: DomainId,
        /// Of what size.
        config: VgpuConfig,
        /// Whether the mediator could.
        accepted: bool,
    },
    /// Call: a vGPU was taken away.
    Removed(DomainId),
    /// Call: an access is over.
    Settled(DomainId),
    /// Call: accesses.
    Access {
        /// Whose.
        domain: DomainId,
        /// The first.
        access: Access,
        /// What it was answered; a write is answered 0.
        answer: u64,
        /// The others.
        repeat: Repeat,
    },
    /// Call: a round that did something; whether more is left.
    Service {
        /// The mediator said so.
        busy: bool,
    },
    /// At the end a frame holds bytes with this [`hash`](crate::hash).
    Page {
        /// Whose.
        domain: DomainId,
        /// Which frame.
        frame: u64,
        /// Of its bytes.
        hash: u32,
    },
    /// The last record. If it is not complete the log was full before the recording ended.
    End {
        /// Whether it is.
        complete: bool,
    },
}

/// A trace cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceError {
    /// It ends too early.
    Short,
    /// It is no trace, or of another version.
    Foreign,
    /// A record at this byte makes no sense.
    Malformed(usize),
}

impl core::fmt::Display for TraceError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Short => write!(f, "ends too early"),
            Self::Foreign => write!(f, "no trace of version {VERSION}"),
            Self::Malformed(at) => write!(f, "makes no sense at byte {at:#x}"),
        }
    }
}
