//! The blitter's fills and copies between pictures of every layout and depth, byte by byte.

use crate::commands::Commands;
use crate::device::Device;
use crate::engine::Engine;
use crate::object::Object;
use crate::picture::{Depth, Layout, Picture, Rectangle, Tiling};
use crate::report::{Outcome, Report};
use crate::submission::run as execute;
use crate::system::Refusal;

/// Pixels of the pictures: some tiles, and not whole ones.
const SIZE: (u32, u32) = (290, 70);
/// Rectangles that begin and end inside tiles, on their edges, in one line, in one column.
const RECTANGLES: [Rectangle; 4] = [
    Rectangle {
        left: 3,
        top: 1,
        width: 1,
        height: 1,
    },
    Rectangle {
        left: 0,
        top: 0,
        width: 128,
        height: 32,
    },
    Rectangle {
        left: 121,
        top: 27,
        width: 150,
        height: 9,
    },
    Rectangle {
        left: 17,
        top: 6,
        width: 1,
        height: 60,
    },
];
/// Where a copy comes from, for each of them.
const ORIGINS: [(u32, u32); 4] = [(0, 0), (13, 7), (64, 31), (255, 3)];

/// All of them.
pub fn run(report: &mut Report) {
    for depth in Depth::ALL {
        let bits = 8 * depth.bytes();
        for to in Tiling::ALL {
            report.check(
                format_args!("fills-of-{bits}-bits-{to}-are-exact"),
                move |device| fills(device, depth, to),
            );
            for from in Tiling::ALL {
                report.check(
                    format_args!("copies-of-{bits}-bits-{from}-to-{to}-are-exact"),
                    move |device| copies(device, depth, from, to),
                );
            }
        }
    }
    report.check("a-picture-of-a-megabyte-is-copied", large);
}

/// A picture and the object that holds it.
struct Surface {
    object: Object,
    expected: Picture,
}

impl Surface {
    fn new(device: &Device, layout: Layout, seed: u32) -> Result<Self, Refusal> {
        let expected = Picture::new(layout, seed);
        let object = Object::new(device, layout.size() as u64)?;
        object.write(0, &expected.bytes)?;
        Ok(Self { object, expected })
    }

    fn place(&self) -> (u64, &Layout) {
        (self.object.address, &self.expected.layout)
    }

    fn verify(&self, what: &str) -> Outcome {
        let compared = self.expected.compare(&self.object.contents()?);
        compared.map_err(|why| format!("{what}: {why}"))
    }
}

fn fills(device: &Device, depth: Depth, tiling: Tiling) -> Outcome {
    let mut target = Surface::new(device, Layout::new(SIZE, depth, tiling), 1)?;
    let mut commands = Commands::new().tile_modes(tiling, Tiling::Linear);
    for (at, color) in RECTANGLES
        .into_iter()
        .zip([0x0123_4567, 0x89ab_cdef, 0, u32::MAX])
    {
        let (base, layout) = target.place();
        commands = commands.fill(base, layout, at, color);
        target.expected.fill(at, color);
    }
    let commands = commands.tile_modes(Tiling::Linear, Tiling::Linear);
    execute(Engine::Blt, &commands.end(), &[&target.object])?;
    target.verify("the picture")
}

/// The same copies twice, by XY_SRC_COPY_BLT and by XY_FAST_COPY_BLT.
fn copies(device: &Device, depth: Depth, from: Tiling, to: Tiling) -> Outcome {
    let source = Surface::new(device, Layout::new(SIZE, depth, from), 2)?;
    let layout = Layout::new(SIZE, depth, to);
    let (mut plain, mut fast) = (
        Surface::new(device, layout, 3)?,
        Surface::new(device, layout, 4)?,
    );
    let mut commands = Commands::new().tile_modes(to, from);
    for (at, origin) in RECTANGLES.into_iter().zip(ORIGINS) {
        commands = commands
            .copy_rectangle(plain.place(), at, source.place(), origin)
            .fast_copy(fast.place(), at, source.place(), origin);
        for target in [&mut plain, &mut fast] {
            target.expected.copy(at, &source.expected, origin);
        }
    }
    let commands = commands.tile_modes(Tiling::Linear, Tiling::Linear);
    let objects = [&source.object, &plain.object, &fast.object];
    execute(Engine::Blt, &commands.end(), &objects)?;
    plain.verify("by XY_SRC_COPY_BLT")?;
    fast.verify("by XY_FAST_COPY_BLT")?;
    source.verify("the source")
}

/// 512 lines of 512 pixels, linear to Y-tiled and back: many pages, scattered by the tiling.
fn large(device: &Device) -> Outcome {
    let layout = |tiling| Layout {
        pitch: 2048,
        height: 512,
        depth: Depth::Bits32,
        tiling,
    };
    let all = Rectangle {
        left: 0,
        top: 0,
        width: 512,
        height: 512,
    };
    let source = Surface::new(device, layout(Tiling::Linear), 5)?;
    let mut tiled = Surface::new(device, layout(Tiling::Y), 6)?;
    let mut back = Surface::new(device, layout(Tiling::Linear), 7)?;
    let commands = Commands::new()
        .fast_copy(tiled.place(), all, source.place(), (0, 0))
        .fast_copy(back.place(), all, tiled.place(), (0, 0));
    tiled.expected.copy(all, &source.expected, (0, 0));
    back.expected.copy(all, &tiled.expected, (0, 0));
    let objects = [&source.object, &tiled.object, &back.object];
    execute(Engine::Blt, &commands.end(), &objects)?;
    tiled.verify("tiled")?;
    back.verify("and back")
}
