//! Who runs, and whose pages it touched that were not its own.
//!
//! The owner of a context's image decides for whom the context works. Real hardware knows
//! nothing of this: it is the model's check on the mediator, and must never find anything.

use core::fmt;

use crate::address::{DmaPage, GraphicsAddress};
use crate::dma::Owner;
use crate::spec::engine::Engine;

/// For whom an engine works at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// The service domain: its own contexts, and the engine's writes to its status page.
    Host,
    /// A guest's context.
    Domain(u16),
}

impl Client {
    /// The client of a context whose image is such a page; none if it is nobody's.
    pub const fn of(owner: Owner) -> Option<Self> {
        match owner {
            Owner::Host => Some(Self::Host),
            Owner::Guest(domain) | Owner::HostFor(domain) => Some(Self::Domain(domain)),
            Owner::Nobody => None,
        }
    }

    /// Whether it may touch a page of this owner.
    pub fn may_touch(self, owner: Owner) -> bool {
        match self {
            Self::Host => owner == Owner::Host,
            Self::Domain(domain) => owner.domain() == Some(domain),
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Domain(domain) => write!(f, "d{domain}"),
        }
    }
}

/// One refused access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breach {
    /// Which engine tried.
    pub engine: Engine,
    /// Context id (upper dword of the descriptor) it ran.
    pub context: u32,
    /// For whom.
    pub client: Client,
    /// Where, in the address space it used.
    pub address: GraphicsAddress,
    /// What lies there.
    pub page: DmaPage,
    /// Whose that is.
    pub owner: Owner,
    /// Whether it wanted to write.
    pub write: bool,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            engine,
            context,
            client,
            address,
            page,
            owner,
            write,
        } = self;
        let verb = if *write { "write" } else { "read" };
        write!(
            f,
            "{client} {engine} context {context:#x}: {verb} at {:#x} reached page {:#x} of {owner:?}",
            address.0, page.0
        )
    }
}

/// Breaches so far.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// How many.
    pub count: u64,
    /// The latest.
    pub last: Option<Breach>,
}

impl Record {
    /// Adds one.
    pub fn add(&mut self, breach: Breach) {
        self.count = self.count.saturating_add(1);
        self.last = Some(breach);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_reaches_its_own_pages_and_what_works_for_it_and_nothing_else() {
        let guest = Client::Domain(3);
        assert!(guest.may_touch(Owner::Guest(3)) && guest.may_touch(Owner::HostFor(3)));
        for owner in [
            Owner::Guest(4),
            Owner::HostFor(4),
            Owner::Host,
            Owner::Nobody,
        ] {
            assert!(!guest.may_touch(owner), "{owner:?}");
        }
    }

    #[test]
    fn the_host_keeps_out_of_what_belongs_to_guests() {
        assert!(Client::Host.may_touch(Owner::Host));
        for owner in [Owner::Guest(4), Owner::HostFor(4), Owner::Nobody] {
            assert!(!Client::Host.may_touch(owner), "{owner:?}");
        }
    }
}
