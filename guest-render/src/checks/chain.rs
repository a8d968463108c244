//! Batches that go on in other batches, and objects in far corners of an address space.

use crate::commands::Commands;
use crate::device::Device;
use crate::engine::Engine;
use crate::object::{Object, PAGE};
use crate::report::{Outcome, Report, equal};
use crate::submission::{Submission, Use, batch, finished, run as execute};

/// EINVAL.
const INVALID: i32 = 22;

/// All of them.
pub fn run(report: &mut Report) {
    for engine in Engine::UNPARSED {
        report.check(
            format_args!("batches-on-{engine}-go-on-in-other-objects"),
            move |device| chained(device, engine),
        );
        report.check(
            format_args!("second-level-batches-on-{engine}-come-back"),
            move |device| second_level(device, engine),
        );
    }
    report.check("the-kernel-refuses-to-leave-a-batch-on-blt", leaving);
    for engine in Engine::ALL {
        report.check(
            format_args!("a-conditional-end-on-{engine}-ends-when-it-should"),
            move |device| conditional(device, engine),
        );
        report.check(
            format_args!("far-addresses-are-reached-from-{engine}"),
            move |device| far(device, engine),
        );
    }
    report.check("an-object-can-move-between-submissions", moved);
    report.check("a-thousand-objects-in-one-submission", many_objects);
}

/// Three objects, the jumps crossing to and fro, and none of the commands behind them executed.
fn chained(device: &Device, engine: Engine) -> Outcome {
    let page = Object::new(device, PAGE)?;
    let parts: Vec<Object> = (0..3)
        .map(|_| Object::new(device, PAGE))
        .collect::<Result<_, _>>()?;
    let [first, second, third] = &parts[..] else {
        return Err("not three".to_owned());
    };
    let wrong = |commands: Commands| commands.store(page.address + 0x40, 0xbad).end();
    // Into the third at its middle, from there to the second, back to the end of the third.
    let middle = 0x800;
    first.write_dwords(
        &wrong(
            Commands::new()
                .store(page.address, 1)
                .jump(third.address + middle),
        )
        .0,
    )?;
    let bytes = |commands: Commands| -> Vec<u8> {
        commands
            .0
            .iter()
            .flat_map(|dword| dword.to_le_bytes())
            .collect()
    };
    let part = wrong(
        Commands::new()
            .copy(page.address, page.address + 4)
            .jump(second.address),
    );
    third.write(middle, &bytes(part))?;
    second.write_dwords(
        &wrong(
            Commands::new()
                .copy(page.address + 4, page.address + 8)
                .jump(third.address + 0xff0),
        )
        .0,
    )?;
    third.write(0xff0, &bytes(Commands::new().noops(1).end()))?;
    let mut submission = Submission::new(engine).object(&page, Use::Write);
    for object in [third, second, first] {
        submission = submission.object(object, Use::Read);
    }
    submission.submit(device)?;
    finished(&page)?;
    equal("what came through all three", page.dword(8)?, 1)?;
    equal("what stood behind the jumps", page.dword(0x40)?, 0)
}

/// A batch calls the same second-level batch twice; it jumps within its level before it ends.
fn second_level(device: &Device, engine: Engine) -> Outcome {
    let page = Object::new(device, PAGE)?;
    let tail = batch(
        device,
        &Commands::new().atomic_add(page.address, 0x100).end(),
    )?;
    let called = batch(
        device,
        &Commands::new()
            .atomic_add(page.address, 1)
            .jump(tail.address),
    )?;
    let commands = Commands::new()
        .call(called.address)
        .copy(page.address, page.address + 4)
        .call(called.address)
        .copy(page.address, page.address + 8)
        .end();
    let first = batch(device, &commands)?;
    Submission::new(engine)
        .object(&page, Use::Write)
        .object(&tail, Use::Read)
        .object(&called, Use::Read)
        .object(&first, Use::Read)
        .submit(device)?;
    finished(&page)?;
    equal("the sum after the first call", page.dword(4)?, 0x101)?;
    equal("the sum after the second", page.dword(8)?, 0x202)
}

/// The parser lets a batch jump only to its own commands that it has already seen.
fn leaving(device: &Device) -> Outcome {
    let other = batch(device, &Commands::new().end())?;
    for (what, commands) in [
        (
            "to another object",
            Commands::new().jump(other.address).end(),
        ),
        (
            "with a second level",
            Commands::new().call(other.address).end(),
        ),
    ] {
        let batch = batch(device, &commands)?;
        let submission = Submission::new(Engine::Blt)
            .object(&other, Use::Read)
            .object(&batch, Use::Read);
        match submission.submit(device) {
            Ok(()) => return Err(format!("a jump {what} was accepted")),
            // EACCES for bits of the command that it does not let through.
            Err(refusal) if matches!(refusal.error, INVALID | 13) => {}
            Err(refusal) => return Err(format!("a jump {what}: {refusal}")),
        }
    }
    Ok(())
}

fn conditional(device: &Device, engine: Engine) -> Outcome {
    let page = Object::new(device, PAGE)?;
    page.write(0x100, &7_u32.to_le_bytes())?;
    let commands = Commands::new()
        .end_unless_greater(page.address + 0x100, 6)
        .store(page.address, 1)
        .end_unless_greater(page.address + 0x100, 7)
        .store(page.address + 4, 1)
        .end();
    execute(engine, &commands, &[&page])?;
    equal("the store while 7 > 6", page.dword(0)?, 1)?;
    equal("the store while 7 > 7", page.dword(4)?, 0)
}

/// On both sides of every boundary of a page table, up to the last page that user space may have.
fn far(device: &Device, engine: Engine) -> Outcome {
    let places = [
        (1 << 21) - PAGE,
        1 << 21,
        (1 << 30) - PAGE,
        1 << 30,
        (1 << 32) - PAGE,
        1 << 32,
        (1 << 39) - PAGE,
        1 << 39,
        (1 << 46) + (3 << 39) + (5 << 30) + (7 << 21) + (9 << 12),
        (1 << 47) - 2 * PAGE,
        // The upper half, in canonical form.
        0xffff_8000_0000_0000,
        0xffff_ffff_ffff_e000,
    ];
    let mut objects = Vec::new();
    let mut commands = Commands::new();
    for (index, address) in (0..).zip(places) {
        objects.push((Object::new(device, PAGE)?, address));
        commands = commands.store(address + 0xff8, 0xfa0 + index);
    }
    let batch = batch(device, &commands.end())?;
    let mut submission = Submission::new(engine);
    for (object, address) in &objects {
        submission = submission.object_at(object, Use::Write, *address);
    }
    submission.object(&batch, Use::Read).submit(device)?;
    finished(&batch)?;
    for (index, (object, address)) in (0..).zip(&objects) {
        equal(
            format_args!("the store at {address:#x}"),
            object.dword(0xff8)?,
            0xfa0 + index,
        )?;
    }
    Ok(())
}

/// The same address means another object in the next submission, without a wait between them.
fn moved(device: &Device) -> Outcome {
    let objects: Vec<Object> = (0..16)
        .map(|_| Object::new(device, PAGE))
        .collect::<Result<_, _>>()?;
    let address = 0x7_0000_0000;
    for (index, object) in (1..).zip(&objects) {
        let batch = batch(device, &Commands::new().store(address, index).end())?;
        Submission::new(Engine::Render)
            .object_at(object, Use::Write, address)
            .object(&batch, Use::Read)
            .submit(device)?;
    }
    for (index, object) in (1..).zip(&objects) {
        equal(format_args!("object {index}"), object.dword(0)?, index)?;
    }
    Ok(())
}

fn many_objects(device: &Device) -> Outcome {
    let objects: Vec<Object> = (0..1000)
        .map(|_| Object::new(device, PAGE))
        .collect::<Result<_, _>>()?;
    let mut commands = Commands::new();
    for (index, object) in (1..).zip(&objects) {
        commands = commands.store(object.address + 0x20, index);
    }
    execute(
        Engine::Render,
        &commands.end(),
        &objects.iter().collect::<Vec<_>>(),
    )?;
    for (index, object) in (1..).zip(&objects) {
        equal(format_args!("object {index}"), object.dword(0x20)?, index)?;
    }
    Ok(())
}
