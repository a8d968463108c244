//! The reference painter against the software GPU's blitter: two that share no code.

use gpu::GraphicsAddress;
use gpu::model::blitter::{Setup, execute};
use gpu::model::fault::Fault;
use gpu::model::surface::{Step, Surface};
use proptest::prelude::*;

use crate::commands::Commands;
use crate::picture::{Depth, Layout, Picture, Rectangle, Tiling};

const TARGET: u64 = 0x12_3400_0000;
const SOURCE: u64 = 0x56_7800_0000;

/// Two pictures at their addresses.
struct Memory {
    target: Vec<u8>,
    source: Vec<u8>,
    control: u32,
}

impl Memory {
    fn place(&mut self, address: u64, length: usize) -> &mut [u8] {
        let (memory, base) = match address >= SOURCE {
            true => (&mut self.source, SOURCE),
            false => (&mut self.target, TARGET),
        };
        let start = (address - base) as usize;
        memory
            .get_mut(start..start + length)
            .expect("an access inside the picture")
    }
}

impl Surface for Memory {
    fn read(&mut self, address: GraphicsAddress, data: &mut [u8]) -> Result<(), Fault> {
        data.copy_from_slice(self.place(address.0, data.len()));
        Ok(())
    }

    fn write(&mut self, address: GraphicsAddress, data: &[u8]) -> Result<(), Fault> {
        self.place(address.0, data.len()).copy_from_slice(data);
        Ok(())
    }

    fn software_control(&self) -> u32 {
        self.control
    }
}

/// Lets the software GPU execute one command.
fn blit(memory: &mut Memory, commands: &Commands) {
    let mut setup = Setup::default();
    while let Step::More { .. } = execute(memory, &mut setup, &commands.0).expect("it is known") {}
}

fn tiling() -> impl Strategy<Value = Tiling> {
    prop::sample::select(&Tiling::ALL[..])
}

prop_compose! {
    /// Two layouts of one depth, a rectangle inside the target, and where in the source it is from.
    fn task()(
        width in 1..300_u32,
        height in 1..80_u32,
        depth in prop::sample::select(&Depth::ALL[..]),
        to in tiling(),
        from in tiling(),
    )(
        target in Just(Layout::new((width, height), depth, to)),
        source in Just(Layout::new((width, height), depth, from)),
        (left, right) in (0..=width, 0..=width),
        (top, bottom) in (0..=height, 0..=height),
        origin in (0..=width, 0..=height),
        (size_x, size_y) in Just((width, height)),
    ) -> (Layout, Layout, Rectangle, (u32, u32)) {
        let (left, right) = (left.min(right), left.max(right));
        let (top, bottom) = (top.min(bottom), top.max(bottom));
        let at = Rectangle { left, top, width: right - left, height: bottom - top };
        let origin = (origin.0.min(size_x - at.width), origin.1.min(size_y - at.height));
        (target, source, at, origin)
    }
}

proptest! {
    #[test]
    fn fills_and_copies_are_those_of_the_software_gpu(
        (layout, from, at, origin) in task(),
        color: u32,
        fast: bool,
        fill: bool,
    ) {
        let mut expected = Picture::new(layout, 1);
        let source = Picture::new(from, 2);
        let modes = Commands::new().tile_modes(layout.tiling, from.tiling);
        let control = modes.0.last().copied().unwrap_or(0) & 3;
        let mut memory =
            Memory { target: expected.bytes.clone(), source: source.bytes.clone(), control };
        let (target_place, source_place) = ((TARGET, &layout), (SOURCE, &from));
        let commands = if fill {
            expected.fill(at, color);
            Commands::new().fill(TARGET, &layout, at, color)
        } else {
            expected.copy(at, &source, origin);
            if fast {
                Commands::new().fast_copy(target_place, at, source_place, origin)
            } else {
                Commands::new().copy_rectangle(target_place, at, source_place, origin)
            }
        };
        blit(&mut memory, &commands);
        prop_assert_eq!(expected.compare(&memory.target), Ok(()));
        prop_assert_eq!(source.compare(&memory.source), Ok(()));
    }

    /// Every byte has a place of its own, and a tile is a page.
    #[test]
    fn a_layout_uses_every_byte_once(width in 1..200_u32, height in 1..70_u32, tiling in tiling()) {
        let layout = Layout::new((width, height), Depth::Bits8, tiling);
        let mut used = vec![false; layout.size()];
        for line in 0..layout.height {
            for byte in 0..layout.pitch {
                let offset = layout.offset(byte, line);
                prop_assert!(!core::mem::replace(&mut used[offset], true), "{} twice", offset);
            }
        }
        prop_assert!(tiling == Tiling::Linear || layout.size().is_multiple_of(4096));
    }
}

#[test]
fn a_difference_is_told_with_its_place() {
    let picture = Picture::new(Layout::new((8, 8), Depth::Bits32, Tiling::X), 1);
    let mut other = picture.bytes.clone();
    other[0x123] ^= 1;
    let told = picture.compare(&other).expect_err("a difference");
    assert!(told.contains("1 of") && told.contains("0x123"), "{told}");
    assert!(picture.compare(&other[..16]).is_err());
}
