use proptest::prelude::*;

use super::*;

fn config() -> PciConfig {
    PciConfig::new(1 << 18)
}

#[test]
fn identity_capabilities_and_graphics_control_are_those_of_the_device() {
    let config = config();
    assert_eq!(config.read(0x00), 0x5916_8086);
    assert_eq!(config.read(0x08), 0x0380_0002);
    assert_eq!(config.read(0x0c), 0, "one function, type 0 header");
    assert_eq!(config.read(0x30), 0, "no option ROM");
    assert_eq!(config.read(0x34), 0xac);
    assert_eq!(
        config.read(0xac),
        0x05,
        "the only capability: MSI, one vector, 32 bits"
    );
    assert_eq!(config.read(0x3c), 0, "no interrupt pin");
    assert_eq!(
        config.read(0x50),
        1 << 6,
        "2 MiB of entries, nothing stolen"
    );
    assert_eq!(PciConfig::new(1 << 19).read(0x50), 2 << 6);
    assert_eq!(PciConfig::new(1 << 20).read(0x50), 3 << 6);
    assert_eq!(PciConfig::new(1 << 17).read(0x50), 1 << 6, "rounded up");
    assert_eq!(
        (config.read(0x5c), config.read(0xfc)),
        (0, 0),
        "no BDSM, no OpRegion"
    );
    assert_eq!(config.read(0x100), !0, "no extended space");
}

#[test]
fn sizing_finds_16_mib_256_mib_and_64_bytes() {
    let mut config = config();
    for offset in (0x10..0x28).step_by(4) {
        config.write(offset, !0, !0);
    }
    let read: Vec<u32> = (0x10..0x28)
        .step_by(4)
        .map(|offset| config.read(offset))
        .collect();
    assert_eq!(read, [0xff00_0004, !0, 0xf000_000c, !0, 0x0000_ffc1, 0]);
}

#[test]
fn messages_need_the_enable_bit_and_bus_mastering() {
    let mut config = config();
    config.write(0xb0, !0, 0xfee0_1003);
    config.write(0xb4, !0, 0xdead_4051);
    assert_eq!(config.message(), None);
    config.write(0xac, !0, 1 << 16);
    assert_eq!(config.message(), None);
    config.write(0x04, 0xff, 4);
    assert_eq!(config.message(), Some((0xfee0_1000, 0x4051)));
    config.write(0xac, 0xff_0000, 0);
    assert_eq!(config.message(), None);
}

proptest! {
    #[test]
    fn read_only_bits_survive_any_writes(
        writes in prop::collection::vec((any::<u16>(), any::<u32>(), any::<u32>()), 0..50),
    ) {
        let fresh = config();
        let mut config = config();
        for (offset, lanes, value) in writes {
            config.write(offset, lanes, value);
        }
        for offset in (0..0x100u16).step_by(4) {
            let fixed = !writable(usize::from(offset / 4));
            prop_assert_eq!(config.read(offset) & fixed, fresh.read(offset) & fixed);
        }
    }
}
