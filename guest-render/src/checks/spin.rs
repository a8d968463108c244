//! Batches without an end of their own, on every engine, alone and together.

use core::time::Duration;
use std::thread;

use crate::commands::Commands;
use crate::context::Context;
use crate::device::Device;
use crate::engine::Engine;
use crate::object::{Object, PAGE};
use crate::report::{Outcome, Report, ensure, equal};
use crate::spinner::{Kind, Spinner};
use crate::submission::{Submission, Use, batch, finished};

/// How long they are watched.
const MOMENT: Duration = Duration::from_millis(200);

/// All of them.
pub fn run(report: &mut Report) {
    for engine in Engine::ALL {
        report.check(
            format_args!("a-batch-on-{engine}-polls-until-memory-changes"),
            move |device| alone(device, engine, Kind::Polling),
        );
    }
    for engine in Engine::UNPARSED {
        report.check(
            format_args!("a-batch-on-{engine}-jumps-to-itself-until-rewritten"),
            move |device| alone(device, engine, Kind::Rewritten),
        );
    }
    report.check("spinners-on-all-engines-run-at-once", together);
    report.check("spinners-on-one-engine-run-one-after-the-other", queue);
    report.check("an-engine-works-while-all-others-spin", beside);
}

fn alone(device: &Device, engine: Engine, kind: Kind) -> Outcome {
    for _ in 0..3 {
        let spinner = Spinner::start(device, engine, None, kind)?;
        spinner.await_start()?;
        let idle = spinner.batch.idle_within(MOMENT)?;
        ensure(!idle, || format!("a spinner on {engine} ended by itself"))?;
        let busy = spinner.batch.busy()?;
        equal(
            "the engines that read the batch",
            busy >> 16,
            1 << engine.class(),
        )?;
        spinner.end();
        spinner.await_end()?;
        finished(&spinner.batch)?;
        equal(
            "the engines that read the batch afterwards",
            spinner.batch.busy()?,
            0,
        )?;
    }
    Ok(())
}

fn together(device: &Device) -> Outcome {
    let mut spinners = Vec::new();
    for engine in Engine::ALL {
        spinners.push(Spinner::start(device, engine, None, Kind::Polling)?);
    }
    for spinner in &spinners {
        spinner.await_start()?;
    }
    thread::sleep(MOMENT);
    // Ended in another order than they began.
    while let Some(spinner) = spinners.pop() {
        spinner.end();
        spinner.await_end()?;
        for other in &spinners {
            ensure(other.is_busy()?, || {
                "a spinner ended with another".to_owned()
            })?;
        }
    }
    Ok(())
}

/// Three contexts on one engine. The driver does not preempt on a vGPU: who began stays.
fn queue(device: &Device) -> Outcome {
    if super::info::preempts(device)? {
        return Err("the driver preempts: this is no vGPU".to_owned());
    }
    for engine in Engine::ALL {
        let contexts: Vec<Context> = (0..3)
            .map(|_| Context::new(device))
            .collect::<Result<_, _>>()?;
        let mut spinners = Vec::new();
        for context in &contexts {
            spinners.push(Spinner::start(
                device,
                engine,
                Some(context),
                Kind::Polling,
            )?);
            if let [first] = &spinners[..] {
                first.await_start()?;
            }
        }
        let mut waiting = spinners.iter().peekable();
        while let Some(spinner) = waiting.next() {
            spinner.await_start()?;
            thread::sleep(MOMENT);
            if let Some(next) = waiting.peek() {
                ensure(!next.started(), || {
                    format!("two contexts run on {engine} at once")
                })?;
            }
            spinner.end();
            spinner.await_end()?;
        }
    }
    Ok(())
}

fn beside(device: &Device) -> Outcome {
    for free in Engine::ALL {
        let mut spinners = Vec::new();
        for engine in Engine::ALL.into_iter().filter(|engine| *engine != free) {
            spinners.push(Spinner::start(device, engine, None, Kind::Polling)?);
        }
        for spinner in &spinners {
            spinner.await_start()?;
        }
        let page = Object::new(device, PAGE)?;
        for number in 1..=8 {
            let batch = batch(device, &Commands::new().store(page.address, number).end())?;
            Submission::new(free)
                .object(&page, Use::Write)
                .object(&batch, Use::Read)
                .submit(device)?;
            finished(&batch)?;
            equal(
                format_args!("store {number} on {free}"),
                page.dword(0)?,
                number,
            )?;
        }
        for spinner in &spinners {
            ensure(spinner.is_busy()?, || {
                "a spinner ended by itself".to_owned()
            })?;
            spinner.end();
            spinner.await_end()?;
        }
    }
    Ok(())
}
