//! Rows 16 to 20 and 24 of the threat table: each attack on the audit by its number.

use super::*;

const STORE: u32 = 0x1000_0002 | 1 << 22;
const LRI: u32 = 0x1100_0001;
const LRM: u32 = 0x1480_0002;
const SRM: u32 = 0x1200_0002;
const LRR: u32 = 0x1500_0001;
const FLUSH: u32 = 0x1300_0003 | 1 << 14;
const PIPE_CONTROL: u32 = 0x7a00_0004;
const BATCH_START: u32 = 0x1880_0001;
const BATCH_END: u32 = 0x0500_0000;
const PPGTT: u32 = 1 << 8;
const CALL: u32 = 1 << 22;
const NONPRIV: u32 = 0x24d0;

fn ring(engine: Engine, dwords: &[u32]) -> Option<What> {
    verdict(engine, Privilege::Ring, dwords)
}

fn outside(address: u64, bytes: u64) -> Option<What> {
    Some(What::Address { address, bytes })
}

#[test]
fn attack_16_batches_nest_no_deeper_than_the_hardware_returns() {
    let call = [BATCH_START | PPGTT | CALL, 0, 0, BATCH_END];
    assert_eq!(
        ring(Engine::Rcs, &call),
        Some(What::Nested),
        "second level from a ring"
    );
    for level in [2, 3, u8::MAX] {
        let mut sink = Found {
            most: 16,
            ..Found::default()
        };
        let limits = LIMITS.at_level(level);
        let result = scan(
            Engine::Rcs,
            Privilege::Unprivileged,
            &call,
            &limits,
            &mut sink,
        );
        assert_eq!(result.unwrap_err().what, What::Nested, "from level {level}");
    }
}

#[test]
fn attack_16_more_batches_than_the_caller_takes_are_refused() {
    let many: Vec<u32> = (0..17).flat_map(|_| [BATCH_START | PPGTT, 0, 0]).collect();
    assert_eq!(ring(Engine::Rcs, &many), Some(What::TooManyBatches));
    assert_eq!(ring(Engine::Rcs, &many[..48]), None);
}

#[test]
fn attack_16_a_batch_that_runs_off_its_end_is_refused() {
    for privilege in [
        Privilege::Privileged,
        Privilege::Unprivileged,
        Privilege::PerContext,
    ] {
        assert_eq!(verdict(Engine::Rcs, privilege, &[0; 64]), Some(What::NoEnd));
    }
    assert_eq!(ring(Engine::Rcs, &[BATCH_END]), Some(What::EndOutsideBatch));
}

#[test]
fn attack_16_a_batch_start_with_an_offset_register_is_refused() {
    let start = [BATCH_START | PPGTT | 1 << 16, 0, 0];
    assert!(matches!(ring(Engine::Rcs, &start), Some(What::Fixed(_))));
}

#[test]
fn attack_16_a_privileged_batch_outside_the_slice_is_refused() {
    assert_eq!(
        ring(Engine::Rcs, &[BATCH_START, LOW_END, 0]),
        outside(LOW_END.into(), 4)
    );
    assert_eq!(
        ring(Engine::Rcs, &[BATCH_START, LOW, 1]),
        outside(1 << 32 | u64::from(LOW), 4)
    );
    assert_eq!(ring(Engine::Rcs, &[BATCH_START, LOW_END - 4, 0]), None);
}

#[test]
fn attack_17_lengths_beyond_the_end_or_beyond_the_manual_are_refused() {
    // MI_LOAD_REGISTER_IMM with 255 in its length field, in three dwords.
    assert_eq!(
        ring(Engine::Rcs, &[0x1100_00ff, 0x2600, 0]),
        Some(What::Truncated(257))
    );
    // The offset of a second register without its value.
    assert_eq!(
        ring(Engine::Rcs, &[0x1100_0002, 0x2600, 0, 0x2608]),
        Some(What::Length(4))
    );
    // Too short for the address that would be read beyond it.
    assert_eq!(
        ring(Engine::Rcs, &[0x1000_0000 | CALL, LOW]),
        Some(What::Length(2))
    );
    assert_eq!(
        ring(Engine::Rcs, &[0x7a00_0000, 1 << 24 | 1 << 14]),
        Some(What::Length(2))
    );
    assert_eq!(
        ring(Engine::Bcs, &[0x1300_0001 | 1 << 14, 4, 0]),
        Some(What::Length(3))
    );
    // The largest length there is.
    assert_eq!(
        ring(Engine::Rcs, &[0x7000_ffff]),
        Some(What::Truncated(0x1_0001))
    );
}

#[test]
fn attack_17_a_length_that_hides_a_command_is_refused() {
    // A semaphore wait that claims to be longer swallows what the hardware would execute.
    let hidden = [0x0e00_0003, 0, 0, 0, 0x1180_0000, 0];
    assert_eq!(ring(Engine::Rcs, &hidden), Some(What::Length(5)));
}

#[test]
fn attack_18_registers_off_the_allow_list_are_refused_whatever_names_them() {
    // RING_TAIL, HWS_PGA, ELSP, GFX_MODE (privilege check disable), CSFE_CHICKEN1, PDP0, GDRST,
    // the master interrupt, a fence, PVINFO, beyond the register space.
    let registers = [
        0x2030, 0x2080, 0x2230, 0x229c, 0x20d4, 0x2270, 0x941c, 0x4_4200, 0x10_0000, 0x7_8000,
        0x7f_fffc,
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

#[test]
fn attack_20_every_store_is_checked_at_both_ends() {
    let last = u64::from(LOW_END);
    // Four bytes that begin inside and end at the edge pass, eight do not.
    assert_eq!(ring(Engine::Rcs, &[STORE, LOW_END - 4, 0, 0]), None);
    assert_eq!(
        ring(Engine::Rcs, &[STORE | 1, LOW_END - 4, 0, 0, 0]),
        outside(last - 4, 8)
    );
    assert_eq!(
        ring(Engine::Rcs, &[STORE | 1 << 21, LOW_END - 4, 0, 0]),
        outside(last - 4, 8)
    );
    assert_eq!(
        ring(Engine::Rcs, &[STORE, LOW - 4, 0, 0]),
        outside(u64::from(LOW) - 4, 4)
    );
    // The two parts are not one: between them is somebody else's.
    assert_eq!(
        ring(Engine::Rcs, &[STORE, HIGH - 4, 0, 0]),
        outside(u64::from(HIGH) - 4, 4)
    );
    assert_eq!(ring(Engine::Rcs, &[STORE, HIGH, 0, 0]), None);
    // High halves count, and nothing wraps.
    assert_eq!(
        ring(Engine::Rcs, &[STORE, LOW, 1, 0]),
        outside(1 << 32 | u64::from(LOW), 4)
    );
    assert_eq!(
        ring(Engine::Rcs, &[STORE, !3, !0, 0]),
        outside(0xffff_ffff_fffc, 4)
    );
}

#[test]
fn attack_20_flushes_and_their_indices_are_checked() {
    assert_eq!(
        ring(Engine::Bcs, &[FLUSH, LOW_END | 4, 0, 0, 0]),
        outside(LOW_END.into(), 8)
    );
    assert_eq!(ring(Engine::Bcs, &[FLUSH, LOW | 4, 0, 0, 0]), None);
    // Timestamp and immediate alike; without an operation the address does not count.
    let timestamp = [FLUSH | 3 << 14, LOW_END | 4, 0, 0, 0];
    assert_eq!(ring(Engine::Bcs, &timestamp), outside(LOW_END.into(), 8));
    assert_eq!(
        ring(Engine::Bcs, &[0x1300_0003, LOW_END | 4, 0, 0, 0]),
        None
    );
    for operation in 1..4 {
        let control = [PIPE_CONTROL, 1 << 24 | operation << 14, LOW_END, 0, 0, 0];
        assert_eq!(ring(Engine::Rcs, &control), outside(LOW_END.into(), 8));
        let straddles = [
            PIPE_CONTROL,
            1 << 24 | operation << 14,
            LOW_END - 4,
            0,
            0,
            0,
        ];
        assert_eq!(
            ring(Engine::Rcs, &straddles),
            outside(u64::from(LOW_END) - 4, 8)
        );
        let index = [PIPE_CONTROL, 1 << 21 | operation << 14, 0x1000, 0, 0, 0];
        assert_eq!(ring(Engine::Rcs, &index), Some(What::StatusPage(0x1000)));
        let straddles = [PIPE_CONTROL, 1 << 21 | operation << 14, 0xffc, 0, 0, 0];
        assert_eq!(ring(Engine::Rcs, &straddles), Some(What::StatusPage(0xffc)));
    }
    let index = [FLUSH | 1 << 21, 0x1000, 0, 0, 0];
    assert_eq!(ring(Engine::Bcs, &index), Some(What::StatusPage(0x1000)));
    let far = [FLUSH | 1 << 21, 0x100, 1, 0, 0];
    assert_eq!(
        ring(Engine::Bcs, &far),
        Some(What::StatusPage(1 << 32 | 0x100))
    );
}

#[test]
fn attack_20_a_load_and_a_store_at_once_do_not_hide_the_store() {
    let both = [PIPE_CONTROL, 1 << 24 | 1 << 23 | 1 << 14, 0x2600, 0, 0, 0];
    assert!(matches!(ring(Engine::Rcs, &both), Some(What::Fixed(_))));
}

#[test]
fn attack_20_the_engine_status_page_is_written_through_a_patch_only() {
    struct Stubborn;
    impl Sink for Stubborn {
        fn batch(&mut self, _: BatchStart) -> bool {
            true
        }
    }
    let index = [FLUSH | 1 << 21, 0x100 | 4, 0, 0, 0];
    let result = scan(Engine::Bcs, Privilege::Ring, &index, &LIMITS, &mut Stubborn);
    assert_eq!(result.unwrap_err().what, What::EngineStatusPage);
    for header in [0x0380_0000, 0x1080_0001] {
        assert!(matches!(
            ring(Engine::Rcs, &[header, 0, 0]),
            Some(What::Refused(_))
        ));
    }
}

#[test]
fn attack_20_atomics_semaphores_and_copies_are_stores_and_loads_too() {
    let end = u64::from(LOW_END);
    // MI_ATOMIC of 4, 8 and 16 bytes.
    for (size, bytes) in [(0, 4), (1, 8), (2, 16)] {
        let atomic = |address| [0x1780_0001 | CALL | size << 19, address, 0];
        let fits = LOW_END - bytes as u32;
        assert_eq!(ring(Engine::Rcs, &atomic(fits)), None);
        assert_eq!(
            ring(Engine::Rcs, &atomic(fits + 4)),
            outside(end - bytes + 4, bytes)
        );
    }
    let wait = [0x0e00_0002 | CALL, 0, LOW_END, 0];
    assert_eq!(ring(Engine::Rcs, &wait), outside(end, 4));
    let register = [0x0e00_0002 | 1 << 16, 0, LOW, 0];
    assert!(matches!(ring(Engine::Rcs, &register), Some(What::Fixed(_))));
    // MI_COPY_MEM_MEM: the two operands have a bit each.
    assert_eq!(
        ring(Engine::Rcs, &[0x1700_0003 | 1 << 21, LOW_END, 0, LOW, 0]),
        outside(end, 4)
    );
    assert_eq!(
        ring(Engine::Rcs, &[0x1700_0003 | 1 << 22, LOW, 0, LOW_END, 0]),
        outside(end, 4)
    );
    assert_eq!(
        ring(Engine::Rcs, &[0x1700_0003 | 1 << 22, LOW_END, 0, LOW, 0]),
        None
    );
    assert_eq!(
        ring(Engine::Rcs, &[LRM | CALL, 0x2600, LOW_END, 0]),
        outside(end, 4)
    );
    assert_eq!(
        ring(Engine::Rcs, &[SRM | CALL, 0x2600, LOW_END, 0]),
        outside(end, 4)
    );
    assert_eq!(
        ring(Engine::Rcs, &[0x1b00_0002 | CALL, 0, LOW_END, 0]),
        outside(end, 8)
    );
}

#[test]
fn attack_20_unprivileged_batches_cannot_name_the_global_gtt_even_their_own_part() {
    let batches: [&[u32]; 5] = [
        &[STORE, LOW, 0, 0, BATCH_END],
        &[FLUSH, LOW | 4, 0, 0, 0, BATCH_END],
        &[SRM | CALL, 0x2_2600, LOW, 0, BATCH_END],
        &[0x1780_0001 | CALL, LOW, 0, BATCH_END],
        &[BATCH_START, LOW, 0],
    ];
    for batch in batches {
        let refused = Some(What::Unprivileged);
        assert_eq!(
            verdict(Engine::Bcs, Privilege::Unprivileged, batch),
            refused
        );
        assert_eq!(verdict(Engine::Bcs, Privilege::Privileged, batch), None);
    }
}

#[test]
fn attack_24_context_batches_are_scanned_and_start_no_batches() {
    for privilege in [Privilege::IndirectContext, Privilege::PerContext] {
        let scan = |dwords: &[u32]| verdict(Engine::Rcs, privilege, dwords);
        assert_eq!(
            scan(&[STORE, LOW_END, 0, 0, BATCH_END]),
            outside(LOW_END.into(), 4)
        );
        assert_eq!(
            scan(&[LRI, 0x2230, 0, BATCH_END]),
            Some(What::Register(0x2230))
        );
        assert_eq!(scan(&[BATCH_START, LOW, 0, BATCH_END]), Some(What::Nested));
        assert_eq!(
            scan(&[0x1180_0000, 0, BATCH_END]),
            Some(What::Refused("the global GTT is partitioned"))
        );
        assert_eq!(scan(&[STORE, LOW, 0, 0, BATCH_END]), None);
    }
}
