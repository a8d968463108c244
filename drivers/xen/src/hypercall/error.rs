//! A refused hypercall, named, with what the person at the console can do.

use core::fmt;

use crate::abi::{DomainId, Errno};
use crate::detect::Version;

/// Xen refused a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XenError {
    /// Xen's name of the hypercall or command.
    pub call: &'static str,
    /// The domain it was about.
    pub domain: DomainId,
    /// Why, in Xen's words.
    pub errno: Errno,
    /// The hypervisor that said so.
    pub version: Version,
}

/// What helps against a [`XenError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// This Xen refuses the call to every PVH or HVM domain.
    NewerXen,
    /// This domain is not the guest's device model.
    Privilege,
    /// The guest is gone, or never was.
    NoSuchDomain,
    /// The call works on HVM and PVH guests only.
    NotHvm,
    /// All eight IOREQ servers of the guest are taken.
    ServersFull,
    /// Xen ran out of memory for this domain.
    Memory,
}

impl XenError {
    /// The remedy, where one is known.
    pub fn remedy(&self) -> Option<Remedy> {
        let device_model = self.call.starts_with("XEN_DMOP_");
        let maps = matches!(
            self.call,
            "XENMEM_acquire_resource" | "XENMEM_add_to_physmap_batch"
        );
        // FLASK asks for the guest's event channels as well.
        let privileged = maps || device_model || self.call == "EVTCHNOP_bind_interdomain";
        match self.errno {
            Errno::EPERM | Errno::EACCES if maps && self.version < Version::REQUIRED => {
                Some(Remedy::NewerXen)
            }
            // Of the calls on a server, only those on one that belongs to another domain answer
            // EPERM to a privileged caller; this crate makes them while probing only.
            Errno::EPERM | Errno::EACCES if privileged => Some(Remedy::Privilege),
            Errno::ESRCH => Some(Remedy::NoSuchDomain),
            Errno::EINVAL if self.call == "XEN_DMOP_nr_vcpus" => Some(Remedy::NotHvm),
            Errno::ENOSPC if self.call == "XEN_DMOP_create_ioreq_server" => {
                Some(Remedy::ServersFull)
            }
            Errno::ENOMEM => Some(Remedy::Memory),
            _ => None,
        }
    }
}

impl fmt::Display for XenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            call,
            domain,
            errno,
            version,
        } = self;
        write!(f, "{domain}: Xen {version} refuses {call}: {errno}")?;
        match self.remedy() {
            None => Ok(()),
            Some(Remedy::NewerXen) => write!(f, ": needs {} or newer", Version::REQUIRED),
            Some(Remedy::Privilege) => write!(
                f,
                ": no device-model privilege over {domain}: on stock Xen run gpuctl attach \
                 (xc_domain_set_target, one guest per service domain), or boot Xen with FLASK and \
                 our policy"
            ),
            Some(Remedy::NoSuchDomain) => {
                write!(f, ": {domain} does not exist or is being destroyed")
            }
            Some(Remedy::NotHvm) => write!(f, ": {domain} is no HVM or PVH guest"),
            Some(Remedy::ServersFull) => {
                write!(
                    f,
                    ": all 8 IOREQ servers of {domain} are taken: restart the guest"
                )
            }
            Some(Remedy::Memory) => write!(
                f,
                ": out of memory: raise shadow_memory of this domain, or memory of {domain}"
            ),
        }
    }
}

impl core::error::Error for XenError {}
