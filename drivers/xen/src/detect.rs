//! Is there a Xen, which one, and is it new enough.
//!
//! Xen's CPUID leaves start at the first multiple of 0x100 from 0x40000000 that carries its
//! signature (`xen/arch-x86/cpuid.h`); with Viridian enlightenments they come second.

use core::fmt;

use crate::abi::version::{
    CPUID_FIRST_LEAF, CPUID_LEAF_STEP, CPUID_SIGNATURE_EBX, CPUID_SIGNATURE_ECX,
    CPUID_SIGNATURE_EDX, Feature, FeatureInfo, HVM_CPUID_DOMID_PRESENT, VERSION,
};
use crate::abi::{DomainId, Hypercall};
use crate::hypercall::{Hypervisor, XenError, issue, issue_numbers};

/// A Xen release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The 4 of 4.19.
    pub major: u16,
    /// The 19 of 4.19.
    pub minor: u16,
}

impl Version {
    /// The first release that lets a PVH or HVM domain map foreign pages and IOREQ pages
    /// (`arch/x86/mm/p2m.c:arch_acquire_resource_check`).
    pub const REQUIRED: Self = Self {
        major: 4,
        minor: 19,
    };

    /// A release from the form in which Xen reports it.
    pub const fn from_packed(packed: u32) -> Self {
        Self {
            major: (packed >> 16) as u16,
            minor: packed as u16,
        }
    }

    /// Refuses releases older than `required`.
    pub fn require(self, required: Self) -> Result<(), TooOld> {
        if self < required {
            return Err(TooOld {
                found: self,
                required,
            });
        }
        Ok(())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The hypervisor is older than what the service needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOld {
    /// What runs here.
    pub found: Version,
    /// What is needed.
    pub required: Version,
}

impl fmt::Display for TooOld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Xen {} refuses XENMEM_acquire_resource and foreign mappings to PVH and HVM domains: \
             needs {} or newer",
            self.found, self.required
        )
    }
}

impl core::error::Error for TooOld {}

/// What CPUID says about the Xen underneath.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// First of Xen's CPUID leaves.
    pub base: u32,
    /// Its release.
    pub version: Version,
    /// MSR that installs the hypercall page.
    pub hypercall_msr: u32,
    /// This domain's number, when Xen says (4.5 and later do).
    pub domain: Option<DomainId>,
}

/// Looks for Xen with `cpuid`, which returns eax, ebx, ecx, edx of a leaf.
pub fn find(cpuid: impl Fn(u32) -> [u32; 4]) -> Option<Presence> {
    let base = (0..0x100)
        .map(|step| CPUID_FIRST_LEAF + step * CPUID_LEAF_STEP)
        .find(|leaf| {
            let [_, ebx, ecx, edx] = cpuid(*leaf);
            (ebx, ecx, edx)
                == (
                    CPUID_SIGNATURE_EBX,
                    CPUID_SIGNATURE_ECX,
                    CPUID_SIGNATURE_EDX,
                )
        })?;
    let [last_leaf, ..] = cpuid(base);
    let [version, ..] = cpuid(base + 1);
    let [pages, hypercall_msr, ..] = cpuid(base + 2);
    if last_leaf < base + 2 || pages == 0 {
        return None;
    }
    let domain = (last_leaf >= base + 4)
        .then(|| cpuid(base + 4))
        .filter(|[features, ..]| features & HVM_CPUID_DOMID_PRESENT != 0)
        .map(|[_, _, domain, _]| DomainId(domain as u16));
    Some(Presence {
        base,
        version: Version::from_packed(version),
        hypercall_msr,
        domain,
    })
}

/// The release as the hypercall reports it.
pub fn version<H: Hypervisor>(hypervisor: &H) -> Result<Version, XenError> {
    let packed = issue_numbers(
        hypervisor,
        "XENVER_version",
        Hypercall::XenVersion,
        [VERSION, 0],
    )?;
    Ok(Version::from_packed(packed as u32))
}

/// Feature bits of this domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features(pub u32);

impl Features {
    /// Asks Xen.
    pub fn read<H: Hypervisor>(hypervisor: &H) -> Result<Self, XenError> {
        let mut info = FeatureInfo {
            submap_idx: 0,
            submap: 0,
        };
        issue(hypervisor, &mut info)?;
        Ok(Self(info.submap))
    }

    /// Whether a feature is there.
    pub const fn has(self, feature: Feature) -> bool {
        self.0 & 1 << feature as u32 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xen_at(base: u32, version: u32) -> impl Fn(u32) -> [u32; 4] {
        move |leaf| match leaf.wrapping_sub(base) {
            0 => [
                base + 5,
                CPUID_SIGNATURE_EBX,
                CPUID_SIGNATURE_ECX,
                CPUID_SIGNATURE_EDX,
            ],
            1 => [version, 0, 0, 0],
            2 => [1, 0x4000_0000, 0, 0],
            4 => [HVM_CPUID_DOMID_PRESENT, 0, 7, 0],
            _ => [0; 4],
        }
    }

    #[test]
    fn xen_is_found_behind_other_enlightenments() {
        let presence = find(xen_at(0x4000_0100, 4 << 16 | 20)).expect("present");
        assert_eq!(presence.base, 0x4000_0100);
        assert_eq!((presence.version.major, presence.version.minor), (4, 20));
        assert_eq!(presence.hypercall_msr, 0x4000_0000);
        assert_eq!(presence.domain, Some(DomainId(7)));
    }

    #[test]
    fn no_signature_is_no_xen() {
        assert_eq!(
            find(|_| [0x4000_0001, 0x7263694d, 0x666f736f, 0x76482074]),
            None
        );
        assert_eq!(find(|_| [!0; 4]), None);
    }

    #[test]
    fn a_xen_without_a_hypercall_page_is_not_usable() {
        let complete = xen_at(CPUID_FIRST_LEAF, 4 << 16 | 20);
        let cpuid = |leaf| {
            if leaf == CPUID_FIRST_LEAF + 2 {
                [0; 4]
            } else {
                complete(leaf)
            }
        };
        assert_eq!(find(cpuid), None);
    }

    #[test]
    fn an_old_release_is_refused_with_both_numbers() {
        let old = Version::from_packed(4 << 16 | 17);
        let refusal = old.require(Version::REQUIRED).expect_err("too old");
        let text = refusal.to_string();
        assert!(
            text.contains("Xen 4.17") && text.contains("4.19 or newer"),
            "{text}"
        );
        assert_eq!(Version::REQUIRED.require(Version::REQUIRED), Ok(()));
        assert_eq!(
            Version::from_packed(5 << 16).require(Version::REQUIRED),
            Ok(())
        );
    }
}
