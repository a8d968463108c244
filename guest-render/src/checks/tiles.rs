//! The aperture: mappings that go through the global GTT, and fences that make tiles linear.
//!
//! Every access is trapped and answered by the mediator, so the pictures are small.

use crate::abi::object::{DOMAIN_GTT, OFFSET_GTT, TILING_X, TILING_Y};
use crate::device::Device;
use crate::engine::Engine;
use crate::object::{Object, PAGE};
use crate::picture::{Depth, Layout, Tiling};
use crate::report::{Outcome, Report, ensure, equal};

use super::maps::coherent;

/// All of them.
pub fn run(report: &mut Report) {
    report.check("cpu-and-gpu-agree-through-the-aperture", |device| {
        let object = Object::new(device, 3 * PAGE)?;
        coherent(
            &object,
            &object.map(OFFSET_GTT)?,
            &[Engine::Render, Engine::Blt],
        )
    });
    for (name, tiling, mode) in [("x", Tiling::X, TILING_X), ("y", Tiling::Y, TILING_Y)] {
        report.check(
            format_args!("a-fence-makes-{name}-tiles-linear"),
            move |device| linear(device, tiling, mode),
        );
    }
    report.check("more-tiled-objects-than-fences-stay-apart", many);
}

/// Two rows of two tiles.
fn layout(tiling: Tiling) -> Layout {
    let (bytes, lines) = tiling.tile();
    Layout {
        pitch: 2 * bytes,
        height: 2 * lines,
        depth: Depth::Bits32,
        tiling,
    }
}

/// Writes through the aperture what `contents` finds in the tiles, and the other way round.
fn linear(device: &Device, tiling: Tiling, mode: u32) -> Outcome {
    let layout = layout(tiling);
    let object = Object::new(device, layout.size() as u64)?;
    let swizzling = object.set_tiling(mode, layout.pitch)?;
    ensure(swizzling == 0, || {
        format!("memory is said to be swizzled, mode {swizzling}")
    })?;
    let map = object.map(OFFSET_GTT)?;
    object.set_domain(DOMAIN_GTT, DOMAIN_GTT)?;
    let places = places(&layout);
    let value = |index: usize| 0xf0_0000 + index as u32;
    for (index, (byte, line)) in places.iter().enumerate() {
        map.write((line * layout.pitch + byte) as usize, value(index));
    }
    for (index, (byte, line)) in places.iter().enumerate() {
        let got = object.dword(layout.offset(*byte, *line) as u64)?;
        equal(
            format_args!("byte {byte} of line {line}, tiled"),
            got,
            value(index),
        )?;
    }
    for (index, (byte, line)) in places.iter().enumerate() {
        let at = layout.offset(*byte, *line) as u64;
        object.write(at, &(!value(index)).to_le_bytes())?;
    }
    object.set_domain(DOMAIN_GTT, 0)?;
    for (index, (byte, line)) in places.iter().enumerate() {
        let got = map.read((line * layout.pitch + byte) as usize);
        equal(
            format_args!("byte {byte} of line {line}, linear"),
            got,
            !value(index),
        )?;
    }
    Ok(())
}

/// Some dwords of every tile, on both sides of every edge.
fn places(layout: &Layout) -> Vec<(u32, u32)> {
    let (bytes, lines) = layout.tiling.tile();
    let columns = [0, 12, 16, bytes - 4, bytes, bytes + 20, 2 * bytes - 4];
    let rows = [0, 1, lines - 1, lines, 2 * lines - 1];
    rows.into_iter()
        .flat_map(|line| columns.map(|byte| (byte, line)))
        .collect()
}

/// Forty tiled objects in turn, twice: the kernel has to take fences away and give them again.
fn many(device: &Device) -> Outcome {
    let layout = layout(Tiling::X);
    let mut objects = Vec::new();
    for _ in 0..40 {
        let object = Object::new(device, layout.size() as u64)?;
        object.set_tiling(TILING_X, layout.pitch)?;
        let map = object.map(OFFSET_GTT)?;
        object.set_domain(DOMAIN_GTT, DOMAIN_GTT)?;
        objects.push((object, map));
    }
    let (byte, line) = (512 + 16, 9);
    let at = (line * layout.pitch + byte) as usize;
    for round in 0..2 {
        for (index, (_, map)) in (0..).zip(&objects) {
            map.write(at, 0x100 * round + index);
        }
        for (index, (object, map)) in (0..).zip(&objects) {
            let want = 0x100 * round + index;
            equal(
                format_args!("object {index} through the aperture"),
                map.read(at),
                want,
            )?;
            let tiled = object.dword(layout.offset(byte, line) as u64)?;
            equal(format_args!("object {index} in its tile"), tiled, want)?;
        }
    }
    Ok(())
}
