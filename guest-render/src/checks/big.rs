//! A batch of 4 MiB: nothing but MI_NOOP, and a store at the very end.

use std::time::Instant;

use crate::commands::Commands;
use crate::device::Device;
use crate::engine::Engine;
use crate::object::{Object, PAGE};
use crate::report::{LIMIT, Outcome, Report, equal, figure};
use crate::submission::{Submission, Use, batch, finished};

/// Dwords of the batch.
const DWORDS: usize = 1 << 20;

/// On every engine; blt's are copied and parsed, the others' executed where they lie.
pub fn run(report: &mut Report) {
    for engine in Engine::ALL {
        report.check_within(
            2 * LIMIT,
            format_args!("a-batch-of-4-mib-on-{engine}-is-done"),
            move |device| big(device, engine),
        );
    }
}

fn big(device: &Device, engine: Engine) -> Outcome {
    let page = Object::new(device, PAGE)?;
    let end = Commands::new().store(page.address, 0xb16).end();
    let commands = Commands::new().noops(DWORDS - end.0.len()).raw(&end.0);
    let batch = batch(device, &commands)?;
    let start = Instant::now();
    Submission::new(engine)
        .object(&page, Use::Write)
        .object(&batch, Use::Read)
        .submit(device)?;
    figure(
        format_args!("big-{engine}-submit-ms"),
        start.elapsed().as_millis(),
    );
    finished(&batch)?;
    figure(format_args!("big-{engine}-ms"), start.elapsed().as_millis());
    equal("the store at its end", page.dword(0)?, 0xb16)
}
