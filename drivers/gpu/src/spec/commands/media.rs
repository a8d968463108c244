//! State common to all pipelines, and the media and compute pipeline: client 3, render engine.
//!
//! The null state batch of Linux carries 0x6904 and 0x680b as single dwords.

use super::row::pipeline;
use super::{AddressField, Command};

pub(super) const COMMANDS: &[Command] = &[
    pipeline("STATE_PREFETCH", 0x6003),
    pipeline("STATE_BASE_ADDRESS", 0x6101).at(&[
        AddressField::ppgtt(1),
        AddressField::ppgtt(4),
        AddressField::ppgtt(6),
        AddressField::ppgtt(8),
        AddressField::ppgtt(10),
        AddressField::ppgtt(16),
    ]),
    pipeline("STATE_SIP", 0x6102).at(&[AddressField::ppgtt(1)]),
    pipeline("SWTESS_BASE_ADDRESS", 0x6103).sized(3, 2),
    pipeline("GPGPU_CSR_BASE_ADDRESS", 0x6104).at(&[AddressField::ppgtt(1)]),
    pipeline("PIPELINE_SELECT", 0x6904).fixed(1),
    pipeline("3DSTATE_VF_STATISTICS_GM45", 0x680b).fixed(1),
    pipeline("MEDIA_VFE_STATE", 0x7000).sized(16, 2),
    pipeline("MEDIA_CURBE_LOAD", 0x7001).sized(16, 2),
    pipeline("MEDIA_INTERFACE_DESCRIPTOR_LOAD", 0x7002).sized(16, 2),
    pipeline("MEDIA_GATEWAY_STATE", 0x7003).sized(16, 2),
    pipeline("MEDIA_STATE_FLUSH", 0x7004).sized(16, 2),
    pipeline("MEDIA_POOL_STATE", 0x7005).sized(16, 2),
    pipeline("MEDIA_OBJECT", 0x7100).sized(16, 2),
    pipeline("MEDIA_OBJECT_PRT", 0x7102).sized(16, 2),
    pipeline("MEDIA_OBJECT_WALKER", 0x7103).sized(16, 2),
    pipeline("GPGPU_OBJECT", 0x7104),
    pipeline("GPGPU_WALKER", 0x7105),
    pipeline("MEDIA_OBJECT_GRPID", 0x7106).sized(16, 2),
];
