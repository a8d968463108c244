//! Frequencies, power states, PCODE, fences and the memory controller's mirror.
//!
//! A vGPU has no RC6 and no turbo: capabilities read zero, everything else is storage. Source: PRM
//! Kaby Lake vol. 2c; Linux `gt/intel_gt_regs.h`, `intel_mchbar_regs.h`.

use super::row::{fixed, row, trigger};
use super::{Behaviour, Register};

/// Render P- and C-states, forcewake, in ascending order.
pub(super) const STATES: &[Register] = &[
    row("GFXPAUSE", 0xa000),
    row("RPNSWREQ", 0xa008),
    row("RC_VIDEO_FREQ", 0xa00c),
    row("RP_DOWN_TIMEOUT", 0xa010),
    row("RP_INTERRUPT_LIMITS", 0xa014),
    fixed("RPSTAT1", 0xa01c, 0),
    row("RP_CONTROL", 0xa024),
    row("RP_UP_THRESHOLD", 0xa02c),
    row("RP_DOWN_THRESHOLD", 0xa030),
    fixed("RP_CUR", 0xa050, 0).times(6),
    row("RP_EI", 0xa068).times(2),
    row("RP_IDLE_HYSTERSIS", 0xa070),
    row("RPDEU", 0xa080).times(3),
    row("RC_CONTROL", 0xa090),
    row("RC_STATE", 0xa094),
    row("RC_WAKE_RATE_LIMIT", 0xa098).times(3),
    row("RC_EVALUATION_INTERVAL", 0xa0a8),
    row("RC_IDLE_HYSTERSIS", 0xa0ac),
    row("RC_SLEEP", 0xa0b0),
    row("RC_THRESHOLD", 0xa0b4).times(4),
    row("PG_IDLE_HYSTERESIS", 0xa0c4).times(2),
    row("PMINTRMSK", 0xa168).reset(!0),
    row("ECOBUS", 0xa180),
    trigger("FORCEWAKE_GT", 0xa188, Behaviour::ForceWake),
    row("FORCEWAKE", 0xa18c),
    row("PG_ENABLE", 0xa210),
    row("PUSHBUS_CONTROL", 0xa248),
    row("PUSHBUS_ENABLE", 0xa250),
    row("PUSHBUS_SHIFT", 0xa25c),
    // 12 MHz from the crystal: bit 0 clear, divider field 2.
    fixed("CTC_MODE", 0xa26c, 0x4),
    trigger("FORCEWAKE_MEDIA", 0xa270, Behaviour::ForceWake),
    trigger("FORCEWAKE_RENDER", 0xa278, Behaviour::ForceWake),
    fixed("PWRGT_DOMAIN_STATUS", 0xa2a0, 0),
];

/// Fences and GTT flush, in ascending order.
pub(super) const FENCES: &[Register] = &[
    row("FENCE", super::FENCE)
        .times(2 * super::FENCES)
        .does(Behaviour::Fence),
    row("TILECTL", 0x10_1000),
    trigger("GFX_FLSH_CNTL", super::GFX_FLSH_CNTL, Behaviour::Flush),
];

/// Mailbox, counters and the memory controller, in ascending order.
pub(super) const UNCORE: &[Register] = &[
    row("GTFIFODBG", 0x12_0000).kind(super::Kind::WriteOneToClear),
    fixed("GTFIFOCTL", 0x12_0008, 0x7f),
    fixed("EDRAM_CAP", 0x12_0010, 0),
    fixed("FORCEWAKE_MT_ACK", 0x13_0040, 0),
    fixed("FORCEWAKE_ACK_GT", 0x13_0044, 0).does(Behaviour::ForceWake),
    fixed("GT_THREAD_STATUS", 0x13_805c, 0),
    fixed("GT_CORE_STATUS", 0x13_8060, 0),
    fixed("GT_SLICE_INFO", 0x13_8064, 0),
    row("RC6_LOCKED", 0x13_8104),
    fixed("GFX_RC6", 0x13_8108, 0).times(3),
    row("PCODE_MAILBOX", super::PCODE_MAILBOX).does(Behaviour::Mailbox),
    row("PCODE_DATA", super::PCODE_MAILBOX + 4)
        .times(2)
        .does(Behaviour::Mailbox),
    fixed("RP_STATE_LIMITS_GEN9", 0x13_8148, 0),
    fixed("BXT_RP_STATE_CAP", 0x13_8170, 0),
    fixed("PERF_LIMIT_REASONS", 0x13_81a8, 0),
    fixed("MAD_INTER_CHANNEL", 0x14_5000, 0),
    fixed("MAD_DIMM", 0x14_5004, 0).times(4),
    fixed("GT_PERF_STATUS", 0x14_5948, 0),
    fixed("RP_STATE_LIMITS", 0x14_5994, 0),
    fixed("RP_STATE_CAP", 0x14_5998, 0),
    fixed("MC_BIOS_DATA", 0x14_5e04, 0),
];
