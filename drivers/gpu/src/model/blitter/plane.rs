//! A rectangle of pixels in graphics memory: linear, X-tiled or Y-tiled (legacy).
//!
//! A tile is one page. X: 512 bytes by 8 rows, row after row. Y: 128 bytes by 32 rows, in columns
//! of 16 bytes (Intel PRM volume 5, "Tiled Memory"). Kaby Lake swizzles no address bit.

use crate::address::GraphicsAddress;
use crate::model::fault::Fault;
use crate::model::surface::Surface;

/// Bytes of one tile.
const TILE: i64 = 4096;
/// Implemented bits of a graphics address.
const ADDRESS: u64 = (1 << 48) - 1;

/// How bytes of a row lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tiling {
    /// One after the other.
    Linear,
    /// X tiles.
    X,
    /// Legacy Y tiles.
    Y,
}

/// Where pixels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plane {
    /// First byte of row 0.
    pub(super) base: u64,
    /// Bytes from a row to the next; negative mirrors.
    pub(super) pitch: i64,
    /// Layout.
    pub(super) tiling: Tiling,
}

impl Plane {
    /// From the command's fields: a tiled pitch counts dwords.
    pub(super) fn new(base: u64, pitch: u32, tiling: Tiling) -> Self {
        let pitch = i64::from(pitch as i16);
        let unit = if tiling == Tiling::Linear { 1 } else { 4 };
        Self {
            base,
            pitch: pitch * unit,
            tiling,
        }
    }

    /// Copies out bytes `x ..` of row `y`.
    pub(super) fn read(
        &self,
        surface: &mut dyn Surface,
        x: i64,
        y: i64,
        data: &mut [u8],
    ) -> Result<(), Fault> {
        let mut done = 0;
        while let Some(rest) = data.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let (address, run) = self.locate(x + done as i64, y);
            let run = run.min(rest.len());
            let (part, _) = rest.split_at_mut(run);
            surface.read(address, part)?;
            done += run;
        }
        Ok(())
    }

    /// Copies in bytes `x ..` of row `y`.
    pub(super) fn write(
        &self,
        surface: &mut dyn Surface,
        x: i64,
        y: i64,
        data: &[u8],
    ) -> Result<(), Fault> {
        let mut done = 0;
        while let Some(rest) = data.get(done..).filter(|rest| !rest.is_empty()) {
            let (address, run) = self.locate(x + done as i64, y);
            let run = run.min(rest.len());
            let (part, _) = rest.split_at(run);
            surface.write(address, part)?;
            done += run;
        }
        Ok(())
    }

    /// Where byte `x` of row `y` is, and how many bytes from there on lie side by side.
    fn locate(&self, x: i64, y: i64) -> (GraphicsAddress, usize) {
        // Coordinates and pitch are sign-extended 16-bit numbers: nothing here overflows.
        let (offset, run) = match self.tiling {
            Tiling::Linear => (y * self.pitch + x, i64::MAX),
            Tiling::X => {
                let tile = y.div_euclid(8) * self.pitch * 8 + x.div_euclid(512) * TILE;
                let column = x.rem_euclid(512);
                (tile + y.rem_euclid(8) * 512 + column, 512 - column)
            }
            Tiling::Y => {
                let tile = y.div_euclid(32) * self.pitch * 32 + x.div_euclid(128) * TILE;
                let column = x.rem_euclid(128);
                let inside = column / 16 * 512 + y.rem_euclid(32) * 16 + column % 16;
                (tile + inside, 16 - column % 16)
            }
        };
        (
            GraphicsAddress(self.base.wrapping_add_signed(offset) & ADDRESS),
            run as usize,
        )
    }
}
