//! A hang whose reset is of the whole GPU (the driver's parameter `reset` is 1).
//!
//! Such a reset takes what runs on any engine at that moment for guilty: `execlists_reset_csb` says so
//! to `execlists_reset_active` whatever it was told itself (`gt/intel_execlists_submission.c`). What
//! only waits is run afterwards.

use std::thread;
use std::time::{Duration, Instant};

use crate::abi::context::RECOVERABLE;
use crate::commands::Commands;
use crate::context::Context;
use crate::device::Device;
use crate::engine::Engine;
use crate::object::{Object, PAGE};
use crate::report::{LIMIT, Outcome, Report, ensure, equal};
use crate::spinner::{Kind, Spinner};
use crate::submission::{Submission, Use, batch, finished};

use super::fences::done;
use super::hang::{FAILED, endless, noticed};

/// Until another engine gets its batch, shortly before the reset after about 15 s: nobody must have lost
/// patience with that one before.
const LATER: Duration = Duration::from_secs(12);

/// With the hang on every engine.
pub fn run(report: &mut Report) {
    let engines = Engine::ALL.into_iter();
    for (engine, other) in engines.clone().zip(engines.cycle().skip(1)) {
        report.check_within(
            2 * LIMIT,
            format_args!("a-hang-on-{engine}-resets-the-whole-gpu-once"),
            move |device| whole(device, engine, other),
        );
    }
}

fn whole(device: &Device, engine: Engine, other: Engine) -> Outcome {
    let guilty = Context::new(device)?;
    guilty.set_parameter(RECOVERABLE, 0)?;
    let (beside, innocent) = (Context::new(device)?, Context::new(device)?);
    let page = Object::new(device, PAGE)?;
    let before = guilty.reset_statistics()?;

    let start = Instant::now();
    let (fence, _endless) = endless(device, engine, &guilty)?;
    thread::sleep(LATER);
    let spinner = Spinner::start(device, other, Some(&beside), Kind::Polling)?;
    spinner.await_start()?;
    let mut waiting = Vec::new();
    for (at, on) in [(0, engine), (4, other)] {
        let store = batch(
            device,
            &Commands::new().store(page.address + at, 0x1de).end(),
        )?;
        waiting.push(
            Submission::new(on)
                .context(&innocent)
                .object(&page, Use::WriteUnordered)
                .object(&store, Use::Read)
                .submit_for_fence(device)?,
        );
    }

    noticed(&fence, start, &format!("hang-{engine}-whole-reset-ms"))?;
    for (what, status) in [
        ("the endless batch", fence.status()?),
        ("the batch of another engine", {
            ensure(spinner.fence.signalled_within(LATER)?, || {
                format!("{other} still runs what it ran")
            })?;
            spinner.fence.status()?
        }),
    ] {
        ensure(status == -FAILED, || {
            format!("{what} ended with status {status}")
        })?;
    }
    for (fence, at) in waiting.iter().zip([0, 4]) {
        done(fence, "a batch that waited")?;
        equal("its store", page.dword(at)?, 0x1de)?;
    }
    let after = guilty.reset_statistics()?;
    let resets = after.reset_count.wrapping_sub(before.reset_count);
    equal("resets of the whole GPU", resets, 1)?;
    equal("batches lost, of the guilty", after.batch_active, 1)?;
    equal(
        "batches lost beside it",
        beside.reset_statistics()?.batch_active,
        1,
    )?;
    equal(
        "batches lost, of the innocent",
        innocent.reset_statistics()?.batch_active,
        0,
    )?;

    // One hang bans no context that is recoverable, and every engine works for old ones and new.
    let mut number = 0;
    for on in Engine::ALL {
        for context in [&beside, &innocent, &Context::new(device)?] {
            number += 1;
            let store = batch(
                device,
                &Commands::new().store(page.address + 8, number).end(),
            )?;
            Submission::new(on)
                .context(context)
                .object(&page, Use::Write)
                .object(&store, Use::Read)
                .submit(device)?;
            finished(&store)?;
            equal(
                format_args!("a store on {on} afterwards"),
                page.dword(8)?,
                number,
            )?;
        }
    }
    let refused = endless(device, engine, &guilty);
    ensure(refused.is_err(), || {
        "the guilty context is not banned".to_owned()
    })
}
