//! A batch that never ends: the kernel's heartbeat finds it, resets the engine, and says whose
//! fault it was.
//!
//! The heartbeat comes every 2.5 s, with higher priority each time; the reset follows after about
//! ten seconds. Before it, the kernel reads the context, the ring and the batch through the aperture
//! (`i915_gpu_error.c`), which a mediator traps; a request that waits for more than 20 s meanwhile is
//! cancelled with -EINTR (`gt/intel_gt_requests.c`), whoever's it is. The context is marked as not recoverable, so that one hang bans it
//! (`gt/intel_reset.c`). Every engine has a client of its own, since clients are banned, too.

use core::time::Duration;
use std::time::Instant;

use crate::abi::context::RECOVERABLE;
use crate::commands::Commands;
use crate::context::Context;
use crate::device::Device;
use crate::engine::Engine;
use crate::object::{Object, PAGE};
use crate::report::{LIMIT, Outcome, Report, ensure, equal, figure};
use crate::submission::{Submission, Use, batch, finished};

/// How long the kernel may take to notice.
const NOTICE: Duration = Duration::from_secs(120);
/// EIO.
const FAILED: i32 = 5;

/// On every engine.
pub fn run(report: &mut Report) {
    for engine in Engine::ALL {
        report.check_within(
            2 * LIMIT,
            format_args!("a-hang-on-{engine}-costs-its-context-only"),
            move |device| hang(device, engine),
        );
    }
}

fn hang(device: &Device, engine: Engine) -> Outcome {
    let guilty = Context::new(device)?;
    guilty.set_parameter(RECOVERABLE, 0)?;
    let innocent = Context::new(device)?;
    let page = Object::new(device, PAGE)?;
    let before = guilty.reset_statistics()?;

    let endless = Object::new(device, PAGE)?;
    endless.write_dwords(&Commands::new().jump(endless.address).end().0)?;
    let start = Instant::now();
    let fence = Submission::new(engine)
        .context(&guilty)
        .object(&endless, Use::Read)
        .submit_for_fence(device)?;
    // Queued behind it, for another context.
    let behind = batch(device, &Commands::new().store(page.address, 0x1de).end())?;
    let later = Submission::new(engine)
        .context(&innocent)
        .object(&page, Use::Write)
        .object(&behind, Use::Read)
        .submit_for_fence(device)?;

    let noticed = fence.signalled_within(NOTICE)?;
    ensure(noticed, || {
        format!("the kernel did not notice in {NOTICE:?}")
    })?;
    figure(
        format_args!("hang-{engine}-reset-ms"),
        start.elapsed().as_millis(),
    );
    let status = fence.status()?;
    ensure(status == -FAILED, || {
        format!("the endless batch ended with status {status}")
    })?;

    let time = start.elapsed();
    let what = format!("the batch of another context, queued behind for {time:?}");
    super::fences::done(&later, &what)?;
    equal("its store", page.dword(0)?, 0x1de)?;

    let after = guilty.reset_statistics()?;
    equal(
        "batches lost while active, of the guilty",
        after.batch_active,
        1,
    )?;
    equal(
        "batches lost while pending, of the guilty",
        after.batch_pending,
        0,
    )?;
    let resets = after.reset_count.wrapping_sub(before.reset_count);
    ensure(resets == 0, || {
        format!("{resets} resets of the whole GPU, not of {engine} alone")
    })?;
    let lost = innocent.reset_statistics()?;
    equal(
        "batches lost while active, of the innocent",
        lost.batch_active,
        0,
    )?;

    let short = batch(
        device,
        &Commands::new().store(page.address + 4, 0x60d).end(),
    )?;
    let submit = |context: &Context| {
        Submission::new(engine)
            .context(context)
            .object(&page, Use::Write)
            .object(&short, Use::Read)
            .submit(device)
    };
    match submit(&guilty) {
        Err(refusal) if refusal.error == FAILED => {}
        Err(refusal) => return Err(format!("the guilty context submits: {refusal}")),
        Ok(()) => return Err("the guilty context is not banned".to_owned()),
    }
    submit(&Context::new(device)?)?;
    finished(&short)?;
    equal("the store of a new context", page.dword(4)?, 0x60d)?;
    submit(&innocent)?;
    finished(&short)
}
