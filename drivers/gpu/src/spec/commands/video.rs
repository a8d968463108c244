//! Video decode, encode and enhancement: client 3 pipeline 2 on VCS and VECS.
//!
//! Bits 26:24 choose the unit, 23:16 the command, 11:0 the length. The numbers are those of the
//! manual and of Intel's own user-space drivers. No command of these units names a register or
//! the global GTT. MFX_WAIT is one dword whatever its length field says (Linux `i915_cmd_parser.c`).

use super::row::pipeline;
use super::{Command, Engines};

const PROTECTED: &str = "protected content is not virtualised";
const FIRMWARE: &str = "no HuC firmware is loaded on behalf of guests";

const fn codec(name: &'static str, header: u32) -> Command {
    pipeline(name, header).on(Engines::VCS).sized(12, 2)
}

pub(super) const COMMANDS: &[Command] = &[
    codec("MFX_PIPE_MODE_SELECT", 0x7000),
    codec("MFX_SURFACE_STATE", 0x7001),
    codec("MFX_PIPE_BUF_ADDR_STATE", 0x7002),
    codec("MFX_IND_OBJ_BASE_ADDR_STATE", 0x7003),
    codec("MFX_BSP_BUF_BASE_ADDR_STATE", 0x7004),
    codec("MFX_AES_STATE", 0x7005).refuse(PROTECTED),
    codec("MFX_STATE_POINTER", 0x7006),
    codec("MFX_QM_STATE", 0x7007),
    codec("MFX_FQM_STATE", 0x7008),
    codec("MFX_DBK_OBJECT", 0x7009),
    codec("MFD_IT_OBJECT", 0x7029),
    codec("MFX_PAK_INSERT_OBJECT", 0x7048),
    codec("MFX_STITCH_OBJECT", 0x704a),
    codec("MFX_AVC_IMG_STATE", 0x7100),
    codec("MFX_AVC_QM_STATE", 0x7101),
    codec("MFX_AVC_DIRECTMODE_STATE", 0x7102),
    codec("MFX_AVC_SLICE_STATE", 0x7103),
    codec("MFX_AVC_REF_IDX_STATE", 0x7104),
    codec("MFX_AVC_WEIGHTOFFSET_STATE", 0x7105),
    codec("MFD_AVC_PICID_STATE", 0x7125),
    codec("MFD_AVC_DPB_STATE", 0x7126),
    codec("MFD_AVC_SLICEADDR", 0x7127),
    codec("MFD_AVC_BSD_OBJECT", 0x7128),
    codec("MFC_AVC_FQM_STATE", 0x7142),
    codec("MFC_AVC_INSERT_OBJECT", 0x7148),
    codec("MFC_AVC_PAK_OBJECT", 0x7149),
    codec("MFX_VC1_PIC_STATE", 0x7200),
    codec("MFX_VC1_PRED_PIPE_STATE", 0x7201),
    codec("MFX_VC1_DIRECTMODE_STATE", 0x7202),
    codec("MFD_VC1_SHORT_PIC_STATE", 0x7220),
    codec("MFD_VC1_LONG_PIC_STATE", 0x7221),
    codec("MFD_VC1_BSD_OBJECT", 0x7228),
    codec("MFX_MPEG2_PIC_STATE", 0x7300),
    codec("MFX_MPEG2_QM_STATE", 0x7301),
    codec("MFD_MPEG2_BSD_OBJECT", 0x7328),
    codec("MFC_MPEG2_SLICEGROUP_STATE", 0x7343),
    codec("MFC_MPEG2_PAK_OBJECT", 0x7349),
    codec("MFX_VP8_PIC_STATE", 0x7400),
    codec("MFD_VP8_BSD_OBJECT", 0x7428),
    codec("MFX_VP8_ENCODER_CFG", 0x7441),
    codec("MFX_VP8_BSP_BUF_BASE_ADDR_STATE", 0x7443),
    codec("MFX_VP8_PAK_OBJECT", 0x7449),
    codec("MFX_JPEG_PIC_STATE", 0x7700),
    codec("MFX_JPEG_HUFF_TABLE_STATE", 0x7702),
    codec("MFD_JPEG_BSD_OBJECT", 0x7728),
    codec("MFC_JPEG_HUFF_TABLE_STATE", 0x7743),
    codec("MFC_JPEG_SCAN_OBJECT", 0x7749),
    codec("MFX_WAIT", 0x6800).fixed(1),
    codec("MFX_CRYPTO_COPY", 0x7600)
        .sized(16, 2)
        .refuse(PROTECTED),
    codec("MFX_CRYPTO_INLINE_STATUS_READ", 0x7608)
        .sized(16, 2)
        .refuse(PROTECTED),
    codec("MFX_CRYPTO_KEY_EXCHANGE", 0x7609)
        .sized(16, 2)
        .refuse(PROTECTED),
    codec("VDENC_PIPE_MODE_SELECT", 0x7080),
    codec("VDENC_SRC_SURFACE_STATE", 0x7081),
    codec("VDENC_REF_SURFACE_STATE", 0x7082),
    codec("VDENC_DS_REF_SURFACE_STATE", 0x7083),
    codec("VDENC_PIPE_BUF_ADDR_STATE", 0x7084),
    codec("VDENC_IMG_STATE", 0x7085),
    codec("VDENC_CONST_QPT_STATE", 0x7086),
    codec("VDENC_WALKER_STATE", 0x7087),
    codec("VDENC_WEIGHTSOFFSETS_STATE", 0x7088),
    codec("VD_PIPELINE_FLUSH", 0x7780),
    codec("HCP_PIPE_MODE_SELECT", 0x7380),
    codec("HCP_SURFACE_STATE", 0x7381),
    codec("HCP_PIPE_BUF_ADDR_STATE", 0x7382),
    codec("HCP_IND_OBJ_BASE_ADDR_STATE", 0x7383),
    codec("HCP_QM_STATE", 0x7384),
    codec("HCP_FQM_STATE", 0x7385),
    codec("HCP_PIC_STATE", 0x7390),
    codec("HCP_TILE_STATE", 0x7391),
    codec("HCP_REF_IDX_STATE", 0x7392),
    codec("HCP_WEIGHTOFFSET_STATE", 0x7393),
    codec("HCP_SLICE_STATE", 0x7394),
    codec("HCP_BSD_OBJECT", 0x73a0),
    codec("HCP_PAK_OBJECT", 0x73a1),
    codec("HCP_PAK_INSERT_OBJECT", 0x73a2),
    codec("HCP_VP9_PIC_STATE", 0x73b0),
    codec("HCP_VP9_SEGMENT_STATE", 0x73b2),
    codec("HUC_PIPE_MODE_SELECT", 0x7580).refuse(FIRMWARE),
    codec("HUC_IMEM_STATE", 0x7581).refuse(FIRMWARE),
    codec("HUC_DMEM_STATE", 0x7582).refuse(FIRMWARE),
    codec("HUC_CFG_STATE", 0x7583).refuse(FIRMWARE),
    codec("HUC_VIRTUAL_ADDR_STATE", 0x7584).refuse(FIRMWARE),
    codec("HUC_IND_OBJ_BASE_ADDR_STATE", 0x7585).refuse(FIRMWARE),
    codec("HUC_STREAM_OBJECT", 0x75a0).refuse(FIRMWARE),
    codec("HUC_START", 0x75a1).refuse(FIRMWARE),
    codec("SFC_LOCK", 0x7500).on(Engines::VCS.and(Engines::VECS)),
    codec("SFC_STATE", 0x7501).on(Engines::VCS.and(Engines::VECS)),
    codec("SFC_AVS_STATE", 0x7502).on(Engines::VCS.and(Engines::VECS)),
    codec("SFC_IEF_STATE", 0x7503).on(Engines::VCS.and(Engines::VECS)),
    codec("SFC_FRAME_START", 0x7504).on(Engines::VCS.and(Engines::VECS)),
    codec("SFC_AVS_LUMA_COEFF_TABLE", 0x7505).on(Engines::VCS.and(Engines::VECS)),
    codec("SFC_AVS_CHROMA_COEFF_TABLE", 0x7506).on(Engines::VCS.and(Engines::VECS)),
    codec("VEBOX_SURFACE_STATE", 0x7400).on(Engines::VECS),
    codec("VEBOX_TILING_CONVERT", 0x7401).on(Engines::VECS),
    codec("VEBOX_STATE", 0x7402).on(Engines::VECS),
    codec("VEBOX_DI_IECP", 0x7403).on(Engines::VECS),
];
