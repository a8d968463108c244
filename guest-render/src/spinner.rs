//! Batches that run until somebody ends them.
//!
//! ```text
//! page   +0 started (stored by the batch)   +8 qword that lets the polling kind go on
//! batch  store started; jump to itself                                    (Rewritten)
//!        store started; L: end unless page+8 > 0; jump to L               (Polling)
//! ```
//!
//! The first is ended by overwriting the jump with MI_BATCH_BUFFER_END. The kernel copies batches
//! of the blitter before they run, so there only the second kind hears from us; the first would
//! run for ever.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use crate::abi::object::OFFSET_WB;
use crate::commands::{Commands, END};
use crate::context::Context;
use crate::device::Device;
use crate::engine::Engine;
use crate::fence::Fence;
use crate::object::{Object, PAGE};
use crate::report::{Outcome, ensure};
use crate::submission::{PATIENCE, Submission, Use, batch};
use crate::system::{Mapping, Refusal};

/// How it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It jumps to itself until it is overwritten.
    Rewritten,
    /// It asks a dword in memory, every time round.
    Polling,
}

/// What a running spinner has stored.
const STARTED: u32 = 0x5919_0001;
/// Where the polling kind looks.
const GO_ON: usize = 8;

/// What ends a spinner. Its mappings outlive objects and client. Ends it when dropped.
#[derive(Debug)]
pub struct Switch {
    page: Mapping,
    commands: Mapping,
    jump: usize,
}

impl Switch {
    /// Tells the batch to end, in the way of its kind; both are told.
    pub fn end(&self) {
        self.page.write(GO_ON, 0);
        self.commands.write(self.jump, END);
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.end();
    }
}

/// A spinning batch.
#[derive(Debug)]
pub struct Spinner {
    /// Its commands.
    pub batch: Object,
    /// Its fence.
    pub fence: Fence,
    engine: Engine,
    switch: Switch,
    /// Kept for the GPU.
    _page: Object,
}

impl Spinner {
    /// Submits one, in the client's default context unless told otherwise.
    pub fn start(
        device: &Device,
        engine: Engine,
        context: Option<&Context>,
        kind: Kind,
    ) -> Result<Self, String> {
        let page = Object::new(device, PAGE)?;
        let map = page.map(OFFSET_WB)?;
        map.write(GO_ON, 1);
        let batch = batch(device, &Commands::new().noops(64))?;
        let commands = Commands::new().store(page.address, STARTED);
        let loop_at = batch.address + commands.length();
        let commands = match kind {
            Kind::Rewritten => commands,
            Kind::Polling => commands.end_unless_greater(page.address + GO_ON as u64, 0),
        };
        let jump = commands.length() as usize;
        batch.write_dwords(&commands.jump(loop_at).end().0)?;
        let mapped = batch.map(OFFSET_WB)?;
        let mut submission = Submission::new(engine);
        if let Some(context) = context {
            submission = submission.context(context);
        }
        let submission = submission
            .object(&page, Use::Write)
            .object(&batch, Use::Read);
        let fence = submission.submit_for_fence(device)?;
        let switch = Switch {
            page: map,
            commands: mapped,
            jump,
        };
        Ok(Self {
            batch,
            fence,
            engine,
            switch,
            _page: page,
        })
    }

    /// Whether its first command was executed.
    pub fn started(&self) -> bool {
        self.switch.page.read(0) == STARTED
    }

    /// Waits until it runs.
    pub fn await_start(&self) -> Outcome {
        let start = Instant::now();
        while !self.started() {
            ensure(start.elapsed() < PATIENCE, || {
                format!(
                    "a spinner on {} has not started after {PATIENCE:?}",
                    self.engine
                )
            })?;
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Tells it to end.
    pub fn end(&self) {
        self.switch.end();
    }

    /// Waits until it has ended, without an error.
    pub fn await_end(&self) -> Outcome {
        let signalled = self.fence.signalled_within(PATIENCE)?;
        ensure(signalled, || {
            format!(
                "a spinner on {} that was told to end runs after {PATIENCE:?}",
                self.engine
            )
        })?;
        let status = self.fence.status()?;
        ensure(status == 1, || {
            format!(
                "a spinner on {} ended with status {status}: reset?",
                self.engine
            )
        })
    }

    /// Lets go of the objects, and with them of the client, while the batch runs.
    pub fn abandon(self) -> (Switch, Fence) {
        (self.switch, self.fence)
    }

    /// Whether it still runs (or waits to).
    pub fn is_busy(&self) -> Result<bool, Refusal> {
        Ok(self.batch.busy()? != 0)
    }
}
