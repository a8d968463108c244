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
mod progress;
mod service;

pub use engines::HostEngines;
pub use service::service;

use gpu::spec::engine::{EIR, RING_HEAD};
use gpu::spec::pvinfo::g2v;
use gpu::{DmaPage, Engine, Gpu, GttIndex, PAGE_SIZE};

use crate::execlist::list::{Events, Input, Outcome};
use crate::execlist::{Change, State};
use crate::host::Host;
use crate::ppgtt::{Hands, tables_for};
use crate::shadow::{self, Large, Slot};
use crate::vgpu::Vgpu;
use crate::{Clock, DomainId, GuestFrame, Guests, PageError};
use progress::{advance, refuse, stop};
use service::start_next;

/// Byte offset in RING_HEAD.
const HEAD_OFFSET: u32 = 0x001f_fffc;

/// Gives the host's engines their side of the status pages. `Host::new` calls it last.
pub fn start<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>) -> Result<(), PageError> {
    host.engines.set_up()?;
    let first = GttIndex(host.own_region().end());
    host.engines.large = Large::new(&mut host.gpu, &mut host.guests, first)?;
    host.gpu.flush_gtt();
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
    let graphics = vgpu.config.low_mib.saturating_add(vgpu.config.high_mib);
    vgpu.ppgtts
        .attach(&mut host.guests, vgpu.domain, tables_for(graphics))?;
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
    let virtual_engine = vgpu.engine(engine);
    let outcome = virtual_engine.list.step(Input::Submit(pair), &mut events);
    match outcome {
        Outcome::Started | Outcome::LiteRestored | Outcome::Waiting => {
            virtual_engine.contract.submissions += 1;
        }
        Outcome::Idle | Outcome::Empty | Outcome::Full => {}
    }
    match outcome {
        Outcome::Started => {
            virtual_engine.change(Change::Started);
            events::deliver(host, vgpu, engine, &events);
            advance(host, vgpu, engine);
            start_next(host, core::slice::from_mut(vgpu), engine);
        }
        Outcome::LiteRestored => {
            let hung = virtual_engine.state() == State::Hung;
            let tail = shadow::reread_tail(host, vgpu, engine, pair[0]);
            events::deliver(host, vgpu, engine, &events);
            if let (Err(refusal), false) = (tail, hung) {
                stop(host, vgpu, engine);
                refuse(host, vgpu, engine, pair[0], refusal);
            }
        }
        Outcome::Waiting | Outcome::Idle => {}
        Outcome::Empty => {
            let now = host.clock.now();
            vgpu.violation(now, format_args!("{engine}: ELSP without element 0"));
        }
        Outcome::Full => {
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
    vgpu.engine(engine).reset();
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
    let executed = match vgpu.engine(engine).state() {
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

/// A guest's CPU wrote to RAM of its own that a page table lies in, or lay in a moment ago; false
/// if there is no RAM. `bytes` do not cross a page.
pub fn table_written<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    address: u64,
    bytes: &[u8],
) -> bool {
    let mut hands = hands(&mut host.gpu, &mut host.guests, vgpu.domain, vgpu.scratch);
    let written = vgpu.ppgtts.write(&mut hands, address, bytes);
    if written {
        vgpu.counters.table_writes += 1;
        if vgpu.counters.table_writes == 1 {
            let now = host.clock.now();
            let text = format_args!("ppgtt: first trapped write to a page table");
            vgpu.report(now, log::Level::Info, text);
        }
    }
    written
}

/// The guest invalidated the TLB of an engine, or a round of service goes on with that. True if
/// there is more to do: until then the register reads 1.
pub fn invalidate<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
) -> bool {
    let mut hands = hands(&mut host.gpu, &mut host.guests, vgpu.domain, vgpu.scratch);
    vgpu.ppgtts
        .invalidate(&mut hands, engine)
        .unwrap_or_else(|trouble| {
            let now = host.clock.now();
            vgpu.warn(now, format_args!("{engine} TLB invalidation: {trouble}"));
            false
        })
}

/// Goes on with TLB invalidations; true if there is more to do.
pub fn background<G: Gpu, H: Guests, C: Clock>(host: &mut Host<G, H, C>, vgpu: &mut Vgpu) -> bool {
    let mut more = false;
    for engine in Engine::ALL {
        more |= vgpu.ppgtts.invalid(engine) && invalidate(host, vgpu, engine);
    }
    more
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

fn hands<'a, G, H>(
    gpu: &'a mut G,
    guests: &'a mut H,
    domain: DomainId,
    scratch: DmaPage,
) -> Hands<'a, G, H> {
    Hands {
        gpu,
        guests,
        domain,
        scratch,
    }
}
