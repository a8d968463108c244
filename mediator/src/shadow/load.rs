//! Reading a context image that begins to run: once, into our own pages.

use gpu::spec::context::{CONTEXT_CONTROL, Descriptor};
use gpu::{DmaPage, Engine, Gpu, GraphicsAddress, PAGE_SIZE};

use super::batch::Found;
use super::image::parse;
use super::layout::{BATCH_END, END};
use super::memory::{copy_page, read, write};
use super::{Buffer, PAGE, Refusal, Slot, Work};
use crate::scan::{self, Limits, Privilege, What};
use crate::vgpu::Vgpu;
use crate::{Clock, Guests, Host};

pub fn image_address(descriptor: Descriptor) -> GraphicsAddress {
    GraphicsAddress(descriptor.lrca().into())
}

/// The guest's page `number` of a context image.
pub fn image_page(vgpu: &Vgpu, descriptor: Descriptor, number: u64) -> Result<DmaPage, Refusal> {
    let at = GraphicsAddress(u64::from(descriptor.lrca()) + number * PAGE_SIZE);
    let page = vgpu.gtt.translate(at).map(|(_, page)| page);
    page.ok_or(Refusal::Image(image_address(descriptor)))
}

pub fn state_page(vgpu: &Vgpu, descriptor: Descriptor) -> Result<DmaPage, Refusal> {
    image_page(vgpu, descriptor, 1)
}

/// Reads and checks the image of an element that begins to run; the register state stays in the
/// workspace until the same submission is built.
pub fn load<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &Vgpu,
    engine: Engine,
    descriptor: Descriptor,
) -> Result<Work, Refusal> {
    // Without the privilege bit the hardware takes every address for a global one.
    const WANTED: u64 = Descriptor::PPGTT_64 | Descriptor::PRIVILEGE;
    if descriptor.0 & WANTED != WANTED {
        return Err(Refusal::Descriptor(descriptor.0));
    }
    let at = image_address(descriptor);
    let bytes = u64::from(engine.context_pages()) * PAGE_SIZE;
    if !vgpu.slice.contains(at, bytes) {
        return Err(Refusal::Image(at));
    }
    let page = state_page(vgpu, descriptor)?;
    let state = &mut host.engines.workspace.state;
    let Some((lists, rest)) = state.split_at_mut_checked(END + 1) else {
        return Err(Refusal::Image(at));
    };
    read(&host.guests, page.at(0), lists).ok_or(Refusal::Image(at))?;
    let image = parse(engine, lists, &vgpu.slice)?;
    let whole = !image.inhibit && lists.get(END) != Some(&BATCH_END);
    if whole {
        let behind = page.at(lists.len() as u64 * 4);
        read(&host.guests, behind, rest).ok_or(Refusal::Image(at))?;
    }
    let control = state.get(CONTEXT_CONTROL).copied().unwrap_or(0);
    let refused = |what| Refusal::Command {
        buffer: Buffer::Context,
        at: at.0,
        what,
    };

    // What the image holds apart from page 1's first dwords goes into our pages at once.
    let Some(slot) = vgpu.slot(engine) else {
        return Err(Refusal::Image(at));
    };
    if let Some(ours) = slot.context.page(0) {
        let theirs = image_page(vgpu, descriptor, 0)?;
        copy_page(&mut host.guests, theirs, ours).ok_or(Refusal::Image(at))?;
    }
    if whole && !ends_inside(engine, vgpu, &host.engines.workspace.state).map_err(refused)? {
        load_rest(host, vgpu, engine, descriptor, slot)?;
    }
    // Every chunk finds the registers in our page 1.
    let state = &host.engines.workspace.state;
    let state = if whole {
        state.get(..)
    } else {
        state.get(..END + 1)
    };
    if let (Some(page), Some(state)) = (slot.context.page(1), state) {
        let _ = write(&mut host.guests, page.at(0), state);
    }
    let ring = image.ring;
    Ok(Work {
        descriptor,
        ring,
        chunk: 0,
        control,
        image,
        first: true,
    })
}

/// Whether what follows the register lists in page 1 ends there, judged as the commands that it is.
pub fn ends_inside(engine: Engine, vgpu: &Vgpu, state: &[u32]) -> Result<bool, scan::Violation> {
    let limits = Limits::new(&vgpu.slice);
    let mut at = END;
    while let Some(rest) = state.get(at..).filter(|rest| !rest.is_empty()) {
        let (privilege, mut none) = (Privilege::IndirectContext, Found::default());
        match scan::step(engine, privilege, rest, at, &limits, &mut none) {
            Ok(step) if step.ends => return Ok(true),
            Ok(step) => at += step.dwords,
            // It goes on in the next page.
            Err(what) if matches!(what.what, What::Truncated(_)) => return Ok(false),
            Err(what) => return Err(what),
        }
    }
    Ok(false)
}

/// What follows the register lists on RCS: hardware keeps the render pipeline's state there, as
/// commands, so it is judged as commands. (The software GPU's ends in the first page.)
fn load_rest<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &Vgpu,
    engine: Engine,
    descriptor: Descriptor,
    slot: &Slot,
) -> Result<(), Refusal> {
    let at = image_address(descriptor);
    let pages = engine.context_pages() as usize;
    let workspace = &mut host.engines.workspace;
    let state = &workspace.state;
    let Some(rest) = workspace.arena.get_mut(..(pages - 1) * PAGE) else {
        return Ok(());
    };
    for (number, out) in (1..).zip(rest.chunks_mut(PAGE)) {
        if number == 1 {
            // Read already: once.
            out.copy_from_slice(state);
            continue;
        }
        let page = image_page(vgpu, descriptor, number)?;
        read(&host.guests, page.at(0), out).ok_or(Refusal::Image(at))?;
    }
    let Some((_, commands)) = rest.split_at_mut_checked(END) else {
        return Ok(());
    };
    if commands.iter().any(|dword| *dword != 0) {
        let limits = Limits::new(&vgpu.slice);
        let mut none = Found::default();
        scan::scan(
            engine,
            Privilege::IndirectContext,
            commands,
            &limits,
            &mut none,
        )
        .map_err(|what| Refusal::Command {
            buffer: Buffer::Context,
            at: at.0,
            what,
        })?;
    }
    for (number, dwords) in (2..).zip(rest.chunks(PAGE).skip(1)) {
        if let Some(page) = slot.context.page(number) {
            let _ = write(&mut host.guests, page.at(0), dwords);
        }
    }
    Ok(())
}
