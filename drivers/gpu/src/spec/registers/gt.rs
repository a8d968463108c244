//! Graphics core: what sits between the engines and memory, and the 3D pipeline's switches.
//!
//! Source: PRM Kaby Lake vol. 2c; Linux `gt/intel_gt_regs.h`; reset values after
//! `docs/hardware.md`. *Shadow* rows are those that the context image does not carry and that
//! one driver may set differently from another (Linux `gvt/mmio_context.c` has the same list).
//! *Deny* rows reach debugging and observation logic that sees across contexts.

use super::row::{fixed, masked, row, trigger};
use super::{Behaviour, Kind, Register};

const FLUSH: Behaviour = Behaviour::Flush;

/// Configuration below the engines, in ascending order.
pub(super) const CONFIGURATION: &[Register] = &[
    row("RPM_CONFIG0", 0xd00),
    row("RPM_CONFIG1", 0xd04),
    row("RCP_CONFIG", 0xd08),
    row("RC6_LOCATION", 0xd40),
    row("RC6_CTX_BASE", 0xd48),
    fixed("FORCEWAKE_ACK_RENDER", 0xd84, 0).does(Behaviour::ForceWake),
    fixed("FORCEWAKE_ACK_MEDIA", 0xd88, 0).does(Behaviour::ForceWake),
    row("MCR_SELECTOR", 0xfdc),
];

/// Render-engine registers between those every engine has, in ascending order.
pub(super) const RENDER_ENGINE: &[Register] = &[
    row("PGTBL_ER", 0x2024).kind(Kind::WriteOneToClear),
    fixed("INSTDONE_1", 0x207c, !0),
    masked("FF_SLICE_CHICKEN", 0x2088).command(),
    masked("_3D_CHICKEN2", 0x208c),
    masked("_3D_CHICKEN3", 0x2090).command(),
    row("FF_THREAD_MODE", 0x20a0).shadow(),
    row("WAIT_FOR_RC6_EXIT", 0x20cc),
    row("RCS_20D8", 0x20d8),
    masked("RCS_20DC", 0x20dc),
    masked("FF_SLICE_CS_CHICKEN1", 0x20e0).shadow(),
    masked("FF_SLICE_CS_CHICKEN2", 0x20e4).shadow(),
    masked("CS_DEBUG_MODE1", 0x20ec).shadow(),
    fixed("STATE_ACK", 0x20f0, 0),
    fixed("STATE_ACK_SLICE", 0x20f8, 0).times(3),
    masked("CACHE_MODE_0_RCS", 0x2120),
    masked("RCS_2124", 0x2124),
    row("CXT_SIZE", 0x21a0),
    row("CXT_SIZE_7", 0x21a8),
    row("RCS_21F0", 0x21f0).command(),
    row("PREDICATE_RESULT_2_HSW", 0x2214).command(),
    fixed("RCS_FE_FSM2", 0x22a4, 0),
    fixed("RCS_PWR_FSM", 0x22ac, 0),
    row("PIPELINE_STATISTICS", 0x2300).times(22).command(),
    row("OACTXCONTROL", 0x2360).deny(),
    row("OABUFFER", 0x23b0).times(2).deny(),
    row("_3DPRIM_END_OFFSET", 0x2420).command(),
    row("_3DPRIM", 0x2430).times(5).command(),
    masked("RCS_2470", 0x2470),
    row("GPGPU_DISPATCHDIM", 0x2500).times(3).command(),
    masked("GFX_MODE_LEGACY", 0x2520),
    masked("CS_CHICKEN1", 0x2580).command(),
    row("DRAW_WATERMARK", 0x26c0),
    row("OACONTROL", 0x2b00).times(32).deny(),
];

/// Memory interface, in ascending order.
pub(super) const MEMORY: &[Register] = &[
    row("GTT_CACHE_EN", 0x4024),
    masked("ARB_MODE", 0x4030),
    row("GAMW_ECO_DEV_RW_IA", 0x4080),
    row("GAM_ECOCHK", 0x4090),
    row("RING_FAULT_REG", super::FAULT),
    row("ERROR", 0x40a0).kind(Kind::WriteOneToClear),
    fixed("DONE_REG", 0x40b0, !0),
    row("PRIVATE_PAT", 0x40e0).times(2).shadow(),
    trigger("TLB_INVALIDATE", super::TLB_INVALIDATE, FLUSH).times(5),
    trigger("GTCR", 0x4274, FLUSH),
    row("GAMTARBMODE", 0x4a08),
    row("GAMT_ECO_REG_RW_IA", 0x4ab0).shadow(),
    row("GAMT_CHKN_BIT_REG", 0x4ab8).shadow(),
    row("FAULT_TLB_DATA", super::FAULT_TLB_DATA).times(2),
    row("L3_LRA_1_GPGPU", 0x4dd4),
    row("MMCD_MISC_CTRL", 0x4ddc),
    row("TRVATTL3PTRDW", 0x4de0).times(2),
    row("TRNULLDETCT", 0x4de8),
    row("TRINVTILEDETCT", 0x4dec),
    row("TRVADR", 0x4df0),
    row("TRTTE", 0x4df4),
    row("TRTT_4DFC", 0x4dfc),
];

/// 3D pipeline and slices, in ascending order. The chicken bits live in the context image.
pub(super) const PIPELINE: &[Register] = &[
    row("SO_NUM_PRIMS_WRITTEN", 0x5200).times(8).command(),
    row("SO_PRIM_STORAGE_NEEDED", 0x5240).times(8).command(),
    row("SO_WRITE_OFFSET", 0x5280).times(4).command(),
    masked("WM_CHICKEN3", 0x5588),
    masked("CHICKEN_RASTER_1", 0x6204),
    masked("CHICKEN_RASTER_2", 0x6208),
    masked("CACHE_MODE_0", 0x7000).command(),
    masked("CACHE_MODE_1", 0x7004).command(),
    masked("GT_MODE", 0x7008).command(),
    masked("COMMON_SLICE_CHICKEN1", 0x7010).command(),
    masked("COMMON_SLICE_CHICKEN2", 0x7014).command(),
    masked("HIZ_CHICKEN", 0x7018).command(),
    row("FBC_RT_BASE", 0x7020).times(2),
    row("L3CNTLREG", 0x7034).command(),
    fixed("SC_INSTDONE", 0x7100, !0),
    masked("HDC_CHICKEN0", 0x7300).command(),
    masked("HDC_CHICKEN1", 0x7304).command(),
    masked("SLICE_COMMON_ECO_CHICKEN0", 0x7308),
    masked("SLICE_COMMON_ECO_CHICKEN1", 0x731c),
    fixed("MSG_IDLE", 0x8000, 0).times(5),
    masked("VF_PREEMPTION", 0x83a4),
    row("RC6_CTX_INFO", 0x8504),
];

/// Fuses, clock gating and reset, in ascending order.
pub(super) const CLOCKS: &[Register] = &[
    row("IDICR", 0x9008),
    row("MBCUNIT_SNPCR", 0x900c),
    row("SQ_CHICKEN_MBCUNIT_CONFIG", 0x9030),
    row("FBC_LLC_READ_CTRL", 0x9044),
    row("MBCTL", 0x907c),
    fixed("MIRROR_FUSE3", 0x9118, 0),
    fixed("PAVP_FUSE1", 0x911c, 0),
    // Slice 0 present, subslice 3 absent: GT2, 24 execution units.
    fixed("FUSE2", 0x9120, 0x0280_0000),
    fixed("EU_DISABLE", 0x9134, 0).times(3),
    row("UCGCTL1", 0x9400),
    row("UCGCTL2", 0x9404),
    row("UCGCTL3", 0x9408),
    row("UCGCTL4", 0x940c),
    row("RCGCTL1", 0x9410),
    row("RCGCTL2", 0x9414),
    trigger("GDRST", super::GDRST, Behaviour::Gdrst),
    row("RSTCTL", 0x9420),
    row("MISCCPCTL", 0x9424),
    row("UCGCTL6", 0x9430),
    row("MICRO_BP", 0x9800).times(16).deny(),
    row("GDT_CHICKEN_BITS", 0x9840).deny(),
    row("NOA_WRITE", 0x9888).deny(),
];

/// L3 and GuC, in ascending order.
pub(super) const CACHES: &[Register] = &[
    row("SARCHKMD", 0xb000),
    row("GARBCNTL", 0xb004).shadow(),
    row("SCRATCH_LNCF1", 0xb008).shadow(),
    row("L3SQCREG1_7", 0xb010),
    row("L3CNTLREG1", 0xb01c),
    row("L3CC", super::L3CC).times(32).shadow(),
    row("L3SQCREG1", 0xb100),
    row("L3SQCREG4", 0xb118).shadow().command(),
    row("SCRATCH1", 0xb11c).shadow(),
    // Lock bits (bit 0) read zero: no firmware region was fixed by the BIOS.
    // Bit 0: the microcontroller is held in reset, for ever: it has no firmware.
    fixed("GUC_STATUS", 0xc000, 1),
    row("GUC_WOPCM_SIZE", 0xc050),
    row("GUC_SOFT_SCRATCH", 0xc180).times(16),
    row("DMA_GUC_WOPCM_OFFSET", 0xc340),
    row("GUC_MAX_IDLE_COUNT", 0xc3e4),
    fixed("GUCPMTIMESTAMP", 0xc3e8, 0),
    row("RCS_MOCS", 0xc800).times(64).shadow(),
    row("VCS_MOCS", 0xc900).times(64).shadow(),
    row("VCS2_MOCS", 0xca00).times(64).shadow(),
    row("VECS_MOCS", 0xcb00).times(64).shadow(),
    row("BCS_MOCS", 0xcc00).times(64).shadow(),
    masked("HALF_SLICE_CHICKEN1", 0xe100).command(),
    fixed("SAMPLER_INSTDONE", 0xe160, !0),
    fixed("ROW_INSTDONE", 0xe164, !0),
    masked("HALF_SLICE_CHICKEN2", 0xe180).command(),
    masked("HALF_SLICE_CHICKEN3", 0xe184).command(),
    masked("HALF_SLICE_CHICKEN5", 0xe188).command(),
    masked("HALF_SLICE_CHICKEN7", 0xe194).command(),
    row("EU_PERF_CNTL0", 0xe458).times(2).deny(),
    masked("ROW_CHICKEN4", 0xe48c),
    masked("ROW_CHICKEN3", 0xe49c),
    masked("ROW_CHICKEN", 0xe4f0).command(),
    masked("ROW_CHICKEN2", 0xe4f4).command(),
    row("EU_PERF_CNTL1", 0xe558).times(2).deny(),
    row("EU_PERF_CNTL2", 0xe658).times(2).deny(),
    row("EU_PERF_CNTL3", 0xe758).deny(),
];
