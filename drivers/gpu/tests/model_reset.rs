//! Resets, and registers that answer for themselves.

mod model_support;

use gpu::spec::context::{HWSP_CSB, HWSP_CSB_WRITE};
use gpu::spec::engine;
use gpu::spec::registers::{
    FENCE, GDRST, GFX_FLSH_CNTL, PCODE_MAILBOX, POWER_WELL, TLB_INVALIDATE,
};
use gpu::{Engine, Gpu, Owner, Progress};
use model_support::*;

/// A guest's context that stores and spins for ever.
fn hang(bench: &mut Bench, engine: Engine) -> (Context, gpu::DmaPage) {
    let mut context = bench.context(engine, Owner::Guest(1));
    let at = 0x10_0000;
    let atomic_increment = 0x1780_0001 | 0x5 << 8;
    let batch = [atomic_increment, 0x8000, 0, BATCH_START, at as u32, 0];
    bench.private(&context, at, &batch);
    let data = bench.private(&context, 0x8000, &[0]);
    bench.emit(&mut context, &[BATCH_START, at as u32, 0, NOOP]);
    bench.submit(&[&context]);
    bench.gpu.run();
    assert_ne!(bench.peek(data, 0), 0);
    (context, data)
}

#[test]
fn an_engine_reset_leaves_no_late_write_and_the_next_entry_goes_to_slot_zero() {
    for engine in Engine::ALL {
        let mut bench = Bench::new();
        let (context, data) = hang(&mut bench, engine);
        assert_eq!(bench.events(engine), [(1, 0)]);
        let page = bench.status[engine.index()];
        bench.gpu.reset_engine(engine).unwrap();
        let memory = [bench.peek(data, 0), bench.saved_head(&context)];
        assert_eq!(bench.gpu.run(), Progress::Idle);
        assert_eq!([bench.peek(data, 0), bench.saved_head(&context)], memory);
        assert_eq!(bench.gpu.read(engine.base() + engine::CSB_POINTER) & 7, 7);
        assert_eq!(
            bench.gpu.read(engine.base() + engine::EXECLIST_STATUS_HI),
            0
        );

        bench.enable(engine);
        let context = bench.ring(engine, &[NOOP, NOOP]);
        assert_eq!(bench.peek(page, HWSP_CSB), 1, "slot 0");
        assert_eq!(bench.peek(page, HWSP_CSB_WRITE), 1);
        assert_eq!(bench.events(engine), [(1, 0), (0x18, context.id())]);
        assert_eq!(bench.gpu.breaches(), 0);
    }
}

#[test]
fn without_a_driver_setting_the_pointer_the_first_entry_after_reset_is_slot_zero_too() {
    let mut bench = Bench::new();
    bench.ring(Engine::Rcs, &[NOOP, NOOP]);
    bench.gpu.reset_engine(Engine::Rcs).unwrap();
    let base = Engine::Rcs.base();
    bench.gpu.write(base + engine::HWS_PGA, 0x1000);
    bench
        .gpu
        .write(base + engine::RING_MODE, engine::masked(1 << 15, 1 << 15));
    bench.ring(Engine::Rcs, &[NOOP, NOOP]);
    assert_eq!(bench.gpu.read(base + engine::CSB), 1);
    assert_eq!(bench.gpu.read(base + engine::CSB_POINTER) & 7, 1);
}

#[test]
fn a_reset_of_one_engine_does_not_disturb_the_others() {
    let mut bench = Bench::new();
    let (_, data) = hang(&mut bench, Engine::Rcs);
    hang(&mut bench, Engine::Bcs);
    let gpr = Engine::Vcs.base() + engine::GPR;
    bench.gpu.write(gpr, 7);
    bench.gpu.reset_engine(Engine::Bcs).unwrap();
    let before = bench.peek(data, 0);
    assert_eq!(bench.gpu.run(), Progress::Busy);
    assert!(bench.peek(data, 0) > before);
    assert_eq!(bench.gpu.read(gpr), 7);
}

#[test]
fn a_pending_submission_does_not_survive_a_reset() {
    let mut bench = Bench::new();
    hang(&mut bench, Engine::Bcs);
    let other = bench.context(Engine::Bcs, Owner::Guest(2));
    bench.submit(&[&other]);
    // Half a submission is forgotten, too.
    bench.gpu.write(Engine::Bcs.base() + engine::ELSP, 1);
    bench.gpu.reset_engine(Engine::Bcs).unwrap();
    bench.enable(Engine::Bcs);
    assert_eq!(bench.gpu.run(), Progress::Idle);
    let context = bench.ring(Engine::Bcs, &[NOOP, NOOP]);
    assert_eq!(bench.events(Engine::Bcs), [(1, 0), (0x18, context.id())]);
}

#[test]
fn an_engine_ready_for_reset_stands_still_and_goes_on_when_released() {
    let mut bench = Bench::new();
    let (_, data) = hang(&mut bench, Engine::Vcs);
    let control = Engine::Vcs.base() + engine::RESET_CTL;
    bench.gpu.write(control, engine::masked(1, 1));
    assert_eq!(bench.gpu.read(control), 3);
    let before = bench.peek(data, 0);
    bench.gpu.run();
    assert_eq!(bench.peek(data, 0), before);
    bench.gpu.write(control, engine::masked(1, 0));
    assert_eq!(bench.gpu.read(control), 0);
    bench.gpu.run();
    assert!(bench.peek(data, 0) > before);
}

#[test]
fn a_reset_clears_a_fault_and_the_engine_works_again() {
    let mut bench = Bench::new();
    bench.ring(Engine::Bcs, &[0x3fff_ffff, NOOP]);
    assert!(bench.gpu.fault(Engine::Bcs).is_some());
    bench.gpu.reset_engine(Engine::Bcs).unwrap();
    assert_eq!(bench.gpu.fault(Engine::Bcs), None);
    assert_eq!(bench.gpu.read(Engine::Bcs.base() + engine::ESR), 0);
    bench.enable(Engine::Bcs);
    bench.ring(Engine::Bcs, &[NOOP, NOOP]);
    assert_eq!(bench.events(Engine::Bcs).len(), 2);
}

#[test]
fn a_full_reset_stops_all_engines_and_clears_the_graphics_core_but_not_the_gtt() {
    let mut bench = Bench::new();
    for engine in Engine::ALL {
        hang(&mut bench, engine);
    }
    let (mocs, fence, display) = (0xc800, FENCE + 8, 0x45000);
    for offset in [mocs, fence, display] {
        bench.gpu.write(offset, 0x11);
    }
    let entry = bench.gpu.read_gtt(gpu::GttIndex(1));
    bench.gpu.write(GDRST, 1);
    assert_eq!(bench.gpu.read(GDRST), 0);
    assert_eq!(bench.gpu.run(), Progress::Idle);
    assert_eq!(
        [mocs, fence, display].map(|offset| bench.gpu.read(offset)),
        [0, 0, 0x11]
    );
    assert_eq!(bench.gpu.read_gtt(gpu::GttIndex(1)), entry);
}

#[test]
fn requests_that_end_by_themselves_read_as_ended() {
    let mut bench = Bench::new();
    for offset in (TLB_INVALIDATE..).step_by(4).take(5).chain([GFX_FLSH_CNTL]) {
        bench.gpu.write(offset, 1);
        assert_eq!(bench.gpu.read(offset), 0, "{offset:#x}");
    }
    bench.gpu.write(PCODE_MAILBOX + 4, 3);
    bench.gpu.write(PCODE_MAILBOX, 1 << 31 | 0x07);
    assert_eq!(bench.gpu.read(PCODE_MAILBOX), 0);
    assert_eq!(bench.gpu.read(PCODE_MAILBOX + 4), 1);
    bench.gpu.write(PCODE_MAILBOX, 1 << 31 | 0x0102_0009);
    assert_eq!(bench.gpu.read(PCODE_MAILBOX), 0x0102_0000, "no error code");
}

#[test]
fn power_wells_and_forcewake_follow_their_requests_both_ways() {
    let mut bench = Bench::new();
    let well = POWER_WELL + 4;
    bench.gpu.write(well, 0b1000_0010);
    assert_eq!(bench.gpu.read(well), 0b1100_0011);
    bench.gpu.write(well, 0b1000_0001);
    assert_eq!(bench.gpu.read(well), 0b1100_0000);
    for (request, acknowledge) in [(0xa278, 0xd84), (0xa270, 0xd88), (0xa188, 0x13_0044)] {
        bench.gpu.write(request, engine::masked(1, 1));
        bench.gpu.write(request, engine::masked(2, 2));
        assert_eq!(bench.gpu.read(acknowledge), 3);
        bench.gpu.write(request, engine::masked(1, 0));
        assert_eq!(bench.gpu.read(acknowledge), 2);
    }
}

#[test]
fn the_probe_values_are_those_of_a_kaby_lake_gt2_without_display() {
    let mut bench = Bench::new();
    let expected = [
        (0x42000, 0x8e00_0000),
        (0x42300, 0),
        (0x51000, 0x5020_0000),
        (0x9120, 0x0280_0000),
        (0x9134, 0),
        (0xa26c, 0x4),
        (0xc6204, 24),
        (0x12_0010, 0),
        (0xc050, 0),
        (0xc340, 0),
        (0x4094, 0),
        (0x14_5998, 0),
    ];
    for (offset, value) in expected {
        assert_eq!(bench.gpu.read(offset), value, "{offset:#x}");
    }
    bench.gpu.write(0x4024, 0xf);
    assert_eq!(
        bench.gpu.read(0x4024),
        0xf,
        "a driver warns if it reads zero"
    );
}

#[test]
fn timestamps_advance_while_nothing_runs() {
    let mut bench = Bench::new();
    for engine in Engine::ALL {
        let at = engine.base() + engine::TIMESTAMP;
        let first = bench.gpu.read(at);
        assert!(bench.gpu.read(at) > first);
    }
    let at = Engine::Rcs.base() + engine::TIMESTAMP;
    let before = bench.gpu.read(at);
    bench.gpu.pass_time(1_000_000);
    let passed = bench.gpu.read(at) - before;
    assert!((12_000..12_010).contains(&passed), "{passed}");
    bench.gpu.pass_time(3_600_000_000_000);
    assert_ne!(bench.gpu.read(at + 4), 0, "an hour needs the upper half");
}

#[test]
fn registers_without_a_row_read_zero_and_swallow_writes() {
    let mut bench = Bench::new();
    for offset in [0, 0x3_0000, 0x1f_fffc, 0xffff_fffc] {
        bench.gpu.write(offset, !0);
        assert_eq!(bench.gpu.read(offset), 0);
    }
}

#[test]
fn interrupt_banks_clear_what_is_written_as_one() {
    let mut bench = Bench::new();
    for [status, mask, identity, enable] in [
        [0x44400, 0x44404, 0x44408, 0x4440c],
        [0xc4000, 0xc4004, 0xc4008, 0xc400c],
    ] {
        bench.gpu.write(mask, 0x1234);
        bench.gpu.write(enable, 0x4321);
        bench.gpu.write(identity, !0);
        bench.gpu.write(status, !0);
        let values = [status, mask, identity, enable].map(|offset| bench.gpu.read(offset));
        assert_eq!(values, [0, 0x1234, 0, 0x4321]);
    }
}
