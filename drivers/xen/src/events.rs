//! Event channels: Xen's interrupts between domains, two-level flavour.
//!
//! Sending sets the port's bit in the receiver's `evtchn_pending`, then the word's bit in the
//! bound vCPU's `evtchn_pending_sel`, then `evtchn_upcall_pending`, and injects the upcall vector
//! (`common/event_2l.c`). The receiver undoes it in the opposite order, so that a bit set
//! meanwhile is either seen now or announced again. A masked port keeps its pending bit and
//! announces nothing; `SCHEDOP_poll` sees it all the same.
//!
//! Ports are resources: each one bound or allocated here must be closed once.

mod set;

use crate::abi::event_channel::{
    AllocUnbound, BindInterdomain, BindIpi, BindVcpu, BindVirq, Close, NR_CHANNELS,
    STATUS_INTERDOMAIN, STATUS_IPI, STATUS_PIRQ, STATUS_UNBOUND, STATUS_VIRQ, Send, Status, Unmask,
};
use crate::abi::hvm::{CALLBACK_TYPE_VECTOR, EvtchnUpcallVector, Parameter};
use crate::abi::shared_info::{LEGACY_MAX_VCPUS, SharedInfo, VcpuInfo};
use crate::abi::{DomainId, Errno};
use crate::hypercall::{Hypervisor, XenError, issue};
use crate::parameters;
use crate::shared::SharedPage;

pub use crate::abi::event_channel::Port;
pub use set::PortSet;

/// What a port is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortStatus {
    /// Nothing; the port is free.
    Closed,
    /// Waiting for this domain to connect.
    Unbound(DomainId),
    /// Connected to a port of another domain.
    Interdomain(DomainId, Port),
    /// A physical interrupt.
    Pirq,
    /// A virtual interrupt.
    Virq,
    /// An inter-processor interrupt.
    Ipi,
}

/// Makes a port of ours that `remote` may connect to.
pub fn alloc_unbound<H: Hypervisor>(hypervisor: &H, remote: DomainId) -> Result<Port, XenError> {
    let mut command = AllocUnbound {
        dom: DomainId::SELF,
        remote_dom: remote,
        port: 0,
    };
    issue(hypervisor, &mut command)?;
    Ok(Port(command.port))
}

/// Connects to a port that `remote`, or Xen in its name, has made for us.
///
/// -EINVAL means that the port is not waiting for us: taken already, or not a port of that kind.
pub fn bind_interdomain<H: Hypervisor>(
    hypervisor: &H,
    remote: DomainId,
    remote_port: Port,
) -> Result<Port, XenError> {
    let mut command = BindInterdomain {
        remote_dom: remote,
        pad: 0,
        remote_port: remote_port.0,
        local_port: 0,
    };
    issue(hypervisor, &mut command)?;
    Ok(Port(command.local_port))
}

/// Connects a port to a virtual interrupt of `vcpu`.
pub fn bind_virq<H: Hypervisor>(hypervisor: &H, virq: u32, vcpu: u32) -> Result<Port, XenError> {
    let mut command = BindVirq {
        virq,
        vcpu,
        port: 0,
    };
    issue(hypervisor, &mut command)?;
    Ok(Port(command.port))
}

/// Makes a port with which our vCPUs notify `vcpu`.
pub fn bind_ipi<H: Hypervisor>(hypervisor: &H, vcpu: u32) -> Result<Port, XenError> {
    let mut command = BindIpi { vcpu, port: 0 };
    issue(hypervisor, &mut command)?;
    Ok(Port(command.port))
}

/// Makes `vcpu` the one that a port notifies.
pub fn bind_vcpu<H: Hypervisor>(hypervisor: &H, port: Port, vcpu: u32) -> Result<(), XenError> {
    issue(hypervisor, &mut BindVcpu { port: port.0, vcpu }).map(drop)
}

/// Gives a port back. Xen clears its pending bit.
pub fn close<H: Hypervisor>(hypervisor: &H, port: Port) -> Result<(), XenError> {
    issue(hypervisor, &mut Close { port: port.0 }).map(drop)
}

/// Notifies the other end of a port.
pub fn send<H: Hypervisor>(hypervisor: &H, port: Port) -> Result<(), XenError> {
    issue(hypervisor, &mut Send { port: port.0 }).map(drop)
}

/// What a port of ours is connected to.
pub fn status<H: Hypervisor>(hypervisor: &H, port: Port) -> Result<PortStatus, XenError> {
    let mut command = Status {
        dom: DomainId::SELF.0,
        port: port.0,
        ..Status::default()
    };
    issue(hypervisor, &mut command)?;
    Ok(match command.status {
        STATUS_UNBOUND => PortStatus::Unbound(DomainId(command.remote_dom)),
        STATUS_INTERDOMAIN => {
            PortStatus::Interdomain(DomainId(command.remote_dom), Port(command.remote_port))
        }
        STATUS_PIRQ => PortStatus::Pirq,
        STATUS_VIRQ => PortStatus::Virq,
        STATUS_IPI => PortStatus::Ipi,
        _ => PortStatus::Closed,
    })
}

/// Closes every port connected to `domain` and returns how many there were.
///
/// For a restart in place, when nobody remembers the ports: as long as they are open, Xen's end
/// counts as taken and cannot be bound again. Looks at ports up to the first that Xen says this
/// domain cannot have.
pub fn close_all_with<H: Hypervisor>(hypervisor: &H, domain: DomainId) -> Result<u32, XenError> {
    let mut closed = 0;
    for number in 1..NR_CHANNELS {
        match status(hypervisor, Port(number)) {
            Ok(PortStatus::Interdomain(remote, _)) if remote == domain => {
                close(hypervisor, Port(number))?;
                closed += 1;
            }
            Ok(_) => {}
            // Beyond what has ever been allocated for this domain.
            Err(error) if error.errno == Errno::EINVAL => break,
            Err(error) => return Err(error),
        }
    }
    Ok(closed)
}

/// Has all events delivered through `vector` on every vCPU, without end-of-interrupt.
///
/// It strikes anew for as long as the vCPU's `evtchn_upcall_pending` is up
/// (`arch/x86/hvm/irq.c:hvm_vcpu_has_pending_irq`): its handler has to take that flag down.
/// In a domain without a legacy interrupt controller (PVH) it cannot be taken back.
pub fn set_callback_vector<H: Hypervisor>(hypervisor: &H, vector: u8) -> Result<(), XenError> {
    let value = CALLBACK_TYPE_VECTOR << 56 | u64::from(vector);
    parameters::set(hypervisor, DomainId::SELF, Parameter::CallbackIrq, value)
}

/// Has events of one vCPU delivered through its local APIC as `vector`, which must then be
/// acknowledged there.
pub fn set_upcall_vector<H: Hypervisor>(
    hypervisor: &H,
    vcpu: u32,
    vector: u8,
) -> Result<(), XenError> {
    let mut command = EvtchnUpcallVector {
        vcpu,
        vector,
        pad: [0; 3],
    };
    issue(hypervisor, &mut command).map(drop)
}

const PENDING: usize = core::mem::offset_of!(SharedInfo, evtchn_pending);
const MASK: usize = core::mem::offset_of!(SharedInfo, evtchn_mask);
const UPCALL_PENDING: usize = core::mem::offset_of!(VcpuInfo, evtchn_upcall_pending);
const PENDING_SELECTOR: usize = core::mem::offset_of!(VcpuInfo, evtchn_pending_sel);
const WORDS: usize = NR_CHANNELS as usize / 64;

/// The receiving side: this domain's shared page.
#[derive(Debug, Clone, Copy)]
pub struct EventChannels<H, P> {
    hypervisor: H,
    shared_info: P,
}

impl<H: Hypervisor, P: SharedPage> EventChannels<H, P> {
    /// Over the shared page; nothing is changed yet. Xen starts a domain with all ports
    /// unmasked.
    pub const fn new(hypervisor: H, shared_info: P) -> Self {
        Self {
            hypervisor,
            shared_info,
        }
    }

    /// The shared page, for [`crate::time`].
    pub const fn shared_info(&self) -> &P {
        &self.shared_info
    }

    /// Masks every port there can be.
    pub fn mask_all(&self) {
        for word in 0..WORDS {
            self.shared_info.store_u64(MASK + word * 8, !0);
        }
    }

    /// Masks a port: it collects events silently.
    pub fn mask(&self, port: Port) {
        if let Some((word, bit)) = place(port) {
            self.shared_info.fetch_or_u64(MASK + word * 8, bit);
        }
    }

    /// Unmasks a port; an event collected meanwhile is announced now.
    pub fn unmask(&self, port: Port) -> Result<(), XenError> {
        let Some((word, bit)) = place(port) else {
            return Ok(());
        };
        self.shared_info.fetch_and_u64(MASK + word * 8, !bit);
        // From here on Xen announces new events itself. One that came earlier needs Xen's help,
        // and Xen acts only on a port that is masked still.
        if self.shared_info.load_u64(PENDING + word * 8) & bit == 0 {
            return Ok(());
        }
        self.shared_info.fetch_or_u64(MASK + word * 8, bit);
        issue(&self.hypervisor, &mut Unmask { port: port.0 }).map(drop)
    }

    /// Whether an event waits at a port.
    pub fn is_pending(&self, port: Port) -> bool {
        place(port)
            .is_some_and(|(word, bit)| self.shared_info.load_u64(PENDING + word * 8) & bit != 0)
    }

    /// Takes the event waiting at a port, masked or not, and says whether there was one.
    pub fn take(&self, port: Port) -> bool {
        place(port).is_some_and(|(word, bit)| {
            self.is_pending(port)
                && self.shared_info.fetch_and_u64(PENDING + word * 8, !bit) & bit != 0
        })
    }

    /// Takes every unmasked event announced to `vcpu` and adds its port to `into`. Returns how
    /// many were taken; one pass, whatever the others send meanwhile.
    pub fn take_pending(&self, vcpu: usize, into: &mut PortSet) -> usize {
        if vcpu >= LEGACY_MAX_VCPUS {
            return 0;
        }
        let info = vcpu * size_of::<VcpuInfo>();
        self.shared_info.store_u8(info + UPCALL_PENDING, 0);
        // The selector must be taken after the flag is down, or an event announced in between
        // would wait for the next one.
        crate::shared::full_barrier();
        let mut selector = self.shared_info.swap_u64(info + PENDING_SELECTOR, 0);
        let mut taken = 0;
        while selector != 0 {
            let word = selector.trailing_zeros() as usize;
            selector &= selector - 1;
            taken += self.take_word(word, self.shared_info.load_u64(MASK + word * 8), into);
        }
        taken
    }

    /// Takes every waiting event, masked or announced to whomever: for loops that poll.
    pub fn take_all(&self, into: &mut PortSet) -> usize {
        (0..WORDS).map(|word| self.take_word(word, 0, into)).sum()
    }

    fn take_word(&self, word: usize, masked: u64, into: &mut PortSet) -> usize {
        let candidates = self.shared_info.load_u64(PENDING + word * 8) & !masked;
        if candidates == 0 {
            return 0;
        }
        let before = self
            .shared_info
            .fetch_and_u64(PENDING + word * 8, !candidates);
        let taken = before & candidates;
        into.insert_word(word, taken);
        taken.count_ones() as usize
    }
}

/// Word and bit of a port.
fn place(port: Port) -> Option<(usize, u64)> {
    (port.0 < NR_CHANNELS).then(|| (port.0 as usize / 64, 1 << (port.0 % 64)))
}

#[cfg(test)]
mod tests;
