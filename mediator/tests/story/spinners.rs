//! Batches that loop until their guest's CPU rewrites them, in the ways that i915's tests know.

use gpu::Gpu;
use gpu::spec::engine::{self, Engine};

use crate::bystander::Bystander;
use crate::driver::{BATCH_END, Driver, Machine, batch, clean, machine, serve, settle, store};

/// MI_ARB_CHECK.
const ARBITRATION_CHECK: u32 = 0x0280_0000;

/// A spinner: its commands for a batch at this address and a mark at that one, and where it is ended.
struct Spinner {
    name: &'static str,
    commands: fn(global: bool, at: u64, mark: u64) -> Vec<u32>,
    /// Dword that becomes MI_BATCH_BUFFER_END.
    condition: u64,
}

/// `igt_spinner.c`: a store, an arbitration point, NOOPs, back to the start.
const SELFTEST: Spinner = Spinner {
    name: "igt_spinner",
    commands: |global, at, mark| {
        let start = [&store(global, mark, 1)[..], &[ARBITRATION_CHECK]].concat();
        [&start[..], &[0; 128], &batch(global, at), &[BATCH_END]].concat()
    },
    condition: 0,
};

/// `i915_request.c`, recursive_batch: a start that leads to itself.
const RECURSIVE: Spinner = Spinner {
    name: "recursive_batch",
    commands: |global, at, mark| {
        let mark = store(global, mark, 1);
        [&mark[..], &batch(global, at + 16), &[BATCH_END]].concat()
    },
    condition: 4,
};

/// IGT before conditional ends: a loop behind the first cache line, and one command of it.
const CONDITION: Spinner = Spinner {
    name: "igt_spin_end",
    commands: |global, at, mark| {
        let mut all = store(global, mark, 1).to_vec();
        all.resize(16, 0);
        all.push(ARBITRATION_CHECK);
        all.resize(16 + 960, 0);
        all.extend(batch(global, at + 64));
        all
    },
    condition: 16,
};

/// Two batches that chain to each other, and the start of the second one replaced.
const CHAINED: Spinner = Spinner {
    name: "chained",
    commands: |global, at, mark| {
        let mut all = store(global, mark, 1).to_vec();
        all.extend(batch(global, at + 0x400));
        all.resize(0x100, BATCH_END);
        all.extend([0; 5]);
        all.extend(batch(global, at));
        all
    },
    condition: 0x105,
};

/// Spins on `engine` while another guest works, then ends; what was rewritten in the copy.
fn spin(engine: Engine, global: bool, spinner: &Spinner) -> u64 {
    let name = spinner.name;
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let mut bystander = Bystander::new(&mut machine);
    let mut context = driver.context(&mut machine, engine, 1);
    let (frame, in_global) = driver.allocate(&mut machine, 2);
    let in_process = driver.map(&mut machine, frame, 2);
    let at = if global { in_global } else { in_process };
    let commands = (spinner.commands)(global, at, at + 4096);
    driver.store(&mut machine, frame * 4096, &commands);
    driver.request(&mut machine, &mut context, &batch(global, at));
    driver.submit(&mut machine, engine, context.descriptor(), 0);
    bystander.work(&mut machine);
    (0..200).for_each(|_| _ = serve(&mut machine));
    assert_eq!(
        driver.peek(&mut machine, (frame + 1) * 4096),
        1,
        "{name}: it runs"
    );
    assert_eq!(driver.arrived(&mut machine, engine), 0, "{name}: and spins");
    for other in Engine::ALL.into_iter().filter(|other| *other != engine) {
        bystander.driver.all_done(&mut machine, other);
    }
    assert_eq!(bystander.driver.arrived(&mut machine, engine), 0);

    let condition = frame * 4096 + spinner.condition * 4;
    driver.store(&mut machine, condition, &[BATCH_END]);
    settle(&mut machine);
    driver.all_done(&mut machine, engine);
    bystander.done(&mut machine);
    clean(&machine);
    let counters = machine.vgpu(driver.domain).counters();
    assert_eq!((counters.refused, counters.violations), (0, 0), "{name}");
    counters.rewritten
}

#[test]
fn a_spinner_on_each_engine_ends_by_a_store_of_the_cpu_while_another_guest_works() {
    for spinner in [SELFTEST, RECURSIVE, CONDITION, CHAINED] {
        for engine in Engine::ALL {
            let rewritten = spin(engine, false, &spinner);
            // The others' run where the guest has them.
            let copied = u64::from(engine == Engine::Bcs);
            assert_eq!(rewritten, copied, "{} on {engine}", spinner.name);
        }
    }
}

#[test]
fn privileged_spinners_end_likewise() {
    for engine in [Engine::Rcs, Engine::Bcs, Engine::Vecs] {
        assert_eq!(spin(engine, true, &SELFTEST), 1, "{engine}");
    }
}

/// A spinner of the blitter that runs.
fn running(machine: &mut Machine, driver: &mut Driver, commands: &[u32]) -> u64 {
    let mut context = driver.context(machine, Engine::Bcs, 1);
    let frame = driver.frames(2);
    let at = driver.map(machine, frame, 2);
    let all = [&store(false, at + 4096, 1)[..], commands, &batch(false, at)].concat();
    driver.store(machine, frame * 4096, &all);
    driver.request(machine, &mut context, &batch(false, at));
    driver.submit(machine, Engine::Bcs, context.descriptor(), 0);
    (0..50).for_each(|_| _ = serve(machine));
    assert_eq!(driver.peek(machine, (frame + 1) * 4096), 1);
    frame * 4096
}

#[test]
fn whatever_else_a_guest_writes_into_a_running_copy_changes_nothing() {
    let mut machine = machine();
    let mut driver = Driver::new(&mut machine, 1);
    let commands = [&[ARBITRATION_CHECK][..], &store(false, 0x800, 0), &[0, 0]].concat();
    let at = running(&mut machine, &mut driver, &commands);
    let rewritten = |machine: &Machine| machine.vgpu(driver.domain).counters().rewritten;
    let page = Engine::Bcs.base() + engine::HWS_PGA;
    let before = machine.mediator.host_mut().gpu.read(page);
    let ends = [BATCH_END; 3];
    for (dword, values, expected) in [
        // An end, and no commands, over operands.
        (1, &ends[..], 0),
        (6, &ends[..], 0),
        (13, &ends[..2], 0),
        // MI_NOOP over commands of several dwords.
        (0, &[0][..], 0),
        (5, &[0], 0),
        (12, &[0], 0),
        // Commands that would even be allowed, and ones that would not.
        (4, &[0x0100_0000], 0),
        (9, &[0x1100_0001], 0),
        (10, &[0x0500_0001], 0),
        // MI_NOOP over a command of one dword.
        (4, &[0], 1),
        // And the end.
        (9, &[BATCH_END], 2),
    ] {
        driver.store(&mut machine, at + dword * 4, values);
        (0..20).for_each(|_| _ = serve(&mut machine));
        assert_eq!(rewritten(&machine), expected, "dword {dword}");
    }
    settle(&mut machine);
    driver.all_done(&mut machine, Engine::Bcs);
    assert_eq!(machine.mediator.host_mut().gpu.read(page), before);
    clean(&machine);
}

#[test]
fn two_spinners_of_one_ring_end_in_any_order() {
    for first in [0, 1] {
        let mut machine = machine();
        let mut driver = Driver::new(&mut machine, 1);
        let mut context = driver.context(&mut machine, Engine::Bcs, 1);
        let frame = driver.frames(3);
        let at = driver.map(&mut machine, frame, 3);
        for number in [0, 1] {
            let base = at + number * 4096;
            let commands = (SELFTEST.commands)(false, base, at + 8192 + number * 4);
            driver.store(&mut machine, (frame + number) * 4096, &commands);
            driver.request(&mut machine, &mut context, &batch(false, base));
        }
        driver.submit(&mut machine, Engine::Bcs, context.descriptor(), 0);
        for number in [first, 1 - first] {
            (0..50).for_each(|_| _ = serve(&mut machine));
            assert!(driver.active(Engine::Bcs) == 0, "not looked at yet");
            assert_eq!(
                driver.arrived(&mut machine, Engine::Bcs),
                u32::from(number > first)
            );
            driver.store(&mut machine, (frame + number) * 4096, &[BATCH_END]);
        }
        settle(&mut machine);
        driver.all_done(&mut machine, Engine::Bcs);
        clean(&machine);
    }
}
