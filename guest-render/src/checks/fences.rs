//! Order between engines: by sync files, by syncobjs, and by the objects they share.
//!
//! The proof of order is arithmetic that does not commute: each step doubles a number in memory
//! and adds its own.

use core::time::Duration;

use crate::abi::execution::{SIGNAL, WAIT_FOR};
use crate::commands::{Commands, Math};
use crate::device::Device;
use crate::engine::Engine;
use crate::fence::Fence;
use crate::object::{Object, PAGE};
use crate::report::{Outcome, Report, ensure, equal};
use crate::spinner::{Kind, Spinner};
use crate::submission::{PATIENCE, Submission, Use, batch, finished};
use crate::syncobj::Syncobj;

/// Long enough for an emulated engine to do what it may do.
const MOMENT: Duration = Duration::from_millis(300);
/// Steps of a chain over all engines.
const STEPS: u32 = 48;

/// All of them.
pub fn run(report: &mut Report) {
    report.check("a-fence-is-signalled-when-its-batch-ends", signalled);
    report.check("an-engine-waits-for-the-fence-of-another", waits);
    report.check("a-merged-fence-waits-for-both", merged);
    report.check(
        "sync-files-keep-48-steps-on-four-engines-in-order",
        |device| chain(device, Order::Fences),
    );
    report.check(
        "syncobjs-keep-48-steps-on-four-engines-in-order",
        |device| chain(device, Order::Syncobjs),
    );
    report.check(
        "a-timeline-keeps-48-steps-on-four-engines-in-order",
        |device| chain(device, Order::Timeline),
    );
    report.check(
        "a-written-object-keeps-48-steps-on-four-engines-in-order",
        |device| chain(device, Order::Object),
    );
}

fn signalled(device: &Device) -> Outcome {
    let spinner = Spinner::start(device, Engine::Render, None, Kind::Rewritten)?;
    spinner.await_start()?;
    ensure(!spinner.fence.signalled_within(MOMENT)?, || {
        "the fence of a running batch is signalled".to_owned()
    })?;
    equal(
        "the status of a running batch's fence",
        spinner.fence.status()?,
        0,
    )?;
    spinner.end();
    spinner.await_end()
}

/// A dependent batch on each other engine: held back while the spinner runs, done afterwards.
fn waits(device: &Device) -> Outcome {
    for engine in [Engine::Blt, Engine::Bsd, Engine::Vebox] {
        let spinner = Spinner::start(device, Engine::Render, None, Kind::Polling)?;
        spinner.await_start()?;
        let page = Object::new(device, PAGE)?;
        let batch = batch(device, &Commands::new().store(page.address, 1).end())?;
        let fence = Submission::new(engine)
            .object(&page, Use::WriteUnordered)
            .object(&batch, Use::Read)
            .after(&spinner.fence)
            .submit_for_fence(device)?;
        let early = fence.signalled_within(MOMENT)?;
        ensure(!early, || format!("{engine} did not wait for render"))?;
        spinner.end();
        done(&fence, &format!("{engine} after render"))?;
        equal(format_args!("the store on {engine}"), page.dword(0)?, 1)?;
    }
    Ok(())
}

fn merged(device: &Device) -> Outcome {
    let first = Spinner::start(device, Engine::Render, None, Kind::Polling)?;
    let second = Spinner::start(device, Engine::Bsd, None, Kind::Polling)?;
    let both = first.fence.merge(&second.fence)?;
    first.await_start()?;
    second.await_start()?;
    first.end();
    first.await_end()?;
    ensure(!both.signalled_within(MOMENT)?, || {
        "the merged fence is signalled while one of two batches runs".to_owned()
    })?;
    second.end();
    second.await_end()?;
    done(&both, "the merged fence")
}

/// What keeps the steps in order.
enum Order {
    Fences,
    Syncobjs,
    Timeline,
    Object,
}

fn chain(device: &Device, order: Order) -> Outcome {
    let page = Object::new(device, PAGE)?;
    let access = match order {
        Order::Object => Use::Write,
        _ => Use::WriteUnordered,
    };
    let syncobjs: Vec<Syncobj> = (0..=STEPS)
        .map(|_| Syncobj::new(device))
        .collect::<Result<_, _>>()?;
    let timeline = Syncobj::new(device)?;
    let mut batches = Vec::new();
    let mut fence: Option<Fence> = None;
    let mut want = 0_u32;
    for (step, engine) in (0..STEPS).zip(Engine::ALL.into_iter().cycle()) {
        want = want.wrapping_mul(2).wrapping_add(step + 1);
        let batch = batch(device, &double_and_add(engine, page.address, step + 1))?;
        let mut submission = Submission::new(engine)
            .object(&page, access)
            .object(&batch, Use::Read);
        match order {
            Order::Fences => {
                let before = fence.take();
                if let Some(before) = &before {
                    submission = submission.after(before);
                }
                fence = Some(submission.submit_for_fence(device)?);
            }
            Order::Syncobjs => {
                let [before, after] = [step, step + 1].map(|index| syncobjs.get(index as usize));
                let (Some(before), Some(after)) = (before, after) else {
                    return Err("too few syncobjs".to_owned());
                };
                if step > 0 {
                    submission = submission.syncobj(before.handle, WAIT_FOR);
                }
                submission.syncobj(after.handle, SIGNAL).submit(device)?;
            }
            Order::Timeline => {
                let point = u64::from(step);
                if step > 0 {
                    submission = submission.timeline(timeline.handle, WAIT_FOR, point);
                }
                submission
                    .timeline(timeline.handle, SIGNAL, point + 1)
                    .submit(device)?;
            }
            Order::Object => submission.submit(device)?,
        }
        batches.push(batch);
    }
    match (&order, &fence, syncobjs.last()) {
        (Order::Fences, Some(fence), _) => done(fence, "the last step")?,
        (Order::Syncobjs, _, Some(last)) => {
            let signalled = last.signalled_within(PATIENCE)?;
            ensure(signalled, || "the last syncobj is not signalled".to_owned())?;
        }
        _ => {}
    }
    for batch in &batches {
        finished(batch)?;
    }
    if let Order::Timeline = order {
        equal("the timeline's point", timeline.point()?, STEPS.into())?;
    }
    equal("what the steps came to", page.dword(0)?, want)
}

/// number = 2 * number + own, in general-purpose registers.
fn double_and_add(engine: Engine, number: u64, own: u32) -> Commands {
    let (first, second) = (engine.general(0), engine.general(1));
    Commands::new()
        .load(&[(first + 4, 0), (second, own), (second + 4, 0)])
        .fetch(first, number)
        .math(&[Math::LoadA(0), Math::LoadB(0), Math::Add, Math::Store(0)])
        .math(&[Math::LoadA(0), Math::LoadB(1), Math::Add, Math::Store(0)])
        .save(first, number)
        .end()
}

/// Waits for a fence; it must be signalled without an error.
pub fn done(fence: &Fence, what: &str) -> Outcome {
    let signalled = fence.signalled_within(PATIENCE)?;
    ensure(signalled, || {
        format!("{what}: not signalled after {PATIENCE:?}")
    })?;
    let status = fence.status()?;
    ensure(status == 1, || format!("{what}: fence status {status}"))
}
