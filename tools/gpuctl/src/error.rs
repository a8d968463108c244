//! Everything that can go wrong, what to do about it, and the exit status it ends with.

use core::fmt;
use std::io;

use xen::xenstore::XenstoreError;

use crate::text::Untrusted;

/// What a command returns.
pub type Result<T> = core::result::Result<T, Error>;

/// A failure as the person in Dom0 reads it.
#[derive(Debug)]
pub enum Error {
    /// The command line makes no sense.
    Usage(String),
    /// Xenstore could not be reached.
    NoXenstore(io::Error),
    /// Xenstore answered a request with an error, or broke its protocol.
    Xenstore {
        /// Node or special name asked for.
        path: String,
        /// What went wrong.
        error: XenstoreError,
    },
    /// No domain has the service domain's usual name.
    NoService,
    /// The named domain does not offer one.
    NotAService(u32),
    /// The service domain says that it cannot serve.
    ServiceFailed {
        /// Which one.
        service: u32,
        /// Its own words.
        reason: Untrusted,
    },
    /// No such domain.
    NoDomain(String),
    /// More than one domain has that name.
    SeveralDomains(String),
    /// A domain without emulated PCI.
    NotHvm {
        /// Which one.
        domain: u32,
        /// `pv` or `pvh`.
        kind: Untrusted,
    },
    /// The service domain said no.
    Refused {
        /// To which guest.
        guest: u32,
        /// Its own words.
        reason: Untrusted,
    },
    /// The guest has a vGPU.
    AlreadyAttached(u32),
    /// The service domain answered with a state that the protocol does not know.
    Nonsense {
        /// The node.
        path: String,
        /// Its contents.
        value: Untrusted,
    },
    /// The guest went away while the service domain was asked.
    GuestVanished(u32),
    /// No answer before the deadline.
    Silence {
        /// Who was asked.
        service: u32,
        /// For what.
        waiting_for: &'static str,
        /// For how long.
        seconds: u64,
    },
    /// `xc_domain_set_target` refused.
    Target {
        /// The service domain.
        service: u32,
        /// The guest it was to be allowed to serve.
        guest: u32,
        /// Why.
        error: io::Error,
    },
    /// libxenctrl could not be loaded.
    NoLibrary(String),
    /// `xl` could not be started or failed.
    Xl {
        /// Its arguments.
        command: String,
        /// What became of it.
        outcome: String,
    },
    /// The guest's configuration file.
    Config {
        /// Its name.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// Output.
    Output(io::Error),
}

const EINVAL: i32 = 22;
const EPERM: i32 = 1;
const EACCES: i32 = 13;

impl Error {
    /// Exit status; the table is in `gpuctl --help` and `docs/gpuctl.md`.
    pub const fn status(&self) -> u8 {
        match self {
            Self::NoXenstore(_) | Self::Xenstore { .. } | Self::Output(_) => 1,
            Self::Usage(_) | Self::Config { .. } => 2,
            Self::NoService | Self::NotAService(_) | Self::ServiceFailed { .. } => 3,
            Self::Refused { .. } | Self::AlreadyAttached(_) => 4,
            Self::NoDomain(_)
            | Self::SeveralDomains(_)
            | Self::NotHvm { .. }
            | Self::GuestVanished(_) => 5,
            Self::Silence { .. } | Self::Nonsense { .. } => 6,
            Self::Target { .. } | Self::NoLibrary(_) => 7,
            Self::Xl { .. } => 8,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) => write!(f, "{what}\ntry: gpuctl --help"),
            Self::NoXenstore(error) => write!(
                f,
                "no connection to Xenstore: {error}\n\
                 gpuctl runs in Dom0, as root, with xenstored up \
                 (/run/xenstored/socket or /dev/xen/xenbus)"
            ),
            Self::Xenstore { path, error } => write!(f, "Xenstore, {path}: {error}"),
            Self::NoService => write!(
                f,
                "no domain is named gpu-service\n\
                 start it: xl create service-domain.cfg; if it has another name, say \
                 --service NAME"
            ),
            Self::NotAService(id) => write!(
                f,
                "d{id} offers no GPU (no /local/domain/{id}/data/gpu/state)\n\
                 if it was just created, its console tells how far it is: xl console {id}"
            ),
            Self::ServiceFailed { service, reason } => write!(
                f,
                "service domain d{service} cannot serve: {reason}\n\
                 more is on its console: xl console {service}"
            ),
            Self::NoDomain(name) => write!(f, "no domain \"{name}\"; see: xl list"),
            Self::SeveralDomains(name) => {
                write!(
                    f,
                    "more than one domain is named \"{name}\"; use its number (xl list)"
                )
            }
            Self::NotHvm { domain, kind } => write!(
                f,
                "d{domain} is of type {kind}: a vGPU is a PCI device, so its guest must be \
                 type=\"hvm\"\nsee configs/guest.cfg"
            ),
            Self::Refused { guest, reason } => {
                write!(
                    f,
                    "the service domain refused a vGPU for d{guest}: {reason}"
                )
            }
            Self::AlreadyAttached(guest) => write!(
                f,
                "d{guest} has a vGPU already; to give it another one: gpuctl detach {guest} first"
            ),
            Self::Nonsense { path, value } => write!(
                f,
                "{path} holds {value}, which is no state this gpuctl knows\n\
                 are gpuctl and the service domain of the same version? (gpuctl list shows its)"
            ),
            Self::GuestVanished(guest) => {
                write!(f, "d{guest} went away before the service domain answered")
            }
            Self::Silence {
                service,
                waiting_for,
                seconds,
            } => write!(
                f,
                "service domain d{service} gave no answer ({waiting_for}) within {seconds} s\n\
                 is it running (xl list) and what does it say (xl console {service})? \
                 --timeout SECONDS waits longer"
            ),
            Self::Target {
                service,
                guest,
                error,
            } => {
                write!(f, "xc_domain_set_target(d{service}, d{guest}): {error}")?;
                match error.raw_os_error() {
                    Some(EINVAL) => write!(
                        f,
                        "\nwithout FLASK, Xen lets a domain serve ONE guest, chosen once and kept \
                         until the service domain ends, even when that guest is gone.\n\
                         Either start another service domain for this guest, or boot a Xen with \
                         FLASK and the module in policy/: it serves any number"
                    ),
                    Some(EPERM | EACCES) => write!(
                        f,
                        "\nonly Dom0 may do this, with the libxenctrl of the Xen that runs \
                         (xl info); under FLASK the policy in policy/ makes it unnecessary"
                    ),
                    _ => Ok(()),
                }
            }
            Self::NoLibrary(tried) => write!(
                f,
                "libxenctrl cannot be loaded (tried {tried})\n\
                 it comes with the tools of Xen 4.19 or newer (Debian: xen-utils-4.20); stock Xen \
                 needs it for xc_domain_set_target"
            ),
            Self::Xl { command, outcome } => write!(f, "xl {command}: {outcome}"),
            Self::Config { path, why } => write!(f, "{path}: {why}"),
            Self::Output(error) => write!(f, "cannot write the answer: {error}"),
        }
    }
}
