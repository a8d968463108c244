//! HVM parameters: where the toolstack put console and Xenstore, and who is called back.

use crate::abi::DomainId;
use crate::abi::hvm::{GetParam, Parameter, SetParam};
use crate::hypercall::{Hypervisor, XenError, issue};

/// Reads a parameter of `domain`.
pub fn get<H: Hypervisor>(
    hypervisor: &H,
    domain: DomainId,
    parameter: Parameter,
) -> Result<u64, XenError> {
    let mut command = GetParam {
        domid: domain,
        pad: 0,
        index: parameter as u32,
        value: 0,
    };
    issue(hypervisor, &mut command)?;
    Ok(command.value)
}

/// Sets a parameter of `domain`.
pub fn set<H: Hypervisor>(
    hypervisor: &H,
    domain: DomainId,
    parameter: Parameter,
    value: u64,
) -> Result<(), XenError> {
    let mut command = SetParam {
        domid: domain,
        pad: 0,
        index: parameter as u32,
        value,
    };
    issue(hypervisor, &mut command)?;
    Ok(())
}
