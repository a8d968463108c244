//! The fields of a blitter command, by the manual's bit numbers.

use super::operation::Rectangle;
use super::plane::Tiling;
use super::raster::RasterOperation;
use crate::model::fault::Fault;

/// BCS_SWCTRL: tiled sources are Y-tiled.
const SWCTRL_SOURCE_Y: u32 = 1 << 0;
/// BCS_SWCTRL: tiled targets are Y-tiled.
const SWCTRL_TARGET_Y: u32 = 1 << 1;

/// BR13, or BR01 of the setup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Control(pub(super) u32);

impl Control {
    /// Bit 31: the pattern is its foreground colour.
    pub(super) const fn solid(self) -> bool {
        self.0 & 1 << 31 != 0
    }

    /// Bit 30: only inside the clip rectangle.
    pub(super) const fn clipped(self) -> bool {
        self.0 & 1 << 30 != 0
    }

    /// Bit 30 of the forms without coordinates.
    pub(super) const fn right_to_left(self) -> bool {
        self.0 & 1 << 30 != 0
    }

    /// Bit 29: clear bits of a monochrome source paint nothing.
    pub(super) const fn source_transparent(self) -> bool {
        self.0 & 1 << 29 != 0
    }

    /// Bit 28: the same for a monochrome pattern.
    pub(super) const fn pattern_transparent(self) -> bool {
        self.0 & 1 << 28 != 0
    }

    /// Bits 25:24: bytes of a pixel. Both 16-bit formats blit alike.
    pub(super) const fn pixel(self) -> usize {
        match self.0 >> 24 & 3 {
            0 => 1,
            3 => 4,
            _ => 2,
        }
    }

    /// Bits 23:16.
    pub(super) const fn raster(self) -> RasterOperation {
        RasterOperation((self.0 >> 16) as u8)
    }

    /// Bits 15:0.
    pub(super) const fn pitch(self) -> u32 {
        self.0 & 0xffff
    }
}

/// A command's dwords.
pub(super) struct Fields<'a> {
    header: u32,
    command: &'a [u32],
    swctrl: u32,
}

impl<'a> Fields<'a> {
    /// A command of client 2.
    pub(super) fn new(command: &'a [u32], swctrl: u32) -> Result<Self, Fault> {
        let header = command.first().copied().unwrap_or(0);
        if header >> 29 != 2 {
            return Err(Fault::UnknownCommand(header));
        }
        Ok(Self {
            header,
            command,
            swctrl,
        })
    }

    /// The command cannot be executed as it is.
    pub(super) fn malformed(&self) -> Fault {
        Fault::Malformed(self.header)
    }

    /// Bits 28:22.
    pub(super) fn opcode(&self) -> u32 {
        self.header >> 22 & 0x7f
    }

    /// One dword.
    pub(super) fn dword(&self, index: usize) -> Result<u32, Fault> {
        self.command.get(index).copied().ok_or(self.malformed())
    }

    /// Two dwords.
    pub(super) fn qword(&self, index: usize) -> Result<u64, Fault> {
        Ok(u64::from(self.dword(index)?) | u64::from(self.dword(index + 1)?) << 32)
    }

    /// A graphics address, bits 47:0.
    pub(super) fn address(&self, index: usize) -> Result<u64, Fault> {
        Ok(self.qword(index)? & 0xffff_ffff_ffff)
    }

    /// A rectangle in two dwords.
    pub(super) fn rectangle(&self, index: usize) -> Result<Rectangle, Fault> {
        Ok(Rectangle::new(self.dword(index)?, self.dword(index + 1)?))
    }

    /// Height and width in bytes (BR14), as a rectangle of pixels at the origin.
    pub(super) fn size(&self, index: usize, control: Control) -> Result<Rectangle, Fault> {
        let size = self.dword(index)?;
        let width = (size & 0xffff) as i32 / control.pixel() as i32;
        Ok(Rectangle {
            x1: 0,
            y1: 0,
            x2: width,
            y2: (size >> 16) as i32,
        })
    }

    /// Whether `bits` of immediate data from dword `first` are there.
    pub(super) fn holds(&self, first: usize, bits: u64) -> Result<(), Fault> {
        let present = self.command.len().saturating_sub(first) as u64 * 32;
        if bits <= present {
            Ok(())
        } else {
            Err(self.malformed())
        }
    }

    /// Bits of a pixel that are written: at 32 bpp, bits 21 (alpha) and 20 (RGB) say.
    pub(super) fn mask(&self, control: Control) -> u32 {
        if control.pixel() != 4 {
            return u32::MAX;
        }
        let alpha = if self.header & 1 << 21 != 0 {
            0xff00_0000
        } else {
            0
        };
        let rgb = if self.header & 1 << 20 != 0 {
            0x00ff_ffff
        } else {
            0
        };
        alpha | rgb
    }

    /// Bits 19:17.
    pub(super) fn first_bit(&self) -> u32 {
        self.header >> 17 & 7
    }

    /// Bit 16.
    pub(super) fn packed_by_bytes(&self) -> bool {
        self.header & 1 << 16 != 0
    }

    /// Bits 14:12 and 10:8.
    pub(super) fn seed(&self) -> (i32, i32) {
        (
            (self.header >> 12 & 7) as i32,
            (self.header >> 8 & 7) as i32,
        )
    }

    /// Bit 15.
    pub(super) fn source_tiling(&self) -> Tiling {
        self.tiling(15, SWCTRL_SOURCE_Y)
    }

    /// Bit 11.
    pub(super) fn target_tiling(&self) -> Tiling {
        self.tiling(11, SWCTRL_TARGET_Y)
    }

    fn tiling(&self, bit: u32, y: u32) -> Tiling {
        match (self.header & 1 << bit != 0, self.swctrl & y != 0) {
            (false, _) => Tiling::Linear,
            (true, false) => Tiling::X,
            (true, true) => Tiling::Y,
        }
    }

    /// XY_FAST_COPY_BLT: two header bits from `shift`; `y_f` turns the Y of them into Yf.
    pub(super) fn fast_tiling(&self, shift: u32, y_f: bool) -> Result<Tiling, Fault> {
        match (self.header >> shift & 3, y_f) {
            (0, _) => Ok(Tiling::Linear),
            (1, _) => Ok(Tiling::X),
            (2, false) => Ok(Tiling::Y),
            _ => Err(self.malformed()),
        }
    }
}
