//! Objects of memory that large pages can map, where the driver may use them (PVINFO, HUGE_GTT).
//!
//! Source: Linux `gt/gen8_ppgtt.c`, gen8_ppgtt_insert_huge. On Gen9 the driver has pages of 64 KiB
//! (`i915_pci.c`, GEN9_DEFAULT_PAGE_SIZES), none of 2 MiB. A table is one of 64 KiB pages if memory of that alignment fills it,
//! or if the object ends in it and nobody else can begin there: the kernel pads an object for that
//! when it chooses the place (`i915_vma.c`, i915_vma_insert). Transparent huge pages are such
//! memory, the kernel's own ("gemfs") and the program's. Which pages the driver made of it, only
//! who shadows its tables can tell; what is read and written is the same either way.

use crate::abi::execution::{ExecObject, OBJECT_48_BIT, OBJECT_WRITE};
use crate::commands::Commands;
use crate::device::Device;
use crate::engine::Engine;
use crate::object::{Object, PAGE};
use crate::report::{Outcome, Report, equal};
use crate::submission::{Submission, Use, batch, finished};
use crate::system::Mapping;

/// Bytes of the CPU's large pages, and of the GPU's.
const LARGE: u64 = 2 << 20;
const MEDIUM: u64 = 64 << 10;
/// From one place that is looked at to the next: in every large page, and not always at one offset.
const STEP: u64 = 0xf000;

/// All of them.
pub fn run(report: &mut Report) {
    for engine in Engine::ALL {
        report.check(
            format_args!("{engine}-reaches-4-mib-of-the-kernels-pages"),
            move |device| kernels(device, engine),
        );
        report.check(
            format_args!("{engine}-reaches-4-mib-of-the-programs-pages"),
            move |device| programs(device, engine),
        );
        report.check(
            format_args!("{engine}-reaches-a-part-of-a-large-page"),
            move |device| part(device, engine),
        );
    }
    report.check("small-pages-take-the-place-of-large-ones", replaced);
}

/// Pages of the program, of which those from the offset on are two large ones.
fn memory() -> Result<(Mapping, u64), String> {
    let pages = Mapping::anonymous(4 * LARGE as usize)?;
    let first = pages.address().next_multiple_of(LARGE) - pages.address();
    for page in [first, first + LARGE] {
        pages.write(page as usize, 0);
    }
    Ok((pages, first))
}

/// What is stored at the places of an object, and copied to others by the same batch.
fn stores(address: u64, size: u64, seed: u32) -> (Commands, Vec<(u64, u32)>) {
    let mut commands = Commands::new();
    let mut expected = Vec::new();
    for (number, at) in (0..).zip((0..size).step_by(STEP as usize)) {
        let (value, place) = (seed + number, at + 4 * u64::from(number));
        let copy = place + PAGE / 2;
        commands = commands
            .store(address + place, value)
            .copy(address + place, address + copy);
        expected.extend([(place, value), (copy, value)]);
    }
    (commands.end(), expected)
}

/// Stores to an object that has its own place.
fn filled(engine: Engine, object: &Object, seed: u32) -> Result<Vec<(u64, u32)>, String> {
    let (commands, expected) = stores(object.address, object.size, seed);
    let batch = batch(object.device(), &commands)?;
    Submission::new(engine)
        .object(object, Use::Write)
        .object(&batch, Use::Read)
        .submit(object.device())?;
    finished(object)?;
    Ok(expected)
}

fn kernels(device: &Device, engine: Engine) -> Outcome {
    let object = Object::new(device, 2 * LARGE)?;
    for (at, value) in filled(engine, &object, 0x2a00_0000)? {
        equal(
            format_args!("the dword at {at:#x}"),
            object.dword(at)?,
            value,
        )?;
    }
    Ok(())
}

fn programs(device: &Device, engine: Engine) -> Outcome {
    let (pages, first) = memory()?;
    let object = Object::of_mapping(device, &pages, first, 2 * LARGE)?;
    for (at, value) in filled(engine, &object, 0x2b00_0000)? {
        let got = pages.read((first + at) as usize);
        equal(format_args!("the dword at {at:#x}"), got, value)?;
    }
    Ok(())
}

/// The kernel chooses the place: the first submission finds it out, the second uses it.
fn part(device: &Device, engine: Engine) -> Outcome {
    let (pages, first) = memory()?;
    let first = first + 3 * MEDIUM;
    let object = Object::of_mapping(device, &pages, first, 17 * MEDIUM)?;
    let entry = |offset| ExecObject {
        handle: object.handle,
        offset,
        flags: OBJECT_WRITE | OBJECT_48_BIT,
        ..Default::default()
    };
    let nothing = batch(device, &Commands::new().end())?;
    let address = Submission::new(engine)
        .entry(entry(0))
        .object(&nothing, Use::Read)
        .submit_for_address(device)?;
    let (commands, expected) = stores(address, object.size, 0x6400_0000);
    let batch = batch(device, &commands)?;
    let again = Submission::new(engine)
        .entry(entry(address))
        .object(&batch, Use::Read)
        .submit_for_address(device)?;
    equal("where the object is now", again, address)?;
    finished(&object)?;
    for (at, value) in expected {
        let got = pages.read((first + at) as usize);
        equal(format_args!("the dword at {at:#x}"), got, value)?;
    }
    Ok(())
}

/// At one address a large page, then small ones of another object, then the large one again.
fn replaced(device: &Device) -> Outcome {
    let (pages, first) = memory()?;
    let large = Object::of_mapping(device, &pages, first, LARGE)?;
    let small: Vec<Object> = (0..4)
        .map(|_| Object::new(device, PAGE))
        .collect::<Result<_, _>>()?;
    for round in 0..3 {
        filled(Engine::Render, &large, 0x1000 * round)?;
        let mut commands = Commands::new();
        let mut submission = Submission::new(Engine::Render);
        let at = |number: u32| large.address + u64::from(number) * (MEDIUM + PAGE);
        for (number, object) in (0..).zip(&small) {
            commands = commands.store(at(number), 0x1000 * round + number);
            submission = submission.object_at(object, Use::Write, at(number));
        }
        let batch = batch(device, &commands.end())?;
        submission.object(&batch, Use::Read).submit(device)?;
        finished(&batch)?;
        for (number, object) in (0..).zip(&small) {
            let what = format!("small page {number} in round {round}");
            equal(what, object.dword(0)?, 0x1000 * round + number)?;
        }
        for (at, value) in stores(large.address, LARGE, 0x1000 * round).1 {
            let what = format!("the dword at {at:#x} of the large page in round {round}");
            equal(what, pages.read((first + at) as usize), value)?;
        }
    }
    Ok(())
}
