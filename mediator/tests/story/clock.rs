//! A batch that passes time by its engine's clock, as gem_wsim of intel-gpu-tools makes them: it
//! subtracts CTX_TIMESTAMP as it was at the start from what it is, stores the complement, stores by
//! index eight times so that the store has arrived, and ends once that is not above a limit.

use gpu::spec::engine::{self, Engine};

use crate::bystander::Bystander;
use crate::driver::{BATCH_END, Driver, batch, clean, machine, serve, settle};

/// Where in the batch's page the difference goes.
const DIFFERENCE: u64 = 4000;
/// Ticks that it passes.
const TICKS: u32 = 600;

fn passes_time(engine: Engine, at: u64) -> Vec<u32> {
    let base = engine.base();
    let general = |number: u32| base + engine::GPR + 8 * number;
    // MI_LOAD_REGISTER_IMM of the upper half, MI_LOAD_REGISTER_REG of the lower one.
    let clock = |number: u32| {
        let register = general(number);
        let read = [0x1500_0001, base + engine::CONTEXT_TIMESTAMP, register];
        [&[0x1100_0001, register + 4, 0][..], &read].concat()
    };
    let mut all = clock(0);
    let again = at + 4 * all.len() as u64;
    all.extend(clock(1));
    // MI_MATH: SRCA = now, SRCB = start, SUB, now = NOT ACCU; MI_STORE_REGISTER_MEM.
    all.extend([
        0x0d00_0003,
        0x0800_8001,
        0x0800_8400,
        0x1010_0000,
        0x5800_0431,
    ]);
    let place = (at + DIFFERENCE) as u32;
    all.extend([0x1200_0002, general(1), place, 0]);
    for _ in 0..8 {
        all.extend([0x1080_0001, 2048, 0]);
    }
    // MI_CONDITIONAL_BATCH_BUFFER_END: goes on only while it is above.
    all.extend([0x1b20_0002, !TICKS, place, 0]);
    all.extend(batch(false, again));
    all.push(BATCH_END);
    all
}

#[test]
fn a_batch_that_passes_time_ends_by_its_engines_clock_beside_another_guest() {
    for engine in Engine::ALL {
        let mut machine = machine();
        let mut driver = Driver::new(&mut machine, 1);
        let mut bystander = Bystander::new(&mut machine);
        let mut context = driver.context(&mut machine, engine, 1);
        let frame = driver.frames(1);
        let at = driver.map(&mut machine, frame, 1);
        driver.store(&mut machine, frame * 4096, &passes_time(engine, at));
        driver.request(&mut machine, &mut context, &batch(false, at));
        driver.submit(&mut machine, engine, context.descriptor(), 0);
        bystander.work(&mut machine);
        serve(&mut machine);
        settle(&mut machine);
        driver.all_done(&mut machine, engine);
        bystander.done(&mut machine);
        let passed = !driver.peek(&mut machine, frame * 4096 + DIFFERENCE);
        assert!(
            (TICKS..4 * TICKS).contains(&passed),
            "{engine}: {passed} ticks"
        );
        clean(&machine);
        let counters = machine.vgpu(driver.domain).counters();
        assert_eq!((counters.refused, counters.violations), (0, 0), "{engine}");
        // The engine's page has nothing of it, nor has the guest's.
        assert_eq!(
            driver.peek(&mut machine, driver.status_page(engine) + 2048),
            0
        );
    }
}
