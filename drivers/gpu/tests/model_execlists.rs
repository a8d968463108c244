//! The context-status contract, row by row, as a driver sees it.

mod model_support;

use gpu::spec::context::{self, Descriptor, HWSP_CSB, HWSP_CSB_WRITE};
use gpu::spec::engine;
use gpu::{Engine, Gpu, Owner, Progress};
use model_support::*;

const IDLE_TO_ACTIVE: u32 = 0x1;
const PREEMPTED: u32 = 0x2;
const SWITCHED: u32 = 0x14;
const COMPLETED: u32 = 0x18;
const LITE_RESTORE: u32 = 0x8002;

#[test]
fn a_submission_while_idle_is_one_idle_to_active_and_its_end_one_completion() {
    for engine in Engine::ALL {
        let mut bench = Bench::new();
        let context = bench.ring(engine, &[USER_INTERRUPT]);
        let events = bench.events(engine);
        assert_eq!(
            events,
            [(IDLE_TO_ACTIVE, 0), (COMPLETED, context.id())],
            "{engine}"
        );
        assert_eq!(bench.saved_head(&context), context.tail);
        assert!(bench.gpu.take_interrupt());
        assert_eq!(bench.gpu.breaches(), 0);
    }
}

#[test]
fn two_elements_run_one_after_the_other_with_an_element_switch_between() {
    let mut bench = Bench::new();
    let [mut first, mut second] = [0, 1].map(|_| bench.context(Engine::Bcs, Owner::Host));
    bench.emit(&mut first, &[NOOP, NOOP]);
    bench.emit(&mut second, &[NOOP, NOOP]);
    bench.submit(&[&first, &second]);
    bench.finish();
    let expected = [
        (IDLE_TO_ACTIVE, 0),
        (SWITCHED, first.id()),
        (COMPLETED, second.id()),
    ];
    assert_eq!(bench.events(Engine::Bcs), expected);
}

#[test]
fn an_empty_ring_completes_at_once() {
    let mut bench = Bench::new();
    let context = bench.context(Engine::Vcs, Owner::Guest(1));
    bench.submit(&[&context]);
    assert_eq!(bench.gpu.run(), Progress::Idle);
    assert_eq!(
        bench.events(Engine::Vcs),
        [(IDLE_TO_ACTIVE, 0), (COMPLETED, context.id())]
    );
}

/// A context that spins in a batch until its first command is overwritten.
fn spinner(bench: &mut Bench, engine: Engine, body: u32) -> (Context, gpu::DmaPage) {
    let mut context = bench.context(engine, Owner::Guest(1));
    let at = 0x10_0000;
    let batch = bench.private(&context, at, &[body, BATCH_START, at as u32, 0]);
    bench.emit(&mut context, &[BATCH_START, at as u32, 0, NOOP]);
    (context, batch)
}

#[test]
fn the_running_context_submitted_again_moves_its_tail_with_one_event() {
    let mut bench = Bench::new();
    let (mut context, batch) = spinner(&mut bench, Engine::Rcs, NOOP);
    let (result, at) = bench.global(Owner::Guest(1), &[0]);
    bench.submit(&[&context]);
    assert_eq!(bench.gpu.run(), Progress::Busy);
    assert_eq!(bench.events(Engine::Rcs), [(IDLE_TO_ACTIVE, 0)]);

    bench.emit(&mut context, &[STORE_GLOBAL, at, 0, 77]);
    bench.submit(&[&context]);
    assert_eq!(bench.gpu.run(), Progress::Busy);
    assert_eq!(bench.events(Engine::Rcs), [(LITE_RESTORE, context.id())]);

    bench.poke(batch, 0, BATCH_END);
    bench.finish();
    assert_eq!(bench.events(Engine::Rcs), [(COMPLETED, context.id())]);
    assert_eq!(bench.peek(result, 0), 77, "what was appended ran");
    assert_eq!(bench.saved_head(&context), context.tail);
}

#[test]
fn a_lite_restore_brings_a_second_element_along() {
    let mut bench = Bench::new();
    let (context, batch) = spinner(&mut bench, Engine::Bcs, NOOP);
    let mut other = bench.context(Engine::Bcs, Owner::Guest(2));
    bench.emit(&mut other, &[NOOP, NOOP]);
    bench.submit(&[&context]);
    bench.gpu.run();
    bench.submit(&[&context, &other]);
    bench.gpu.run();
    bench.poke(batch, 0, BATCH_END);
    bench.finish();
    let expected = [
        (IDLE_TO_ACTIVE, 0),
        (LITE_RESTORE, context.id()),
        (SWITCHED, context.id()),
        (COMPLETED, other.id()),
    ];
    assert_eq!(bench.events(Engine::Bcs), expected);
}

#[test]
fn force_restore_reloads_the_running_context_instead() {
    let mut bench = Bench::new();
    let (mut context, batch) = spinner(&mut bench, Engine::Bcs, ARB_CHECK);
    bench.submit(&[&context]);
    bench.gpu.run();
    context.descriptor |= Descriptor::FORCE_RESTORE;
    bench.submit(&[&context]);
    bench.gpu.run();
    assert_eq!(
        bench.events(Engine::Bcs),
        [(IDLE_TO_ACTIVE, 0), (PREEMPTED, context.id())]
    );
    bench.poke(batch, 0, BATCH_END);
    bench.finish();
    assert_eq!(bench.events(Engine::Bcs), [(COMPLETED, context.id())]);
}

#[test]
fn another_context_preempts_at_an_arbitration_point_and_the_first_goes_on_later() {
    let mut bench = Bench::new();
    let (first, batch) = spinner(&mut bench, Engine::Vecs, ARB_CHECK);
    let mut second = bench.context(Engine::Vecs, Owner::Guest(2));
    bench.emit(&mut second, &[USER_INTERRUPT]);
    bench.submit(&[&first]);
    bench.gpu.run();
    bench.submit(&[&second, &first]);
    bench.gpu.run();
    bench.gpu.run();
    let expected = [
        (IDLE_TO_ACTIVE, 0),
        (PREEMPTED, first.id()),
        (SWITCHED, second.id()),
    ];
    assert_eq!(bench.events(Engine::Vecs), expected);
    // The batch goes on in the middle; the ring does not start it again.
    assert_eq!(bench.saved_head(&first), 12);
    bench.poke(batch, 0, BATCH_END);
    bench.finish();
    assert_eq!(bench.events(Engine::Vecs), [(COMPLETED, first.id())]);
}

#[test]
fn without_an_arbitration_point_another_context_waits_for_completion() {
    for arbitration in [NOOP, ARB_OFF] {
        let mut bench = Bench::new();
        let mut first = bench.context(Engine::Bcs, Owner::Guest(1));
        let at = 0x10_0000;
        let check = if arbitration == ARB_OFF {
            ARB_CHECK
        } else {
            NOOP
        };
        let batch = bench.private(&first, at, &[check, BATCH_START, at as u32, 0]);
        bench.emit(&mut first, &[arbitration, BATCH_START, at as u32, 0]);
        let mut second = bench.context(Engine::Bcs, Owner::Guest(2));
        bench.emit(&mut second, &[NOOP, NOOP]);
        bench.submit(&[&first]);
        bench.gpu.run();
        bench.submit(&[&second]);
        for _ in 0..20 {
            assert_eq!(bench.gpu.run(), Progress::Busy);
        }
        assert_eq!(bench.events(Engine::Bcs), [(IDLE_TO_ACTIVE, 0)]);
        bench.poke(batch, 0, BATCH_END);
        bench.finish();
        let expected = [
            (COMPLETED, first.id()),
            (IDLE_TO_ACTIVE, 0),
            (COMPLETED, second.id()),
        ];
        assert_eq!(bench.events(Engine::Bcs), expected);
    }
}

#[test]
fn an_event_is_in_memory_with_its_image_saved_when_the_interrupt_comes() {
    let mut bench = Bench::new();
    let (breadcrumb, at) = bench.global(Owner::Host, &[0]);
    let mut context = bench.context(Engine::Bcs, Owner::Host);
    bench.emit(&mut context, &[STORE_GLOBAL, at, 0, 9]);
    bench.gpu.set_quantum(1);
    bench.submit(&[&context]);
    let mut seen = Vec::new();
    while bench.gpu.run() == Progress::Busy {
        if bench.gpu.take_interrupt() {
            seen.extend(bench.events(Engine::Bcs));
        }
        // The event interrupt stays up until its cause is cleared.
        bench
            .gpu
            .write(gpu::spec::registers::GT_INTERRUPT_BANKS + 8, !0);
    }
    assert!(bench.gpu.take_interrupt());
    assert_eq!(bench.saved_head(&context), context.tail);
    assert_eq!(bench.peek(breadcrumb, 0), 9);
    seen.extend(bench.events(Engine::Bcs));
    assert_eq!(seen, [(IDLE_TO_ACTIVE, 0), (COMPLETED, context.id())]);
}

#[test]
fn a_masked_engine_reports_in_memory_only() {
    let mut bench = Bench::new();
    // BCS events sit in the upper half of their bank, and of RING_IMR.
    bench
        .gpu
        .write(Engine::Bcs.base() + engine::RING_IMR, !0x0000_0101);
    bench.ring(Engine::Bcs, &[USER_INTERRUPT]);
    assert!(!bench.gpu.take_interrupt());
    assert_eq!(bench.events(Engine::Bcs).len(), 2);
    bench
        .gpu
        .write(Engine::Bcs.base() + engine::RING_IMR, !0x0100_0000);
    bench.ring(Engine::Bcs, &[USER_INTERRUPT]);
    assert!(bench.gpu.take_interrupt());
}

#[test]
fn entries_wrap_after_six_and_the_registers_mirror_them() {
    let mut bench = Bench::new();
    for round in 0..7 {
        let context = bench.ring(Engine::Rcs, &[NOOP, NOOP]);
        let slot = (2 * round + 1) % 6;
        let page = bench.status[Engine::Rcs.index()];
        assert_eq!(bench.peek(page, HWSP_CSB_WRITE), slot);
        let entry = bench.peek64(page, HWSP_CSB + 2 * slot as usize);
        assert_eq!(entry, u64::from(context.id()) << 32 | u64::from(COMPLETED));
        let register = Engine::Rcs.base() + engine::CSB + 8 * slot;
        assert_eq!(bench.gpu.read(register), COMPLETED);
        assert_eq!(bench.gpu.read(register + 4), context.id());
    }
}

#[test]
fn a_saved_image_can_be_run_again_and_keeps_registers_and_time() {
    let mut bench = Bench::new();
    let gpr = Engine::Rcs.base() + engine::GPR;
    let mut context = bench.ring(Engine::Rcs, &[LOAD_IMMEDIATE, gpr, 0xabcd, NOOP]);
    let control = bench.peek(context.image[1], context::CONTEXT_CONTROL);
    assert_eq!(
        control & context::RESTORE_INHIBIT,
        0,
        "the next run restores"
    );
    let time = bench.peek(context.image[1], context::TIMESTAMP);

    bench.ring(Engine::Rcs, &[LOAD_IMMEDIATE, gpr, 0, NOOP]);
    assert_eq!(bench.general(Engine::Rcs, 0), 0);
    bench.emit(&mut context, &vec![NOOP; 256]);
    bench.submit(&[&context]);
    bench.finish();
    assert_eq!(bench.general(Engine::Rcs, 0), 0xabcd);
    assert!(bench.peek(context.image[1], context::TIMESTAMP) > time);
}

#[test]
fn the_ring_wraps_even_inside_a_command() {
    let mut bench = Bench::new();
    let (result, at) = bench.global(Owner::Host, &[0]);
    let mut context = bench.context(Engine::Bcs, Owner::Host);
    bench.emit(&mut context, &[NOOP; 1022]);
    bench.submit(&[&context]);
    bench.finish();
    bench.emit(&mut context, &[STORE_GLOBAL, at, 0, 5]);
    assert_eq!(context.tail, 8);
    bench.submit(&[&context]);
    bench.finish();
    assert_eq!(bench.peek(result, 0), 5);
    assert_eq!(bench.saved_head(&context), 8);
}

#[test]
fn the_running_context_shows_in_the_status_registers() {
    let mut bench = Bench::new();
    let (context, batch) = spinner(&mut bench, Engine::Vcs, NOOP);
    let base = Engine::Vcs.base();
    bench.submit(&[&context]);
    bench.gpu.run();
    assert_eq!(
        bench.gpu.read(base + engine::EXECLIST_STATUS_HI),
        context.id()
    );
    assert_eq!(bench.gpu.read(base + engine::RING_START), context.ring_at);
    assert_eq!(bench.gpu.read(base + engine::RING_TAIL), context.tail);
    assert_eq!(bench.gpu.read(base + engine::ACTHD) & !0xf, 0x10_0000);
    assert_eq!(
        bench.gpu.read(base + engine::MI_MODE) & 1 << 9,
        0,
        "not idle"
    );
    assert_ne!(bench.gpu.read(base + engine::INSTDONE), !0);
    bench.poke(batch, 0, BATCH_END);
    bench.finish();
    assert_eq!(bench.gpu.read(base + engine::EXECLIST_STATUS_HI), 0);
    assert_eq!(bench.gpu.read(base + engine::MI_MODE) & 1 << 9, 1 << 9);
    assert_eq!(bench.gpu.read(base + engine::INSTDONE), !0);
}

#[test]
fn a_stopped_ring_stands_still_until_started() {
    let mut bench = Bench::new();
    let mode = Engine::Rcs.base() + engine::MI_MODE;
    bench.gpu.write(mode, engine::masked(1 << 8, 1 << 8));
    let mut context = bench.context(Engine::Rcs, Owner::Host);
    bench.emit(&mut context, &[NOOP, NOOP]);
    bench.submit(&[&context]);
    assert_eq!(bench.gpu.run(), Progress::Idle);
    assert_eq!(bench.gpu.read(mode) & 1 << 9, 1 << 9);
    assert_eq!(bench.events(Engine::Rcs), []);
    bench.gpu.write(mode, engine::masked(1 << 8, 0));
    bench.finish();
    assert_eq!(bench.events(Engine::Rcs).len(), 2);
}

#[test]
fn a_submission_before_execlists_are_enabled_is_lost() {
    let mut bench = Bench::new();
    let mode = Engine::Rcs.base() + engine::RING_MODE;
    bench.gpu.write(mode, engine::masked(1 << 15, 0));
    let context = bench.context(Engine::Rcs, Owner::Host);
    bench.submit(&[&context]);
    bench.finish();
    assert_eq!(bench.events(Engine::Rcs), []);
}

#[test]
fn engines_work_side_by_side_and_each_time_is_its_own() {
    let mut bench = Bench::new();
    let (first, _) = spinner(&mut bench, Engine::Rcs, NOOP);
    let (second, _) = spinner(&mut bench, Engine::Bcs, NOOP);
    bench.submit(&[&first]);
    bench.submit(&[&second]);
    let start = bench.gpu.now();
    for _ in 0..100 {
        bench.gpu.run();
    }
    let [rcs, bcs, vcs] =
        [Engine::Rcs, Engine::Bcs, Engine::Vcs].map(|engine| bench.gpu.busy_time(engine));
    assert_eq!((rcs, vcs), (bcs, 0));
    assert_eq!(bench.gpu.now() - start, rcs, "not the sum");
}
