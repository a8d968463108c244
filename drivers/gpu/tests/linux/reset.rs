//! Engine resets as the driver performs them, and what it does about the work that was lost.
//!
//! ```text
//! pause, STOP_RING, whose is the engine -> RESET_CTL, GDRST (twice) -> events before it
//! -> pointers -> the victim's ring rewritten -> all else back to the queue -> engine set up
//! ```

use gpu::spec::engine::{self, Engine, masked};
use gpu::spec::registers::GDRST;

use super::Machine;
use super::scheduler::{Scheduler, Timer};

/// MI_MODE.
const STOP_RING: u32 = 1 << 8;
const MODE_IDLE: u32 = 1 << 9;
const HWSTAM: u32 = 0x98;

/// What an engine needs after power-on and after each reset (`execlists_resume`).
pub fn resume(machine: &mut impl Machine, which: Engine, status_page: u32) {
    let base = which.base();
    // User, error, context switch, semaphore wait.
    let events = 0x909 << which.interrupt_slot().1;
    machine.write(base + engine::RING_IMR, !events);
    machine.write(base + HWSTAM, !0);
    machine.write(base + engine::RING_MODE, masked(1 << 15, 1 << 15));
    machine.write(base + engine::MI_MODE, masked(STOP_RING, 0));
    machine.write(base + engine::HWS_PGA, status_page);
    assert_eq!(machine.read(base + engine::HWS_PGA), status_page);
    machine.write(base + engine::EMR, !0);
    machine.write(base + engine::EIR, !0);
    assert_eq!(
        machine.read(base + engine::ESR),
        0,
        "{which} still in error"
    );
    machine.write(base + engine::EMR, !1);
}

/// Tells an engine that the next status entry is number 0 (`reset_csb_pointers`, its registers).
pub fn reset_pointers(machine: &mut impl Machine, which: Engine) {
    let pointer = which.base() + engine::CSB_POINTER;
    machine.write(pointer, 0xffff_0505);
    assert_eq!(machine.read(pointer) & 0x707, 0x505);
}

/// `intel_engine_stop_cs`.
pub fn stop(machine: &mut impl Machine, which: Engine) {
    let mode = which.base() + engine::MI_MODE;
    machine.write(mode, masked(STOP_RING, STOP_RING));
    let stopped = (0..1000).any(|_| machine.read(mode) & MODE_IDLE != 0);
    assert!(stopped, "{which} does not stop");
}

/// `gen8_reset_engines`: these engines, or everything.
pub fn reset_engines(machine: &mut impl Machine, which: &[Engine], bits: u32) {
    for engine in which {
        let control = engine.base() + engine::RESET_CTL;
        if machine.read(control) & engine::RESET_READY == 0 {
            machine.write(control, masked(1, 1));
            let ready = (0..700).any(|_| machine.read(control) & engine::RESET_READY != 0);
            assert!(ready, "{engine} does not become ready for reset");
        }
    }
    // Twice: on some devices the first one is not over when it says so.
    for _ in 0..2 {
        machine.write(GDRST, bits);
        let done = (0..2000).any(|_| machine.read(GDRST) & bits == 0);
        assert!(done, "GDRST does not clear");
    }
    for engine in which {
        machine.write(engine.base() + engine::RESET_CTL, masked(1, 0));
    }
}

impl Scheduler {
    /// The driver found the engine hung, or broken.
    pub fn reset(&mut self, machine: &mut impl Machine) {
        let victim = self.prepare(machine);
        reset_engines(machine, &[self.engine], self.engine.reset_bit());
        self.finish(machine, victim);
    }

    /// Stops the engine; the tag of the context on it (`execlists_reset_prepare`).
    pub fn prepare(&mut self, machine: &mut impl Machine) -> u32 {
        self.resets += 1;
        self.pause(machine, true);
        stop(machine, self.engine);
        machine.read(self.engine.base() + engine::EXECLIST_STATUS_HI)
    }

    /// After the reset itself: rewinds, and sets up again. What comes next is the tasklet's.
    pub fn finish(&mut self, machine: &mut impl Machine, victim: u32) {
        // What it reported before the reset still counts.
        let mut inactive = self.process(machine);
        self.pause(machine, false);
        reset_pointers(machine, self.engine);
        self.replay(machine, victim);
        inactive.extend(self.port.reset(machine, self.page));
        (self.timeslice, self.deadline, self.error) = (Timer::Off, Timer::Off, 0);
        self.schedule_out(inactive);
        self.unwind(machine);
        resume(machine, self.engine, self.page_at);
    }

    /// `execlists_reset_active`: the victim's image is as it was saved last, or torn; its ring
    /// starts again where its first incomplete request does, and that one loses its batch.
    fn replay(&mut self, machine: &mut impl Machine, victim: u32) {
        let on_engine = self.port.active().iter().chain(self.port.pending());
        let tagged = |request: usize| self.contexts[self.requests[request].context].tag;
        let found = on_engine
            .map(|element| element.request)
            .find(|&request| tagged(request) == victim);
        let Some(last) = found else { return };
        let head = match self.first_incomplete(machine, last) {
            None => self.requests[last].tail,
            Some(first) => {
                if self.started(machine, first) {
                    let mut request = self.requests[first];
                    self.contexts[request.context].skip(machine, &mut request);
                    self.requests[first] = request;
                }
                self.requests[first].head
            }
        };
        let context = &mut self.contexts[self.requests[last].context];
        let mode = context.value(machine, 0x55) & !STOP_RING | STOP_RING << 16;
        context.set(machine, 0x55, mode);
        context.update(machine, head);
    }

    /// `reset_active`: a request that failed after it had started is not resumed in its batch,
    /// and none of its context up to it is.
    pub(super) fn scrub(&mut self, machine: &mut impl Machine, number: usize) {
        let head = match self.first_incomplete(machine, number) {
            None => self.requests[number].tail,
            Some(first) => self.requests[first].head,
        };
        while let Some(first) = self.first_to_skip(machine, number) {
            let mut request = self.requests[first];
            self.contexts[request.context].skip(machine, &mut request);
            self.requests[first] = request;
        }
        let engine = self.engine;
        let context = &mut self.contexts[self.requests[number].context];
        context.init(machine, engine);
        context.update(machine, head);
    }

    fn first_to_skip(&self, machine: &mut impl Machine, last: usize) -> Option<usize> {
        let context = self.requests[last].context;
        (0..=last).find(|&number| {
            let request = &self.requests[number];
            request.context == context && !request.failed && !self.complete(machine, number)
        })
    }

    /// The first incomplete request of a context, up to `last`.
    fn first_incomplete(&self, machine: &mut impl Machine, last: usize) -> Option<usize> {
        let context = self.requests[last].context;
        (0..=last).find(|&number| {
            self.requests[number].context == context && !self.complete(machine, number)
        })
    }
}
