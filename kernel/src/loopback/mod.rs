//! Guests inside the image: they draw through the mediator where there is no Xen.
//!
//! A loopback guest has memory of its own, a domain number that Xen never gives out, and reaches
//! its vGPU only as a real guest does: configuration space, BAR accesses, pages and MSIs.

mod memory;
mod players;
mod program;

pub use memory::{Domains, MAX};
pub use players::Players;

/// First domain number of a loopback guest (`DOMID_FIRST_RESERVED` is 0x7ff0).
pub const FIRST_DOMAIN: u16 = 0x7f00;
