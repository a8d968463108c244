//! Many small submissions, and how many of them a second takes.

use core::time::Duration;
use std::time::Instant;

use crate::commands::Commands;
use crate::device::Device;
use crate::engine::Engine;
use crate::object::{Object, PAGE};
use crate::report::{LIMIT, Outcome, Report, equal, figure};
use crate::submission::{Submission, Use, batch, finished};

/// Requests in flight at most.
const IN_FLIGHT: u32 = 32;

/// `count` on every engine alone, then as many on all four in turn.
pub fn run(report: &mut Report, count: u32) {
    // A quarter of a second for each, when all goes wrong.
    let limit = LIMIT + Duration::from_millis(250) * count;
    for engine in Engine::ALL {
        let each = count.div_ceil(4);
        report.check_within(
            limit,
            format_args!("{each}-submissions-on-{engine}-are-done"),
            move |device| submit(device, &[engine], each, &engine.to_string()),
        );
    }
    report.check_within(
        limit,
        format_args!("{count}-submissions-on-all-engines-are-done"),
        move |device| submit(device, &Engine::ALL, count, "all"),
    );
}

fn submit(device: &Device, engines: &[Engine], count: u32, name: &str) -> Outcome {
    // Each batch of the round counts in a dword of its own engine.
    let page = Object::new(device, PAGE)?;
    let counter = |engine: &Engine| page.address + 64 * u64::from(engine.class());
    let mut batches = Vec::new();
    for (_, engine) in (0..IN_FLIGHT).zip(engines.iter().cycle()) {
        let commands = Commands::new().atomic_add(counter(engine), 1).end();
        batches.push((*engine, batch(device, &commands)?));
    }
    let start = Instant::now();
    for (_, (engine, batch)) in (0..count).zip(batches.iter().cycle()) {
        finished(batch)?;
        Submission::new(*engine)
            .object(&page, Use::WriteUnordered)
            .object(batch, Use::Read)
            .submit(device)?;
    }
    for (_, batch) in &batches {
        finished(batch)?;
    }
    let time = start.elapsed();
    figure(format_args!("many-{name}-ms"), time.as_millis());
    figure(
        format_args!("many-{name}-per-second"),
        u128::from(count) * 1000 / time.as_millis().max(1),
    );
    for (index, engine) in (0..).zip(engines) {
        let share = (0..count).filter(|number| number % IN_FLIGHT % engines.len() as u32 == index);
        let got = page.dword(64 * u64::from(engine.class()))?;
        equal(
            format_args!("what {engine} counted"),
            got,
            share.count() as u32,
        )?;
    }
    Ok(())
}
