//! The real thing: 4 KiB of code that Xen writes for us.
//!
//! CPUID leaf base + 2 names an MSR; writing a guest-physical address to it makes Xen fill that
//! page with one 32-byte stub per hypercall, using vmcall or vmmcall as the processor needs
//! (`xen/arch-x86/cpuid.h`). Xen writes by physical address, so the page may be mapped read-only
//! and executable.
#![expect(
    unsafe_code,
    reason = "CPUID, MSR and the call into code that Xen wrote"
)]

use core::arch::{asm, global_asm};

use super::Hypervisor;
use crate::abi::Hypercall;
use crate::detect::{Presence, Version};

// Until Xen has filled it in, every stub is a plain return.
global_asm!(
    ".pushsection .text.xen_hypercall_page, \"ax\", @progbits",
    ".balign 4096",
    ".globl xen_hypercall_page",
    "xen_hypercall_page:",
    ".fill 4096, 1, 0xc3",
    ".popsection",
);

unsafe extern "C" {
    /// The page above; declared as bytes only to take its address.
    static xen_hypercall_page: [u8; 4096];
}

/// Bytes from one stub to the next.
const STUB_SIZE: usize = 32;

/// Proof that the hypercall page is filled in; small and copyable, so everything can hold one.
#[derive(Debug, Clone, Copy)]
pub struct HypercallPage {
    version: Version,
}

impl HypercallPage {
    /// Has Xen fill in the page.
    ///
    /// # Safety
    ///
    /// `presence` was found by [`crate::detect::find`] with [`cpuid`]; the processor is in ring 0
    /// of a Xen HVM or PVH domain; the image is identity mapped.
    pub unsafe fn install(presence: Presence) -> Self {
        let address = (&raw const xen_hypercall_page).expose_provenance() as u64;
        // SAFETY: the MSR is the one Xen announced for this, the page is ours and holds nothing
        // else, and its virtual address is its physical one (the caller vouches for all three).
        unsafe {
            asm!(
                "wrmsr",
                in("ecx") presence.hypercall_msr,
                in("eax") address as u32,
                in("edx") (address >> 32) as u32,
                options(nostack),
            );
        }
        Self {
            version: presence.version,
        }
    }
}

impl Hypervisor for HypercallPage {
    unsafe fn call(&self, number: Hypercall, arguments: [u64; 5]) -> i64 {
        let stub = (&raw const xen_hypercall_page).addr() + number as usize * STUB_SIZE;
        let [rdi, rsi, rdx, r10, r8] = arguments;
        let value: i64;
        // SAFETY: `install` has run, since a `HypercallPage` exists, so the stub is Xen's code; it
        // follows Xen's calling convention. What the hypercall itself touches is the caller's
        // promise. Debug builds of Xen clobber the argument registers.
        unsafe {
            asm!(
                "call {stub}",
                stub = in(reg) stub,
                inlateout("rdi") rdi => _,
                inlateout("rsi") rsi => _,
                inlateout("rdx") rdx => _,
                inlateout("r10") r10 => _,
                inlateout("r8") r8 => _,
                lateout("rax") value,
                out("rcx") _,
                out("r9") _,
                out("r11") _,
            );
        }
        value
    }

    fn version(&self) -> Version {
        self.version
    }
}

/// CPUID as [`crate::detect::find`] wants it: eax, ebx, ecx, edx of a leaf, sub-leaf 0.
pub fn cpuid(leaf: u32) -> [u32; 4] {
    let answer = core::arch::x86_64::__cpuid_count(leaf, 0);
    [answer.eax, answer.ebx, answer.ecx, answer.edx]
}
