//! Preemption as the driver relies on it when nobody told it that its GPU is virtual.
//!
//! Where a context may be left, what its image says then, and that it goes on exactly there.
//! Source: Linux `gt/gen8_engine_cs.c` (busy-wait in the breadcrumb), `intel_lrc.c`,
//! `intel_execlists_submission.c`; PRM Kaby Lake vol. 2a, MI_ARB_CHECK, MI_SEMAPHORE_WAIT.

mod model_support;

use gpu::spec::context::{CONTEXT_CONTROL, INHIBIT_SYNCHRONOUS_SWITCH, RING_HEAD};
use gpu::spec::engine;
use gpu::spec::registers::GT_INTERRUPT_BANKS;
use gpu::{DmaPage, Engine, Gpu, Owner, Progress};
use model_support::*;

const IDLE_TO_ACTIVE: u32 = 0x1;
const PREEMPTED: u32 = 0x2;
const SWITCHED: u32 = 0x14;
const COMPLETED: u32 = 0x18;
const WAITED: u32 = 0x88;
const WAITED_SWITCHED: u32 = 0x84;
const BATCH: u32 = 0x10_0000;
const DATA: u32 = 0x20_0000;
/// MI_ATOMIC: increments a dword of the PPGTT.
const INCREMENT: u32 = 0x1780_0001 | 0x5 << 8;
/// Dwords of batch address (low half) and state in an image.
const BB_ADDR: usize = 0x0f;
const BB_STATE: usize = 0x11;
/// Byte of the status page that pauses rings.
const PAUSE: usize = 0xc8;

/// A context that counts up in a batch until somebody ends the batch; its batch, and the count.
fn counter(bench: &mut Bench, engine: Engine, check: u32) -> (Context, DmaPage, DmaPage) {
    let mut context = bench.context(engine, Owner::Host);
    let body = [check, INCREMENT, DATA, 0, BATCH_START, BATCH, 0];
    let batch = bench.private(&context, BATCH.into(), &body);
    let data = bench.private(&context, DATA.into(), &[0]);
    bench.emit(
        &mut context,
        &[ARB_ON, BATCH_START, BATCH, 0, ARB_OFF, NOOP],
    );
    (context, batch, data)
}

/// A context with one interrupt to do.
fn short(bench: &mut Bench, engine: Engine) -> Context {
    let mut context = bench.context(engine, Owner::Host);
    bench.emit(&mut context, &[USER_INTERRUPT, ARB_CHECK]);
    context
}

/// Global address of a dword of an engine's status page.
fn status_at(engine: Engine, byte: usize) -> u32 {
    (1 + engine.index() as u32) * 0x1000 + byte as u32
}

/// Waits while the status page says so; then the end that every request has.
fn breadcrumb_wait(engine: Engine) -> [u32; 8] {
    let equal = SEMAPHORE_WAIT | 1 << 22 | 4 << 12;
    let pause = status_at(engine, PAUSE);
    [ARB_CHECK, equal, 0, pause, 0, NOOP, ARB_CHECK, NOOP]
}

#[test]
fn a_paused_ring_waits_behind_its_breadcrumb_and_is_left_there() {
    for engine in Engine::ALL {
        let mut bench = Bench::new();
        let status = bench.status[engine.index()];
        let (mark, mark_at) = bench.global(Owner::Host, &[0]);
        let mut first = bench.context(engine, Owner::Host);
        let store = [STORE_GLOBAL, mark_at, 0, 7, USER_INTERRUPT, ARB_ON];
        bench.emit(&mut first, &store);
        bench.emit(&mut first, &breadcrumb_wait(engine));
        let second = short(&mut bench, engine);

        bench.poke(status, PAUSE / 4, 1);
        bench.submit(&[&first]);
        bench.gpu.run();
        assert_eq!(bench.peek(mark, 0), 7, "complete, as far as anybody waits");
        assert_eq!(bench.events(engine), [(IDLE_TO_ACTIVE, 0)], "and not gone");
        let head = bench.gpu.read(engine.base() + engine::RING_HEAD);
        assert_eq!(head, 7 * 4, "at the semaphore");

        bench.submit(&[&second]);
        bench.gpu.run();
        let seen = [(PREEMPTED, first.id()), (COMPLETED, second.id())];
        assert_eq!(bench.events(engine), seen);
        assert_eq!(
            bench.saved_head(&first),
            7 * 4,
            "it looks again when it is back"
        );
        bench.poke(status, PAUSE / 4, 0);
        bench.submit(&[&first]);
        bench.finish();
        let seen = [(IDLE_TO_ACTIVE, 0), (COMPLETED, first.id())];
        assert_eq!(bench.events(engine), seen);
    }
}

#[test]
fn a_semaphore_that_is_not_signalled_interrupts_once_each_time_it_is_met() {
    let mut bench = Bench::new();
    let engine = Engine::Rcs;
    let identity = GT_INTERRUPT_BANKS + 8;
    let status = bench.status[engine.index()];
    let mut context = bench.context(engine, Owner::Host);
    bench.emit(&mut context, &breadcrumb_wait(engine));
    bench.emit(&mut context, &breadcrumb_wait(engine));
    bench.poke(status, PAUSE / 4, 1);
    bench.submit(&[&context]);
    bench.gpu.run();
    let waits = |bench: &mut Bench| {
        let bits = bench.gpu.read(identity);
        bench.gpu.write(identity, bits);
        bits & engine::INTERRUPT_SEMAPHORE_WAIT != 0
    };
    assert!(waits(&mut bench));
    (0..10).for_each(|_| _ = bench.gpu.run());
    assert!(!waits(&mut bench), "nothing new happened");
    let id = bench.gpu.read(engine.base() + engine::EXECLIST_STATUS_HI);
    assert_eq!(id, context.id(), "the driver reads who it was");
    bench.submit(&[&context]);
    bench.gpu.run();
    assert!(!waits(&mut bench), "a lite restore is not a new look");
    bench.poke(status, PAUSE / 4, 0);
    bench.finish();
    assert!(!waits(&mut bench));
}

#[test]
fn a_ring_is_left_at_its_arbitration_points_and_nowhere_else() {
    for (commands, left) in [
        (vec![NOOP; 200], None),
        (vec![ARB_OFF, ARB_CHECK, NOOP, ARB_CHECK], None),
        (
            [&[ARB_OFF, ARB_CHECK, ARB_ON, ARB_CHECK][..], &[NOOP; 40]].concat(),
            Some(16),
        ),
        ([&[NOOP, ARB_CHECK][..], &[NOOP; 40]].concat(), Some(8)),
    ] {
        let mut bench = Bench::new();
        bench.gpu.set_quantum(1);
        let mut first = bench.context(Engine::Vcs, Owner::Host);
        bench.emit(&mut first, &commands);
        let second = short(&mut bench, Engine::Vcs);
        bench.submit(&[&first]);
        bench.gpu.run();
        bench.submit(&[&second]);
        bench.finish();
        let next = match left {
            Some(head) => {
                assert_eq!(bench.saved_head(&first), head);
                vec![(PREEMPTED, first.id())]
            }
            None => vec![(COMPLETED, first.id()), (IDLE_TO_ACTIVE, 0)],
        };
        let all = [
            &[(IDLE_TO_ACTIVE, 0)][..],
            &next,
            &[(COMPLETED, second.id())],
        ];
        assert_eq!(bench.events(Engine::Vcs), all.concat());
    }
}

#[test]
fn a_batch_that_was_left_goes_on_at_the_same_command() {
    for engine in Engine::ALL {
        let mut bench = Bench::new();
        bench.gpu.set_quantum(100);
        let (first, batch, data) = counter(&mut bench, engine, ARB_CHECK);
        let mut count = 0;
        bench.submit(&[&first]);
        for _ in 0..20 {
            (0..30).for_each(|_| _ = bench.gpu.run());
            let second = short(&mut bench, engine);
            bench.submit(&[&second]);
            while bench.gpu.run() == Progress::Busy {}
            let seen = bench.events(engine);
            let end = [(PREEMPTED, first.id()), (COMPLETED, second.id())];
            assert_eq!(seen[seen.len() - 2..], end);
            let image = first.image[1];
            assert_eq!(
                bench.peek(image, BB_ADDR),
                (BATCH + 4) | 1,
                "behind the check"
            );
            assert_eq!(bench.peek(image, BB_STATE), 1 << 5, "in the PPGTT");
            assert!(bench.peek(data, 0) > count);
            count = bench.peek(data, 0);
            bench.submit(&[&first]);
        }
        bench.poke(batch, 4, BATCH_END);
        bench.finish();
        assert_eq!(
            bench.peek(data, 0),
            count + 1,
            "once more, from where it was"
        );
        assert_eq!(bench.peek(first.image[1], BB_ADDR), 0);
        assert_eq!(bench.saved_head(&first), first.tail);
    }
}

#[test]
fn a_pair_takes_turns_as_the_driver_resubmits_it() {
    let mut bench = Bench::new();
    let engine = Engine::Bcs;
    let counters = [0, 1].map(|_| counter(&mut bench, engine, ARB_CHECK));
    let [(first, ..), (second, ..)] = &counters;
    bench.submit(&[first, second]);
    bench.gpu.run();
    assert_eq!(bench.events(engine), [(IDLE_TO_ACTIVE, 0)]);
    let mut before = [0; 2];
    for turn in 0..10 {
        let (running, next) = match turn % 2 {
            0 => (first, second),
            _ => (second, first),
        };
        bench.submit(&[next, running]);
        bench.gpu.run();
        assert_eq!(bench.events(engine), [(PREEMPTED, running.id())]);
        bench.gpu.run();
        let now = [0, 1].map(|which| bench.peek(counters[which].2, 0));
        assert!(now[(turn + 1) % 2] > before[(turn + 1) % 2]);
        before = now;
    }
    for (_, batch, _) in &counters {
        bench.poke(*batch, 4, BATCH_END);
    }
    bench.finish();
    let seen = [(SWITCHED, first.id()), (COMPLETED, second.id())];
    assert_eq!(bench.events(engine), seen);
}

#[test]
fn a_context_leaves_at_a_semaphore_only_if_its_image_does_not_inhibit_that() {
    let (engine, waiting) = (Engine::Vecs, [1, 0]);
    for inhibit in [true, false] {
        let mut bench = Bench::new();
        let (flag, flag_at) = bench.global(Owner::Host, &waiting);
        let mut first = bench.context(engine, Owner::Host);
        let equal = SEMAPHORE_WAIT | 1 << 22 | 4 << 12;
        bench.emit(&mut first, &[NOOP, equal, 0, flag_at, 0, NOOP]);
        let bit = INHIBIT_SYNCHRONOUS_SWITCH;
        let control = 1 << 16 | 1 | bit << 16 | if inhibit { bit } else { 0 };
        bench.poke(first.image[1], CONTEXT_CONTROL, control);
        let second = short(&mut bench, engine);

        bench.submit(&[&first, &second]);
        bench.gpu.run();
        let progress = bench.gpu.run();
        let mut seen = bench.events(engine);
        assert_eq!(seen.remove(0), (IDLE_TO_ACTIVE, 0));
        if inhibit {
            assert_eq!((progress, seen), (Progress::Busy, vec![]));
            bench.poke(flag, 0, 0);
            bench.finish();
            let ends = [(SWITCHED, first.id()), (COMPLETED, second.id())];
            assert_eq!(bench.events(engine), ends);
            continue;
        }
        let left = [(WAITED_SWITCHED, first.id()), (COMPLETED, second.id())];
        assert_eq!((progress, seen), (Progress::Idle, left.to_vec()));
        assert_eq!(bench.saved_head(&first), 4, "at the semaphore");
        bench.submit(&[&first]);
        bench.finish();
        assert_eq!(
            bench.events(engine),
            [(IDLE_TO_ACTIVE, 0), (WAITED, first.id())]
        );
        bench.poke(flag, 0, 0);
        bench.submit(&[&first]);
        bench.finish();
        assert_eq!(
            bench.events(engine),
            [(IDLE_TO_ACTIVE, 0), (COMPLETED, first.id())]
        );
    }
}

#[test]
fn a_preemption_that_is_never_answered_ends_with_a_reset_and_the_others_go_on() {
    let mut bench = Bench::new();
    let engine = Engine::Rcs;
    // Left in its batch, and still to be continued when its successor hangs.
    let (first, batch, data) = counter(&mut bench, engine, ARB_CHECK);
    let (hog, ..) = counter(&mut bench, engine, NOOP);
    let third = short(&mut bench, engine);
    bench.submit(&[&first]);
    bench.gpu.run();
    bench.submit(&[&hog, &first]);
    (0..2).for_each(|_| _ = bench.gpu.run());
    let seen = [(IDLE_TO_ACTIVE, 0), (PREEMPTED, first.id())];
    assert_eq!(bench.events(engine), seen);
    let count = bench.peek(data, 0);

    // The hog is asked to give way, and does not.
    bench.submit(&[&third, &first]);
    for _ in 0..50 {
        assert_eq!(bench.gpu.run(), Progress::Busy);
    }
    assert_eq!(bench.events(engine), []);
    let base = engine.base();
    assert_eq!(bench.gpu.read(base + engine::EXECLIST_STATUS_HI), hog.id());

    bench
        .gpu
        .write(base + engine::MI_MODE, engine::masked(1 << 8, 1 << 8));
    assert_ne!(
        bench.gpu.read(base + engine::MI_MODE) & 1 << 9,
        0,
        "stopped"
    );
    assert_eq!(bench.gpu.read(base + engine::EXECLIST_STATUS_HI), hog.id());
    bench.gpu.reset_engine(engine).unwrap();
    bench.enable(engine);
    assert_eq!(bench.gpu.run(), Progress::Idle);
    assert_eq!(bench.events(engine), [], "what was pending is gone");

    // What i915 does with the images: the victim's ring behind its request, with nothing to
    // restore; the others as they were saved.
    let image = hog.image[1];
    bench.poke(image, RING_HEAD, hog.tail);
    bench.poke(image, CONTEXT_CONTROL, 0x9_0009);
    bench.submit(&[&third, &first]);
    bench.gpu.run();
    let seen = [(IDLE_TO_ACTIVE, 0), (SWITCHED, third.id())];
    assert_eq!(bench.events(engine), seen);
    assert!(bench.peek(data, 0) > count, "it goes on in its batch");
    bench.poke(batch, 4, BATCH_END);
    bench.finish();
    bench.submit(&[&hog]);
    bench.finish();
    let ends = [
        (COMPLETED, first.id()),
        (IDLE_TO_ACTIVE, 0),
        (COMPLETED, hog.id()),
    ];
    assert_eq!(bench.events(engine), ends);
    assert_eq!(bench.gpu.breaches(), 0);
}
