//! From a descriptor to an image that the GPU may run.

use gpu::spec::context::{Descriptor, RING_TAIL};
use gpu::{Engine, Gpu};

use super::batch::{Arena, Failure};
use super::commands::{Chunk, chunk};
use super::image::{Image, Ours, Ring, rebuild};
use super::large::{LargeBatch, go_on};
use super::layout::END;
use super::load::{image_address, load, state_page};
use super::memory::{Memory, read, store_pages, write};
use super::{PAGE, Refusal, Workspace, status_page};
use crate::ppgtt::{Hands, Root, Trouble};
use crate::scan::{BatchStart, Limits, Privilege};
use crate::vgpu::Vgpu;
use crate::{Clock, Guests, Host};

/// The element that runs, as far as its image was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// As the guest submitted it.
    pub descriptor: Descriptor,
    /// Its ring; the head moves when a chunk has run.
    pub ring: Ring,
    /// Bytes of the ring in the chunk that waits or runs.
    pub chunk: u32,
    /// CTX_CONTEXT_CONTROL in the guest's image.
    pub control: u32,
    /// What else its image says.
    pub image: Image,
    /// Nothing of it has run yet: its state is the guest's, not what the GPU saved in ours.
    pub first: bool,
}

/// What came of preparing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// HEAD is TAIL: it is complete.
    Empty,
    /// The GPU may run it.
    Ready,
    /// The page tables, or a large batch, take another round.
    Later,
}

/// Makes the next chunk of the running element executable.
pub fn prepare<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
    descriptor: Descriptor,
) -> Result<Prepared, Refusal> {
    let mut work = match vgpu.engine(engine).work {
        Some(work) => work,
        None => load(host, vgpu, engine, descriptor)?,
    };
    let large = vgpu.slot(engine).and_then(|slot| slot.large);
    vgpu.engine(engine).work = Some(work);
    if work.ring.pending() == 0 {
        return Ok(Prepared::Empty);
    }

    let root = match large {
        Some(large) if !go_on(host, vgpu, engine, &large)? => return Ok(Prepared::Later),
        Some(large) => large.root,
        None => {
            let mut hands = Hands {
                gpu: &mut host.gpu,
                guests: &mut host.guests,
                domain: vgpu.domain,
                scratch: vgpu.scratch,
            };
            match vgpu.ppgtts.resync(&mut hands, work.image.root) {
                Ok(root) => root,
                Err(Trouble::Later) => return Ok(Prepared::Later),
                Err(trouble) => return Err(Refusal::Ppgtt(trouble)),
            }
        }
    };
    let ready = build(host, vgpu, engine, &mut work, root)?;
    vgpu.ppgtts.hold(engine, root);
    vgpu.engine(engine).work = Some(work);
    Ok(if ready {
        Prepared::Ready
    } else {
        Prepared::Later
    })
}

/// Lite restore: takes TAIL, and nothing else, from the guest's image again.
pub fn reread_tail<G: Gpu, H: Guests, C: Clock>(
    host: &Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
    descriptor: Descriptor,
) -> Result<(), Refusal> {
    let page = state_page(vgpu, descriptor)?;
    let virtual_engine = vgpu.engine(engine);
    let Some(work) = &mut virtual_engine.work else {
        return Ok(());
    };
    let mut tail = [0; 1];
    read(&host.guests, page.at(RING_TAIL as u64 * 4), &mut tail)
        .ok_or(Refusal::Image(image_address(descriptor)))?;
    work.descriptor = descriptor;
    work.ring.set_tail(tail[0])
}

/// Fills our ring, arena and page 1 with the next chunk; false if that has to wait for the large
/// arena.
fn build<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
    work: &mut Work,
    root: Root,
) -> Result<bool, Refusal> {
    let status_page = status_page(vgpu, engine);
    let running = vgpu.engines.get_mut(engine.index());
    let Some(slot) = running.and_then(|running| running.slot.as_mut()) else {
        return Ok(false);
    };
    let workspace = &mut host.engines.workspace;
    let memory = Memory {
        guests: &host.guests,
        gtt: &vgpu.gtt,
        ppgtts: &vgpu.ppgtts,
        root,
    };
    let room = slot.arena.bytes() / 4;
    let Some(window) = workspace.arena.get_mut(..room) else {
        return Ok(false);
    };
    slot.copies.clear();
    let mut arena = Arena {
        memory: &memory,
        engine,
        limits: Limits::new(&vgpu.slice),
        address: slot.arena.address(),
        room,
        base: 0,
        window,
        judged: 0,
        copies: &mut slot.copies,
        status_page,
    };

    let image = &work.image;
    let full = |at| {
        move |failure| match failure {
            Failure::Refused(refusal) => refusal,
            Failure::Full | Failure::Later => Refusal::Arena(at),
        }
    };
    let per_context = match image.per_context {
        Some(address) => {
            let start = BatchStart {
                position: 0,
                address,
                global: true,
                level: 0,
            };
            Some(
                arena
                    .copy(start, Privilege::PerContext, PAGE)
                    .map_err(full(address))?,
            )
        }
        None => None,
    };
    let indirect = match image.indirect {
        Some((address, bytes)) => Some((
            arena.copy_lines(address, bytes).map_err(full(address))?,
            bytes,
        )),
        None => None,
    };
    let chunk = match slot.large {
        Some(large) => {
            let address = host.engines.large.address();
            Chunk::of_large(large.command, address, &mut workspace.ring)
        }
        None => chunk(&memory, &work.ring, &mut arena, &mut workspace.ring)?,
    };
    let used = slot.copies.used();
    vgpu.counters.scanned_bytes += (chunk.dwords + used) as u64 * 4;
    if let Some((command, start)) = chunk.large {
        slot.large = Some(LargeBatch {
            command,
            start,
            root,
        });
        return Ok(false);
    }

    // Judged; from here on only our own pages are written.
    let ours = Ours {
        ring: slot.ring.address(),
        ring_size: slot.ring.bytes() as u32,
        tail: chunk.dwords as u32 * 4,
        root: root.page,
        indirect,
        indirect_offset: image.indirect_offset,
        per_context,
        inhibit: work.first && image.inhibit,
    };
    let arena = workspace.arena.get(..used).unwrap_or(&[]);
    store_pages(&mut host.guests, &slot.arena.pages, 0, arena);
    let ring = workspace.ring.get(..chunk.dwords).unwrap_or(&[]);
    store_pages(&mut host.guests, &slot.ring.pages, 0, ring);
    let Workspace { state, image, .. } = workspace;
    if let (Some(page), Some(lists), Some(image)) = (
        slot.context.page(1),
        state.get_mut(..END + 1),
        image.get_mut(..END + 1),
    ) {
        let _ = read(&host.guests, page.at(0), lists);
        rebuild(engine, lists, &ours, image);
        if let (Some(end), Some(behind)) = (image.last_mut(), lists.last())
            && !ours.inhibit
        {
            // What the page has from here on was judged when it was loaded, or saved by the hardware
            // since.
            *end = *behind;
        }
        let _ = write(&mut host.guests, page.at(0), image);
    }
    work.chunk = chunk.consumed;
    slot.root = Some(root);
    Ok(true)
}

impl Work {
    /// The chunk has run.
    pub fn ran(&mut self) {
        self.ring.consume(self.chunk.min(self.ring.pending()));
        self.chunk = 0;
        self.first = false;
    }
}
