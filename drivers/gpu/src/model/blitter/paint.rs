//! Painting: spans of a row, read, combined, written.

use super::operation::{Bits, Operation, Pattern, Source};
use super::pattern::Tile;
use super::raster::RasterOperation;
use super::setup::Progress;
use crate::address::GraphicsAddress;
use crate::model::fault::Fault;
use crate::model::surface::{STEP_BYTES, Surface};

/// Bytes of a row that are held at once.
const SPAN: usize = 1024;
/// What a span counts at least against [`STEP_BYTES`], so that narrow rectangles end their call
/// after a bounded number of rows too.
const SPAN_COST: u64 = 64;

/// Paints from `from` until done or out of budget; bytes moved, and where to go on.
pub(super) fn paint(
    surface: &mut dyn Surface,
    operation: &Operation,
    command: &[u32],
    from: Progress,
) -> Result<(u64, Option<Progress>), Fault> {
    let (width, height) = (operation.area.width(), operation.area.height());
    if width == 0 || from.row >= height {
        return Ok((0, None));
    }
    // A transparent monochrome pattern masks, whatever the raster operation makes of it.
    let masks = matches!(operation.pattern, Pattern::Mono { .. });
    let (tile, mut bytes) = if masks || operation.raster.uses_pattern() {
        Tile::fetch(surface, operation.pattern, operation.pixel, command)?
    } else {
        (Tile::unused(), 0)
    };
    let painter = Painter {
        operation,
        tile,
        command,
    };
    let most = (SPAN / operation.pixel) as u32;
    let mut spent = bytes;
    let mut next = from;
    while next.row < height {
        while next.column < width {
            let count = (width - next.column).min(most);
            let span = u64::from(count) * operation.pixel as u64;
            // Target read and written, source read.
            let cost = (3 * span).max(SPAN_COST);
            if spent + cost > STEP_BYTES {
                return Ok((bytes, Some(next)));
            }
            spent += cost;
            bytes += painter.span(surface, next, count)?;
            next.column += count;
        }
        next = Progress {
            row: next.row + 1,
            column: 0,
        };
    }
    Ok((bytes, None))
}

/// One operation with its pattern at hand.
struct Painter<'a> {
    operation: &'a Operation,
    tile: Tile,
    command: &'a [u32],
}

impl Painter<'_> {
    /// Paints `count` pixels; bytes moved.
    fn span(&self, surface: &mut dyn Surface, at: Progress, count: u32) -> Result<u64, Fault> {
        let operation = self.operation;
        let (x, y) = self.position(at, count);
        let pixel = operation.pixel;
        let length = count as usize * pixel;
        let (mut target, mut source) = ([0; SPAN], [0; SPAN]);
        let (target, _) = target.split_at_mut(length.min(SPAN));
        let (source, _) = source.split_at_mut(length.min(SPAN));
        let column = |x: i32| i64::from(x) * pixel as i64;
        let mut bytes = length as u64;

        match operation.source {
            Source::Color { plane, dx, dy, .. } if operation.raster.uses_source() => {
                plane.read(surface, column(x + dx), i64::from(y + dy), source)?;
                bytes += length as u64;
            }
            Source::Mono {
                bits,
                origin,
                skip,
                stride,
                ..
            } => {
                let row = u64::from((y - origin.1).unsigned_abs());
                let first = row * stride + u64::from(skip) + u64::from(x.abs_diff(origin.0));
                bytes += self.fetch_bits(surface, bits, first, count, source)?;
            }
            _ => {}
        }

        if let Some(color) = self.plain_fill() {
            fill(target, color, pixel);
            operation
                .target
                .write(surface, column(x), i64::from(y), target)?;
            return Ok(bytes);
        }
        if self.plain_copy() {
            operation
                .target
                .write(surface, column(x), i64::from(y), source)?;
            return Ok(bytes);
        }
        if self.reads_target() {
            operation
                .target
                .read(surface, column(x), i64::from(y), target)?;
            bytes += length as u64;
        }
        for index in 0..count as usize {
            let x = x + index as i32;
            let Some(s) = self.source_pixel(source, index) else {
                continue;
            };
            let Some(p) = self.tile.at(x + operation.seed.0, y + operation.seed.1) else {
                continue;
            };
            let d = load(target, index, pixel);
            let result = operation.raster.apply(p, s, d);
            store(
                target,
                index,
                pixel,
                result & operation.mask | d & !operation.mask,
            );
        }
        operation
            .target
            .write(surface, column(x), i64::from(y), target)?;
        Ok(bytes)
    }

    /// Leftmost pixel and row of a span, by the direction of painting.
    fn position(&self, at: Progress, count: u32) -> (i32, i32) {
        let area = &self.operation.area;
        let (x_backwards, y_backwards) = match self.operation.source {
            Source::Color {
                x_backwards,
                y_backwards,
                ..
            } => (x_backwards, y_backwards),
            _ => (false, false),
        };
        let x = if x_backwards {
            area.x2 - (at.column + count) as i32
        } else {
            area.x1 + at.column as i32
        };
        let y = if y_backwards {
            area.y2 - 1 - at.row as i32
        } else {
            area.y1 + at.row as i32
        };
        (x, y)
    }

    /// The colour, if all pixels get one.
    fn plain_fill(&self) -> Option<u32> {
        let operation = self.operation;
        let plain = operation.raster == RasterOperation::PATTERN
            && operation.mask == u32::MAX
            && operation.source == Source::None;
        self.tile.solid().filter(|_| plain)
    }

    /// Whether source bytes go to the target as they are.
    fn plain_copy(&self) -> bool {
        self.operation.raster == RasterOperation::SOURCE
            && self.operation.mask == u32::MAX
            && matches!(self.operation.source, Source::Color { .. })
            && !self.tile.is_mono()
    }

    /// Whether some bit of the target may stay as it is.
    fn reads_target(&self) -> bool {
        self.operation.raster.uses_destination()
            || self.operation.mask != u32::MAX
            || matches!(
                self.operation.source,
                Source::Mono {
                    transparent: true,
                    ..
                }
            )
            || self.tile.is_transparent()
    }

    /// Copies monochrome bits `first ..` to the head of `bits`, the first one most significant.
    fn fetch_bits(
        &self,
        surface: &mut dyn Surface,
        from: Bits,
        first: u64,
        count: u32,
        bits: &mut [u8],
    ) -> Result<u64, Fault> {
        let shift = (first % 8) as usize;
        let length = (shift + count as usize).div_ceil(8);
        // One byte more than the bits alone need: they may begin inside a byte.
        let mut raw = [0; SPAN / 8 + 1];
        let (raw, _) = raw.split_at_mut(length.min(SPAN / 8 + 1));
        let mut moved = 0;
        match from {
            Bits::Memory(base) => {
                let address = base.wrapping_add(first / 8) & 0xffff_ffff_ffff;
                surface.read(GraphicsAddress(address), raw)?;
                moved = raw.len() as u64;
            }
            Bits::Immediate(dword) => {
                for (offset, byte) in raw.iter_mut().enumerate() {
                    let at = (first / 8) as usize + offset;
                    let value = self.command.get(dword + at / 4).copied().unwrap_or(0);
                    *byte = (value >> (at % 4 * 8)) as u8;
                }
            }
        }
        for (index, byte) in bits
            .iter_mut()
            .take((count as usize).div_ceil(8))
            .enumerate()
        {
            let high = raw.get(index).copied().unwrap_or(0);
            let low = raw.get(index + 1).copied().unwrap_or(0);
            *byte = (u16::from_be_bytes([high, low]) >> (8 - shift)) as u8;
        }
        Ok(moved)
    }

    /// Pixel `index` of the span's source; `None` paints nothing.
    fn source_pixel(&self, source: &[u8], index: usize) -> Option<u32> {
        match self.operation.source {
            Source::None => Some(0),
            Source::Color { .. } => Some(load(source, index, self.operation.pixel)),
            Source::Mono {
                background,
                foreground,
                transparent,
                ..
            } => {
                let byte = source.get(index / 8).copied().unwrap_or(0);
                match byte >> (7 - index % 8) & 1 {
                    0 if transparent => None,
                    0 => Some(background),
                    _ => Some(foreground),
                }
            }
        }
    }
}

/// Pixel `index` of a row of pixels of 1, 2 or 4 bytes.
#[inline]
pub(super) fn load(row: &[u8], index: usize, pixel: usize) -> u32 {
    let at = row.get(index * pixel..).unwrap_or(&[]);
    match pixel {
        1 => at.first().copied().unwrap_or(0).into(),
        2 => at
            .first_chunk()
            .copied()
            .map_or(0, u16::from_le_bytes)
            .into(),
        _ => at.first_chunk().copied().map_or(0, u32::from_le_bytes),
    }
}

/// Makes all pixels of a row `value`.
fn fill(row: &mut [u8], value: u32, pixel: usize) {
    store(row, 0, pixel, value);
    let mut done = pixel;
    while done < row.len() {
        // Twice as much each time.
        let count = done.min(row.len() - done);
        row.copy_within(..count, done);
        done += count;
    }
}

/// Stores pixel `index`.
#[inline]
fn store(row: &mut [u8], index: usize, pixel: usize, value: u32) {
    let value = value.to_le_bytes();
    let (value, _) = value.split_at(pixel.min(value.len()));
    if let Some(to) = row.get_mut(index * pixel..(index + 1) * pixel) {
        to.copy_from_slice(value);
    }
}
