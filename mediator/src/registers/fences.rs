//! Fence registers: how the aperture turns tiled surfaces into linear ones.
//!
//! Source: PRM Kaby Lake vol. 2c (FENCE_LSB, FENCE_MSB), vol. 5 (tiling formats); Linux
//! `intel_ggtt_fencing.c`.
//!
//! ```text
//! lower dword  31:12 first page   1 Y-tiled (else X)   0 valid
//! upper dword  31:12 last page    11:0 pitch in 128 bytes, minus one
//! ```
//!
//! The guest sees fences 0, 1, ... of its slice; the device has them at the slice's place. A fence
//! over anything but the guest's own mappable range is off, whatever the guest reads back.

use core::ops::Range;

use gpu::spec::registers::{FENCE, Slot, find};
use gpu::{Gpu, GraphicsAddress, PAGE_SIZE};

use crate::partition::Slice;
use crate::vgpu::Vgpu;
use crate::{Clock, Guests, Host};

/// Lower dword bit 0: valid.
const VALID: u32 = 1 << 0;
/// Lower dword bit 1: Y-major tiles.
const Y_TILED: u32 = 1 << 1;

/// One active fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiling {
    /// Graphics addresses it covers.
    range: Range<u64>,
    /// Bytes from row to row of the linear view.
    pitch: u64,
    y_major: bool,
}

impl Tiling {
    /// Takes a fence register apart; `None` if it is off or makes no sense.
    #[inline]
    fn new(lower: u32, upper: u32) -> Option<Self> {
        const PAGE: u64 = !(PAGE_SIZE - 1);
        if lower & VALID == 0 {
            return None;
        }
        let start = u64::from(lower) & PAGE;
        let end = (u64::from(upper) & PAGE) + PAGE_SIZE;
        let pitch = (u64::from(upper & 0xfff) + 1) * 128;
        let y_major = lower & Y_TILED != 0;
        // X tiles are 512 bytes wide, Y tiles 128.
        let whole_tiles = y_major || pitch % 512 == 0;
        (end > start && whole_tiles).then_some(Self {
            range: start..end,
            pitch,
            y_major,
        })
    }

    /// Where the byte that the linear view shows at `address` really is. Bytes within an aligned
    /// group of sixteen stay together.
    pub fn locate(&self, address: GraphicsAddress) -> GraphicsAddress {
        let offset = address.0.saturating_sub(self.range.start);
        let (x, y) = (offset % self.pitch, offset / self.pitch);
        let inside = if self.y_major {
            // 128 bytes by 32 rows, in columns of 16 bytes.
            let tile = y / 32 * (self.pitch / 128) + x / 128;
            tile * PAGE_SIZE + x % 128 / 16 * 512 + y % 32 * 16 + x % 16
        } else {
            // 512 bytes by 8 rows.
            let tile = y / 8 * (self.pitch / 512) + x / 512;
            tile * PAGE_SIZE + y % 8 * 512 + x % 512
        };
        GraphicsAddress(self.range.start + inside)
    }
}

/// The active fence over an address, if any.
pub fn fence_at(vgpu: &Vgpu, address: GraphicsAddress) -> Option<Tiling> {
    (0..u32::from(vgpu.slice.fences.count)).find_map(|number| {
        let halves = vgpu.registers.pair(find(FENCE + number * 8)?);
        active(vgpu, halves).filter(|tiling| tiling.range.contains(&address.0))
    })
}

/// Whether the fence register at `offset` is one of the guest's.
pub(super) fn owned(vgpu: &Vgpu, offset: u32) -> bool {
    number(offset) < vgpu.slice.fences.count.into()
}

/// The guest writes half a fence. The device's upper half is always what the guest wrote; its lower
/// half is, too, while the fence is on, and 0 while it is off. A fence is never changed while it is on.
pub(super) fn write<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    offset: u32,
    slot: Slot,
    written: u32,
) {
    let number = number(offset);
    if !owned(vgpu, offset) {
        let now = host.clock.now();
        vgpu.violation(now, format_args!("fence {number} is not its own"));
        return;
    }
    let place = FENCE + (u32::from(vgpu.slice.fences.first) + number) * 8;
    let [mut lower, mut upper] = vgpu.registers.pair(slot);
    if active(vgpu, [lower, upper]).is_some() {
        host.gpu.write(place, 0);
    }
    vgpu.registers.set(slot, written);
    let is_lower = offset.is_multiple_of(8);
    if is_lower {
        lower = written;
    } else {
        upper = written;
        host.gpu.write(place + 4, upper);
    }
    if active(vgpu, [lower, upper]).is_some() {
        host.gpu.write(place, lower);
    } else if is_lower && lower & VALID != 0 {
        let now = host.clock.now();
        vgpu.violation(
            now,
            format_args!("fence {number} ({upper:#010x} {lower:#010x}) reaches beyond its own"),
        );
    }
}

/// Makes the device's fences of a slice those of a new guest: all zero.
pub fn close<G: Gpu>(gpu: &mut G, slice: &Slice) {
    for number in 0..u32::from(slice.fences.count) {
        let place = FENCE + (u32::from(slice.fences.first) + number) * 8;
        gpu.write(place, 0);
        gpu.write(place + 4, 0);
    }
}

/// A fence that is on and lies in the guest's mappable range.
#[inline]
fn active(vgpu: &Vgpu, [lower, upper]: [u32; 2]) -> Option<Tiling> {
    let tiling = Tiling::new(lower, upper)?;
    let length = tiling.range.end - tiling.range.start;
    let own = vgpu
        .slice
        .mappable
        .contains(GraphicsAddress(tiling.range.start), length);
    own.then_some(tiling)
}

/// Which fence a register belongs to.
const fn number(offset: u32) -> u32 {
    offset.wrapping_sub(FENCE) / 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tiles_are_where_the_manual_draws_them() {
        let x = Tiling::new(0x10_0000 | VALID, 0x10_f000 | 7).expect("1024-byte pitch");
        let at = |tiling: &Tiling, x: u64, y: u64| {
            tiling.locate(GraphicsAddress(0x10_0000 + y * 1024 + x)).0 - 0x10_0000
        };
        assert_eq!(at(&x, 511, 0), 511);
        assert_eq!(at(&x, 512, 0), 4096);
        assert_eq!(at(&x, 0, 1), 512);
        assert_eq!(at(&x, 5, 9), 2 * 4096 + 512 + 5);
        let y = Tiling::new(0x10_0000 | VALID | Y_TILED, 0x10_f000 | 7).expect("the same");
        assert_eq!(at(&y, 15, 0), 15);
        assert_eq!(at(&y, 16, 0), 512);
        assert_eq!(at(&y, 0, 1), 16);
        assert_eq!(at(&y, 128, 0), 4096);
        assert_eq!(at(&y, 3, 33), 8 * 4096 + 16 + 3);
    }

    #[test]
    fn senseless_fences_are_off() {
        assert_eq!(Tiling::new(0x10_0000, 0x10_f007), None, "not valid");
        assert_eq!(
            Tiling::new(0x10_0000 | VALID, 0x0f_0007),
            None,
            "ends before it begins"
        );
        assert_eq!(
            Tiling::new(0x10_0000 | VALID, 0x10_f001),
            None,
            "half an X tile"
        );
        assert!(
            Tiling::new(0xffff_f001, 0xffff_f003).is_some(),
            "the last page of 4 GiB"
        );
    }

    proptest! {
        #[test]
        fn tiling_permutes_whole_rows_of_tiles(
            tiles in 1u64..6, rows in 1u64..4, y_major in any::<bool>(),
        ) {
            let (width, height) = if y_major { (128, 32) } else { (512, 8) };
            let pitch = tiles * width;
            let size = pitch * rows * height;
            let tiling = Tiling { range: 0..size, pitch, y_major };
            let mut seen = vec![false; size as usize];
            for offset in 0..size {
                let place = tiling.locate(GraphicsAddress(offset)).0;
                prop_assert!(!std::mem::replace(&mut seen[place as usize], true));
                if offset % 16 != 0 {
                    let before = tiling.locate(GraphicsAddress(offset - 1)).0;
                    prop_assert_eq!(place, before + 1);
                }
            }
        }
    }
}
