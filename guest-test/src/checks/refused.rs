//! What must be refused: no completion, no effect, and a vGPU that works after an engine reset.
//!
//! Hardware answers a context it cannot go on with by stopping it, with a command-streamer error
//! interrupt (bit 3) where it noticed by itself; the driver resets the engine. So each offence is
//! followed by the reset handshake, a good request on the same engine, and a picture.

use core::time::Duration;

use crate::checks::Workshop;
use crate::commands::Commands;
use crate::context::Context;
use crate::driver::Driver;
use crate::hardware::*;
use crate::report::{Outcome, Report, ensure};

/// How long nothing must happen before it counts as stopped without a word.
const SILENCE: Duration = Duration::from_secs(1);
/// What must not appear anywhere.
const POISON: u32 = 0xbad0_bad0;

/// What is wrong with a submission.
enum Offence {
    /// These commands in the ring.
    Ring(Commands),
    /// These in an unprivileged batch.
    Batch(Commands),
    /// These in a privileged one.
    GlobalBatch(Commands),
    /// These values in the register state of the image.
    Image(Vec<(usize, u32)>),
    /// This image address in the descriptor.
    Descriptor(u32),
}

/// All of them.
pub fn checks(workshop: &mut Workshop, report: &mut Report) {
    let partition = workshop.driver.ggtt.partition;
    // The first bytes below or behind our low part: somebody else's, whoever that is.
    let foreign = match partition.mappable.first {
        0 => partition.mappable.end(),
        first => first - 4096,
    };
    // A ring of two pages from here ends in somebody else's.
    let last_page = (partition.mappable.end() - 4096) as u32;
    let none = Commands::new;
    let offences = [
        (
            "unknown-command",
            1,
            Offence::Ring(none().raw(&[0x1f80_0000, 0])),
        ),
        (
            "unknown-client",
            1,
            Offence::Ring(none().raw(&[0x2000_0000, 0])),
        ),
        (
            "foreign-store",
            1,
            Offence::Ring(none().store_dword(true, foreign, POISON)),
        ),
        (
            "foreign-flush",
            1,
            Offence::Ring(none().flush_dword_store(foreign as u32, POISON)),
        ),
        (
            "foreign-pipe-control",
            0,
            Offence::Ring(none().pipe_control_store(foreign as u32, 1)),
        ),
        (
            "foreign-batch",
            1,
            Offence::Ring(none().batch(true, foreign)),
        ),
        (
            "lri-gfx-mode",
            0,
            Offence::Ring(none().load_register(RCS.base + RING_MODE, !0)),
        ),
        (
            "lri-status-page",
            1,
            Offence::Ring(none().load_register(BCS.base + RING_HWS_PGA, 0)),
        ),
        (
            "lri-nonpriv",
            0,
            Offence::Ring(none().load_register(RCS.base + FORCE_TO_NONPRIV, GDRST as u32)),
        ),
        (
            "lri-other-engine",
            1,
            Offence::Ring(none().load_register(VCS.base + RING_HWS_PGA, 0)),
        ),
        (
            "lri-batch",
            1,
            Offence::Batch(none().load_register(BCS.base + RING_HWS_PGA, 0).end()),
        ),
        (
            "lri-global-batch",
            0,
            Offence::GlobalBatch(none().load_register(RCS.base + RING_MODE, !0).end()),
        ),
        (
            "foreign-store-global-batch",
            0,
            Offence::GlobalBatch(none().store_dword(true, foreign, POISON).end()),
        ),
        (
            "unknown-command-batch",
            1,
            Offence::Batch(none().raw(&[0x1f80_0000, 0]).end()),
        ),
        (
            "ring-outside",
            1,
            Offence::Image(vec![(CTX_RING_START, foreign as u32)]),
        ),
        (
            "ring-end-outside",
            1,
            Offence::Image(vec![(CTX_RING_START, last_page), (CTX_RING_CTL, 0x1001)]),
        ),
        ("image-outside", 1, Offence::Descriptor(foreign as u32)),
        ("image-at-the-end", 0, Offence::Descriptor(0xffff_f000)),
    ];
    for (name, index, offence) in offences {
        report.check(
            &format!("refused-{name}"),
            refused(workshop, index, offence),
        );
    }
    report.check("survived-foreign-page", foreign_page(workshop));
    report.check("survived-foreign-root", foreign_root(workshop));
    report.check("refused-endless-batch", endless(workshop));
    report.check("survived-wild-registers", wild_registers(workshop));
}

fn refused(workshop: &mut Workshop, index: usize, offence: Offence) -> Outcome {
    let (batch, global) = (workshop.batch, workshop.global_batch);
    let mut body = Commands::new();
    match &offence {
        Offence::Ring(commands) => body = commands.clone(),
        Offence::Batch(commands) => {
            workshop.write_batch(batch, commands)?;
            body = body.batch(false, batch.address);
        }
        Offence::GlobalBatch(commands) => {
            workshop.write_batch(global, commands)?;
            body = body.batch(true, global.address);
        }
        Offence::Image(_) | Offence::Descriptor(_) => {}
    }
    let context = workshop.contexts.get_mut(index).ok_or("no such context")?;
    let driver = &mut workshop.driver;
    let request = driver.request(context.engine, body)?;
    context.emit(driver.machine, &request)?;
    let mut descriptor = context.descriptor();
    match offence {
        Offence::Image(values) => {
            for (dword, value) in values {
                context.set(driver.machine, dword, value)?;
            }
        }
        Offence::Descriptor(address) => descriptor[0] = address & 0xffff_f000 | DESCRIPTOR,
        _ => {}
    }
    let stopped = stops(driver, context, descriptor);
    recover(workshop, index)?;
    stopped
}

/// Submits and sees that the context neither completes nor leaves its breadcrumb.
fn stops(driver: &mut Driver, context: &Context, descriptor: [u32; 2]) -> Outcome {
    let engine = context.engine;
    let before = driver.breadcrumb(engine)?.0;
    driver.forget(engine)?;
    driver.submit(engine, descriptor, [0, 0]);
    let seen = driver.watch(engine, SILENCE, |_, seen| {
        seen.completed() || seen.interrupts & ERROR_INTERRUPT != 0
    })?;
    ensure(!seen.completed(), || {
        format!("it was completed: {:x?}", seen.events)
    })?;
    let after = driver.breadcrumb(engine)?.0;
    ensure(after == before, || "its breadcrumb arrived".into())
}

/// What a driver does about a stopped context, and the proof that it helped.
fn recover(workshop: &mut Workshop, index: usize) -> Outcome {
    let context = workshop.contexts.get_mut(index).ok_or("no such context")?;
    let engine = context.engine;
    let after = |why: String| format!("afterwards: {why}");
    workshop.driver.reset(engine).map_err(after)?;
    context.rewind(workshop.driver.machine)?;
    workshop.run(index, Commands::new()).map_err(after)?;
    workshop.draw_something(0x00ab_cdef).map_err(after)
}

/// A PPGTT entry that names a frame the guest does not have.
fn foreign_page(workshop: &mut Workshop) -> Outcome {
    let Workshop { driver, space, .. } = &mut *workshop;
    let address = space.map_frame(driver.machine, 0x7ff_0000)?;
    let store = Commands::new().store_dword(false, address, POISON);
    let survived = survives(workshop, store, &[]);
    workshop.space.unmap(workshop.driver.machine, address)?;
    survived
}

/// A context whose PML4 is no RAM of the guest's.
fn foreign_root(workshop: &mut Workshop) -> Outcome {
    let store = Commands::new().store_dword(false, workshop.batch.address, POISON);
    survives(
        workshop,
        store,
        &[(CTX_PDP0_LDW, 0xffff_f000), (CTX_PDP0_UDW, 0x7f)],
    )?;
    let left = workshop.driver.machine.read(workshop.batch.page, 0);
    ensure(left != POISON, || {
        "the store went through the table that is still there".into()
    })
}

/// Refused, or ignored as hardware ignores what it cannot reach: both are fine, if work goes on.
fn survives(workshop: &mut Workshop, body: Commands, image: &[(usize, u32)]) -> Outcome {
    let Workshop {
        driver,
        contexts: [context, ..],
        ..
    } = &mut *workshop;
    let request = driver.request(RCS, body)?;
    context.emit(driver.machine, &request)?;
    for (dword, value) in image {
        context.set(driver.machine, *dword, *value)?;
    }
    driver.forget(RCS)?;
    driver.submit(RCS, context.descriptor(), [0, 0]);
    driver.watch(RCS, SILENCE, |_, seen| {
        seen.completed() || seen.interrupts & ERROR_INTERRUPT != 0
    })?;
    recover(workshop, 0)
}

/// A batch that jumps to itself for ever, until the driver resets the engine under it.
fn endless(workshop: &mut Workshop) -> Outcome {
    let batch = workshop.batch;
    workshop.write_batch(batch, &Commands::new().batch(false, batch.address))?;
    let Workshop {
        driver,
        contexts: [context, ..],
        ..
    } = workshop;
    let request = driver.request(RCS, Commands::new().batch(false, batch.address))?;
    context.emit(driver.machine, &request)?;
    let descriptor = context.descriptor();
    let stopped = stops(driver, context, descriptor);
    recover(workshop, 0)?;
    stopped
}

/// Registers written in no order that makes sense; afterwards a reset must bring all back.
fn wild_registers(workshop: &mut Workshop) -> Outcome {
    let driver = &mut workshop.driver;
    for value in [!0, 0, 0x5a5a_5a5a] {
        for engine in [RCS, BCS, VCS, VECS] {
            // Half an ELSP, twice; then everything around it.
            driver.register_store(engine.base + RING_ELSP, value);
            driver.register_store(engine.base + RING_ELSP, value);
            for offset in [
                RING_TAIL,
                0x34,
                0x38,
                0x3c,
                RING_HWS_PGA,
                CONTEXT_STATUS_POINTER,
                0x234,
            ] {
                driver.register_store(engine.base + offset, value);
            }
        }
        driver.register_store(GT_BANKS, value);
        driver.register_store(PVINFO_DISPLAY_READY, value);
        driver.register_store(PVINFO_NOTIFY, value);
    }
    // All of them first: the picture that proves one engine is drawn by another.
    for engine in [RCS, BCS, VCS, VECS] {
        workshop.driver.reset(engine)?;
    }
    for index in 0..4 {
        recover(workshop, index)?;
    }
    Ok(())
}
