//! One round of the event loop: what the engines report, and what they do next.

use alloc::boxed::Box;
use core::borrow::BorrowMut;

use gpu::spec::engine::{INTERRUPT_ERROR, INTERRUPT_USER};
use gpu::{Engine, Gpu, Progress};

use super::engines;
use super::progress::{advance, blame, charge, fail, let_go};
use crate::execlist::{Change, State};
use crate::host::Host;
use crate::interrupts;
use crate::shadow::{self, Large, Slot};
use crate::vgpu::Vgpu;
use crate::{Clock, Guests};

/// One bounded round: GPU time, its events, completions, the next workloads.
pub fn service<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpus: &mut [Box<Vgpu>],
) -> Progress {
    host.gpu.time_is(host.clock.now());
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
    let mut more = false;
    for ((engine, bits), complete) in Engine::ALL.into_iter().zip(bits).zip(complete) {
        let Some(running) = host.engines.at(engine).running else {
            continue;
        };
        let Some(vgpu) = vgpus.iter_mut().find(|vgpu| vgpu.domain == running.domain) else {
            continue;
        };
        report(host, vgpu, engine, bits, complete);
        if vgpu.engine(engine).state() == State::Running {
            // Nothing else would wake us when its guest ends a batch that loops.
            more |= shadow::watch(host, vgpu, engine);
        }
    }

    more |= prepare_one(host, vgpus);
    for engine in Engine::ALL {
        more |= start_next(host, vgpus, engine);
    }
    if more { Progress::Busy } else { progress }
}

/// Follows the page tables of one vGPU's engine further, or the audit of its large batch, in turn:
/// each costs up to a few thousand pins, or a window. True if somebody still waits for that.
fn prepare_one<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpus: &mut [Box<Vgpu>],
) -> bool {
    let places = vgpus.len() * Engine::COUNT;
    let waits = |large: &Large, vgpus: &[Box<Vgpu>], place: usize| {
        let vgpu = vgpus.get(place / Engine::COUNT);
        let engine = Engine::ALL.get(place % Engine::COUNT);
        vgpu.zip(engine).is_some_and(|(vgpu, engine)| {
            let of_guest = vgpu.engines.get(engine.index());
            of_guest.is_some_and(|of_guest| of_guest.state() == State::Preparing)
                && !large.blocked(vgpu.domain, *engine)
        })
    };
    let turn = host.engines.turn;
    let mut order = (0..places).map(|step| (turn + step) % places);
    let Some(place) = order.find(|place| waits(&host.engines.large, vgpus, *place)) else {
        return false;
    };
    host.engines.turn = place + 1;
    if let (Some(vgpu), Some(engine)) = (
        vgpus.get_mut(place / Engine::COUNT),
        Engine::ALL.get(place % Engine::COUNT),
    ) {
        advance(host, vgpu, *engine);
    }
    (0..places).any(|place| waits(&host.engines.large, vgpus, place))
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
        vgpu.engine(engine).ran();
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

/// Gives an idle engine the next work in its queue; true if there was some. Of a vGPU that is not
/// among `vgpus` nothing is started: the next [`service`] has them all.
pub fn start_next<G: Gpu, H: Guests, C: Clock, V: BorrowMut<Vgpu>>(
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
    vgpu.engine(engine).change(Change::Picked);
    host.flush_gtt();
    let Host { gpu, engines, .. } = host;
    let physical = engines.at(engine);
    physical.load(gpu, &vgpu.registers);
    physical.submit(gpu, engine, vgpu.domain, image, now);
    true
}
