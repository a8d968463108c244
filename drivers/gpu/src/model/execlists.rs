//! Execlists: submissions in, context-status events out, one context loaded in between.
//!
//! ```text
//!              Start: idle-to-active
//!   Idle ------------------------------> Active ---+ Execute: a command
//!     ^                                   | ^  ^   | LiteRestore: preempted, lite-restore
//!     |  Complete: active-to-idle,        | |  +---+
//!     +--------------- complete ----------+ |
//!     +- Yield: active-to-idle, semaphore   |  Preempt: preempted
//!                                           +- Complete: element-switch, complete
//!                                           +- Yield: element-switch, semaphore
//! ```
//!
//! [`Streamer::next`] picks the transition, one step performs it. Each event in this order: image
//! saved, entry, write pointer, registers, interrupt. What the commands stored was visible before.
//! A driver takes over a submission exactly when it sees idle-to-active or preempted (Linux
//! `process_csb`), so each submission causes exactly one. Source: PRM Kaby Lake vol. 7, "execlist
//! mode"; `docs/hardware.md`.

use arrayvec::ArrayVec;

use super::bus::{Space, View, root};
use super::fault::Fault;
use super::image::{self, DWORDS};
use super::streamer::{Batch, Ring, Running, Streamer};
use super::time;
use super::uncore::Uncore;
use crate::address::{GraphicsAddress, PAGE_SIZE};
use crate::dma::Dma;
use crate::spec::context::{self, CSB_ENTRIES, Descriptor, HWSP_CSB, HWSP_CSB_WRITE, status};
use crate::spec::engine;

/// RING_HEAD and RING_TAIL: byte offset.
const OFFSET: u32 = 0x001f_fffc;

/// What one step of an engine came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It did something.
    Worked,
    /// It can do nothing more in this turn, but in a later one.
    Waits,
    /// It can do nothing until software does something.
    Idle,
}

/// What an engine does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    /// Nothing.
    Rest,
    /// Takes the pending pair: it was idle.
    Start,
    /// Takes the pending pair, whose first element runs already: its TAIL moved, nothing else.
    LiteRestore,
    /// Takes the pending pair in the place of the running one.
    Preempt,
    /// Leaves the running context, which has nothing more to execute, for the second element.
    Complete,
    /// Leaves the running context at a semaphore for the second element.
    Yield,
    /// Executes a command of the running context.
    Execute,
}

impl Streamer {
    /// The next transition.
    fn next<D: Dma>(&self, uncore: &Uncore<D>) -> Move {
        if self.fault.is_some() || self.held || self.stopped(uncore) {
            return Move::Rest;
        }
        match (&self.running, &self.pending) {
            (None, None) => Move::Rest,
            (None, Some(_)) => Move::Start,
            (Some(running), Some([first, _])) if running.resumes(*first) => Move::LiteRestore,
            (Some(running), Some(_)) if running.preemptible() => Move::Preempt,
            (Some(running), _) if running.done() => Move::Complete,
            (Some(running), None) if running.yields() => Move::Yield,
            (Some(_), _) => Move::Execute,
        }
    }

    /// The smallest thing the engine does at a time: a switch or a command.
    pub fn step<D: Dma>(&mut self, uncore: &mut Uncore<D>) -> Turn {
        match self.next(uncore) {
            Move::Rest => return Turn::Idle,
            Move::Start => {
                self.event(uncore, status::IDLE_TO_ACTIVE, 0);
                self.take(uncore);
            }
            Move::LiteRestore => self.lite_restore(uncore),
            Move::Preempt => {
                let id = self.unload(uncore);
                self.event(uncore, status::PREEMPTED, id);
                self.take(uncore);
            }
            Move::Complete => self.leave(uncore, status::COMPLETE),
            Move::Yield => self.leave(uncore, status::WAIT_ON_SEMAPHORE),
            Move::Execute => match self.execute(uncore) {
                Ok(turn) => return turn,
                Err(fault) => {
                    self.halt(uncore, fault);
                    return Turn::Idle;
                }
            },
        }
        Turn::Worked
    }

    /// The running context is submitted again: its tail moved, nothing else.
    fn lite_restore<D: Dma>(&mut self, uncore: &mut Uncore<D>) {
        let Some([first, second]) = self.pending.take() else {
            return;
        };
        let Some(running) = &mut self.running else {
            return;
        };
        let tail = page_address(first) + 4 * context::RING_TAIL as u64;
        match uncore.bus.read_u32(&running.view, Space::Global, tail) {
            Ok(tail) => running.ring.tail = tail & OFFSET,
            Err(_) => return self.halt(uncore, no_context(first)),
        }
        let id = running.descriptor.id();
        running.descriptor = first;
        self.waiting = second;
        uncore.slice += time::COMMAND;
        self.event(uncore, status::PREEMPTED | status::LITE_RESTORE, id);
    }

    /// Loads the pending pair.
    fn take<D: Dma>(&mut self, uncore: &mut Uncore<D>) {
        if let Some(elements) = self.pending.take() {
            self.load(uncore, elements);
        }
    }

    /// The running context makes room for the second element, or for nothing.
    fn leave<D: Dma>(&mut self, uncore: &mut Uncore<D>, why: u32) {
        let id = self.unload(uncore);
        let next = core::mem::take(&mut self.waiting);
        if next.valid() {
            self.event(uncore, status::ELEMENT_SWITCH | why, id);
            self.load(uncore, [next, Descriptor::default()]);
        } else {
            self.event(uncore, status::ACTIVE_TO_IDLE | why, id);
        }
    }

    /// Restores a context; a context that cannot be restored halts the engine.
    fn load<D: Dma>(&mut self, uncore: &mut Uncore<D>, [first, second]: [Descriptor; 2]) {
        uncore.bus.invalidate();
        uncore.slice += time::CONTEXT;
        self.waiting = second;
        self.setup = super::blitter::Setup::default();
        match self.restore(uncore, first) {
            Ok(running) => self.running = Some(running),
            Err(fault) => self.halt(uncore, fault),
        }
    }

    fn restore<D: Dma>(
        &mut self,
        uncore: &mut Uncore<D>,
        first: Descriptor,
    ) -> Result<Running, Fault> {
        let at = page_address(first);
        let client = uncore
            .bus
            .client_at(GraphicsAddress(at))
            .ok_or(no_context(first))?;
        let mut view = View {
            engine: self.engine,
            context: first.id(),
            client,
            root: None,
        };
        let page = read_page(uncore, &view, at).map_err(|_| no_context(first))?;
        image::load(&page, self.engine, &mut uncore.file);

        // A masked register: what the image leaves out stays as it is.
        let control = uncore.file.get(self.engine.base() + image::CONTEXT_CONTROL);
        let value = |index: usize| image::value(&page, index);
        let wide = Descriptor::PPGTT_64 | Descriptor::PRIVILEGE;
        if first.0 & wide == wide {
            let [high, low] = [context::PDP0_UDW, context::PDP0_LDW].map(value);
            view.root = Some(root(u64::from(high) << 32 | u64::from(low)));
        }
        let ring = Ring {
            head: value(context::RING_HEAD) & OFFSET,
            tail: value(context::RING_TAIL) & OFFSET,
            start: value(context::RING_START) & 0xffff_f000,
            control: value(context::RING_CTL),
        };
        Ok(Running {
            descriptor: first,
            view,
            ring,
            prologue: prologue(value),
            batches: image::BATCH.map(|at| batch(value(at), value(at + 2), value(at + 4))),
            arbitration: true,
            arbitration_point: false,
            blitting: false,
            semaphore_reported: false,
            synchronous_switch: control & context::INHIBIT_SYNCHRONOUS_SWITCH == 0,
            timestamp: value(context::TIMESTAMP).wrapping_sub(uncore.timestamp() as u32),
        })
    }

    /// Saves the running context, if any, and unloads it; its id.
    fn unload<D: Dma>(&mut self, uncore: &mut Uncore<D>) -> u32 {
        let Some(running) = self.running.take() else {
            return 0;
        };
        uncore.slice += time::CONTEXT;
        // An image that went away while its context ran swallows the save.
        let _ = self.save(uncore, &running);
        uncore.bus.invalidate();
        running.descriptor.id()
    }

    fn save<D: Dma>(&self, uncore: &mut Uncore<D>, running: &Running) -> Result<(), Fault> {
        let at = page_address(running.descriptor);
        let mut page = read_page(uncore, &running.view, at)?;
        uncore
            .file
            .set(self.engine.base() + engine::IPEHR, self.header);
        image::save(&mut page, self.engine, &uncore.file);
        image::set(&mut page, context::RING_HEAD, running.ring.head);
        image::set(
            &mut page,
            context::TIMESTAMP,
            running.context_timestamp(uncore.timestamp()),
        );
        for (at, batch) in image::BATCH.into_iter().zip(running.batches) {
            let (address, state) = batch.map_or((0, 0), |batch| {
                let state = match batch.space {
                    Space::Process => image::BATCH_PPGTT,
                    Space::Global => 0,
                };
                (batch.address | u64::from(image::BATCH_VALID), state)
            });
            image::set(&mut page, at, (address >> 32) as u32);
            image::set(&mut page, at + 2, address as u32);
            image::set(&mut page, at + 4, state);
        }
        let mut bytes = [0; 4 * DWORDS];
        for (bytes, dword) in bytes.chunks_exact_mut(4).zip(page) {
            bytes.copy_from_slice(&dword.to_le_bytes());
        }
        let bytes = bytes.get(..4 * image::dwords(self.engine)).unwrap_or(&[]);
        // Two writes around the tail: software may move it at any time, so it is never ours.
        let (tail, behind) = (4 * context::RING_TAIL, 4 * (context::RING_TAIL + 1));
        let before = bytes.get(..tail).unwrap_or(&[]);
        let after = bytes.get(behind..).unwrap_or(&[]);
        uncore
            .bus
            .write(&running.view, Space::Global, GraphicsAddress(at), before)?;
        let at = GraphicsAddress(at + behind as u64);
        uncore.bus.write(&running.view, Space::Global, at, after)
    }

    /// Reports one event: entry, write pointer, their registers, interrupt.
    fn event<D: Dma>(&mut self, uncore: &mut Uncore<D>, status: u32, id: u32) {
        self.entry = if self.entry + 1 < CSB_ENTRIES {
            self.entry + 1
        } else {
            0
        };
        let entry = u64::from(id) << 32 | u64::from(status);
        let dword = HWSP_CSB as u64 + 2 * u64::from(self.entry);
        uncore.write_status_page(self.engine, 4 * dword, &entry.to_le_bytes());
        let pointer = self.entry.to_le_bytes();
        uncore.write_status_page(self.engine, 4 * HWSP_CSB_WRITE as u64, &pointer);

        let base = self.engine.base();
        uncore.file.set(base + engine::CSB + 8 * self.entry, status);
        uncore.file.set(base + engine::CSB + 8 * self.entry + 4, id);
        let pointers = uncore.file.get(base + engine::CSB_POINTER);
        uncore
            .file
            .set(base + engine::CSB_POINTER, pointers & !7 | self.entry);
        uncore.raise(self.engine, engine::INTERRUPT_CONTEXT_SWITCH);
    }
}

impl Running {
    /// Nothing left to execute.
    fn done(&self) -> bool {
        self.batch().is_none() && self.ring.empty()
    }

    /// Between two commands, and not inside the restore's own batches.
    fn settled(&self) -> bool {
        !self.blitting && self.prologue.is_empty()
    }

    /// Whether a submission of `first` is one of the context that runs anyway.
    fn resumes(&self, first: Descriptor) -> bool {
        let same = first.lrca() == self.descriptor.lrca();
        self.settled() && same && first.0 & Descriptor::FORCE_RESTORE == 0
    }

    /// Whether another context may take the engine now: at an arbitration point, and never with
    /// nothing left to do, so that a context that is through is reported complete.
    fn preemptible(&self) -> bool {
        self.settled() && self.arbitration && self.arbitration_point && !self.done()
    }

    /// Whether it goes away by itself: it waits for a semaphore, and its image does not inhibit
    /// the switch.
    fn yields(&self) -> bool {
        self.semaphore_reported && self.synchronous_switch && self.preemptible()
    }
}

/// Global GTT address of the register state page.
const fn page_address(descriptor: Descriptor) -> u64 {
    descriptor.lrca() as u64 + PAGE_SIZE
}

const fn no_context(descriptor: Descriptor) -> Fault {
    Fault::NoContext(GraphicsAddress(descriptor.lrca() as u64))
}

fn read_page<D: Dma>(uncore: &mut Uncore<D>, view: &View, at: u64) -> Result<image::Page, Fault> {
    let mut bytes = [0; 4 * DWORDS];
    let wanted = bytes.get_mut(..4 * image::dwords(view.engine));
    uncore.bus.read(
        view,
        Space::Global,
        GraphicsAddress(at),
        wanted.unwrap_or(&mut []),
    )?;
    let mut page = [0; DWORDS];
    for (dword, bytes) in page.iter_mut().zip(bytes.chunks_exact(4)) {
        *dword = bytes.try_into().map_or(0, u32::from_le_bytes);
    }
    Ok(page)
}

/// The work-around batches that a restore executes: per-context batch after indirect context.
fn prologue(value: impl Fn(usize) -> u32) -> ArrayVec<Batch, 2> {
    let mut batches = ArrayVec::new();
    let space = Space::Global;
    let per_context = value(context::PER_CONTEXT_BATCH);
    if per_context & 1 != 0 {
        batches.push(Batch {
            address: u64::from(per_context & 0xffff_f000),
            space,
            end: None,
        });
    }
    let indirect = value(context::INDIRECT_CONTEXT);
    let bytes = u64::from(indirect & 0x3f) * 64;
    if bytes != 0 {
        let address = u64::from(indirect & 0xffff_ffc0);
        batches.push(Batch {
            address,
            space,
            end: Some(address + bytes),
        });
    }
    batches
}

/// A batch that the image says was preempted.
fn batch(high: u32, low: u32, state: u32) -> Option<Batch> {
    let space = if state & image::BATCH_PPGTT != 0 {
        Space::Process
    } else {
        Space::Global
    };
    let address = u64::from(high & 0xffff) << 32 | u64::from(low & !3);
    (low & image::BATCH_VALID != 0).then_some(Batch {
        address,
        space,
        end: None,
    })
}
