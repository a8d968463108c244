//! Xenstore: the toolstack's small tree of names and values.
//!
//! Three layers: [`wire`] is the message format and needs nothing, so that host tools and
//! fuzzers use it as well; [`Client`] keeps requests, replies and watch events in order over any
//! [`Transport`]; [`RingTransport`] is the shared page that a domain has. The daemon is
//! Dom0's, the paths and values may be anybody's: everything received is checked, a reply that
//! makes no sense is an error with a name. [`Client::ask`] and [`Client::look`] never wait, and
//! no other call waits longer than its doorbell allows.

mod client;
mod error;
mod operations;
pub mod permission;
mod ring;
mod stream;
pub mod wire;

pub use client::{Client, EVENTS_MAX, Look, WatchEvent};
pub use error::XenstoreError;
pub use permission::{Access, Permission};
pub use ring::{Doorbell, PollDoorbell, RingTransport};
pub use stream::Transport;
pub use wire::Transaction;

#[cfg(test)]
mod tests;
