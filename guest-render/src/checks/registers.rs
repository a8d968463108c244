//! Registers and arithmetic of the command streamers, as far as user batches may use them.
//!
//! Gen9 lets an unprivileged batch write the sixteen general-purpose registers of its engine, a
//! short list on render, and what the driver puts into FORCE_TO_NONPRIV (on Kaby Lake CS_CHICKEN1
//! among others, `gt/intel_workarounds.c`). What is not allowed is a no-op, without an error. On the
//! blitter the kernel's parser refuses such a batch instead (`i915_cmd_parser.c`).

use crate::commands::{Commands, Math};
use crate::device::Device;
use crate::engine::Engine;
use crate::object::{Object, PAGE};
use crate::report::{Outcome, Report, ensure, equal};
use crate::submission::{Submission, Use, batch, run as execute};

/// MI_PREDICATE_SRC0 and SRC1 of render.
const SOURCE_0: u32 = 0x2400;
const SOURCE_1: u32 = 0x2408;
/// RING_TIMESTAMP of render.
const TIMESTAMP: u32 = 0x2358;
/// CS_CHICKEN1, masked: where render may be preempted. Saved with the context.
const CS_CHICKEN1: u32 = 0x2580;
/// FF_SLICE_CS_CHICKEN1, masked: only privileged commands write it.
const FF_SLICE_CS_CHICKEN1: u32 = 0x20e0;
/// HWS_PGA of the blitter: where it reports to.
const STATUS_PAGE: u32 = Engine::Blt.base() + 0x80;
/// EACCES.
const NOT_ALLOWED: i32 = 13;

/// All of them.
pub fn run(report: &mut Report) {
    for engine in Engine::ALL {
        report.check(
            format_args!("general-registers-of-{engine}-hold-what-is-loaded"),
            move |device| general(device, engine),
        );
        report.check(format_args!("{engine}-calculates"), move |device| {
            arithmetic(device, engine)
        });
        report.check(
            format_args!("{engine}-copies-and-adds-in-memory"),
            move |device| memory(device, engine),
        );
    }
    report.check("a-predicate-on-render-holds-stores-back", predicate);
    report.check("the-timestamp-of-render-moves-on", timestamp);
    report.check("a-register-given-to-users-can-be-written", given);
    report.check("a-privileged-register-stays-as-it-is", kept);
    report.check("the-kernel-refuses-privileged-registers-on-blt", refused);
}

/// Loads from a batch, from memory and from a register; saves all sixteen.
fn general(device: &Device, engine: Engine) -> Outcome {
    let page = Object::new(device, PAGE)?;
    let value = |half: u32| 0x1000_0001_u32.wrapping_mul(half + 3);
    let halves: Vec<(u32, u32)> = (0..32)
        .map(|half| (engine.general(0) + 4 * half, value(half)))
        .collect();
    let mut commands = Commands::new().load(&halves);
    for (half, (register, _)) in (0..).zip(&halves) {
        commands = commands.save(*register, page.address + 4 * half);
    }
    // The saved value of register 3 comes back in 7, and from there in 9.
    let commands = commands
        .fetch(engine.general(7), page.address + 4 * 6)
        .move_register(engine.general(7), engine.general(9))
        .save(engine.general(9), page.address + 0x100);
    execute(engine, &commands.end(), &[&page])?;
    for half in 0..32 {
        let got = page.dword(4 * u64::from(half))?;
        equal(
            format_args!("half {half} of the registers"),
            got,
            value(half),
        )?;
    }
    equal(
        "what went through memory and two registers",
        page.dword(0x100)?,
        value(6),
    )
}

/// (a + b) ^ (a - b), 64 bits wide, with a carry and a borrow between the halves.
fn arithmetic(device: &Device, engine: Engine) -> Outcome {
    let page = Object::new(device, PAGE)?;
    let (a, b) = (0x0000_0001_ffff_fff0_u64, 0x0000_0003_0000_0020_u64);
    let mut commands = Commands::new();
    for (number, value) in [(0, a), (1, b)] {
        let low = engine.general(number);
        commands = commands.load(&[(low, value as u32), (low + 4, (value >> 32) as u32)]);
    }
    let commands = commands
        .math(&[
            Math::LoadA(0),
            Math::LoadB(1),
            Math::Add,
            Math::Store(2),
            Math::Subtract,
            Math::Store(3),
            Math::LoadA(2),
            Math::LoadB(3),
            Math::Xor,
            Math::Store(15),
        ])
        .save(engine.general(15), page.address)
        .save(engine.general(15) + 4, page.address + 4);
    execute(engine, &commands.end(), &[&page])?;
    let want = a.wrapping_add(b) ^ a.wrapping_sub(b);
    let got = u64::from(page.dword(4)?) << 32 | u64::from(page.dword(0)?);
    equal("the result", got, want)
}

fn memory(device: &Device, engine: Engine) -> Outcome {
    let pages = Object::new(device, 2 * PAGE)?;
    pages.write(PAGE - 4, &0x7777_0001_u32.to_le_bytes())?;
    let commands = Commands::new()
        .copy(pages.address + PAGE - 4, pages.address + PAGE)
        .atomic_add(pages.address + PAGE, 0x1000_0000)
        .atomic_add(pages.address + PAGE, 0x9000_0000)
        .copy(pages.address + PAGE, pages.address + 8);
    execute(engine, &commands.end(), &[&pages])?;
    equal("the source", pages.dword(PAGE - 4)?, 0x7777_0001)?;
    equal("the sum", pages.dword(PAGE)?, 0x1777_0001)?;
    equal("the copy of the sum", pages.dword(8)?, 0x1777_0001)
}

fn predicate(device: &Device) -> Outcome {
    let page = Object::new(device, PAGE)?;
    let engine = Engine::Render;
    let sources = |second: u32| {
        [
            (SOURCE_0, 5),
            (SOURCE_0 + 4, 0),
            (SOURCE_1, second),
            (SOURCE_1 + 4, 0),
        ]
    };
    let commands = Commands::new()
        .load(&[(engine.general(0), 0xaaaa)])
        .load(&sources(5))
        .predicate_equal()
        .save_if(engine.general(0), page.address)
        .load(&sources(6))
        .predicate_equal()
        .save_if(engine.general(0), page.address + 4);
    execute(engine, &commands.end(), &[&page])?;
    equal("the store while it held", page.dword(0)?, 0xaaaa)?;
    equal("the store while it did not", page.dword(4)?, 0)
}

fn timestamp(device: &Device) -> Outcome {
    let page = Object::new(device, PAGE)?;
    let commands = |at: u64| Commands::new().save(TIMESTAMP, page.address + at).end();
    execute(Engine::Render, &commands(0), &[&page])?;
    execute(Engine::Render, &commands(4), &[&page])?;
    let (first, second) = (page.dword(0)?, page.dword(4)?);
    let passed = second.wrapping_sub(first);
    ensure(passed != 0 && passed < 1 << 31, || {
        format!("the timestamp went from {first:#x} to {second:#x}")
    })
}

/// Sets and clears bit 0 and puts it back.
fn given(device: &Device) -> Outcome {
    const BIT: u32 = 1;
    let page = Object::new(device, PAGE)?;
    let commands = Commands::new()
        .load(&[(CS_CHICKEN1, BIT << 16 | BIT)])
        .save(CS_CHICKEN1, page.address)
        .load(&[(CS_CHICKEN1, BIT << 16)])
        .save(CS_CHICKEN1, page.address + 4);
    execute(Engine::Render, &commands.end(), &[&page])?;
    equal("CS_CHICKEN1 bit 0 when set", page.dword(0)? & BIT, BIT)?;
    equal("CS_CHICKEN1 bit 0 when cleared", page.dword(4)? & BIT, 0)
}

/// Tries to set and to clear every bit of it.
fn kept(device: &Device) -> Outcome {
    let page = Object::new(device, PAGE)?;
    let commands = Commands::new()
        .save(FF_SLICE_CS_CHICKEN1, page.address)
        .load(&[(FF_SLICE_CS_CHICKEN1, 0xffff_ffff)])
        .save(FF_SLICE_CS_CHICKEN1, page.address + 4)
        .load(&[(FF_SLICE_CS_CHICKEN1, 0xffff_0000)])
        .save(FF_SLICE_CS_CHICKEN1, page.address + 8)
        .store(page.address + 12, 1);
    execute(Engine::Render, &commands.end(), &[&page])?;
    let before = page.dword(0)?;
    equal(
        "the register after setting all bits",
        page.dword(4)?,
        before,
    )?;
    equal(
        "the register after clearing all bits",
        page.dword(8)?,
        before,
    )?;
    equal("the store behind them", page.dword(12)?, 1)
}

fn refused(device: &Device) -> Outcome {
    let commands = Commands::new().load(&[(STATUS_PAGE, 0)]).end();
    let batch = batch(device, &commands)?;
    let submission = Submission::new(Engine::Blt).object(&batch, Use::Read);
    match submission.submit(device) {
        Err(refusal) if refusal.error == NOT_ALLOWED => Ok(()),
        Err(refusal) => Err(refusal.into()),
        Ok(()) => Err("a batch that moves the blitter's status page was accepted".to_owned()),
    }
}
