//! Attacks 16, 17 and 24: batches that never end, lengths that lie, batches out of sight.

use super::*;

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
