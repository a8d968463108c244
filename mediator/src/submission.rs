//! From a guest's ELSP write to the GPU, and from the GPU's events back to the guest.
//!
//! ```text
//! elsp_written -> Execlist -> advance: prepare (shadow) -> queue -> start -> GPU
//! service: GPU's status page -> chunk over -> advance: write back -> event -> interrupt
//! ```
//!
//! Order of what a guest sees: image written back, breadcrumb (by the GPU itself), status entry,
//! write pointer, interrupt. After its reset it sees nothing more of what ran before.

mod engines;
mod events;

pub use engines::HostEngines;

use gpu::spec::context::Descriptor;
use gpu::spec::engine::{EIR, INTERRUPT_ERROR, INTERRUPT_USER, RING_HEAD};
use gpu::spec::pvinfo::g2v;
use gpu::{Engine, Gpu, GttIndex, PAGE_SIZE, Progress};

use alloc::boxed::Box;
use core::borrow::BorrowMut;

use crate::execlist::State;
use crate::execlist::VirtualEngine;
use crate::execlist::list::{Events, Submitted};
use crate::host::Host;
use crate::interrupts;
use crate::ppgtt::Hands;
use crate::scheduler::Policy;
use crate::services::{Clock, GuestFrame, Guests, PageError};
use crate::shadow::{self, Prepared, Refusal, Slot};
use crate::vgpu::Vgpu;

/// EIR bit 0: instruction error.
const INSTRUCTION_ERROR: u32 = 1 << 0;
/// Byte offset in RING_HEAD.
const HEAD_OFFSET: u32 = 0x001f_fffc;

/// Gives the host's engines their side of the status pages. `Host::new` calls it last.
pub fn start<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>) -> Result<(), PageError> {
    host.engines.set_up()?;
    for engine in Engine::ALL {
        engines::begin(host, engine);
    }
    Ok(())
}

/// Sets aside everything this vGPU's submissions will ever need. `Vgpu::new` calls it last; on
/// an error the caller calls [`release`].
pub fn attach<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
) -> Result<(), PageError> {
    vgpu.ppgtts.attach()?;
    let region = host.own_region();
    let place = host.engines.take_place(vgpu.domain, &region);
    let mut first = place.ok_or(PageError::OutOfMemory)?;
    for engine in Engine::ALL {
        let slot = Slot::new(&mut host.gpu, &mut host.guests, vgpu.domain, engine, first)?;
        vgpu.engine(engine).slot = Some(slot);
        first = GttIndex(first.0 + shadow::slot_pages(engine));
    }
    host.gpu.flush_gtt();
    Ok(())
}

/// One of the four writes of a guest's ELSP; the fourth acts.
pub fn elsp_written<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
    value: u32,
) {
    let Some(pair) = vgpu.engine(engine).port.write(value) else {
        return;
    };
    vgpu.counters.submissions += 1;
    let mut events = Events::new();
    match vgpu.engine(engine).list.submit(pair, &mut events) {
        Submitted::Started => {
            events::deliver(host, vgpu, engine, &events);
            vgpu.engine(engine).state = State::Preparing;
            advance(host, vgpu, engine);
            start_next(host, core::slice::from_mut(vgpu), engine);
        }
        Submitted::LiteRestored => {
            let hung = vgpu.engine(engine).state == State::Hung;
            let tail = shadow::reread_tail(host, vgpu, engine, pair[0]);
            events::deliver(host, vgpu, engine, &events);
            if let (Err(refusal), false) = (tail, hung) {
                stop(host, vgpu, engine);
                refuse(host, vgpu, engine, pair[0], refusal);
            }
        }
        Submitted::Waiting => {}
        Submitted::Empty => {
            let now = host.clock.now();
            vgpu.violation(now, format_args!("{engine}: ELSP without element 0"));
        }
        Submitted::Full => {
            let now = host.clock.now();
            vgpu.violation(
                now,
                format_args!("{engine}: ELSP while two pairs are pending"),
            );
        }
    }
}

/// The guest reset one of its engines (its GDRST bit, after the RESET_CTL handshake).
pub fn reset_engine<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
) {
    stop(host, vgpu, engine);
    let virtual_engine = vgpu.engine(engine);
    let slot = virtual_engine.slot.take();
    *virtual_engine = VirtualEngine::new();
    virtual_engine.slot = slot;
    vgpu.registers.set_at(engine.base() + EIR, 0);
}

/// What a guest reads at `offset` from the engine's base, for every register with behaviour
/// `Ring`, `ExeclistStatus` or `ContextStatus`.
pub fn read_ring_register<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
    offset: u32,
) -> u32 {
    // Our ring starts at 0 with the first byte of the guest's piece.
    let executed = match vgpu.engine(engine).state {
        State::Running => {
            let head = host.gpu.read(engine.base() + RING_HEAD) & HEAD_OFFSET;
            head.min(vgpu.engine(engine).work.map_or(0, |work| work.chunk))
        }
        _ => 0,
    };
    vgpu.engine(engine).read(offset, executed)
}

/// A guest's write to one of those registers (ELSP is [`elsp_written`]).
pub fn write_ring_register<G: Gpu, H: Guests, C: Clock>(
    _host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
    offset: u32,
    value: u32,
) {
    vgpu.engine(engine).write(offset, value);
}

/// The guest's g2v message: `message` from `gpu::spec::pvinfo::g2v`, `root` is `pdp[0]`. Tables
/// are shadowed when they are used, so only the end of one says anything new.
pub fn notify<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    message: u32,
    root: u64,
) {
    if message == g2v::PPGTT_L4_DESTROY {
        let mut hands = hands(&mut host.gpu, &mut host.guests, vgpu.domain, vgpu.scratch);
        vgpu.ppgtts.forget(&mut hands, GuestFrame(root / PAGE_SIZE));
    }
}

/// Gives everything back, with the engines stopped first where this vGPU's work runs.
pub fn release<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu) {
    for engine in Engine::ALL {
        reset_engine(host, vgpu, engine);
    }
    let mut hands = hands(&mut host.gpu, &mut host.guests, vgpu.domain, vgpu.scratch);
    vgpu.ppgtts.release(&mut hands);
    for engine in Engine::ALL {
        if let Some(slot) = vgpu.engine(engine).slot.take() {
            slot.release(&mut host.gpu, &mut host.guests, host.scratch);
        }
    }
    host.engines.leave_place(vgpu.domain);
}

/// One bounded round: GPU time, its events, completions, the next workloads.
pub fn service<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpus: &mut [Box<Vgpu>],
) -> Progress {
    let progress = host.gpu.run();
    let interrupted = host.gpu.take_interrupt();
    // Status first, then interrupts: nothing new starts in between, so whatever is pending now was
    // raised by what runs, or ran, for the guest that the engine is still booked on.
    let mut complete = [false; Engine::COUNT];
    for ((engine, page), complete) in Engine::ALL.iter().zip(host.status_pages).zip(&mut complete) {
        *complete = host.engines.at(*engine).poll(&host.guests, page);
    }
    let bits = if interrupted || complete.contains(&true) {
        engines::acknowledge(&mut host.gpu)
    } else {
        [0; Engine::COUNT]
    };
    for ((engine, bits), complete) in Engine::ALL.into_iter().zip(bits).zip(complete) {
        let Some(running) = host.engines.at(engine).running else {
            continue;
        };
        let Some(vgpu) = vgpus.iter_mut().find(|vgpu| vgpu.domain == running.domain) else {
            continue;
        };
        report(host, vgpu, engine, bits, complete);
    }

    let mut more = false;
    for vgpu in vgpus.iter_mut() {
        for engine in Engine::ALL {
            if vgpu.engine(engine).state == State::Preparing {
                advance(host, vgpu, engine);
            }
            more |= vgpu.engine(engine).state == State::Preparing;
        }
    }
    for engine in Engine::ALL {
        more |= start_next(host, vgpus, engine);
    }
    if more { Progress::Busy } else { progress }
}

/// What an engine reported about the work it is booked on.
fn report<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
    bits: u32,
    complete: bool,
) {
    if bits & INTERRUPT_USER != 0 {
        interrupts::raise(host, vgpu, engine, INTERRUPT_USER);
    }
    if complete {
        charge(host, vgpu, engine);
        host.engines.at(engine).running = None;
        let_go(host, vgpu, engine);
        let virtual_engine = vgpu.engine(engine);
        if let Some(work) = &mut virtual_engine.work {
            work.ran();
        }
        virtual_engine.state = State::Preparing;
        advance(host, vgpu, engine);
    } else if bits & INTERRUPT_ERROR != 0 {
        blame(host, vgpu, engine, "command streamer error");
        fail(host, vgpu, engine);
        return;
    }
    let (now, budget) = (host.clock.now(), host.engines.budget);
    if host.engines.at(engine).overdue(now, budget) {
        // As with hardware that hangs: the guest finds out by itself.
        blame(host, vgpu, engine, "over its time budget");
    }
}

/// Brings the running element as far as it goes without the GPU: to the engine's queue, or to its
/// end, and the ones behind it.
fn advance<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu, engine: Engine) {
    // Two elements run and two may wait; each pass completes one.
    for _ in 0..4 {
        let Some(descriptor) = vgpu.engine(engine).list.running() else {
            vgpu.engine(engine).state = State::Idle;
            return;
        };
        match shadow::prepare(host, vgpu, engine, descriptor) {
            Ok(Prepared::Empty) => element_complete(host, vgpu, engine),
            Ok(Prepared::Ready) => {
                vgpu.engine(engine).state = State::Ready;
                let now = host.clock.now();
                host.engines.at(engine).queue.push(vgpu.domain, now);
                return;
            }
            Ok(Prepared::Later) => {
                vgpu.engine(engine).state = State::Preparing;
                return;
            }
            Err(refusal) => return refuse(host, vgpu, engine, descriptor, refusal),
        }
    }
}

/// The running element's ring is executed to its tail.
fn element_complete<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
) {
    shadow::write_back(host, vgpu, engine);
    vgpu.counters.completions += 1;
    let mut events = Events::new();
    let virtual_engine = vgpu.engine(engine);
    virtual_engine.finish();
    if virtual_engine.list.complete(&mut events) {
        virtual_engine.state = State::Preparing;
    }
    events::deliver(host, vgpu, engine, &events);
}

/// The context is not run. The guest gets a command-streamer error; what it does then is reset.
fn refuse<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
    descriptor: Descriptor,
    refusal: Refusal,
) {
    vgpu.counters.refused += 1;
    let now = host.clock.now();
    vgpu.violation(
        now,
        format_args!("{engine} context {:#x}: {refusal}", descriptor.id()),
    );
    if let Refusal::Command { what, .. } = refusal {
        vgpu.engine(engine).ring.header = what.header;
    }
    fail(host, vgpu, engine);
}

/// The engine stands still for this guest, visibly.
fn fail<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu, engine: Engine) {
    vgpu.engine(engine).state = State::Hung;
    vgpu.registers
        .set_at(engine.base() + EIR, INSTRUCTION_ERROR);
    interrupts::raise(host, vgpu, engine, INTERRUPT_ERROR);
}

/// Takes the engine from work that does not end, and says whose it was.
fn blame<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
    why: &'static str,
) {
    let head = read_ring_register(host, vgpu, engine, RING_HEAD);
    let header = host.gpu.read(engine.base() + gpu::spec::engine::IPEHR);
    let context = vgpu
        .engine(engine)
        .list
        .running()
        .map_or(0, |running| running.id());
    vgpu.engine(engine).ring.header = header;
    stop(host, vgpu, engine);
    vgpu.engine(engine).state = State::Hung;
    let now = host.clock.now();
    vgpu.violation(
        now,
        format_args!(
            "{engine} context {context:#x}: {why} at ring {head:#x}, command {header:#010x}; \
             engine reset"
        ),
    );
}

/// Takes a vGPU's work off an engine, wherever it is. Only the engine's own guest is concerned.
fn stop<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu, engine: Engine) {
    host.engines.at(engine).queue.remove(vgpu.domain);
    let running = host.engines.at(engine).running;
    if running.is_some_and(|running| running.domain == vgpu.domain) {
        charge(host, vgpu, engine);
        engines::reset(host, engine);
    }
    let_go(host, vgpu, engine);
}

/// The work's page tables are free to go, and pages that they led to once.
fn let_go<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu, engine: Engine) {
    vgpu.ppgtts.let_go(engine);
    if vgpu.ppgtts.idle() {
        let mut hands = hands(&mut host.gpu, &mut host.guests, vgpu.domain, vgpu.scratch);
        vgpu.ppgtts.drain(&mut hands);
    }
}

/// Books the time that the running work had.
fn charge<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu, engine: Engine) {
    let now = host.clock.now();
    if let Some(running) = host.engines.at(engine).running {
        let time = now.saturating_sub(running.since);
        vgpu.counters.gpu_time += time;
        host.engines.policy.ran(engine, running.domain, time);
    }
}

/// Gives an idle engine the next work in its queue; true if there was some. Of a vGPU that is not
/// among `vgpus` nothing is started: the next [`service`] has them all.
fn start_next<G: Gpu, H: Guests, C: Clock, V: BorrowMut<Vgpu>>(
    host: &mut Host<G, H, C>,
    vgpus: &mut [V],
    engine: Engine,
) -> bool {
    if host.engines.at(engine).running.is_some() {
        return false;
    }
    let now = host.clock.now();
    let mut policy = host.engines.policy;
    let next = host.engines.at(engine).queue.next(&mut policy, engine, now);
    host.engines.policy = policy;
    let Some(next) = next else { return false };
    let vgpu = vgpus
        .iter_mut()
        .map(BorrowMut::borrow_mut)
        .find(|vgpu| vgpu.domain == next.domain);
    let Some(vgpu) = vgpu else { return false };
    host.engines.at(engine).queue.remove(next.domain);
    let image = vgpu.slot(engine).map(Slot::image);
    let Some(image) = image else { return false };
    vgpu.counters.wait_time += now.saturating_sub(next.since);
    vgpu.engine(engine).state = State::Running;
    host.flush_gtt();
    let Host { gpu, engines, .. } = host;
    let physical = engines.at(engine);
    physical.load(gpu, &vgpu.registers);
    physical.submit(gpu, engine, vgpu.domain, image, now);
    true
}

fn hands<'a, G, H>(
    gpu: &'a mut G,
    guests: &'a mut H,
    domain: crate::DomainId,
    scratch: gpu::DmaPage,
) -> Hands<'a, G, H> {
    Hands {
        gpu,
        guests,
        domain,
        scratch,
    }
}
