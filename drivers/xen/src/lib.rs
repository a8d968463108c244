//! Xen's guest interface for a PVH or HVM domain, from hypercall to IOREQ server.
//!
//! | module | what it gives |
//! |---|---|
//! | [`abi`] | structures and constants exactly as in Xen's public headers; no unsafe |
//! | [`hypercall`] | trait [`Hypervisor`], the hypercall page, [`XenError`] with its remedies |
//! | [`detect`] | is there a Xen, which version, which features, is it new enough |
//! | [`parameters`] | HVM parameters: where console, Xenstore and callback live |
//! | [`scheduling`] | shut down, yield, poll for events, watchdog |
//! | [`time`] | system time from the shared page's vCPU time record |
//! | [`memory`] | memory map, frame windows, foreign maps, populate and give back |
//! | [`aperture`] | real device frames mapped into a guest, whatever the domctl version |
//! | [`events`] | event channels: bind, send, mask, take pending, upcall vector |
//! | [`grants`] | grant table: grant and revoke our pages, map those of others |
//! | [`device_model`] | every dm_op we use on a guest, typed |
//! | [`ioreq`] | the IOREQ server of one guest: requests in, answers out, restart, teardown |
//! | [`shared`] | the only code that touches memory shared with others |
//! | [`ring`] | byte rings in such memory, safe against a lying peer |
//! | [`xenstore`] | Xenstore: wire format (also for host tools), client, shared-page transport |
//! | [`console`] | the Xen console ring and the hypervisor's own console |
//!
//! Everything above [`hypercall`] is generic over [`Hypervisor`] and runs on a host under test
//! against a fake one. Trust: Xen is trusted, every other domain is not; what another domain can
//! write is copied once, then checked. Nothing on the path that serves a guest's access
//! allocates.
//!
//! Not done: FIFO event channels (two-level ports are enough for dozens of guests), version 2
//! grants, PV guests, suspend and migration of this domain.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod abi;
pub mod aperture;
pub mod console;
pub mod detect;
pub mod device_model;
pub mod events;
pub mod grants;
pub mod hypercall;
pub mod ioreq;
pub mod memory;
pub mod parameters;
pub mod ring;
pub mod scheduling;
pub mod shared;
pub mod time;
pub mod xenstore;

#[cfg(test)]
mod fake;

pub use abi::{DomainId, Errno};
pub use detect::Version;
pub use device_model::DeviceModel;
pub use events::{EventChannels, Port, PortSet};
pub use hypercall::{HypercallPage, Hypervisor, XenError};
pub use ioreq::IoreqServer;
pub use memory::Window;
