//! The naive painter: each pixel by itself, each bit of it by itself.

use super::encode::{MONO_AT, PATTERN_AT};
use super::{Blit, Form, Memory, PatternKind, Side, SourceKind, TILED_X};

/// Address of a byte of a surface, by the manual's formulas.
fn address(side: &Side, x: i64, y: i64) -> u64 {
    let pitch = i64::from(side.pitch);
    let offset = match side.tiling {
        0 => y * pitch + x,
        TILED_X => {
            let tile = (y >> 3) * (pitch >> 9) + (x >> 9);
            (tile << 12) + ((y & 7) << 9) + (x & 511)
        }
        _ => {
            let tile = (y >> 5) * (pitch >> 7) + (x >> 7);
            (tile << 12) + (((x & 127) >> 4) << 9) + ((y & 31) << 4) + (x & 15)
        }
    };
    side.base.wrapping_add(offset as u64) & 0xffff_ffff_ffff
}

fn pixel_at(memory: &Memory, side: &Side, x: i64, y: i64, bytes: i64) -> u32 {
    let mut value = 0;
    for byte in 0..bytes {
        let at = address(side, x * bytes + byte, y);
        value |= u32::from(memory.byte(at)) << (8 * byte);
    }
    value
}

/// Bits of one row of a monochrome source.
pub fn stride_bits(blit: &Blit, width: u64) -> u64 {
    match blit.form.source() {
        SourceKind::Text if blit.packed => width.div_ceil(8) * 8,
        SourceKind::Text => width,
        _ => (width + u64::from(blit.first_bit)).div_ceil(16) * 16,
    }
}

fn mono_bit(blit: &Blit, column: u64, row: u64) -> bool {
    let width = (i64::from(blit.area[2]) - i64::from(blit.area[0])) as u64;
    let skip = if blit.form.source() == SourceKind::Text {
        0
    } else {
        u64::from(blit.first_bit)
    };
    let bit = row * stride_bits(blit, width) + skip + column;
    Memory::new(0).byte(MONO_AT + bit / 8) & 0x80 >> (bit % 8) != 0
}

/// Source pixel, `None` if it is transparent.
fn source(blit: &Blit, before: &Memory, x: i64, y: i64) -> Option<u32> {
    let (column, row) = (x - i64::from(blit.area[0]), y - i64::from(blit.area[1]));
    match blit.form.source() {
        SourceKind::None => Some(0),
        SourceKind::Color => {
            let (from_x, from_y) = (i64::from(blit.from.0), i64::from(blit.from.1));
            Some(pixel_at(
                before,
                &blit.source,
                from_x + column,
                from_y + row,
                blit.pixel(),
            ))
        }
        SourceKind::Mono | SourceKind::Text => match mono_bit(blit, column as u64, row as u64) {
            true => Some(blit.colors[1]),
            false if blit.source_transparent => None,
            false => Some(blit.colors[0]),
        },
    }
}

/// Pattern pixel, `None` if it is transparent.
fn pattern(blit: &Blit, before: &Memory, x: i64, y: i64) -> Option<u32> {
    let px = (x + i64::from(blit.seed.0)).rem_euclid(8) as u64;
    let py = (y + i64::from(blit.seed.1)).rem_euclid(8) as u64;
    match blit.form.pattern() {
        PatternKind::Unused => Some(0),
        PatternKind::Solid if blit.form.source() == SourceKind::Text => Some(blit.colors[1]),
        PatternKind::Solid => Some(blit.colors[3]),
        PatternKind::Mono | PatternKind::Color
            if blit.solid
                && (blit.form.needs_setup() || blit.form.pattern() == PatternKind::Mono) =>
        {
            Some(blit.colors[3])
        }
        PatternKind::Mono => match blit.pattern >> (8 * py) & 0x80 >> px != 0 {
            true => Some(blit.colors[3]),
            false if blit.pattern_transparent => None,
            false => Some(blit.colors[2]),
        },
        PatternKind::Color => match blit.form {
            Form::PatternImmediate
            | Form::FullImmediatePattern
            | Form::FullMonoSourceImmediatePattern => Some(blit.pixels[(py * 8 + px) as usize]),
            _ => {
                let side = Side {
                    base: PATTERN_AT,
                    pitch: 8 * blit.pixel() as i32,
                    tiling: 0,
                };
                Some(pixel_at(before, &side, px as i64, py as i64, blit.pixel()))
            }
        },
    }
}

/// Paints it.
pub fn paint(memory: &mut Memory, blit: &Blit) {
    let [x1, y1, x2, y2] = blit.area.map(i64::from);
    let bytes = blit.pixel();
    let mut painted = Vec::new();
    for y in y1..y2 {
        for x in x1..x2 {
            if let Some(clip) = blit.clip {
                let [cx1, cy1, cx2, cy2] = clip.map(i64::from);
                if !(cx1..cx2).contains(&x) || !(cy1..cy2).contains(&y) {
                    continue;
                }
            }
            let Some(s) = source(blit, memory, x, y) else {
                continue;
            };
            let Some(p) = pattern(blit, memory, x, y) else {
                continue;
            };
            let d = pixel_at(memory, &blit.target, x, y, bytes);
            let mut result = 0;
            for bit in 0..32 {
                let index = (p >> bit & 1) << 2 | (s >> bit & 1) << 1 | d >> bit & 1;
                result |= (u32::from(blit.rop) >> index & 1) << bit;
            }
            for byte in 0..bytes {
                let written = match (bytes, byte) {
                    (4, 3) => blit.byte_mask & 2 != 0,
                    (4, _) => blit.byte_mask & 1 != 0,
                    _ => true,
                };
                if written {
                    let at = address(&blit.target, x * bytes + byte, y);
                    painted.push((at, (result >> (8 * byte)) as u8));
                }
            }
        }
    }
    for (at, value) in painted {
        memory.set(at, value);
    }
}
