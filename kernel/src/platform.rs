//! What we run on, as far as CPUID tells without touching anything.

use core::arch::x86_64::__cpuid;

/// The Xen underneath, if there is one: its first CPUID leaf.
///
/// Leaves start at a multiple of 0x100 from 0x40000000 with the signature "XenVMMXenVMM"
/// (`public/arch-x86/cpuid.h`); with Viridian enlightenments they come second.
pub fn xen_leaves() -> Option<u32> {
    const HYPERVISOR: u32 = 1 << 31;
    if __cpuid(1).ecx & HYPERVISOR == 0 {
        return None;
    }
    (0..0x100)
        .map(|step| 0x4000_0000 + step * 0x100)
        .find(|&leaf| {
            let signature = __cpuid(leaf);
            [signature.ebx, signature.ecx, signature.edx] == [0x566e_6558, 0x6558_4d4d, 0x4d4d_566e]
        })
}
