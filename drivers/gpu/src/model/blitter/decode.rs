//! Blitter commands, dword by dword, into [`Operation`]s and setup.
//!
//! ```text
//! BR00  header: 28:22 opcode, 21:20 byte mask at 32 bpp (alpha, RGB), 19:17 first monochrome bit,
//!       16 text is packed by bytes, 15 source tiled, 14:12 and 10:8 pattern seed, 11 target tiled
//! BR13  31 solid pattern, 30 clipping, 29 transparent source, 28 transparent pattern,
//!       25:24 depth, 23:16 raster operation, 15:0 pitch of the target
//! then  target rectangle (2), target address (2), operands of the form at hand
//! ```
//!
//! Facts: Intel PRM volume 2a and 8; which forms drivers emit and how: Linux i915 and SNA of
//! xf86-video-intel; fast copy: intel-gpu-tools.
//!
//! Not done, refused as malformed: chroma-keyed forms, fixed hatch patterns, Yf and Ys tiles,
//! SRC_COPY_BLT from right to left. No driver known to us emits them on Gen9.

use super::fields::{Control, Fields};
use super::operation::{Bits, Operation, Pattern, Rectangle, Source, coordinates};
use super::plane::{Plane, Tiling};
use super::raster::RasterOperation;
use super::setup::{Setup, SetupPattern};
use crate::model::fault::Fault;

/// Decodes one command. `None`: it only changed the setup.
pub(super) fn decode(
    setup: &mut Setup,
    swctrl: u32,
    command: &[u32],
) -> Result<Option<Operation>, Fault> {
    let fields = Fields::new(command, swctrl)?;
    match fields.opcode() {
        0x01 => setup_pattern(setup, &fields, SetupPattern::Color(fields.address(8)?)),
        0x11 => setup_pattern(setup, &fields, SetupPattern::Mono(fields.qword(8)?)),
        0x03 => {
            setup.clip = fields.rectangle(1)?;
            Ok(None)
        }
        0x24 => pixel(setup, &fields).map(Some),
        0x25 => scanlines(setup, &fields).map(Some),
        0x26 => text(setup, &fields, Bits::Memory(fields.address(3)?)).map(Some),
        0x31 => text(setup, &fields, Bits::Immediate(3)).map(Some),
        0x40 => color(&fields).map(Some),
        0x42 => fast_copy(&fields).map(Some),
        0x43 => copy(&fields).map(Some),
        _ => rectangle(setup, &fields).map(Some),
    }
}

/// The forms with BR13, rectangle and target in dwords 1 to 5.
fn rectangle(setup: &Setup, fields: &Fields<'_>) -> Result<Operation, Fault> {
    let control = Control(fields.dword(1)?);
    let whole = fields.rectangle(2)?;
    let area = if control.clipped() {
        whole.clip(setup.clip)
    } else {
        whole
    };
    let (source, pattern) = match fields.opcode() {
        0x50 => (Source::None, Pattern::Solid(fields.dword(6)?)),
        0x51 => (Source::None, Pattern::Memory(fields.address(6)?)),
        0x52 => (Source::None, mono_pattern(fields, control, 6)?),
        0x53 => (color_source(fields, whole)?, Pattern::Solid(0)),
        0x54 => {
            let bits = Bits::Memory(fields.address(6)?);
            (
                mono_source(fields, control, whole, bits, 8)?,
                Pattern::Solid(0),
            )
        }
        0x55 => (
            color_source(fields, whole)?,
            Pattern::Memory(fields.address(10)?),
        ),
        0x56 => {
            let bits = Bits::Memory(fields.address(6)?);
            let source = mono_source(fields, control, whole, bits, 8)?;
            (source, Pattern::Memory(fields.address(10)?))
        }
        0x57 => (
            color_source(fields, whole)?,
            mono_pattern(fields, control, 10)?,
        ),
        0x58 => {
            let bits = Bits::Memory(fields.address(6)?);
            let source = mono_source(fields, control, whole, bits, 8)?;
            (source, mono_pattern(fields, control, 10)?)
        }
        0x71 => {
            let source = mono_source(fields, control, whole, Bits::Immediate(8), 6)?;
            (source, Pattern::Solid(0))
        }
        0x72 => (Source::None, Pattern::Immediate(6)),
        0x74 => (color_source(fields, whole)?, Pattern::Immediate(10)),
        0x75 => {
            let bits = Bits::Memory(fields.address(6)?);
            (
                mono_source(fields, control, whole, bits, 8)?,
                Pattern::Immediate(10),
            )
        }
        _ => return Err(fields.malformed()),
    };
    Ok(Operation {
        target: Plane::new(fields.address(4)?, control.pitch(), fields.target_tiling()),
        area,
        pixel: control.pixel(),
        mask: fields.mask(control),
        raster: control.raster(),
        source,
        pattern,
        seed: fields.seed(),
    })
}

/// Source coordinates, pitch and address in dwords 6 to 9.
fn color_source(fields: &Fields<'_>, target: Rectangle) -> Result<Source, Fault> {
    let (x, y) = coordinates(fields.dword(6)?);
    let plane = Plane::new(fields.address(8)?, fields.dword(7)?, fields.source_tiling());
    // Source and target may overlap if they have one base: the engine then starts at the end
    // that is overwritten last.
    let same = plane.base == fields.address(4)?;
    Ok(Source::Color {
        plane,
        dx: x - target.x1,
        dy: y - target.y1,
        x_backwards: same && x < target.x1,
        y_backwards: same && y < target.y1,
    })
}

/// Monochrome source with its colours at dword `colors`; rows begin at words.
fn mono_source(
    fields: &Fields<'_>,
    control: Control,
    whole: Rectangle,
    bits: Bits,
    colors: usize,
) -> Result<Source, Fault> {
    let skip = fields.first_bit();
    let stride = u64::from(skip + whole.width()).next_multiple_of(16);
    if let Bits::Immediate(first) = bits {
        fields.holds(first, stride * u64::from(whole.height()))?;
    }
    Ok(Source::Mono {
        bits,
        origin: (whole.x1, whole.y1),
        skip,
        stride,
        background: fields.dword(colors)?,
        foreground: fields.dword(colors + 1)?,
        transparent: control.source_transparent(),
    })
}

/// Monochrome pattern: two colours, then 64 bits, from dword `first`.
fn mono_pattern(fields: &Fields<'_>, control: Control, first: usize) -> Result<Pattern, Fault> {
    let foreground = fields.dword(first + 1)?;
    let bits = fields.qword(first + 2)?;
    if control.solid() {
        return Ok(Pattern::Solid(foreground));
    }
    Ok(Pattern::Mono {
        bits,
        background: fields.dword(first)?,
        foreground,
        transparent: control.pattern_transparent(),
    })
}

/// XY_SETUP_BLT and XY_SETUP_MONO_PATTERN_SL_BLT.
fn setup_pattern(
    setup: &mut Setup,
    fields: &Fields<'_>,
    pattern: SetupPattern,
) -> Result<Option<Operation>, Fault> {
    let control = Control(fields.dword(1)?);
    let target = Plane::new(fields.address(4)?, control.pitch(), fields.target_tiling());
    setup.clip = fields.rectangle(2)?;
    (setup.background, setup.foreground) = (fields.dword(6)?, fields.dword(7)?);
    setup.mask = fields.mask(control);
    setup.control = control;
    setup.target = target;
    setup.pattern = pattern;
    Ok(None)
}

/// What the forms that rest on the setup have in common.
fn from_setup(setup: &Setup, fields: &Fields<'_>, whole: Rectangle) -> Operation {
    let control = setup.control;
    Operation {
        target: setup.target,
        area: if control.clipped() {
            whole.clip(setup.clip)
        } else {
            whole
        },
        pixel: control.pixel(),
        mask: setup.mask,
        raster: control.raster(),
        source: Source::None,
        pattern: Pattern::Solid(setup.foreground),
        seed: fields.seed(),
    }
}

/// XY_PIXEL_BLT.
fn pixel(setup: &Setup, fields: &Fields<'_>) -> Result<Operation, Fault> {
    let (x1, y1) = coordinates(fields.dword(1)?);
    Ok(from_setup(
        setup,
        fields,
        Rectangle {
            x1,
            y1,
            x2: x1 + 1,
            y2: y1 + 1,
        },
    ))
}

/// XY_SCANLINES_BLT.
fn scanlines(setup: &Setup, fields: &Fields<'_>) -> Result<Operation, Fault> {
    let operation = from_setup(setup, fields, fields.rectangle(1)?);
    if setup.control.solid() {
        return Ok(operation);
    }
    let pattern = match setup.pattern {
        SetupPattern::Color(address) => Pattern::Memory(address),
        SetupPattern::Mono(bits) => Pattern::Mono {
            bits,
            background: setup.background,
            foreground: setup.foreground,
            transparent: setup.control.pattern_transparent(),
        },
    };
    Ok(Operation {
        pattern,
        ..operation
    })
}

/// XY_TEXT_BLT and XY_TEXT_IMMEDIATE_BLT: rows packed by bytes, or not at all.
fn text(setup: &Setup, fields: &Fields<'_>, bits: Bits) -> Result<Operation, Fault> {
    let whole = fields.rectangle(1)?;
    let width = u64::from(whole.width());
    let stride = if fields.packed_by_bytes() {
        width.next_multiple_of(8)
    } else {
        width
    };
    if let Bits::Immediate(first) = bits {
        fields.holds(first, stride * u64::from(whole.height()))?;
    }
    let source = Source::Mono {
        bits,
        origin: (whole.x1, whole.y1),
        skip: 0,
        stride,
        background: setup.background,
        foreground: setup.foreground,
        transparent: setup.control.source_transparent(),
    };
    Ok(Operation {
        source,
        ..from_setup(setup, fields, whole)
    })
}

/// COLOR_BLT: height and width (bytes) instead of coordinates.
fn color(fields: &Fields<'_>) -> Result<Operation, Fault> {
    let control = Control(fields.dword(1)?);
    Ok(Operation {
        target: Plane::new(fields.address(3)?, control.pitch(), Tiling::Linear),
        area: fields.size(2, control)?,
        pixel: control.pixel(),
        mask: fields.mask(control),
        raster: control.raster(),
        source: Source::None,
        pattern: Pattern::Solid(fields.dword(5)?),
        seed: (0, 0),
    })
}

/// SRC_COPY_BLT, left to right.
fn copy(fields: &Fields<'_>) -> Result<Operation, Fault> {
    let control = Control(fields.dword(1)?);
    if control.right_to_left() {
        return Err(fields.malformed());
    }
    let plane = Plane::new(fields.address(6)?, fields.dword(5)?, Tiling::Linear);
    Ok(Operation {
        target: Plane::new(fields.address(3)?, control.pitch(), Tiling::Linear),
        area: fields.size(2, control)?,
        pixel: control.pixel(),
        mask: fields.mask(control),
        raster: control.raster(),
        source: Source::Color {
            plane,
            dx: 0,
            dy: 0,
            x_backwards: false,
            y_backwards: false,
        },
        pattern: Pattern::Solid(0),
        seed: (0, 0),
    })
}

/// XY_FAST_COPY_BLT: a layout of its own, up to 128 bits a pixel, no raster operation.
fn fast_copy(fields: &Fields<'_>) -> Result<Operation, Fault> {
    let control = fields.dword(1)?;
    let pixel = match control >> 24 & 7 {
        0 => 1,
        1 => 2,
        3 => 4,
        4 => 8,
        5 => 16,
        _ => return Err(fields.malformed()),
    };
    let target_tiling = fields.fast_tiling(13, control & 1 << 30 != 0)?;
    let source_tiling = fields.fast_tiling(20, control & 1 << 31 != 0)?;
    let area = fields.rectangle(2)?;
    let (x, y) = coordinates(fields.dword(6)?);
    Ok(Operation {
        target: Plane::new(fields.address(4)?, control, target_tiling),
        area,
        pixel,
        mask: u32::MAX,
        raster: RasterOperation::SOURCE,
        source: Source::Color {
            plane: Plane::new(fields.address(8)?, fields.dword(7)?, source_tiling),
            dx: x - area.x1,
            dy: y - area.y1,
            x_backwards: false,
            y_backwards: false,
        },
        pattern: Pattern::Solid(0),
        seed: (0, 0),
    })
}
