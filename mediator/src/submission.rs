//! From a guest's ELSP write to the GPU, and from the GPU's events back to the guest.

use crate::host::Host;
use crate::services::{Clock, Guests, PageError};
use crate::vgpu::Vgpu;
use alloc::boxed::Box;
use gpu::{Engine, Gpu, Progress};

/// What every engine of the host runs, and our side of its status page.
#[derive(Debug)]
pub struct HostEngines {}

impl HostEngines {
    /// Before [`start`]: nothing set up, nothing runs.
    pub const fn new() -> Self {
        Self {}
    }
}

/// Gives the host's engines their status pages (out of the host's part of the global GTT) and
/// switches execlists and their interrupts on. `Host::new` calls it last.
pub fn start<G: Gpu, H: Guests, C: Clock>(_host: &mut Host<G, H, C>) -> Result<(), PageError> {
    Ok(())
}

/// Sets aside everything this vGPU's submissions will ever need. `Vgpu::new` calls it last; on
/// an error the caller calls [`release`].
pub fn attach<G: Gpu, H: Guests, C: Clock>(
    _host: &mut Host<G, H, C>,
    _vgpu: &mut Vgpu,
) -> Result<(), PageError> {
    Ok(())
}

/// One of the four writes of a guest's ELSP; the fourth acts.
pub fn elsp_written<G: Gpu, H: Guests, C: Clock>(
    _host: &mut Host<G, H, C>,
    _vgpu: &mut Vgpu,
    _engine: Engine,
    _value: u32,
) {
}

/// The guest reset one of its engines (its GDRST bit, after the RESET_CTL handshake).
pub fn reset_engine<G: Gpu, H: Guests, C: Clock>(
    _host: &mut Host<G, H, C>,
    _vgpu: &mut Vgpu,
    _engine: Engine,
) {
}

/// What a guest reads at `offset` from the engine's base, for every register with behaviour
/// `Ring`, `ExeclistStatus` or `ContextStatus`.
pub fn read_ring_register<G: Gpu, H: Guests, C: Clock>(
    _host: &mut Host<G, H, C>,
    _vgpu: &mut Vgpu,
    _engine: Engine,
    _offset: u32,
) -> u32 {
    0
}

/// A guest's write to one of those registers (ELSP is [`elsp_written`]).
pub fn write_ring_register<G: Gpu, H: Guests, C: Clock>(
    _host: &mut Host<G, H, C>,
    _vgpu: &mut Vgpu,
    _engine: Engine,
    _offset: u32,
    _value: u32,
) {
}

/// The guest's g2v message: `message` from `gpu::spec::pvinfo::g2v`, `root` is `pdp[0]`.
pub fn notify<G: Gpu, H: Guests, C: Clock>(
    _host: &mut Host<G, H, C>,
    _vgpu: &mut Vgpu,
    _message: u32,
    _root: u64,
) {
}

/// Gives everything back, with the engines stopped first where this vGPU's work runs.
pub fn release<G: Gpu, H: Guests, C: Clock>(_host: &mut Host<G, H, C>, _vgpu: &mut Vgpu) {}

/// One bounded round: GPU time, its events, completions, the next workloads.
pub fn service<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    _vgpus: &mut [Box<Vgpu>],
) -> Progress {
    host.gpu.run()
}
