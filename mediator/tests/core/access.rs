use gpu::spec::pvinfo;
use gpu::spec::registers::{BAR0_SIZE, GTT_BASE, REGISTER_SPACE};
use mediator::{Access, DomainId, Space};
use proptest::prelude::*;

use crate::common::{BAR0, BAR2, Recorder, SMALL, World};

/// Plain storage of the display microcontroller: enough of it in a row to play with.
const STORAGE: u32 = 0x8_0000;

fn at(offset: u64) -> Space {
    Space::Memory(BAR0 + offset)
}

fn ones(size: u8) -> u64 {
    1u64.checked_shl(8 * u32::from(size))
        .map_or(!0, |value| value - 1)
}

#[test]
fn pvinfo_tells_magic_version_capabilities_and_the_slice() {
    let mut world = World::new(512);
    world.attached(9, SMALL);
    let guest = world.booted(1, SMALL);
    let field = |offset: u32| at((pvinfo::BASE + offset).into());
    assert_eq!(
        world.access(guest, field(pvinfo::MAGIC_LO), 8, None),
        pvinfo::MAGIC
    );
    assert_eq!(world.access(guest, field(pvinfo::VERSION), 2, None), 1);
    assert_eq!(world.access(guest, field(pvinfo::VERSION + 2), 2, None), 0);
    assert_eq!(world.access(guest, field(pvinfo::CAPS), 4, None), 0xc);
    let huge_gtt = mediator::VgpuConfig {
        huge_gtt: true,
        ..SMALL
    };
    let other = world.booted(8, huge_gtt);
    assert_eq!(world.access(other, field(pvinfo::CAPS), 4, None), 0x1c);
    let [low, high] = world.first(guest);
    for (offset, value) in [
        (pvinfo::MAPPABLE_BASE, low * 4096),
        (pvinfo::MAPPABLE_SIZE, 2 << 20),
        (pvinfo::NONMAPPABLE_BASE, high * 4096),
        (pvinfo::NONMAPPABLE_SIZE, 2 << 20),
        (pvinfo::FENCE_NUM, 2),
        (pvinfo::DISPLAY_READY, 0),
        (pvinfo::CURSOR_X_HOT, !0),
    ] {
        assert_eq!(
            world.read(guest, pvinfo::BASE + offset),
            value,
            "{offset:#x}"
        );
    }
    assert_eq!(low, 512, "behind the other guest's");
    assert!(
        high * 4096 >= 256 << 20,
        "high GM begins behind the aperture"
    );
}

#[test]
fn a_guest_writes_pointers_and_messages_to_pvinfo_and_nothing_else() {
    let mut world = World::new(512);
    let guest = world.booted(1, SMALL);
    world.write(guest, pvinfo::BASE + pvinfo::PDP, 0x1234_5000);
    assert_eq!(world.read(guest, pvinfo::BASE + pvinfo::PDP), 0x1234_5000);
    assert!(!world.vgpu(guest).driver_ready());
    world.write(guest, pvinfo::BASE + pvinfo::DISPLAY_READY, 1);
    assert!(world.vgpu(guest).driver_ready());
    assert_eq!(world.vgpu(guest).counters().violations, 0);
    let read_only = [
        pvinfo::MAGIC_LO,
        pvinfo::CAPS,
        pvinfo::MAPPABLE_SIZE,
        pvinfo::FENCE_NUM,
        0x808,
    ];
    for offset in read_only {
        let before = world.read(guest, pvinfo::BASE + offset);
        world.write(guest, pvinfo::BASE + offset, !before);
        assert_eq!(
            world.read(guest, pvinfo::BASE + offset),
            before,
            "{offset:#x}"
        );
    }
    assert_eq!(world.vgpu(guest).counters().violations, 5);
}

#[test]
fn without_decoding_and_outside_the_windows_there_is_nothing() {
    let mut world = World::new(512);
    let guest = world.attached(1, SMALL);
    assert_eq!(world.read(guest, pvinfo::BASE), !0);
    world.boot(guest);
    for size in 0..=8 {
        for space in [
            Space::Memory(BAR0 - 8),
            Space::Memory(BAR0 + BAR0_SIZE),
            Space::Memory(!0),
        ] {
            assert_eq!(
                world.access(guest, space, size, None),
                ones(size),
                "{space:?}"
            );
            assert_eq!(world.access(guest, space, size, Some(!0)), 0);
        }
    }
    // Sizes 1 to 8, both directions, and at the top of the address space only one byte is there.
    assert_eq!(world.vgpu(guest).counters().outside, 1 + 3 * 8 * 2);
    let stranger = DomainId(77);
    let access = Access {
        space: Space::Config(0),
        size: 2,
        write: None,
    };
    assert_eq!(
        world.mediator.access(stranger, access),
        0xffff,
        "no vGPU, no device"
    );
}

#[test]
fn an_access_over_the_edge_of_a_window_is_served_as_far_as_it_lies_inside() {
    let mut world = World::new(512);
    let guest = world.booted(1, SMALL);
    assert_eq!(
        world.access(guest, Space::Memory(BAR0 - 4), 8, None) as u32,
        !0
    );
    let last = BAR0 + BAR0_SIZE - 4;
    assert_eq!(
        world.access(guest, Space::Memory(last), 8, None),
        0xffff_ffff_0000_0000
    );
    world.config_write(guest, 0x18, 4, 0xb000_0000);
    let end = 0xb000_0000 + (256 << 20);
    assert_eq!(end, BAR0, "BAR2 ends where BAR0 begins");
    assert_eq!(world.access(guest, Space::Memory(end - 1), 2, None), 0);
}

#[test]
fn an_offset_without_a_register_reads_zero_and_is_shown() {
    let mut world = World::new(512);
    let guest = world.booted(1, SMALL);
    assert_eq!(world.vgpu(guest).counters().untracked, 0);
    let nowhere = [0x1f_fff0, 0x1f_fff4, REGISTER_SPACE, GTT_BASE - 8];
    for offset in nowhere {
        world.write(guest, offset, 5);
        assert_eq!(world.read(guest, offset), 0);
    }
    let counters = *world.vgpu(guest).counters();
    assert_eq!(
        (counters.untracked, counters.first_untracked()),
        (8, nowhere.as_slice())
    );
    for offset in (0x1e_0000..0x1f_0000).step_by(4) {
        world.read(guest, offset);
    }
    assert_eq!(
        world.vgpu(guest).counters().first_untracked().len(),
        16,
        "the first sixteen"
    );
    let mut text = String::new();
    world
        .mediator
        .status(&mut text)
        .expect("a string takes everything");
    assert!(
        text.contains("\nuntracked: d1 16392 0x1ffff0 0x1ffff4 0x200000 0x7ffff8"),
        "{text}"
    );
}

/// What bytes of plain storage would do.
fn plain(world: &mut World<Recorder>, guest: DomainId, base: u32, writes: &[(u8, u8, u64)]) {
    let mut oracle = [0u8; 80];
    for &(offset, size, value) in writes {
        let space = at(u64::from(base) + u64::from(offset));
        world.access(guest, space, size, Some(value));
        for (byte, from) in value
            .to_le_bytes()
            .into_iter()
            .take(size.into())
            .enumerate()
        {
            oracle[usize::from(offset) + byte] = from;
        }
        for size in 1..=8u8 {
            for start in offset.saturating_sub(8)..offset + 8 {
                let mut expected = [0; 8];
                let (first, length) = (usize::from(start), usize::from(size));
                expected[..length].copy_from_slice(&oracle[first..first + length]);
                let space = at(u64::from(base) + u64::from(start));
                let read = world.access(guest, space, size, None);
                assert_eq!(read, u64::from_le_bytes(expected), "{size} at {start:#x}");
            }
        }
    }
}

fn writes() -> impl Strategy<Value = Vec<(u8, u8, u64)>> {
    prop::collection::vec((0u8..64, 1u8..=8, any::<u64>()), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn plain_registers_are_bytes_in_any_width_and_at_any_offset(writes in writes()) {
        let mut world = World::new(512);
        let guest = world.booted(1, SMALL);
        plain(&mut world, guest, STORAGE, &writes);
    }

    #[test]
    fn gtt_entries_read_back_as_bytes_in_any_width_and_at_any_offset(writes in writes()) {
        let mut world = World::new(512);
        let guest = world.booted(1, SMALL);
        let base = GTT_BASE + world.first(guest)[0] * 8;
        plain(&mut world, guest, base, &writes);
    }

    #[test]
    fn reads_of_any_register_are_the_bytes_of_its_dwords(
        offset in prop_oneof![0u32..REGISTER_SPACE - 8, 0x2000u32..0x2800, 0x44200u32..0x44500],
        size in 1u8..=8,
    ) {
        let mut world = World::new(512);
        let guest = world.booted(1, SMALL);
        let read = world.access(guest, at(offset.into()), size, None);
        let dwords: Vec<u8> = (0..3)
            .flat_map(|dword| world.read(guest, (offset & !3) + dword * 4).to_le_bytes())
            .collect();
        let first = offset as usize % 4;
        let mut bytes = [0; 8];
        bytes[..size.into()].copy_from_slice(&dwords[first..first + usize::from(size)]);
        prop_assert_eq!(read, u64::from_le_bytes(bytes));
    }

    #[test]
    fn an_access_between_the_two_windows_takes_bytes_of_both(
        back in 1u64..8, size in 1u8..=8, low in any::<bool>(),
    ) {
        let mut world = World::new(512);
        let guest = world.booted(1, SMALL);
        world.config_write(guest, 0x18, 4, if low { 0xb000_0000 } else { BAR2 });
        let start = if low { BAR0 } else { BAR0 + BAR0_SIZE } - back;
        let mut expected = 0;
        for byte in 0..u64::from(size) {
            let space = Space::Memory(start + byte);
            expected |= world.access(guest, space, 1, None) << (8 * byte);
        }
        prop_assert_eq!(world.access(guest, Space::Memory(start), size, None), expected);
    }
}
