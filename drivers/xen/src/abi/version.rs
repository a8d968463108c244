//! Identification: CPUID leaves, version call, feature bits.
//!
//! From `xen/arch-x86/cpuid.h`, `xen/version.h`, `xen/features.h`.

use super::command;

/// First CPUID leaf at which Xen may sit; further ones follow in steps of 0x100.
pub const CPUID_FIRST_LEAF: u32 = 0x4000_0000;
/// Distance between candidate leaves.
pub const CPUID_LEAF_STEP: u32 = 0x100;
/// "XenV".
pub const CPUID_SIGNATURE_EBX: u32 = 0x566e_6558;
/// "MMXe".
pub const CPUID_SIGNATURE_ECX: u32 = 0x6558_4d4d;
/// "nVMM".
pub const CPUID_SIGNATURE_EDX: u32 = 0x4d4d_566e;
/// Leaf 5 EAX: ECX holds this domain's number (`XEN_HVM_CPUID_DOMID_PRESENT`).
pub const HVM_CPUID_DOMID_PRESENT: u32 = 1 << 4;

/// `struct xen_feature_info`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
#[expect(missing_docs, reason = "Xen's fields")]
pub struct FeatureInfo {
    pub submap_idx: u32,
    pub submap: u32,
}
command!(FeatureInfo, XenVersion, 6, "XENVER_get_features");

/// `xen_extraversion_t`.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct ExtraVersion(pub [u8; 16]);
command!(ExtraVersion, XenVersion, 1, "XENVER_extraversion");

/// `XENVER_version`, which takes no structure and returns major << 16 | minor.
pub const VERSION: u64 = 0;

/// Feature bits (`XENFEAT_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[expect(missing_docs, reason = "Xen's names")]
pub enum Feature {
    AutoTranslatedPhysmap = 2,
    HvmCallbackVector = 8,
    HvmSafePvclock = 9,
    HvmPirqs = 10,
    Dom0 = 11,
    MemoryOpVnodeSupported = 13,
    LinuxRsdpUnrestricted = 15,
}
