//! Work that must be done: every engine, every kind of batch, every way to submit.

use crate::checks::Workshop;
use crate::commands::{Commands, Rectangle};
use crate::hardware::*;
use crate::report::{Outcome, Report, ensure, equal};

/// All of them.
pub fn checks(workshop: &mut Workshop, report: &mut Report) {
    for (index, engine) in ["rcs", "bcs", "vcs", "vecs"].into_iter().enumerate() {
        report.check(
            &format!("{engine}-breadcrumb"),
            workshop.run(index, Commands::new()),
        );
    }
    report.check("bcs-fill", fill(workshop));
    report.check("bcs-copy", copy(workshop));
    for (index, engine) in [(0, "rcs"), (1, "bcs")] {
        report.check(
            &format!("{engine}-store-dword"),
            store_dword(workshop, index),
        );
        report.check(
            &format!("{engine}-ppgtt-batch"),
            ppgtt_batch(workshop, index),
        );
        report.check(
            &format!("{engine}-global-batch"),
            global_batch(workshop, index),
        );
    }
    report.check("bcs-batch-blit", batch_blit(workshop));
    report.check("two-elements", two_elements(workshop));
    report.check("empty-ring", empty_ring(workshop));
    report.check("ring-wraps", ring_wraps(workshop));
    report.check("remapped-page", remapped_page(workshop));
    report.check("engine-reset", engine_reset(workshop));
}

/// One good request on each engine and a picture, under a name that says when.
pub fn still_good(workshop: &mut Workshop, report: &mut Report, when: &str) {
    for (index, engine) in ["rcs", "bcs", "vcs", "vecs"].into_iter().enumerate() {
        report.check(
            &format!("{engine}-{when}"),
            workshop.run(index, Commands::new()),
        );
    }
    report.check(
        &format!("picture-{when}"),
        workshop.draw_something(0x00c0_ffee),
    );
}

const PLACES: [(Rectangle, u32); 4] = [
    (
        Rectangle {
            left: 0,
            top: 0,
            width: 64,
            height: 40,
        },
        0x1234_5678,
    ),
    (
        Rectangle {
            left: 7,
            top: 3,
            width: 20,
            height: 11,
        },
        0xffff_ffff,
    ),
    (
        Rectangle {
            left: 63,
            top: 39,
            width: 1,
            height: 1,
        },
        0x0000_0000,
    ),
    (
        Rectangle {
            left: 1,
            top: 38,
            width: 62,
            height: 2,
        },
        0xa1b2_c3d4,
    ),
];

fn fill(workshop: &mut Workshop) -> Outcome {
    for index in 0..workshop.pictures.len() {
        for (at, color) in PLACES {
            let picture = workshop.pictures.get_mut(index).ok_or("no picture")?;
            let commands = picture.fill(Commands::new(), at, color);
            workshop.run(1, commands)?;
            verify(workshop, index).map_err(|why| format!("{at:?}: {why}"))?;
        }
    }
    Ok(())
}

fn verify(workshop: &Workshop, index: usize) -> Outcome {
    let picture = workshop.pictures.get(index).ok_or("no picture")?;
    picture
        .verify(workshop.driver.machine)
        .map_err(|why| format!("picture {index}: {why}"))
}

fn copy(workshop: &mut Workshop) -> Outcome {
    let [picture, ..] = &mut workshop.pictures;
    let mut commands = Commands::new();
    for (at, from) in [
        (
            Rectangle {
                left: 0,
                top: 0,
                width: 64,
                height: 40,
            },
            (0, 0),
        ),
        (
            Rectangle {
                left: 30,
                top: 20,
                width: 13,
                height: 17,
            },
            (2, 1),
        ),
        (
            Rectangle {
                left: 0,
                top: 39,
                width: 5,
                height: 1,
            },
            (59, 0),
        ),
    ] {
        commands = picture.copy(commands, at, &workshop.source, from);
    }
    workshop.run(1, commands)?;
    verify(workshop, 0)?;
    workshop
        .source
        .verify(workshop.driver.machine)
        .map_err(|why| format!("source: {why}"))
}

/// MI_STORE_DWORD_IMM into both address spaces, straight from the ring.
fn store_dword(workshop: &mut Workshop, context: usize) -> Outcome {
    let (ppgtt, global) = (workshop.batch, workshop.global_batch);
    let commands = Commands::new()
        .store_dword(false, ppgtt.address + 0x800, 0x1111_2222)
        .store_dword(true, global.address + 0x804, 0x3333_4444);
    workshop.run(context, commands)?;
    let machine = &*workshop.driver.machine;
    equal(
        "stored through the PPGTT",
        machine.read(ppgtt.page, 0x200),
        0x1111_2222,
    )?;
    equal(
        "stored through the GGTT",
        machine.read(global.page, 0x201),
        0x3333_4444,
    )
}

fn ppgtt_batch(workshop: &mut Workshop, context: usize) -> Outcome {
    let batch = workshop.batch;
    let value = 0x5550_0000 | context as u32;
    let inside = Commands::new()
        .store_dword(false, batch.address + 0x900, value)
        .end();
    workshop.write_batch(batch, &inside)?;
    workshop.run(context, Commands::new().batch(false, batch.address))?;
    equal(
        "stored by the batch",
        workshop.driver.machine.read(batch.page, 0x240),
        value,
    )
}

fn global_batch(workshop: &mut Workshop, context: usize) -> Outcome {
    let batch = workshop.global_batch;
    let value = 0x7770_0000 | context as u32;
    let inside = Commands::new()
        .store_dword(true, batch.address + 0xa00, value)
        .end();
    workshop.write_batch(batch, &inside)?;
    workshop.run(context, Commands::new().batch(true, batch.address))?;
    equal(
        "stored by the batch",
        workshop.driver.machine.read(batch.page, 0x280),
        value,
    )
}

/// Fill and copy from a batch, as a 2D driver does.
fn batch_blit(workshop: &mut Workshop) -> Outcome {
    let [picture, ..] = &mut workshop.pictures;
    let mut inside = Commands::new();
    for (at, color) in PLACES {
        inside = picture.fill(inside, at, !color);
    }
    let at = Rectangle {
        left: 10,
        top: 10,
        width: 30,
        height: 8,
    };
    inside = picture.copy(inside, at, &workshop.source, (4, 4)).end();
    workshop.write_batch(workshop.batch, &inside)?;
    let start = Commands::new().batch(false, workshop.batch.address);
    workshop.run(1, start)?;
    verify(workshop, 0)
}

/// Two contexts in one ELSP: an element switch between them.
fn two_elements(workshop: &mut Workshop) -> Outcome {
    let Workshop {
        driver,
        contexts: [_, first, ..],
        second,
        ..
    } = workshop;
    let requests = [
        driver.request(BCS, Commands::new())?,
        driver.request(BCS, Commands::new())?,
    ];
    driver.forget(BCS)?;
    first.emit(driver.machine, &requests[0])?;
    second.emit(driver.machine, &requests[1])?;
    driver.submit(BCS, first.descriptor(), second.descriptor());
    let seen = driver.wait(BCS, |_, seen| {
        seen.events
            .iter()
            .any(|(status, _)| status & ACTIVE_TO_IDLE != 0)
    })?;
    let (arrived, asked) = driver.breadcrumb(BCS)?;
    equal("breadcrumb of the second", arrived, asked)?;
    let statuses: Vec<u32> = seen.events.iter().map(|event| event.0).collect();
    let wanted = [
        IDLE_TO_ACTIVE,
        ELEMENT_SWITCH | COMPLETE,
        ACTIVE_TO_IDLE | COMPLETE,
    ];
    ensure(statuses == wanted, || {
        format!("events are {statuses:#x?}, not {wanted:#x?}")
    })?;
    let ids: Vec<u32> = seen.events.iter().skip(1).map(|event| event.1).collect();
    ensure(ids == [first.id, second.id], || {
        format!("completed {ids:x?}")
    })
}

/// HEAD equals TAIL: complete at once, and nothing else.
fn empty_ring(workshop: &mut Workshop) -> Outcome {
    let Workshop {
        driver,
        contexts: [_, context, ..],
        ..
    } = workshop;
    driver.forget(BCS)?;
    driver.submit(BCS, context.descriptor(), [0, 0]);
    let seen = driver.wait(BCS, |_, seen| seen.completed())?;
    let statuses: Vec<u32> = seen.events.iter().map(|event| event.0).collect();
    ensure(
        statuses == [IDLE_TO_ACTIVE, ACTIVE_TO_IDLE | COMPLETE],
        || format!("events are {statuses:#x?}"),
    )
}

/// Enough requests to go around a ring of one page more than once.
fn ring_wraps(workshop: &mut Workshop) -> Outcome {
    for round in 0..12 {
        let filler = Commands::new().raw(&[crate::commands::MI_NOOP; 200]);
        workshop
            .run(1, filler)
            .map_err(|why| format!("request {round}: {why}"))?;
    }
    Ok(())
}

/// A PPGTT address that suddenly means another page: the next request sees the new one.
fn remapped_page(workshop: &mut Workshop) -> Outcome {
    let Workshop { driver, space, .. } = workshop;
    let text = |trouble: crate::machine::Trouble| trouble.0;
    let pages = [
        driver.machine.page().map_err(text)?,
        driver.machine.page().map_err(text)?,
    ];
    let address = space.map(driver.machine, &pages[..1])?;
    workshop.run(0, Commands::new().store_dword(false, address, 1))?;
    let Workshop { driver, space, .. } = workshop;
    space.remap(driver.machine, address, pages[1])?;
    workshop.run(0, Commands::new().store_dword(false, address, 2))?;
    let machine = &*workshop.driver.machine;
    equal("first page", machine.read(pages[0], 0), 1)?;
    equal("second page", machine.read(pages[1], 0), 2)
}

/// Reset of an idle engine, then work.
fn engine_reset(workshop: &mut Workshop) -> Outcome {
    for (index, engine) in [RCS, BCS, VCS, VECS].into_iter().enumerate() {
        workshop
            .driver
            .reset(engine)
            .map_err(|why| format!("{}: {why}", engine.name))?;
        workshop
            .run(index, Commands::new())
            .map_err(|why| format!("{}: {why}", engine.name))?;
    }
    Ok(())
}
