use gpu::spec::registers::FENCE;
use mediator::{DomainId, Space};
use proptest::prelude::*;

use crate::common::{BAR2, Recorder, SMALL, World};

/// A guest whose first sixteen low entries map its frames 16 to 31, backwards.
fn mapped() -> (World<Recorder>, DomainId, u64) {
    let mut world = World::new(512);
    world.attached(9, SMALL);
    let guest = world.booted(1, SMALL);
    let first = world.first(guest)[0];
    for page in 0..16 {
        world.map(guest, first + page, 31 - u64::from(page));
    }
    (world, guest, u64::from(first) * 4096)
}

#[test]
fn accesses_go_through_the_guests_entries_page_by_page() {
    let (mut world, guest, start) = mapped();
    world.poke(guest, 31 * 4096 + 4092, &[1, 2, 3, 4]);
    world.poke(guest, 30 * 4096, &[5, 6, 7, 8]);
    let across = Space::Memory(BAR2 + start + 4092);
    assert_eq!(world.access(guest, across, 8, None), 0x0807_0605_0403_0201);
    world.access(guest, across, 8, Some(0x1817_1615_1413_1211));
    let mut bytes = [0; 4];
    world.peek(guest, 30 * 4096, &mut bytes);
    assert_eq!(bytes, [0x15, 0x16, 0x17, 0x18]);
    world.peek(guest, 31 * 4096 + 4092, &mut bytes);
    assert_eq!(bytes, [0x11, 0x12, 0x13, 0x14]);
}

#[test]
fn unmapped_pages_read_zero_and_foreign_ones_are_an_offence_too() {
    let (mut world, guest, start) = mapped();
    let unmapped = Space::Memory(BAR2 + start + 16 * 4096);
    world.access(guest, unmapped, 4, Some(!0));
    assert_eq!(world.access(guest, unmapped, 4, None), 0);
    assert_eq!(world.vgpu(guest).counters().violations, 0);
    for foreign in [start - 4096, start + (2 << 20)] {
        world.access(guest, Space::Memory(BAR2 + foreign), 4, Some(!0));
        assert_eq!(
            world.access(guest, Space::Memory(BAR2 + foreign), 4, None),
            0
        );
    }
    assert_eq!(world.vgpu(guest).counters().violations, 4);
}

/// Byte of a 1024-byte-pitch surface at a tiled place, written down from the manual's pictures.
fn tiled(y_major: bool, x: u64, y: u64) -> u64 {
    if y_major {
        let tile = (y / 32) * 8 + x / 128;
        tile * 4096 + ((x % 128) / 16) * 512 + (y % 32) * 16 + x % 16
    } else {
        let tile = (y / 8) * 2 + x / 512;
        tile * 4096 + (y % 8) * 512 + x % 512
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_fenced_surface_looks_linear(
        y_major in any::<bool>(),
        pixels in prop::collection::vec((0u64..1024, 0u64..64, any::<u8>(), 1u8..=8), 1..20),
    ) {
        let (mut world, guest, start) = mapped();
        let last = start + 15 * 4096;
        world.write(guest, FENCE, 0);
        world.write(guest, FENCE + 4, last as u32 | 7);
        world.write(guest, FENCE, start as u32 | u32::from(y_major) << 1 | 1);
        for (x, y, value, size) in pixels {
            let size = u64::from(size).min(1024 - x);
            let data = u64::from(value) * 0x0101_0101_0101_0101;
            let space = Space::Memory(BAR2 + start + y * 1024 + x);
            world.access(guest, space, size as u8, Some(data));
            for x in x..x + size {
                let place = tiled(y_major, x, y);
                let frame = 31 - place / 4096;
                let mut byte = [0];
                world.peek(guest, frame * 4096 + place % 4096, &mut byte);
                prop_assert_eq!(byte[0], value, "at {}, {}", x, y);
                let space = Space::Memory(BAR2 + start + y * 1024 + x);
                prop_assert_eq!(world.access(guest, space, 1, None), value.into());
            }
        }
    }
}
