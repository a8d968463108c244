//! A context: an address space and one ring for each engine.
#![expect(unsafe_code, reason = "calls ioctls that can take addresses")]

use crate::abi::PointerIoctl;
use crate::abi::context as abi;
use crate::device::Device;
use crate::system::{self, Refusal};

/// A context; closed when dropped.
#[derive(Debug)]
pub struct Context {
    device: Device,
    /// The kernel's number for it.
    pub number: u32,
}

impl Context {
    /// Makes one.
    pub fn new(device: &Device) -> Result<Self, Refusal> {
        let mut create = abi::ContextCreate::default();
        device.call(&abi::CONTEXT_CREATE, &mut create)?;
        Ok(Self {
            device: device.clone(),
            number: create.ctx_id,
        })
    }

    /// I915_CONTEXT_PARAM_* with a number for a value.
    pub fn parameter(&self, parameter: u64) -> Result<u64, Refusal> {
        self.exchange(&abi::GET_CONTEXT_PARAMETER, parameter, 0)
    }

    /// Sets I915_CONTEXT_PARAM_* with a number for a value.
    pub fn set_parameter(&self, parameter: u64, value: u64) -> Result<(), Refusal> {
        self.exchange(&abi::SET_CONTEXT_PARAMETER, parameter, value)
            .map(drop)
    }

    fn exchange(
        &self,
        ioctl: &PointerIoctl<abi::ContextParameter>,
        parameter: u64,
        value: u64,
    ) -> Result<u64, Refusal> {
        let mut argument = abi::ContextParameter {
            ctx_id: self.number,
            param: parameter,
            value,
            ..Default::default()
        };
        // SAFETY: with size 0 the kernel takes the value for a number or refuses.
        unsafe { system::call_with_pointers(&self.device, ioctl, &mut argument) }?;
        Ok(argument.value)
    }

    /// What resets took from it.
    pub fn reset_statistics(&self) -> Result<abi::ResetStatistics, Refusal> {
        let mut argument = abi::ResetStatistics {
            ctx_id: self.number,
            ..Default::default()
        };
        self.device.call(&abi::RESET_STATISTICS, &mut argument)?;
        Ok(argument)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let mut argument = abi::ContextDestroy {
            ctx_id: self.number,
            ..Default::default()
        };
        // A context that is not ours to close would have failed all along.
        let _ = self.device.call(&abi::CONTEXT_DESTROY, &mut argument);
    }
}

/// An address space that contexts can share; closed when dropped.
#[derive(Debug)]
pub struct AddressSpace {
    device: Device,
    /// The kernel's number for it.
    pub number: u32,
}

impl AddressSpace {
    /// Makes one.
    pub fn new(device: &Device) -> Result<Self, Refusal> {
        let mut argument = abi::VmControl::default();
        device.call(&abi::VM_CREATE, &mut argument)?;
        Ok(Self {
            device: device.clone(),
            number: argument.vm_id,
        })
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        let mut argument = abi::VmControl {
            vm_id: self.number,
            ..Default::default()
        };
        // As for contexts.
        let _ = self.device.call(&abi::VM_DESTROY, &mut argument);
    }
}
