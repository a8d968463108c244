//! The blitter against a plain reference: every form, tiling, depth and raster operation.
//!
//! The reference paints a description of a blit, not its dwords, one pixel at a time, from the
//! manual's formulas (PRM volume 5 "Tiled Memory", volume 8 "Blitter"), reading sources from
//! memory as it was before. It shares nothing with the blitter but the command headers.

mod blitter_support;

use blitter_support::{Blit, Form, Memory, Side, TILED_X, TILED_Y, paint, run, run_setup};
use gpu::model::blitter::Setup;
use gpu::model::surface::STEP_BYTES;
use proptest::prelude::*;

/// Runs a blit on the model and on the reference from the same memory.
fn compare(blit: &Blit) -> Result<(), TestCaseError> {
    let mut actual = Memory::new(blit.swctrl());
    let mut expected = Memory::new(blit.swctrl());
    let mut setup = Setup::default();
    run_setup(&mut actual, &mut setup, blit);
    run(&mut actual, &mut setup, &blit.command());
    paint(&mut expected, blit);
    if let Some(at) = actual.first_difference(&expected) {
        let (is, should) = (actual.byte(at), expected.byte(at));
        return Err(TestCaseError::fail(format!(
            "byte {at:#x} is {is:#04x}, should be {should:#04x}\n{:08x?}",
            blit.command()
        )));
    }
    Ok(())
}

fn side(base: u64) -> impl Strategy<Value = Side> {
    (
        0..3u8,
        0..4u64,
        prop::sample::select(vec![2048i32, 4096, -2048, 2500]),
    )
        .prop_map(move |(tiling, page, pitch)| {
            let pitch = if tiling == 0 {
                pitch
            } else {
                2048 + 512 * (page as i32)
            };
            let odd = if tiling == 0 { page * 3 } else { 0 };
            Side {
                base: base + page * 4096 + odd,
                pitch,
                tiling,
            }
        })
}

fn rectangle() -> impl Strategy<Value = [i16; 4]> {
    let corner = (-60i16..200, -40i16..90);
    (corner, -3i16..160, -2i16..40).prop_map(|((x, y), w, h)| [x, y, x + w, y + h])
}

prop_compose! {
    fn blit()(
        form in prop::sample::select(Form::ALL.to_vec()),
        depth in 0..4u32,
        rop: u8,
        plain in 0..4u8,
        byte_mask in 0..4u32,
        target in side(0x12_3456_0000),
        source in side(0x7654_3210_0000),
        area in rectangle(),
        from in (-60i16..200, -40i16..90),
        clip in prop::option::of(rectangle()),
        overlap: bool,
        flags in 0..8u32,
        colors: [u32; 4],
        pattern: u64,
        pixels: [u32; 64],
        seed in (0..8u32, 0..8u32),
        first_bit in 0..8u32,
        packed: bool,
    ) -> Blit {
        // Half of all cases use the operations that drivers use.
        let rop = match plain { 0 => 0xcc, 1 => 0xf0, _ => rop };
        let source = if overlap && form.has_color_source() { target } else { source };
        Blit {
            form, depth, rop, byte_mask, target, source, area, from, clip,
            source_transparent: flags & 1 != 0,
            pattern_transparent: flags & 2 != 0,
            solid: flags & 4 != 0,
            colors, pattern, pixels, seed, first_bit, packed,
        }
        .within_limits()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_blit_paints_the_pixels_that_the_reference_paints(blit in blit()) {
        compare(&blit)?;
    }
}

/// One plain blit, to vary.
fn copy(area: [i16; 4], from: (i16, i16), base: u64, tiling: u8) -> Blit {
    let target = Side {
        base: 0x10_0000,
        pitch: 8192,
        tiling,
    };
    Blit {
        form: Form::SourceCopy,
        depth: 3,
        rop: 0xcc,
        byte_mask: 3,
        target,
        source: Side { base, ..target },
        area,
        from,
        ..Blit::default()
    }
}

#[test]
fn all_256_raster_operations_are_right_at_all_depths() {
    for depth in 0..4 {
        for rop in 0..=255 {
            let blit = Blit {
                form: Form::FullImmediatePattern,
                depth,
                rop,
                ..copy([3, 2, 20, 12], (7, 30), 0x90_0000, TILED_X)
            };
            compare(&blit).unwrap();
        }
    }
}

#[test]
fn copies_onto_themselves_are_right_in_all_directions_and_tilings() {
    for tiling in [0, TILED_X, TILED_Y] {
        for (dx, dy) in [
            (5, 0),
            (-5, 0),
            (0, 3),
            (0, -3),
            (4, 4),
            (-4, 4),
            (4, -4),
            (-4, -4),
        ] {
            let blit = copy([40, 40, 400, 75], (40 + dx, 40 + dy), 0x10_0000, tiling);
            compare(&blit).unwrap();
        }
    }
}

#[test]
fn a_megabyte_takes_many_bounded_steps() {
    let blit = copy([0, 0, 1024, 256], (3, 1), 0x10_0000, TILED_Y);
    let mut memory = Memory::new(blit.swctrl());
    let steps = run(&mut memory, &mut Setup::default(), &blit.command());
    let traffic = 2 * 1024 * 256 * 4;
    assert!(
        steps as u64 >= traffic / STEP_BYTES,
        "{steps} steps for {traffic} bytes"
    );
    compare(&blit).unwrap();
}

#[test]
fn a_column_one_pixel_wide_takes_bounded_steps_too() {
    let blit = Blit {
        form: Form::Color,
        ..copy([5, 0, 6, 20_000], (0, 0), 0x10_0000, 0)
    };
    let steps = run(&mut Memory::new(0), &mut Setup::default(), &blit.command());
    assert!(steps >= 19, "{steps}");
}

#[test]
fn commands_of_other_contexts_between_two_steps_change_nothing() {
    let first = copy([0, 0, 1024, 64], (0, 100), 0x90_0000, 0);
    let second = Blit {
        form: Form::Color,
        ..copy([0, 70, 900, 120], (0, 0), 0x10_0000, 0)
    };
    let mut actual = Memory::new(0);
    let mut expected = Memory::new(0);
    let (mut one, mut two) = (Setup::default(), Setup::default());
    let (mut one_done, mut two_done) = (false, false);
    while !(one_done && two_done) {
        one_done = one_done || blitter_support::step(&mut actual, &mut one, &first.command());
        two_done = two_done || blitter_support::step(&mut actual, &mut two, &second.command());
    }
    paint(&mut expected, &first);
    paint(&mut expected, &second);
    assert_eq!(actual.first_difference(&expected), None);
}
