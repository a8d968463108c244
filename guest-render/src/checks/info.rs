//! What i915 says it found: a Kaby Lake GT2 with four engines, behind a mediator.

use crate::abi::context::GTT_SIZE;
use crate::context::Context;
use crate::device::Device;
use crate::engine::Engine;
use crate::report::{Outcome, Report, ensure, figure};

/// I915_PARAM_*, its number, and its value.
pub const PARAMETERS: &[(&str, i32, i32)] = &[
    ("chipset-id", 4, 0x5916),
    ("has-gem", 5, 1),
    ("has-execbuf2", 9, 1),
    ("has-bsd", 10, 1),
    ("has-blt", 11, 1),
    ("has-llc", 17, 1),
    // Full, with 48-bit addresses.
    ("has-aliasing-ppgtt", 18, 2),
    ("has-wait-timeout", 19, 1),
    ("has-vebox", 22, 1),
    ("has-exec-no-reloc", 25, 1),
    ("has-exec-handle-lut", 26, 1),
    // With the parser of the blitter's batches.
    ("cmd-parser-version", 28, 10),
    ("has-bsd2", 31, 0),
    ("subslice-total", 33, 3),
    // Engines by themselves, too.
    ("has-gpu-reset", 35, 2),
    ("has-exec-softpin", 37, 1),
    ("has-exec-async", 43, 1),
    ("has-exec-fence", 44, 1),
    ("has-exec-batch-first", 48, 1),
    ("has-exec-fence-array", 49, 1),
    ("cs-timestamp-frequency", 51, 12_000_000),
    ("has-exec-timeline-fences", 55, 1),
];

/// Values that are told, not checked.
const TOLD: &[(&str, i32)] = &[
    ("revision", 32),
    ("fences", 6),
    ("eu-total", 34),
    ("mmap-gtt-version", 40),
];

/// I915_PARAM_HAS_SCHEDULER.
const SCHEDULER: i32 = 41;
/// I915_SCHEDULER_CAP_ENABLED and I915_SCHEDULER_CAP_PRIORITY.
const SCHEDULES: i32 = 3;
/// I915_SCHEDULER_CAP_PREEMPTION.
const PREEMPTION: i32 = 4;

/// All of them.
pub fn run(report: &mut Report) {
    report.check("the-driver-is-i915", |device| {
        let driver = device.driver()?;
        ensure(driver == "i915", || format!("the driver is {driver}"))
    });
    report.check("the-parameters-are-those-of-kaby-lake", parameters);
    report.check("there-are-four-engines", engines);
    report.check("the-aperture-has-a-size", aperture);
    report.check("a-context-has-48-bits-of-addresses", |device| {
        let size = Context::new(device)?.parameter(GTT_SIZE)?;
        ensure(size == 1 << 48, || {
            format!("a context's address space has {size:#x} bytes")
        })
    });
}

/// Whether the driver may preempt a batch. It does not on a vGPU.
pub fn preempts(device: &Device) -> Result<bool, String> {
    Ok(device.parameter(SCHEDULER)? & PREEMPTION != 0)
}

fn parameters(device: &Device) -> Outcome {
    for (name, number) in TOLD {
        figure(name, device.parameter(*number)?);
    }
    let wrong: Vec<String> = PARAMETERS
        .iter()
        .filter_map(|(name, number, want)| match device.parameter(*number) {
            Ok(value) if value == *want => None,
            Ok(value) => Some(format!("{name} is {value}, not {want}")),
            Err(refusal) => Some(format!("{name}: {refusal}")),
        })
        .collect();
    ensure(wrong.is_empty(), || wrong.join("; "))?;
    let scheduler = device.parameter(SCHEDULER)?;
    figure("scheduler", scheduler);
    ensure(scheduler & SCHEDULES == SCHEDULES, || {
        format!("the scheduler's capabilities are {scheduler:#x}: no order of priorities")
    })
}

fn engines(device: &Device) -> Outcome {
    let found = device.engines()?;
    let missing: Vec<String> = Engine::ALL
        .iter()
        .filter(|engine| !found.contains(&(engine.class(), 0)))
        .map(|engine| engine.to_string())
        .collect();
    ensure(
        missing.is_empty() && found.len() == Engine::ALL.len(),
        || {
            format!(
                "engines (class, instance) {found:?}; missing: {}",
                missing.join(" ")
            )
        },
    )
}

fn aperture(device: &Device) -> Outcome {
    let size = device.aperture()?;
    figure("aperture-mib", size >> 20);
    ensure(size >= 16 << 20, || {
        format!("the global GTT maps {size:#x} bytes for us")
    })
}
