//! Addresses that the kernel chooses and writes into the batch.

use crate::abi::execution::{
    ExecObject, HANDLE_LUT, NO_RELOC, OBJECT_48_BIT, OBJECT_WRITE, Relocation,
};
use crate::commands::Commands;
use crate::device::Device;
use crate::engine::Engine;
use crate::object::{Object, PAGE};
use crate::report::{Outcome, Report, equal};
use crate::submission::{Submission, batch, finished};

/// An address that no object has.
const WRONG: u64 = 0x1234_5000;
/// I915_GEM_DOMAIN_RENDER.
const RENDER: u32 = 2;

/// All of them.
pub fn run(report: &mut Report) {
    for engine in Engine::ALL {
        report.check(
            format_args!("relocations-by-handle-on-{engine}-are-filled-in"),
            move |device| by(device, engine, false),
        );
        report.check(
            format_args!("relocations-by-index-on-{engine}-are-filled-in"),
            move |device| by(device, engine, true),
        );
    }
}

/// Stores into three objects at places the kernel finds. Half of the relocations lie past the
/// first page of the batch.
fn by(device: &Device, engine: Engine, index: bool) -> Outcome {
    let targets: Vec<Object> = (0..3)
        .map(|_| Object::new(device, 2 * PAGE))
        .collect::<Result<_, _>>()?;
    let mut commands = Commands::new();
    let mut relocations = Vec::new();
    for gap in [0, 1200] {
        commands = commands.noops(gap);
        for (number, target) in (0..).zip(&targets) {
            let delta = 0x10 + gap as u32;
            relocations.push(Relocation {
                target_handle: if index { number } else { target.handle },
                delta,
                offset: commands.length() + 4,
                presumed_offset: WRONG,
                read_domains: RENDER,
                write_domain: RENDER,
            });
            let value = 0x4e10_0000 + number;
            commands = commands.store(WRONG + u64::from(delta), value);
        }
    }
    let batch = batch(device, &commands.end())?;
    let mut submission = Submission::new(engine);
    for target in &targets {
        submission = submission.entry(ExecObject {
            handle: target.handle,
            offset: WRONG + PAGE,
            flags: OBJECT_WRITE | OBJECT_48_BIT,
            ..Default::default()
        });
    }
    let entry = ExecObject {
        handle: batch.handle,
        flags: OBJECT_48_BIT,
        ..Default::default()
    };
    // Without NO_RELOC the kernel looks at every relocation; with it, where addresses differ
    // from what we presume, which they do.
    let flags = if index { HANDLE_LUT | NO_RELOC } else { 0 };
    submission
        .entry(entry)
        .relocations(relocations)
        .relocation_flags(flags)
        .submit(device)?;
    finished(&batch)?;
    for (number, target) in (0..).zip(&targets) {
        for at in [0x10, 0x10 + 1200] {
            let what = format!("dword {at:#x} of object {number}");
            equal(what, target.dword(at)?, 0x4e10_0000 + number)?;
        }
    }
    Ok(())
}
