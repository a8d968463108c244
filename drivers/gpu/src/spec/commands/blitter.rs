//! Blitter commands: client 2, BCS only, every address in the context's PPGTT.
//!
//! The lengths are those of Gen8 and later, with 48-bit addresses. Linux gives the blitter
//! engine's commands no register operand, and there is none.

use super::row::blit;
use super::{AddressField, Command};

const DESTINATION: AddressField = AddressField::ppgtt(4);

pub(super) const COMMANDS: &[Command] = &[
    blit("XY_SETUP_BLT", 0x01, 10).at(&[DESTINATION, AddressField::ppgtt(8)]),
    blit("XY_SETUP_CLIP_BLT", 0x03, 3),
    blit("XY_SETUP_MONO_PATTERN_SL_BLT", 0x11, 10).at(&[DESTINATION]),
    blit("XY_PIXEL_BLT", 0x24, 2),
    blit("XY_SCANLINES_BLT", 0x25, 3),
    blit("XY_TEXT_BLT", 0x26, 5).at(&[AddressField::ppgtt(3)]),
    blit("XY_TEXT_IMMEDIATE_BLT", 0x31, 3),
    blit("COLOR_BLT", 0x40, 6).at(&[AddressField::ppgtt(3)]),
    blit("XY_FAST_COPY_BLT", 0x42, 10).at(&[DESTINATION, AddressField::ppgtt(8)]),
    blit("SRC_COPY_BLT", 0x43, 8).at(&[AddressField::ppgtt(3), AddressField::ppgtt(6)]),
    blit("XY_COLOR_BLT", 0x50, 7).at(&[DESTINATION]),
    blit("XY_PAT_BLT", 0x51, 8).at(&[DESTINATION, AddressField::ppgtt(6)]),
    blit("XY_MONO_PAT_BLT", 0x52, 10).at(&[DESTINATION]),
    blit("XY_SRC_COPY_BLT", 0x53, 10).at(&[DESTINATION, AddressField::ppgtt(8)]),
    blit("XY_MONO_SRC_COPY_BLT", 0x54, 10).at(&[DESTINATION, AddressField::ppgtt(6)]),
    blit("XY_FULL_BLT", 0x55, 12).at(&[
        DESTINATION,
        AddressField::ppgtt(8),
        AddressField::ppgtt(10),
    ]),
    blit("XY_FULL_MONO_SRC_BLT", 0x56, 12).at(&[
        DESTINATION,
        AddressField::ppgtt(6),
        AddressField::ppgtt(10),
    ]),
    blit("XY_FULL_MONO_PATTERN_BLT", 0x57, 14).at(&[DESTINATION, AddressField::ppgtt(8)]),
    blit("XY_FULL_MONO_PATTERN_MONO_SRC_BLT", 0x58, 14).at(&[DESTINATION, AddressField::ppgtt(6)]),
    blit("XY_MONO_PAT_FIXED_BLT", 0x59, 8).at(&[DESTINATION]),
    blit("XY_MONO_SRC_COPY_IMMEDIATE_BLT", 0x71, 8).at(&[DESTINATION]),
    blit("XY_PAT_BLT_IMMEDIATE", 0x72, 6).at(&[DESTINATION]),
    blit("XY_SRC_COPY_CHROMA_BLT", 0x73, 12).at(&[DESTINATION, AddressField::ppgtt(8)]),
    blit("XY_FULL_IMMEDIATE_PATTERN_BLT", 0x74, 10).at(&[DESTINATION, AddressField::ppgtt(8)]),
    blit("XY_FULL_MONO_SRC_IMMEDIATE_PATTERN_BLT", 0x75, 10)
        .at(&[DESTINATION, AddressField::ppgtt(6)]),
    blit("XY_PAT_CHROMA_BLT", 0x76, 10).at(&[DESTINATION, AddressField::ppgtt(6)]),
    blit("XY_PAT_CHROMA_BLT_IMMEDIATE", 0x77, 8).at(&[DESTINATION]),
];
