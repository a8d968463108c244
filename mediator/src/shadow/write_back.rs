//! What the guest finds in its context image when an element is complete.
//!
//! The image is written before the status event, as hardware saves a context before it reports
//! it. Pages that the guest unmapped meanwhile get nothing.

use gpu::spec::context::RESTORE_INHIBIT;
use gpu::{Engine, Gpu, PAGE_SIZE};

use super::image::{RUN, hide, singles};
use super::layout::{BATCH_END, END};
use super::load::{ends_inside, image_page};
use super::memory::{copy_page, read, write};
use crate::vgpu::Vgpu;
use crate::{Clock, Guests, Host};

/// Copies the state that the GPU saved back to the guest's image.
pub fn write_back<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    engine: Engine,
) {
    let Some(work) = vgpu.engine(engine).work else {
        return;
    };
    // Its ring was empty: the GPU saved nothing, and our pages hold what another context left there.
    if work.first {
        return;
    }
    let Some(slot) = vgpu.slot(engine) else {
        return;
    };
    let page = |number| image_page(vgpu, work.descriptor, number).ok();
    if let (Some(theirs), Some(ours)) = (page(0), slot.context.page(0)) {
        let _ = copy_page(&mut host.guests, ours, theirs);
    }
    let (Some(theirs), Some(ours)) = (page(1), slot.context.page(1)) else {
        return;
    };
    let saved = &mut host.engines.workspace.state;
    let Some((lists, rest)) = saved.split_at_mut_checked(END + 1) else {
        return;
    };
    if read(&host.guests, ours.at(0), lists).is_none() {
        return;
    }
    for (at, value) in singles(&work.ring, work.control, lists) {
        let _ = host
            .guests
            .write(theirs.at(at as u64 * 4), &value.to_le_bytes());
    }
    hide(engine, lists);
    if let Some(run) = lists.get(RUN..) {
        let _ = write(&mut host.guests, theirs.at(RUN as u64 * 4), run);
    }
    // Beyond the end of the list there is nothing, unless the hardware went on there.
    let mut whole = engine == Engine::Rcs && lists.get(END) != Some(&BATCH_END);
    if whole {
        let behind = lists.len() as u64 * 4;
        if read(&host.guests, ours.at(behind), rest).is_some() {
            let _ = write(&mut host.guests, theirs.at(behind), rest);
            whole = !ends_inside(engine, vgpu, saved).unwrap_or(false);
        }
    }
    if whole {
        for number in 2..u64::from(engine.context_pages()) {
            let theirs = image_page(vgpu, work.descriptor, number).ok();
            if let (Some(theirs), Some(ours)) = (theirs, slot.context.page(number as usize)) {
                let _ = copy_page(&mut host.guests, ours, theirs);
            }
        }
    }
    // A second run of the same element finds it so, too.
    if let Some(work) = &mut vgpu.engine(engine).work {
        work.control &= !RESTORE_INHIBIT;
    }
    const { assert!(END < PAGE_SIZE as usize / 4) };
}
