//! Many contexts, each with an address space of its own, and contexts that close too early.

use core::time::Duration;

use crate::abi::context::{PERSISTENCE, VM};
use crate::commands::Commands;
use crate::context::{AddressSpace, Context};
use crate::device::Device;
use crate::engine::Engine;
use crate::object::{Object, PAGE};
use crate::report::{LIMIT, Outcome, Report, ensure, equal};
use crate::spinner::{Kind, Spinner};
use crate::submission::{PATIENCE, Submission, Use, batch, finished, run as execute};

use super::info::preempts;

/// Contexts at once.
const CONTEXTS: usize = 64;
/// Submissions of each.
const ROUNDS: u32 = 4;
/// How long a batch is watched that should go on.
const MOMENT: Duration = Duration::from_millis(200);
/// ENODEV.
const NO_SUCH_DEVICE: i32 = 19;

/// All of them.
pub fn run(report: &mut Report) {
    report.check_within(
        2 * LIMIT,
        "64-contexts-see-own-objects-at-one-address",
        interleaved,
    );
    report.check("contexts-share-an-address-space-if-told-to", shared);
    report.check("a-register-is-kept-for-each-context", registers);
    for engine in Engine::ALL {
        report.check(
            format_args!("a-context-closed-while-busy-on-{engine}-ends-well"),
            move |device| closed(device, engine),
        );
    }
    report.check("a-client-closed-while-busy-ends-well", client_closed);
    report.check(
        "a-context-that-may-not-persist-ends-with-its-close",
        not_persistent,
    );
}

/// Everything at the same addresses, everywhere: batch and page. Engines and contexts take turns.
fn interleaved(device: &Device) -> Outcome {
    const PAGE_AT: u64 = 0x5_0000_0000;
    const BATCH_AT: u64 = 0x6_0000_0000;
    let mut places = Vec::new();
    for number in 0..CONTEXTS as u32 {
        let page = Object::new(device, PAGE)?;
        let commands = Commands::new()
            .store(PAGE_AT + 8, number)
            .atomic_add(PAGE_AT, number + 1)
            .end();
        places.push((Context::new(device)?, page, batch(device, &commands)?));
    }
    for round in 0..ROUNDS {
        let engines = Engine::ALL.into_iter().cycle().skip(round as usize);
        for ((context, page, batch), engine) in places.iter().zip(engines) {
            Submission::new(engine)
                .context(context)
                .object_at(page, Use::Write, PAGE_AT)
                .object_at(batch, Use::Read, BATCH_AT)
                .submit(device)?;
        }
    }
    for (number, (_, page, batch)) in (0..).zip(&places) {
        finished(batch)?;
        equal(
            format_args!("the store of context {number}"),
            page.dword(8)?,
            number,
        )?;
        let sum = ROUNDS * (number + 1);
        equal(
            format_args!("the sum of context {number}"),
            page.dword(0)?,
            sum,
        )?;
    }
    Ok(())
}

/// What one context bound, another that shares its addresses reaches without naming it.
fn shared(device: &Device) -> Outcome {
    let space = AddressSpace::new(device)?;
    let contexts = [Context::new(device)?, Context::new(device)?];
    for context in &contexts {
        context.set_parameter(VM, space.number.into())?;
    }
    let page = Object::new(device, PAGE)?;
    for (context, (at, value)) in contexts.iter().zip([(0, 0x11), (4, 0x22)]) {
        let batch = batch(
            device,
            &Commands::new().store(page.address + at, value).end(),
        )?;
        let mut submission = Submission::new(Engine::Render).context(context);
        if at == 0 {
            submission = submission.object(&page, Use::Write);
        }
        submission.object(&batch, Use::Read).submit(device)?;
        finished(&batch)?;
    }
    equal("the store of the first", page.dword(0)?, 0x11)?;
    equal("the store of the second", page.dword(4)?, 0x22)
}

/// Each context loads a register of its own value; later each finds it again.
fn registers(device: &Device) -> Outcome {
    for engine in Engine::ALL {
        let contexts: Vec<Context> = (0..6)
            .map(|_| Context::new(device))
            .collect::<Result<_, _>>()?;
        let page = Object::new(device, PAGE)?;
        let mut batches = Vec::new();
        for load in [true, false] {
            for (number, context) in (1..).zip(&contexts) {
                let register = engine.general(5);
                let commands = if load {
                    Commands::new().load(&[(register, 0x9000 + number)])
                } else {
                    Commands::new().save(register, page.address + 4 * u64::from(number))
                };
                let batch = batch(device, &commands.end())?;
                Submission::new(engine)
                    .context(context)
                    .object(&page, Use::Write)
                    .object(&batch, Use::Read)
                    .submit(device)?;
                batches.push(batch);
            }
        }
        for batch in &batches {
            finished(batch)?;
        }
        for number in 1..=6 {
            let got = page.dword(4 * u64::from(number))?;
            equal(
                format_args!("register 5 of context {number} on {engine}"),
                got,
                0x9000 + number,
            )?;
        }
    }
    Ok(())
}

/// The context is closed under a running batch and one that waits behind it; both are done later.
fn closed(device: &Device, engine: Engine) -> Outcome {
    let context = Context::new(device)?;
    let spinner = Spinner::start(device, engine, Some(&context), Kind::Polling)?;
    let page = Object::new(device, PAGE)?;
    let behind = batch(device, &Commands::new().store(page.address, 0x77).end())?;
    Submission::new(engine)
        .context(&context)
        .object(&page, Use::Write)
        .object(&behind, Use::Read)
        .submit(device)?;
    spinner.await_start()?;
    drop(context);
    ensure(spinner.is_busy()?, || "the close ended what ran".to_owned())?;
    spinner.end();
    spinner.await_end()?;
    finished(&behind)?;
    equal("the store that waited behind", page.dword(0)?, 0x77)
}

/// Everything of a client is closed under its running batch; the engine serves others afterwards.
fn client_closed(device: &Device) -> Outcome {
    for engine in Engine::ALL {
        let other = Device::open()?;
        let spinner = Spinner::start(&other, engine, None, Kind::Polling)?;
        spinner.await_start()?;
        drop(other);
        let (switch, fence) = spinner.abandon();
        let early = fence.signalled_within(MOMENT)?;
        ensure(!early, || {
            format!("closing a client ended what ran on {engine}")
        })?;
        switch.end();
        let signalled = fence.signalled_within(PATIENCE)?;
        ensure(signalled, || {
            format!("the batch of a closed client runs on {engine} for ever")
        })?;
        let page = Object::new(device, PAGE)?;
        execute(
            engine,
            &Commands::new().store(page.address, 5).end(),
            &[&page],
        )?;
        equal(
            format_args!("a store of another client on {engine}"),
            page.dword(0)?,
            5,
        )?;
    }
    Ok(())
}

/// The driver offers this only where it can preempt: on a vGPU it must say that it cannot.
fn not_persistent(device: &Device) -> Outcome {
    for engine in Engine::ALL {
        let context = Context::new(device)?;
        let answer = context.set_parameter(PERSISTENCE, 0);
        if !preempts(device)? {
            let refused = answer.is_err_and(|refusal| refusal.error == NO_SUCH_DEVICE);
            return ensure(refused, || {
                format!("without preemption, a context need not persist: {answer:?}")
            });
        }
        answer?;
        let spinner = Spinner::start(device, engine, Some(&context), Kind::Polling)?;
        spinner.await_start()?;
        drop(context);
        let ended = spinner.fence.signalled_within(PATIENCE)?;
        ensure(ended, || {
            format!("a batch on {engine} survived its context")
        })?;
    }
    Ok(())
}
