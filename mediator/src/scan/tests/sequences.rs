//! What an unmodified Linux i915 (6.1, 6.12) submits under a vGPU, and what user space does.
//!
//! After `gt/gen8_engine_cs.c`, `gt/intel_lrc.c`, `gt/intel_workarounds.c`, and the headers of the null
//! state batch of `gt/gen9_renderstate.c`.

use super::*;

const STORE: u32 = 0x1000_0002 | 1 << 22;
const NOOP: u32 = 0;
const ARB_OFF: u32 = 0x0400_0000;
const ARB_ON: u32 = 0x0400_0001;
const USER_INTERRUPT: u32 = 0x0100_0000;
const BATCH_START: u32 = 0x1880_0001;
const BATCH_END: u32 = 0x0500_0000;
const PPGTT: u32 = 1 << 8;
const PIPE_CONTROL: u32 = 0x7a00_0004;
/// Where the driver lets flushes store: byte of the context's own status page.
const SCRATCH: u32 = 0xd0;

fn pass(engine: Engine, privilege: Privilege, dwords: &[u32]) -> Found {
    let (result, found) = found(engine, privilege, dwords);
    assert_eq!(result.map_err(|violation| violation.to_string()), Ok(()));
    found
}

#[test]
fn a_blitter_request_passes_and_reports_its_batch() {
    let flush = 0x1300_0002 | 1 << 21 | 1 << 14;
    #[rustfmt::skip]
    let ring = [
        // Invalidate, initial breadcrumb, batch, flush, breadcrumb, interrupt.
        flush | 1 << 18, SCRATCH, 0, 0,
        STORE, LOW + 0x40, 0, 41, 0x0280_0000, NOOP,
        ARB_OFF, BATCH_START | PPGTT, 0xffff_f000, 0x7fff,
        flush, SCRATCH, 0, 0,
        0x1300_0002 | 1 << 14, (LOW + 0x40) | (1 << 2), 0, 42,
        USER_INTERRUPT, ARB_ON, 0x0280_0000, NOOP,
    ];
    for engine in [Engine::Bcs, Engine::Vcs, Engine::Vecs] {
        let found = pass(engine, Privilege::Ring, &ring);
        assert_eq!(found.end, Some(ring.len()));
        assert_eq!(found.stores, [], "the context's own page needs no patch");
        let [batch] = found.batches[..] else {
            panic!("one batch")
        };
        assert_eq!(batch.position, 11);
        assert_eq!(batch.address, GraphicsAddress(0x7fff_ffff_f000));
        assert_eq!((batch.global, batch.level), (false, 1));
        assert_eq!(batch.privilege(), Privilege::Unprivileged);
    }
}

#[test]
fn a_render_request_passes() {
    #[rustfmt::skip]
    let ring = [
        // Null PIPE_CONTROL, invalidate with a store by index, breadcrumb, batch.
        PIPE_CONTROL, 0, 0, 0, 0, 0,
        PIPE_CONTROL, 1 << 21 | 1 << 20 | 1 << 18 | 1 << 14 | 0xc1c, SCRATCH, 0, 0, 0,
        STORE, HIGH + 0xff8, 0, 1, NOOP, NOOP,
        ARB_OFF, BATCH_START, LOW, 0,
        ARB_ON, BATCH_START | PPGTT, 0x1000, 0,
        // Flush, breadcrumb.
        PIPE_CONTROL, 1 << 12 | 1 << 5 | 1, 0, 0, 0, 0,
        PIPE_CONTROL, 1 << 24 | 1 << 20 | 1 << 14 | 1 << 7, HIGH + 0xff8, 0, 2, 0,
        USER_INTERRUPT, ARB_ON, NOOP, NOOP,
    ];
    let found = pass(Engine::Rcs, Privilege::Ring, &ring);
    let levels: Vec<_> = found
        .batches
        .iter()
        .map(|batch| (batch.global, batch.level))
        .collect();
    assert_eq!(
        levels,
        [(true, 1), (false, 1)],
        "the ring goes on after a batch"
    );
}

#[test]
fn render_context_workarounds_and_the_switch_batch_pass() {
    // Registers of kbl_ctx_workarounds_init, all masked.
    let workarounds = [
        0x7014, 0xe194, 0xe4f0, 0x7004, 0xe188, 0x7300, 0xe184, 0xe180, 0x2580, 0xe100,
    ];
    let mut ring = vec![0x1100_0000 | (2 * workarounds.len() as u32 - 1)];
    ring.extend(
        workarounds
            .iter()
            .flat_map(|register| [*register, 0x0001_0001]),
    );
    pass(Engine::Rcs, Privilege::Ring, &ring);

    #[rustfmt::skip]
    let mut switch = vec![
        ARB_OFF,
        0x1200_0002 | 1 << 22, 0xb118, LOW + 0x100, 0,
        0x1100_0001, 0xb118, 0x4060_0000,
        PIPE_CONTROL, 1 << 20 | 1 << 5, 0, 0, 0, 0,
        0x1480_0002 | 1 << 22, 0xb118, LOW + 0x100, 0,
        PIPE_CONTROL, 1 << 27 | 1 << 21 | 1 << 20 | 1 << 14, SCRATCH, 0, 0, 0,
        0x1100_0005, 0x7014, 0x0400_0000, 0x2088, 0x0002_0002, 0x2090, 0x0008_0008, NOOP,
        ARB_ON,
    ];
    switch.resize(switch.len().next_multiple_of(16), NOOP);
    let found = pass(Engine::Rcs, Privilege::IndirectContext, &switch);
    assert_eq!(found.end, Some(switch.len()));
}

#[test]
fn the_null_state_batch_passes_and_ends_where_the_manual_says() {
    let headers: [u32; 85] = [
        0x7a000004, 0x69040300, 0x78140000, 0x7820000a, 0x78130002, 0x781f0004, 0x78510009,
        0x78100007, 0x781b0007, 0x78110008, 0x781e0003, 0x781d0009, 0x78120002, 0x78500003,
        0x781c0002, 0x780c0000, 0x78520003, 0x78300000, 0x78310000, 0x78320000, 0x78330000,
        0x79190002, 0x791a0002, 0x791b0002, 0x79120000, 0x79130000, 0x79140000, 0x79150000,
        0x79160000, 0x78150009, 0x78190009, 0x781a0009, 0x78160009, 0x78170009, 0x78490001,
        0x784a0000, 0x784b0000, 0x79170101, 0x79180006, 0x79180006, 0x79180006, 0x79180006,
        0x61010011, 0x61020001, 0x79000002, 0x78050006, 0x79040002, 0x79040002, 0x79040002,
        0x79040002, 0x79080001, 0x790a0001, 0x78060003, 0x78070003, 0x78040001, 0x79110000,
        0x780d0000, 0x79060000, 0x7907001f, 0x7902000f, 0x790c000f, 0x780a0003, 0x78080083,
        0x78090043, 0x78550003, 0x680b0001, 0x780e0000, 0x78240000, 0x784f0000, 0x784d0000,
        0x782b0000, 0x782c0000, 0x782d0000, 0x782e0000, 0x782f0000, 0x780f0000, 0x78230000,
        0x78210000, 0x78260000, 0x78270000, 0x78280000, 0x78290000, 0x782a0000, 0x7b000005,
        0x05000000,
    ];
    let mut batch = Vec::new();
    for header in headers {
        let row = commands::find(Engine::Rcs, header).expect("known");
        batch.push(header);
        batch.resize(batch.len() + row.dwords(header) as usize - 1, 0);
    }
    // The driver's file has its MI_BATCH_BUFFER_END at dword 885, and data behind.
    assert_eq!(batch.len(), 886);
    batch.resize(960, 0x3f80_0000);
    let found = pass(Engine::Rcs, Privilege::Privileged, &batch);
    assert_eq!(found.end, Some(886));
}

#[test]
fn user_batches_pass_with_arithmetic_predicates_and_copies() {
    #[rustfmt::skip]
    let batch = [
        // LRI GPR0, MI_MATH of four, LRR, predicate, atomics and copies in the PPGTT.
        0x1100_0001, 0x2600, 7,
        0x0d00_0003, 0x0818_0000, 0x0818_0400, 0x1000_0000, 0x1804_0c31,
        0x1500_0001, 0x2600, 0x2608,
        0x0600_0000,
        0x1780_0001, 0xdead_b000, 0x11,
        0x1700_0003, 0, 0x11, 0x40, 0x11,
        0x1200_0002, 0x2358, 0x100, 0x22,
        0x0e00_8002, 1, 0x1000, 0x11,
        0x1b00_0002, 0, 0x2000, 0x11,
        0x1000_0002, 0x3000, 0x11, 5,
        BATCH_END,
    ];
    pass(Engine::Rcs, Privilege::Unprivileged, &batch);
}

#[test]
fn a_blitter_batch_of_an_x_server_passes() {
    #[rustfmt::skip]
    let batch = [
        // BCS_SWCTRL, fill, copy, fast copy, flush into the PPGTT.
        0x1100_0001, 0x2_2200, 0x0003_0001,
        0x5430_0005, 0x03f0_1000, 0, 0x0010_0010, 0x1000, 0, 0xff,
        0x54f0_8808, 0x03cc_0400, 0, 0x0010_0010, 0x1000, 0, 0, 0x400, 0x2000, 0,
        0x5080_0008, 0x0300_0400, 0, 0x0010_0010, 0x1000, 0, 0, 0x400, 0x2000, 0,
        0x1300_4002, 0x5000, 0x12, 9,
        BATCH_END,
    ];
    pass(Engine::Bcs, Privilege::Unprivileged, &batch);
}

#[test]
fn batches_call_chain_and_loop_within_two_levels() {
    let call = [BATCH_START | PPGTT | 1 << 22, 0x1000, 0, BATCH_END];
    let found = pass(Engine::Rcs, Privilege::Unprivileged, &call);
    assert_eq!(found.batches[0].level, 2);
    assert_eq!(found.end, Some(4));
    // A chain does not come back: what stands behind it is data.
    let chain = [BATCH_START | PPGTT, 0x1000, 0, 0xffff_ffff];
    let found = pass(Engine::Rcs, Privilege::Unprivileged, &chain);
    assert_eq!((found.batches[0].level, found.end), (1, Some(3)));
    // One that depends on a predicate may.
    let maybe = [BATCH_START | PPGTT | 1 << 15, 0x1000, 0, 0xffff_ffff];
    assert_eq!(
        verdict(Engine::Rcs, Privilege::Unprivileged, &maybe),
        Some(What::Unknown(Engine::Rcs))
    );
}

#[test]
fn a_store_by_index_to_the_engine_status_page_is_reported_for_patching() {
    let ring = [0x1300_0003 | 1 << 21 | 1 << 14, 0x100 | 1 << 2, 0, 1, 2];
    let found = pass(Engine::Vcs, Privilege::Ring, &ring);
    let store = StatusStore {
        position: 0,
        address: 1,
        index: (0, 1 << 21),
        offset: 0x100,
    };
    assert_eq!(found.stores, [store]);
}
