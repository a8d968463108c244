//! The running element's way: prepared, queued, executed, complete; or refused, or stopped.

use gpu::spec::context::Descriptor;
use gpu::spec::engine::{EIR, INTERRUPT_ERROR, IPEHR, RING_HEAD};
use gpu::{Engine, Gpu};

use super::{engines, events, hands, read_ring_register};
use crate::execlist::Change;
use crate::execlist::list::{Events, Input, Outcome};
use crate::host::Host;
use crate::interrupts;
use crate::scheduler::Policy;
use crate::shadow::{self, Prepared, Refusal};
use crate::vgpu::Vgpu;
use crate::{Clock, Guests};

/// EIR bit 0: instruction error.
const INSTRUCTION_ERROR: u32 = 1 << 0;

/// Brings the running element as far as it goes without the GPU: to the engine's queue, or to its
/// end, and the ones behind it.
pub fn advance<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
) {
    // Two elements run and two may wait; each pass completes one.
    for _ in 0..4 {
        let Some(descriptor) = vgpu.engine(engine).list.running() else {
            return;
        };
        match shadow::prepare(host, vgpu, engine, descriptor) {
            Ok(Prepared::Empty) => element_complete(host, vgpu, engine),
            Ok(Prepared::Ready) => {
                vgpu.engine(engine).change(Change::Prepared);
                let now = host.clock.now();
                host.engines.at(engine).queue.push(vgpu.domain, now);
                return;
            }
            Ok(Prepared::Later) => return,
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
    virtual_engine.contract.contexts += 1;
    if virtual_engine.list.step(Input::Complete, &mut events) == Outcome::Started {
        virtual_engine.change(Change::Started);
    }
    events::deliver(host, vgpu, engine, &events);
}

/// The context is not run. The guest gets a command-streamer error; what it does then is reset.
pub fn refuse<G: Gpu, H: Guests, C: Clock>(
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
    let_go(host, vgpu, engine);
    fail(host, vgpu, engine);
}

/// The engine stands still for this guest, visibly.
pub fn fail<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
) {
    vgpu.engine(engine).change(Change::Failed);
    vgpu.registers
        .set_at(engine.base() + EIR, INSTRUCTION_ERROR);
    interrupts::raise(host, vgpu, engine, INTERRUPT_ERROR);
}

/// Takes the engine from work that does not end, and says whose it was.
pub fn blame<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
    why: &'static str,
) {
    let head = read_ring_register(host, vgpu, engine, RING_HEAD);
    let header = host.gpu.read(engine.base() + IPEHR);
    let context = vgpu
        .engine(engine)
        .list
        .running()
        .map_or(0, |running| running.id());
    vgpu.engine(engine).ring.header = header;
    stop(host, vgpu, engine);
    vgpu.engine(engine).change(Change::Failed);
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
pub fn stop<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
) {
    host.engines.at(engine).queue.remove(vgpu.domain);
    let running = host.engines.at(engine).running;
    if running.is_some_and(|running| running.domain == vgpu.domain) {
        charge(host, vgpu, engine);
        engines::reset(host, engine);
    }
    let_go(host, vgpu, engine);
}

/// The work's page tables are free to go, and pages that they led to once; so is the large arena.
pub fn let_go<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
) {
    let large = &mut host.engines.large;
    large.leave(&mut host.guests, vgpu.domain, engine);
    vgpu.ppgtts.let_go(engine);
    if vgpu.ppgtts.idle() {
        let mut hands = hands(&mut host.gpu, &mut host.guests, vgpu.domain, vgpu.scratch);
        vgpu.ppgtts.drain(&mut hands);
    }
}

/// Books the time that the running work had.
pub fn charge<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
) {
    let now = host.clock.now();
    if let Some(running) = host.engines.at(engine).running {
        let time = now.saturating_sub(running.since);
        vgpu.counters.gpu_time += time;
        host.engines.policy.ran(engine, running.domain, time);
    }
}
