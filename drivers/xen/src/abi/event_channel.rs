//! Event-channel operations (`xen/event_channel.h`).

use super::{DomainId, command};

/// Ports a domain can have with two-level event channels (`EVTCHN_2L_NR_CHANNELS`).
pub const NR_CHANNELS: u32 = 4096;

/// A port of this domain's (`evtchn_port_t`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Port(pub u32);

impl core::fmt::Display for Port {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "port {}", self.0)
    }
}

/// `struct evtchn_alloc_unbound`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct AllocUnbound {
    pub dom: DomainId,
    pub remote_dom: DomainId,
    pub port: u32,
}
command!(
    AllocUnbound,
    EventChannelOp,
    6,
    "EVTCHNOP_alloc_unbound",
    remote_dom
);

/// `struct evtchn_bind_interdomain`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct BindInterdomain {
    pub remote_dom: DomainId,
    pub pad: u16,
    pub remote_port: u32,
    pub local_port: u32,
}
command!(
    BindInterdomain,
    EventChannelOp,
    0,
    "EVTCHNOP_bind_interdomain",
    remote_dom
);

/// `struct evtchn_bind_virq`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct BindVirq {
    pub virq: u32,
    pub vcpu: u32,
    pub port: u32,
}
command!(BindVirq, EventChannelOp, 1, "EVTCHNOP_bind_virq");

/// `VIRQ_TIMER`: the vCPU's one-shot timer.
pub const VIRQ_TIMER: u32 = 0;
/// `VIRQ_DEBUG`: an operator asks for a state dump (`xl debug-keys q`).
pub const VIRQ_DEBUG: u32 = 1;

/// `struct evtchn_bind_ipi`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct BindIpi {
    pub vcpu: u32,
    pub port: u32,
}
command!(BindIpi, EventChannelOp, 7, "EVTCHNOP_bind_ipi");

/// `struct evtchn_close`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct Close {
    pub port: u32,
}
command!(Close, EventChannelOp, 3, "EVTCHNOP_close");

/// `struct evtchn_send`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct Send {
    pub port: u32,
}
command!(Send, EventChannelOp, 4, "EVTCHNOP_send");

/// `struct evtchn_unmask`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct Unmask {
    pub port: u32,
}
command!(Unmask, EventChannelOp, 9, "EVTCHNOP_unmask");

/// `struct evtchn_bind_vcpu`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct BindVcpu {
    pub port: u32,
    pub vcpu: u32,
}
command!(BindVcpu, EventChannelOp, 8, "EVTCHNOP_bind_vcpu");

/// `struct evtchn_status`; its union laid out as the interdomain case, whose first field the
/// unbound case shares.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct Status {
    pub dom: u16,
    pub port: u32,
    pub status: u32,
    pub vcpu: u32,
    pub remote_dom: u16,
    pub pad: u16,
    pub remote_port: u32,
}
impl super::sealed::Sealed for Status {}
impl super::Command for Status {
    const HYPERCALL: super::Hypercall = super::Hypercall::EventChannelOp;
    const NUMBER: u64 = 5;
    const NAME: &'static str = "EVTCHNOP_status";

    fn domain(&self) -> DomainId {
        DomainId(self.dom)
    }
}

/// `EVTCHNSTAT_closed`.
pub const STATUS_CLOSED: u32 = 0;
/// `EVTCHNSTAT_unbound`.
pub const STATUS_UNBOUND: u32 = 1;
/// `EVTCHNSTAT_interdomain`.
pub const STATUS_INTERDOMAIN: u32 = 2;
/// `EVTCHNSTAT_pirq`.
pub const STATUS_PIRQ: u32 = 3;
/// `EVTCHNSTAT_virq`.
pub const STATUS_VIRQ: u32 = 4;
/// `EVTCHNSTAT_ipi`.
pub const STATUS_IPI: u32 = 5;
