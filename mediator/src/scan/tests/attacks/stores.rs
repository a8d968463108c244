//! Attack 20: stores, loads and waits outside the slice, at its edges and by index.

use super::*;

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
fn attack_20_a_store_by_index_reaches_the_context_s_own_page_only() {
    const STORE: u32 = 0x1080_0001;
    const OWN: u32 = 1 << 21;
    let dwords = [0, STORE, 0x800, 7, 0x0500_0000];
    for engine in Engine::ALL {
        let (result, found) = found(engine, Privilege::Unprivileged, &dwords);
        assert_eq!(result, Ok(()));
        assert_eq!(found.bits, [(1, Bits::bit(0, 21))]);
        let own = [STORE | OWN, 0x800, 7, 0x0500_0000];
        assert_eq!(verdict(engine, Privilege::Privileged, &own), None);
        for index in [0x1000, 0x802, u32::MAX] {
            let beyond = [STORE | OWN, index, 7, 0x0500_0000];
            assert!(matches!(
                verdict(engine, Privilege::Unprivileged, &beyond),
                Some(What::Fixed(_))
            ));
        }
        for privilege in [
            Privilege::Ring,
            Privilege::Privileged,
            Privilege::IndirectContext,
            Privilege::PerContext,
        ] {
            assert!(matches!(
                verdict(engine, privilege, &dwords[1..]),
                Some(What::Refused(_))
            ));
        }
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
