//! The calls that are counted, and where one count ends and the next begins.
//!
//! valgrind finds these functions by their names: nothing else here may have `measured` in its own.

use mediator::{Access, DomainId};

use crate::driver::Machine;

/// A guest's access, from the mediator's door to its answer.
#[inline(never)]
pub fn access(machine: &mut Machine, domain: DomainId, access: Access) -> u64 {
    machine.mediator.access(domain, access)
}

/// An access is over.
#[inline(never)]
pub fn access_settled(machine: &mut Machine, domain: DomainId) {
    machine.mediator.access_settled(domain);
}

/// A round of everything that is not an access.
#[inline(never)]
pub fn service(machine: &mut Machine) -> gpu::Progress {
    machine.mediator.service()
}
