use mediator::Space;
use proptest::prelude::*;

use crate::common::{BAR0, BAR2, SMALL, World};

const MIB: u64 = 1 << 20;

fn windows(world: &mut World<crate::common::Recorder>, id: mediator::DomainId) -> [Option<u64>; 2] {
    world
        .domain(id)
        .windows
        .map(|window| window.map(|(first, _)| first))
}

#[test]
fn windows_open_and_close_with_decoding_and_only_when_something_changes() {
    let mut world = World::new(512);
    let guest = world.booted(1, SMALL);
    assert_eq!(
        world.domain(guest).windows,
        [Some((BAR0, 16 * MIB)), Some((BAR2, 256 * MIB))]
    );
    assert_eq!(world.domain(guest).routings, 2);
    for _ in 0..6 {
        world.config_write(guest, 0x04, 2, 0x4);
        world.config_write(guest, 0x04, 2, 0x4);
        assert_eq!(world.domain(guest).windows, [None; 2]);
        world.config_write(guest, 0x04, 2, 0x6);
        world.config_write(guest, 0x04, 2, 0x6);
    }
    assert_eq!(world.domain(guest).routings, 2 + 6 * 4);
    assert_eq!(windows(&mut world, guest), [Some(BAR0), Some(BAR2)]);
    world.mediator.domain_removed(guest);
    assert_eq!(
        world.domain(guest).windows,
        [None; 2],
        "nothing is routed to a vGPU that is gone"
    );
}

#[test]
fn a_bar_sized_with_decoding_on_never_leaves_its_place() {
    let mut world = World::new(512);
    let guest = world.booted(1, SMALL);
    for (offset, base) in [(0x10, BAR0), (0x18, BAR2)] {
        world.config_write(guest, offset, 4, !0);
        world.config_write(guest, offset + 4, 4, !0);
        assert_eq!(world.config_read(guest, offset + 4, 4), 0xffff_ffff);
        assert_eq!(windows(&mut world, guest), [Some(BAR0), Some(BAR2)]);
        world.config_write(guest, offset, 4, base);
        world.config_write(guest, offset + 4, 4, 0);
    }
    assert_eq!(world.domain(guest).routings, 2);
    assert_eq!(world.read(guest, 0x78000), 0x7654_4776);
}

#[test]
fn a_bar_over_ram_or_where_the_hypervisor_refuses_stays_where_it_was() {
    let mut world = World::new(512);
    let guest = world.guest(1, 0x1100);
    world.attach(guest, SMALL).expect("fits");
    world.boot(guest);
    world.domain(guest).forbidden = Some((0xe000_0000, 16 * MIB));
    let overlaps = [16 * MIB, 0, 0xe000_0000, BAR2, BAR2 + 255 * MIB, 1 << 47];
    for base in overlaps {
        world.config_write(guest, 0x10, 4, base);
        world.config_write(guest, 0x14, 4, base >> 32);
        assert_eq!(windows(&mut world, guest)[0], Some(BAR0), "{base:#x}");
        world.config_write(guest, 0x14, 4, 0);
    }
    assert_eq!(
        world.read(guest, 0x78000),
        0x7654_4776,
        "still served where it was"
    );
    assert_eq!(world.domain(guest).pins, 0, "looking for RAM left no pin");
    world.config_write(guest, 0x10, 4, 0xe100_0000);
    assert_eq!(windows(&mut world, guest)[0], Some(0xe100_0000));
}

#[test]
fn two_bars_can_change_places() {
    let mut world = World::new(512);
    let guest = world.booted(1, SMALL);
    world.config_write(guest, 0x10, 4, BAR2);
    assert_eq!(
        windows(&mut world, guest),
        [Some(BAR0), Some(BAR2)],
        "not both there"
    );
    world.config_write(guest, 0x18, 4, 0xe000_0000);
    assert_eq!(windows(&mut world, guest), [Some(BAR2), Some(0xe000_0000)]);
    world.config_write(guest, 0x1c, 4, 1);
    assert_eq!(
        windows(&mut world, guest)[1],
        Some(0x1_e000_0000),
        "above 4 GiB"
    );
}

#[test]
fn a_real_aperture_follows_bar2_without_traps_and_goes_with_the_vgpu() {
    let mut world = World::new(512);
    world
        .mediator
        .host_mut()
        .set_aperture(gpu::DmaPage(0x8_0000));
    let guest = world.booted(1, SMALL);
    let other = world.booted(2, SMALL);
    let placed = |world: &mut World<_>, id| {
        let placed = world.domain(id).placed.iter();
        placed
            .map(|(at, first, count)| (at.0, first.0, *count))
            .collect::<Vec<_>>()
    };
    assert_eq!(placed(&mut world, guest), [(BAR2 / 4096, 0x8_0000, 512)]);
    assert_eq!(
        placed(&mut world, other),
        [(BAR2 / 4096 + 512, 0x8_0200, 512)]
    );
    world.config_write(guest, 0x18, 4, 0xe000_0000u64);
    assert_eq!(placed(&mut world, guest), [(0xe_0000, 0x8_0000, 512)]);
    world.config_write(guest, 0x04, 2, 0);
    assert_eq!(placed(&mut world, guest), []);
    world.mediator.domain_removed(other);
    assert_eq!(placed(&mut world, other), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn configuration_space_is_the_same_in_any_width(
        writes in prop::collection::vec((0u16..0x100, 1u8..=8, any::<u64>()), 0..20),
        offset in 0u16..0x110, size in 1u8..=8,
    ) {
        let mut wide = World::new(512);
        let mut narrow = World::new(512);
        let guest = wide.attached(1, SMALL);
        narrow.attached(1, SMALL);
        for (offset, size, value) in writes {
            wide.config_write(guest, offset, size, value);
            for byte in 0..u16::from(size) {
                narrow.config_write(guest, offset + byte, 1, value >> (8 * byte) & 0xff);
            }
        }
        let mut bytes = 0;
        for byte in 0..u16::from(size) {
            bytes |= narrow.config_read(guest, offset + byte, 1) << (8 * byte);
        }
        prop_assert_eq!(wide.config_read(guest, offset, size), bytes);
    }

    #[test]
    fn an_access_at_the_end_of_configuration_space_wraps_nowhere(
        offset in 0xff8u16.., size in any::<u8>(), write in any::<Option<u64>>(),
    ) {
        let mut world = World::new(512);
        let guest = world.attached(1, SMALL);
        let length = u32::from(size.min(8));
        let ones = if write.is_some() { 0 } else { 1u64.checked_shl(8 * length).map_or(!0, |v| v - 1) };
        prop_assert_eq!(world.access(guest, Space::Config(offset), size, write), ones);
        prop_assert_eq!(world.config_read(guest, 0, 4), 0x5916_8086);
    }
}
