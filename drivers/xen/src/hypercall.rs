//! Hypercalls: the door to Xen, and errors that say what to do about them.
//!
//! Arguments travel in rdi, rsi, rdx, r10, r8; the answer comes in rax, negative for an error
//! (`xen/arch-x86/xen-x86_64.h`). Pointers among them are guest-virtual addresses; this domain's
//! memory is identity mapped.
#![expect(
    unsafe_code,
    reason = "the one place that turns typed commands into register values for Xen"
)]

mod error;
mod page;

pub use error::{Remedy, XenError};
pub use page::{HypercallPage, cpuid};

use crate::abi::dm_op::{Buf, Op, Operation};
use crate::abi::{Command, DomainId, Errno, Hypercall};
use crate::detect::Version;

/// Something that answers hypercalls: Xen, or a test's imitation.
pub trait Hypervisor {
    /// Makes hypercall `number` and returns Xen's answer.
    ///
    /// # Safety
    ///
    /// Xen follows the addresses that the command's definition says are addresses, and reads and
    /// writes as many bytes there as that definition says; the caller guarantees that they point
    /// at memory it has borrowed for that. Commands that change this domain's memory map only
    /// do so in frames that hold no Rust object.
    unsafe fn call(&self, number: Hypercall, arguments: [u64; 5]) -> i64;

    /// The hypervisor's version, for messages.
    fn version(&self) -> Version;
}

impl<H: Hypervisor + ?Sized> Hypervisor for &H {
    unsafe fn call(&self, number: Hypercall, arguments: [u64; 5]) -> i64 {
        // SAFETY: the caller's promise is passed on unchanged.
        unsafe { (**self).call(number, arguments) }
    }

    fn version(&self) -> Version {
        (**self).version()
    }
}

/// Makes the hypercall `command` is the argument of; Xen may write its answers into it.
#[inline(never)]
pub(crate) fn issue<H: Hypervisor, C: Command>(
    hypervisor: &H,
    command: &mut C,
) -> Result<u64, XenError> {
    // grant_table_op takes an array of commands and its length, the others ignore the third.
    let arguments = [
        C::NUMBER,
        core::ptr::from_mut(command).expose_provenance() as u64,
        1,
        0,
        0,
    ];
    // SAFETY: `Command` is sealed: its structures have the size Xen expects (tests/abi.rs), are
    // borrowed here for the call, and hold further addresses only as `Handle`s, whose buffers
    // they keep borrowed and whose lengths the crate's wrappers take from those buffers. Frames
    // given to Xen to map over come from a `Window`, whose maker vouched for them.
    let value = unsafe { hypervisor.call(C::HYPERCALL, arguments) };
    answer(hypervisor, C::NAME, command.domain(), value)
}

/// As [`issue`] for domctl, whose only argument is the structure itself.
pub(crate) fn issue_domctl<H: Hypervisor, C: Command>(
    hypervisor: &H,
    command: &mut C,
) -> Result<u64, XenError> {
    let address = core::ptr::from_mut(command).expose_provenance() as u64;
    // SAFETY: as in `issue`; the structure has the whole size of `struct xen_domctl`.
    let value = unsafe { hypervisor.call(C::HYPERCALL, [address, 0, 0, 0, 0]) };
    answer(hypervisor, C::NAME, command.domain(), value)
}

/// Makes a hypercall whose arguments are numbers only.
pub(crate) fn issue_numbers<H: Hypervisor>(
    hypervisor: &H,
    name: &'static str,
    number: Hypercall,
    arguments: [u64; 2],
) -> Result<u64, XenError> {
    let [first, second] = arguments;
    // SAFETY: the commands made through here (version, yield, block) take no address.
    let value = unsafe { hypervisor.call(number, [first, second, 0, 0, 0]) };
    answer(hypervisor, name, DomainId::SELF, value)
}

/// Makes a device-model operation on `domain`.
#[inline(never)]
pub(crate) fn issue_dm_op<H: Hypervisor, T: Operation>(
    hypervisor: &H,
    domain: DomainId,
    operation: &mut T,
) -> Result<u64, XenError> {
    let mut op = [Op {
        op: T::NUMBER,
        pad: 0,
        u: *operation,
    }];
    let result = {
        let mut buffers = [Buf::of(&mut op)];
        issue_dm_buffers(hypervisor, domain, T::NAME, &mut buffers)
    };
    let [op] = op;
    *operation = op.u;
    result
}

/// Makes a device-model operation from its buffers.
pub(crate) fn issue_dm_buffers<H: Hypervisor>(
    hypervisor: &H,
    domain: DomainId,
    name: &'static str,
    buffers: &mut [Buf<'_>],
) -> Result<u64, XenError> {
    let arguments = [
        u64::from(domain.0),
        buffers.len() as u64,
        buffers.as_mut_ptr().expose_provenance() as u64,
        0,
        0,
    ];
    // SAFETY: each `Buf` holds the address and size of a slice it keeps borrowed (`Buf::of`), and
    // Xen checks every operation against that size.
    let value = unsafe { hypervisor.call(Hypercall::DmOp, arguments) };
    answer(hypervisor, name, domain, value)
}

/// Passes bytes to the hypervisor's console, or takes bytes from it.
pub(crate) fn issue_console_io<H: Hypervisor>(
    hypervisor: &H,
    command: u64,
    buffer: crate::abi::Handle<'_, u8>,
    length: usize,
) -> Result<u64, XenError> {
    let arguments = [command, length as u64, buffer.address(), 0, 0];
    // SAFETY: the handle's buffer is borrowed, and `console` passes that buffer's own length.
    let value = unsafe { hypervisor.call(Hypercall::ConsoleIo, arguments) };
    answer(hypervisor, "console_io", DomainId::SELF, value)
}

#[inline(never)]
fn answer<H: Hypervisor>(
    hypervisor: &H,
    call: &'static str,
    domain: DomainId,
    value: i64,
) -> Result<u64, XenError> {
    match Errno::from_return(value) {
        None => Ok(value as u64),
        Some(errno) => Err(XenError {
            call,
            domain,
            errno,
            version: hypervisor.version(),
        }),
    }
}
