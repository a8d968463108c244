//! Attacks 18 and 19: registers of the host, of other engines, and the slots that open them.

use super::*;

#[test]
fn attack_18_registers_off_the_allow_list_are_refused_whatever_names_them() {
    // RING_TAIL, HWS_PGA, ELSP, GFX_MODE (privilege check disable), PDP0, GDRST, the master
    // interrupt, a fence, PVINFO, beyond the register space.
    let registers = [
        0x2030, 0x2080, 0x2230, 0x229c, 0x2270, 0x941c, 0x4_4200, 0x10_0000, 0x7_8000, 0x7f_fffc,
    ];
    for register in registers {
        let refused = Some(What::Register(register));
        assert_eq!(ring(Engine::Rcs, &[LRI, register, 0]), refused);
        assert_eq!(ring(Engine::Rcs, &[LRM | CALL, register, LOW, 0]), refused);
        assert_eq!(ring(Engine::Rcs, &[SRM | CALL, register, LOW, 0]), refused);
        assert_eq!(ring(Engine::Rcs, &[LRR, register, 0x2600]), refused);
        assert_eq!(ring(Engine::Rcs, &[LRR, 0x2600, register]), refused);
        let post_sync = [PIPE_CONTROL, 1 << 23, register, 0, 0, 0];
        assert_eq!(ring(Engine::Rcs, &post_sync), refused);
    }
}

#[test]
fn attack_18_registers_with_a_value_for_each_guest_are_read_by_their_engine_and_never_written() {
    // CSFE_CHICKEN1, a slot of FORCE_TO_NONPRIV, MOCS, L3 cacheability.
    let owned = [
        (Engine::Rcs, 0x20d4),
        (Engine::Vcs, 0x1_24d0),
        (Engine::Bcs, 0xcc04),
        (Engine::Rcs, 0xb020),
    ];
    for (engine, register) in owned {
        assert_eq!(ring(engine, &[SRM | CALL, register, LOW, 0]), None);
        assert_ne!(ring(engine, &[LRI, register, 0]), None, "{register:#x}");
        for other in Engine::ALL.into_iter().filter(|other| *other != engine) {
            let read = ring(other, &[SRM | CALL, register, LOW, 0]);
            assert_ne!(read, None, "{other} reads {register:#x}");
        }
    }
    // Page attributes and the arbiter have one value for all: the host's.
    for register in [0x40e0, 0x4ab0] {
        let refused = Some(What::Register(register));
        assert_eq!(ring(Engine::Rcs, &[SRM | CALL, register, LOW, 0]), refused);
    }
}

#[test]
fn attack_18_the_second_register_of_a_list_is_checked_like_the_first() {
    let list = [0x1100_0003, 0x2600, 0, 0x2230, 0];
    assert_eq!(ring(Engine::Rcs, &list), Some(What::Register(0x2230)));
}

#[test]
fn attack_18_reserved_bits_of_a_register_operand_do_not_hide_it() {
    for bits in [1, 2, 3, 0x80_0000, 0xff80_0003] {
        assert_eq!(
            ring(Engine::Rcs, &[LRI, 0x2230 | bits, 0]),
            Some(What::Register(0x2230))
        );
    }
}

#[test]
fn attack_18_one_engine_cannot_reach_the_registers_of_another() {
    for one in Engine::ALL {
        for two in Engine::ALL.into_iter().filter(|two| *two != one) {
            let register = two.base() + 0x600;
            let refused = Some(What::ForeignRegister(register));
            assert_eq!(
                ring(one, &[LRI, register, 0]),
                refused,
                "{one} writes {two}"
            );
            assert_eq!(
                ring(one, &[SRM, register, LOW, 0]),
                refused,
                "{one} reads {two}"
            );
            let timestamp = two.base() + 0x358;
            assert_eq!(
                ring(one, &[SRM, timestamp, LOW, 0]),
                None,
                "timestamps are public"
            );
            assert_eq!(
                ring(one, &[LRI, timestamp, 0]),
                Some(What::ReadOnly(timestamp))
            );
        }
    }
    // The render pipeline's registers lie outside all blocks.
    assert_eq!(
        ring(Engine::Bcs, &[LRI, 0x7014, 0]),
        Some(What::ForeignRegister(0x7014))
    );
    assert_eq!(ring(Engine::Rcs, &[LRI, 0x7014, 0]), None);
}

#[test]
fn attack_18_unprivileged_batches_have_the_same_allow_list_on_the_blitter() {
    let batch = [LRI, 0x2_2230, 0, BATCH_END];
    let refused = Some(What::Register(0x2_2230));
    assert_eq!(
        verdict(Engine::Bcs, Privilege::Unprivileged, &batch),
        refused
    );
}

#[test]
fn attack_19_nonpriv_slots_take_listed_constants_only() {
    // What the driver has in them: listed registers, and NOPID in free slots.
    for value in [0x2580, 0x7304, 0x7014, 0xb118, 0x2094] {
        assert_eq!(
            ring(Engine::Rcs, &[LRI, NONPRIV, value]),
            None,
            "{value:#x}"
        );
    }
    for value in [0x2230, 0x229c, 0x2080, 0x4_4200, 0x2_2600, u32::MAX] {
        assert_eq!(
            ring(Engine::Rcs, &[LRI, NONPRIV, value]),
            Some(What::NonPrivileged(value))
        );
    }
}

#[test]
fn attack_19_nonpriv_slots_are_guarded_on_every_path() {
    let unknown = Some(What::NonPrivileged(NONPRIV));
    assert_eq!(ring(Engine::Rcs, &[LRM | CALL, NONPRIV, LOW, 0]), unknown);
    assert_eq!(ring(Engine::Rcs, &[LRR, 0x2600, NONPRIV]), unknown);
    let post_sync = |value| [PIPE_CONTROL, 1 << 23, NONPRIV, 0, value, 0];
    assert_eq!(
        ring(Engine::Rcs, &post_sync(0x2230)),
        Some(What::NonPrivileged(0x2230))
    );
    assert_eq!(ring(Engine::Rcs, &post_sync(0x7014)), None);
    let user = [LRI, NONPRIV, 0x7014, BATCH_END];
    let refused = Some(What::Register(NONPRIV));
    assert_eq!(
        verdict(Engine::Rcs, Privilege::Unprivileged, &user),
        refused
    );
    let foreign = 0x2_24d0;
    assert_eq!(
        ring(Engine::Rcs, &[LRI, foreign, 0x7014]),
        Some(What::ForeignRegister(foreign))
    );
}
