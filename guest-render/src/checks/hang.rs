//! A batch that never ends: the kernel's heartbeat finds it, resets the engine, and says whose
//! fault it was.
//!
//! The heartbeat comes every 2.5 s, rounded up to a second, with higher priority each time; the
//! fifth resets the engine, after about 15 s. The context is marked as not recoverable, so that one
//! hang bans it (`gt/intel_reset.c`). Every engine has a client of its own, since clients are
//! banned, too.
//!
//! Between the fifth heartbeat and the reset the kernel copies what the engine had, byte by byte
//! through the aperture (`i915_gpu_error.c`, zlib's `adler32`), if it is told to; where the aperture
//! traps that takes long. A request that is older than 20 s is meanwhile cancelled with -EINTR,
//! whoever's it is, and the engine is reset for that (`gt/intel_gt_requests.c`,
//! `execlists_context_cancel_request`).

use core::time::Duration;
use std::time::Instant;

use crate::abi::context::RECOVERABLE;
use crate::commands::Commands;
use crate::context::Context;
use crate::device::Device;
use crate::engine::Engine;
use crate::fence::Fence;
use crate::object::{Object, PAGE};
use crate::report::{LIMIT, Outcome, Report, ensure, equal, figure};
use crate::submission::{Submission, Use, batch, finished};

/// How long the kernel may take to notice.
const NOTICE: Duration = Duration::from_secs(120);
/// Its patience with any request: CONFIG_DRM_I915_REQUEST_TIMEOUT.
const REQUEST: Duration = Duration::from_secs(20);
/// How long one is watched that is left.
const MOMENT: Duration = Duration::from_millis(100);
/// EINTR: the patience ended.
const CANCELLED: i32 = 4;
/// EIO.
pub const FAILED: i32 = 5;

/// On every engine; the kernel was told to copy nothing.
pub fn run(report: &mut Report) {
    for engine in Engine::ALL {
        report.check_within(
            2 * LIMIT,
            format_args!("a-hang-on-{engine}-costs-its-context-only"),
            move |device| hang(device, engine, false),
        );
    }
}

/// On one, with the copy; a context of the render engine has ten times the pages.
pub fn captured(report: &mut Report) {
    report.check_within(2 * LIMIT, "a-hang-is-copied-and-reset", |device| {
        hang(device, Engine::Blt, true)
    });
}

/// Leaves one running on every engine.
pub fn abandon(report: &mut Report) {
    report.check("endless-batches-are-left-running", |device| {
        for engine in Engine::ALL {
            let (fence, _) = endless(device, engine, &Context::new(device)?)?;
            let early = fence.signalled_within(MOMENT)?;
            ensure(!early, || {
                format!("the endless batch on {engine} ended: {:?}", fence.status())
            })?;
        }
        Ok(())
    });
}

/// Submits a batch that never ends; its object has to stay.
pub fn endless(
    device: &Device,
    engine: Engine,
    context: &Context,
) -> Result<(Fence, Object), String> {
    let endless = Object::new(device, PAGE)?;
    endless.write_dwords(&Commands::new().jump(endless.address).end().0)?;
    let fence = Submission::new(engine)
        .context(context)
        .object(&endless, Use::Read)
        .submit_for_fence(device)?;
    Ok((fence, endless))
}

/// Waits until the kernel has done something about it; how long that took is a figure.
pub fn noticed(fence: &Fence, start: Instant, name: &str) -> Outcome {
    let noticed = fence.signalled_within(NOTICE)?;
    ensure(noticed, || {
        format!("the kernel did not notice in {NOTICE:?}")
    })?;
    figure(name, start.elapsed().as_millis());
    Ok(())
}

fn hang(device: &Device, engine: Engine, copied: bool) -> Outcome {
    let guilty = Context::new(device)?;
    guilty.set_parameter(RECOVERABLE, 0)?;
    let innocent = Context::new(device)?;
    let page = Object::new(device, PAGE)?;
    let before = guilty.reset_statistics()?;

    let start = Instant::now();
    let (fence, _endless) = endless(device, engine, &guilty)?;
    // Queued behind it, for another context.
    let behind = batch(device, &Commands::new().store(page.address, 0x1de).end())?;
    let later = Submission::new(engine)
        .context(&innocent)
        .object(&page, Use::Write)
        .object(&behind, Use::Read)
        .submit_for_fence(device)?;

    let name = if copied { "copied" } else { "reset" };
    noticed(&fence, start, &format!("hang-{engine}-{name}-ms"))?;
    let late = copied && start.elapsed() >= REQUEST;
    let status = fence.status()?;
    ensure(status == -FAILED || late && status == -CANCELLED, || {
        format!("the endless batch ended with status {status}")
    })?;

    let time = start.elapsed();
    if late && later.signalled_within(NOTICE)? && later.status()? == -CANCELLED {
        figure(format_args!("hang-{engine}-cancelled"), "the innocent, too");
    } else {
        let what = format!("the batch of another context, queued behind for {time:?}");
        super::fences::done(&later, &what)?;
        equal("its store", page.dword(0)?, 0x1de)?;
    }

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
