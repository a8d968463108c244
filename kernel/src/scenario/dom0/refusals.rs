//! Calls that must be refused: each error names the call and says what would help.

use alloc::format;
use xen::abi::Errno;
use xen::abi::hvm::Parameter;
use xen::device_model::{Buffering, MemoryType, ModifiedMemoryExtent, Range, Sbdf, ServerId};
use xen::grants::{self, Access, GrantError, GrantRef};
use xen::memory::{self, MemoryError};
use xen::scheduling::ShutdownReason;
use xen::shared::SharedPage;
use xen::{DeviceModel, DomainId, Port, XenError, events, parameters};

use super::{Checks, Outcome, channels, holds, same, why};
use crate::wiring::xen::Xen;

/// A domain that never was: Dom0 has made none.
const NOBODY: DomainId = DomainId(77);

pub fn run(checks: &mut Checks, xen: &Xen) {
    let ports = channels::open_ports(&xen.page);
    device_model(checks, xen);
    let bound = events::bind_interdomain(&xen.page, NOBODY, Port(1));
    checks.check("refused-bind-interdomain", no_such_domain(bound.map(drop)));
    let parameter = parameters::get(&xen.page, NOBODY, Parameter::StorePfn);
    checks.check("refused-parameter", no_such_domain(parameter.map(drop)));
    let removed = memory::remove_guest_frame(&xen.page, NOBODY, 1);
    checks.check("refused-remove-frame", no_such_domain(removed));
    let own = memory::remove_guest_frame(&xen.page, DomainId::SELF, 1);
    let kept = holds(own.is_err(), "our own frame is gone");
    checks.check("refused-remove-own-frame", kept);
    let populated = memory::populate(&xen.page, NOBODY, &mut [1]);
    let none = holds(populated.is_err(), "memory for nobody");
    checks.check("refused-populate", none);
    mappings(checks, xen);
    // The one right that Dom0 lacks: nobody is their own device model.
    let own = DeviceModel::new(xen.page, DomainId(0)).vcpus();
    let named = names_remedy(own.map(drop), Errno::EPERM, "gpuctl attach");
    checks.check("refused-privilege", named);
    let left = same(channels::open_ports(&xen.page), ports);
    checks.check("refusals-leak-no-port", left);
}

fn device_model(checks: &mut Checks, xen: &Xen) {
    let model = DeviceModel::new(xen.page, NOBODY);
    let server = ServerId(0);
    let range = Range::Memory(0xf000_0000, 0xf0ff_ffff);
    let function = Sbdf::new(0, 0, 2, 0);
    let mut extents = [ModifiedMemoryExtent {
        nr: 1,
        pad: 0,
        first_pfn: 1,
    }];
    let created = model.create_server(Buffering::Atomic).map(drop);
    let typed = model.set_memory_type(1, 1, MemoryType::IoreqServer);
    let calls = [
        ("nr-vcpus", model.vcpus().map(drop)),
        ("create-server", created),
        ("server-info", model.buffered_port(server).map(drop)),
        ("map-range", model.map_range(server, range)),
        ("unmap-range", model.unmap_range(server, range)),
        ("server-state", model.set_server_state(server, true)),
        ("destroy-server", model.destroy_server(server)),
        ("inject-msi", model.inject_msi(0xfee0_0000, 0x41)),
        ("intx-level", model.set_pci_intx_level(function, 0, true)),
        ("memory-type", typed),
        ("claim-writes", model.claim_write_protection(server)),
        ("release-writes", model.release_write_protection(server)),
        ("modified-memory", model.modified_memory(&mut extents)),
        ("relocate-memory", model.relocate_memory(1, 2, 1)),
        ("remote-shutdown", model.shutdown(ShutdownReason::PowerOff)),
    ];
    for (name, result) in calls {
        checks.check(format!("refused-dm-{name}"), no_such_domain(result));
    }
}

/// Nothing of nobody can be mapped, and the places stay empty.
fn mappings(checks: &mut Checks, xen: &Xen) {
    let Some(window) = xen.server_pages(2) else {
        checks.check("refused-map-foreign", Err("no address space".into()));
        return;
    };
    let mut results = [Ok(()); 2];
    let foreign = memory::map_foreign(&xen.page, NOBODY, &[1, 2], window, &mut results);
    // Xen looks the domain up for each page anew: the batch is done, with nothing in it.
    let each = same((foreign, results), (Ok(0), [Err(Errno::ESRCH); 2]));
    checks.check("refused-map-foreign", each);
    let pages = memory::acquire_ioreq_pages(&xen.page, NOBODY, 0, 0, window);
    checks.check("refused-ioreq-pages", of_memory(pages));
    let mapped = grants::map(&xen.page, NOBODY, GrantRef(8), Access::ReadOnly, window);
    let named = match mapped {
        Err(error @ GrantError::Status { domain: NOBODY, .. }) => {
            let text = why(error);
            holds(text.contains("GNTST_bad_domain"), &text)
        }
        other => Err(format!("{other:?}")),
    };
    checks.check("refused-grant", named);
    let empty = (0..window.frames())
        .filter_map(|index| window.page(index))
        .all(|page| page.load_u64(0) == !0);
    checks.check("refused-maps-nothing", holds(empty, "something is mapped"));
}

fn of_memory(result: Result<(), MemoryError>) -> Outcome {
    match result {
        Err(MemoryError::Xen(error)) => no_such_domain(Err(error)),
        other => Err(format!("{other:?}")),
    }
}

fn no_such_domain(result: Result<(), XenError>) -> Outcome {
    names_remedy(result, Errno::ESRCH, "does not exist")
}

/// Refused with this number, and the message has the call, the domain and the remedy.
fn names_remedy(result: Result<(), XenError>, errno: Errno, remedy: &str) -> Outcome {
    let Err(error) = result else {
        return Err("it was done".into());
    };
    let text = why(error);
    same(error.errno, errno).map_err(|difference| format!("{difference}: {text}"))?;
    let domain = why(error.domain);
    let parts = [error.call, &domain, remedy];
    holds(parts.iter().all(|part| text.contains(part)), &text)
}
