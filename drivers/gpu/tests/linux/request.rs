//! Logical ring contexts, and requests as the driver writes them into their rings.
//!
//! ```text
//! head    flush and invalidate; breadcrumb "started"; MI_ARB_CHECK
//! infix   the user's batch
//! postfix breadcrumb "complete"; MI_USER_INTERRUPT; MI_ARB_CHECK; wait while paused
//! tail    MI_ARB_CHECK
//! wa_tail
//! ```

use gpu::Engine;

use super::Machine;

const NOOP: u32 = 0;
const ARB_CHECK: u32 = 0x0280_0000;
const ARB_OFF: u32 = 0x0400_0000;
const ARB_ON: u32 = 0x0400_0001;
const USER_INTERRUPT: u32 = 0x0100_0000;
const STORE_GLOBAL: u32 = 0x1040_0002;
const BATCH_START: u32 = 0x1880_0101;
const PIPE_CONTROL: u32 = 0x7a00_0004;
const FLUSH_DWORD: u32 = 0x1300_0002;
/// MI_SEMAPHORE_WAIT: global, polling, until memory equals the operand.
const WAIT_EQUAL: u32 = 0x0e00_0002 | 1 << 22 | 1 << 15 | 4 << 12;
/// Scratch in page 0 of the context, for flushes that have to store something.
const SCRATCH: u32 = 0xd0;
/// Byte of the status page that pauses rings (I915_GEM_HWS_PREEMPT).
pub const PAUSE_AT: u64 = 0xc8;
/// Room that a request takes at most, bytes.
pub const ROOM: u32 = 512;

/// Dwords of values in page 1 of an image.
pub const HEAD: u64 = 0x05;
pub const TAIL: u64 = 0x07;

/// Memory of a context, set up by whoever knows the machine.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Global address of the image, and of the ring.
    pub image: u32,
    pub ring: u32,
    /// The same as the CPU sees them: page 1 of the image, the ring's first byte.
    pub state: u64,
    pub ring_memory: u64,
    pub ring_size: u32,
    /// What goes into PDP0.
    pub root: u64,
    /// Breadcrumb: global address, and the CPU's.
    pub breadcrumb: u32,
    pub breadcrumb_memory: u64,
    /// Batches in the PPGTT that end when their flag is zero: one that may be preempted, one not.
    pub spinners: [u64; 2],
    /// Their flag, as the CPU sees it.
    pub flag: u64,
}

/// A context, and what the driver keeps about it.
#[derive(Debug)]
pub struct Context {
    pub place: Place,
    pub priority: i32,
    /// Where the next request goes; TAIL in the image.
    pub emit: u32,
    pub tail: u32,
    /// The last request's number.
    pub seqno: u32,
    /// Force restore with the next submission.
    pub force: bool,
    /// How many elements on the hardware are of it, and its tag meanwhile.
    pub inflight: u32,
    pub tag: u32,
}

/// What a request does between its breadcrumbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// So many idle commands.
    Work(u32),
    /// Spins until its context's flag is zero; whether at arbitration points.
    Spin(bool),
    /// A batch in the PPGTT.
    Batch(u64),
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub context: usize,
    pub seqno: u32,
    pub head: u32,
    pub infix: u32,
    pub postfix: u32,
    pub tail: u32,
    pub wa_tail: u32,
    /// A reset found it guilty.
    pub failed: bool,
}

/// What the driver switches off on a vGPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// Rings can be paused by a semaphore.
    pub semaphores: bool,
    /// Batches may be preempted, contexts take turns.
    pub preemption: bool,
}

impl Context {
    pub fn new(place: Place, priority: i32) -> Self {
        Self {
            place,
            priority,
            emit: 0,
            tail: 0,
            seqno: 0,
            force: false,
            inflight: 0,
            tag: 0,
        }
    }

    /// The number that arrived last.
    pub fn arrived(&self, machine: &mut impl Machine) -> u32 {
        machine.peek(self.place.breadcrumb_memory)
    }

    /// Changes one dword of the register state.
    pub fn set(&self, machine: &mut impl Machine, dword: u64, value: u32) {
        machine.poke(self.place.state + 4 * dword, value);
    }

    /// One dword of the register state.
    pub fn value(&self, machine: &mut impl Machine, dword: u64) -> u32 {
        machine.peek(self.place.state + 4 * dword)
    }

    /// Register state of a context that never ran (`lrc_init_regs`, inhibited).
    pub fn init(&self, machine: &mut impl Machine, engine: Engine) {
        const RING: &[u32] = &[
            0x244, 0x34, 0x30, 0x38, 0x3c, 0x168, 0x140, 0x110, 0x11c, 0x114, 0x118, 0x1c0, 0x1c4,
            0x1c8,
        ];
        const TABLES: &[u32] = &[
            0x3a8, 0x28c, 0x288, 0x284, 0x280, 0x27c, 0x278, 0x274, 0x270,
        ];
        (0..1024).for_each(|dword| self.set(machine, dword, 0));
        for (header, registers) in [(0x01, RING), (0x21, TABLES)] {
            let length = 2 * registers.len() as u32 - 1;
            self.set(machine, header, 0x1100_1000 | length);
            for (at, register) in (header + 1..).step_by(2).zip(registers) {
                self.set(machine, at, engine.base() + register);
            }
        }
        // No switch at semaphores; no restore, yet; save, and no resource streamer.
        self.set(machine, 0x03, 0x000f_0009);
        self.set(machine, 0x31, (self.place.root >> 32) as u32);
        self.set(machine, 0x33, self.place.root as u32);
        // MI_MODE: not stopped.
        self.set(machine, 0x54, engine.base() + 0x9c);
        self.set(machine, 0x55, 0x0100_0000);
    }

    /// Where the ring goes on (`lrc_update_regs`).
    pub fn update(&mut self, machine: &mut impl Machine, head: u32) {
        self.set(machine, 0x09, self.place.ring);
        self.set(machine, HEAD, head);
        self.set(machine, TAIL, self.tail);
        self.set(machine, 0x0b, (self.place.ring_size - 0x1000) | 1);
        self.force = true;
    }

    /// Bytes from `from` forward to `to`, half the ring at most; behind is negative.
    pub fn direction(&self, to: u32, from: u32) -> i32 {
        let wrap = 32 - self.place.ring_size.trailing_zeros();
        (to.wrapping_sub(from) << wrap) as i32
    }

    /// Appends a request, but for what follows its postfix.
    pub fn request(
        &mut self,
        machine: &mut impl Machine,
        engine: Engine,
        number: usize,
        payload: Payload,
        features: Features,
    ) -> Request {
        // A request never wraps.
        if self.place.ring_size - self.emit < ROOM {
            let left = (self.place.ring_size - self.emit) / 4;
            self.put(machine, &vec![NOOP; left as usize]);
            self.emit = 0;
        }
        self.seqno += 1;
        let head = self.emit;
        match engine {
            Engine::Rcs => {
                let flags = 1 << 21 | 1 << 20 | 1 << 18 | 1 << 14;
                self.put(machine, &[PIPE_CONTROL, 0, 0, 0, 0, 0]);
                self.put(machine, &[PIPE_CONTROL, flags, SCRATCH, 0, 0, 0]);
            }
            _ => {
                let flags = 1 << 21 | 1 << 18 | 1 << 14;
                self.put(machine, &[FLUSH_DWORD | flags, SCRATCH, 0, 0]);
            }
        }
        let started = [STORE_GLOBAL, self.place.breadcrumb, 0, self.seqno - 1];
        self.put(machine, &started);
        self.put(machine, &[NOOP, ARB_CHECK]);
        let infix = self.emit;
        match payload {
            Payload::Work(dwords) => self.put(machine, &vec![NOOP; 2 * dwords as usize]),
            Payload::Spin(_) | Payload::Batch(_) => {
                let batch = match payload {
                    Payload::Batch(batch) => batch,
                    Payload::Spin(arbitrates) => self.place.spinners[usize::from(!arbitrates)],
                    Payload::Work(_) => unreachable!("has no batch"),
                };
                let start = [BATCH_START, batch as u32, (batch >> 32) as u32];
                if features.preemption {
                    self.put(machine, &[ARB_ON]);
                    self.put(machine, &start);
                    self.put(machine, &[ARB_OFF, NOOP]);
                } else {
                    self.put(machine, &[ARB_OFF]);
                    self.put(machine, &start);
                }
                if payload != Payload::Batch(batch) {
                    machine.poke(self.place.flag, 1);
                }
            }
        }
        let mut request = Request {
            context: number,
            seqno: self.seqno,
            head,
            infix,
            postfix: self.emit,
            tail: 0,
            wa_tail: 0,
            failed: false,
        };
        self.finish(machine, engine, &mut request, 0, features);
        self.emit = request.wa_tail;
        request
    }

    /// Writes what follows the postfix, anew with each submission.
    pub fn finish(
        &mut self,
        machine: &mut impl Machine,
        engine: Engine,
        request: &mut Request,
        status_page: u32,
        features: Features,
    ) {
        let emit = std::mem::replace(&mut self.emit, request.postfix);
        let at = self.place.breadcrumb;
        match engine {
            Engine::Rcs => {
                let flush = 1 << 20 | 1 << 18 | 1 << 12 | 1 << 5 | 1;
                let write = 1 << 24 | 1 << 20 | 1 << 14 | 1 << 7;
                self.put(machine, &[PIPE_CONTROL, flush, 0, 0, 0, 0]);
                self.put(machine, &[PIPE_CONTROL, write, at, 0, request.seqno, 0]);
            }
            _ => self.put(
                machine,
                &[FLUSH_DWORD | 1 << 14, at | 1 << 2, 0, request.seqno],
            ),
        }
        self.put(machine, &[USER_INTERRUPT, ARB_ON]);
        if features.semaphores {
            let pause = status_page + PAUSE_AT as u32;
            self.put(machine, &[ARB_CHECK, WAIT_EQUAL, 0, pause, 0, NOOP]);
        }
        request.tail = self.emit;
        self.put(machine, &[ARB_CHECK, NOOP]);
        request.wa_tail = self.emit;
        self.emit = emit;
    }

    /// Takes the user's part out of a request (`__i915_request_skip`).
    pub fn skip(&mut self, machine: &mut impl Machine, request: &mut Request) {
        for at in (request.infix..request.postfix).step_by(4) {
            machine.poke(self.place.ring_memory + u64::from(at), NOOP);
        }
        request.infix = request.postfix;
        request.failed = true;
    }

    fn put(&mut self, machine: &mut impl Machine, dwords: &[u32]) {
        for dword in dwords {
            machine.poke(self.place.ring_memory + u64::from(self.emit), *dword);
            self.emit += 4;
        }
        assert!(self.emit <= self.place.ring_size);
    }
}
