//! MI commands on memory and on the flow of control.

use super::bus::Space;
use super::execute::{Executor, Outcome};
use super::fault::Fault;
use super::streamer::Batch;
use super::time;
use crate::address::GraphicsAddress;
use crate::dma::Dma;
use crate::spec::engine;
use crate::spec::gtt::GttEntry;

/// Header bit that selects the global GTT in most MI commands.
const GLOBAL: u32 = 1 << 22;
/// The same for the second address of MI_COPY_MEM_MEM; elsewhere "store a qword", "compare".
const BIT_21: u32 = 1 << 21;

/// MI_STORE_DATA_IMM.
pub fn store_immediate<D: Dma>(run: &mut Executor<D>) -> Result<Outcome, Fault> {
    run.needs(4)?;
    let header = run.word(0);
    if let Some(space) = run.space(header & GLOBAL != 0) {
        let view = run.view();
        if header & BIT_21 != 0 && run.words.len() >= 5 {
            let (at, value) = (run.address(1, 8), run.qword(3));
            run.uncore.bus.write_u64(&view, space, at, value)?;
        } else {
            let (at, value) = (run.address(1, 4), run.word(3));
            run.uncore.bus.write_u32(&view, space, at, value)?;
        }
    }
    Ok(Outcome::Next)
}

/// MI_STORE_DATA_INDEX: into the engine's status page, or (bit 21, which in an unprivileged batch is
/// taken for set) the context's.
pub fn store_index<D: Dma>(run: &mut Executor<D>) -> Result<Outcome, Fault> {
    run.needs(3)?;
    let offset = u64::from(run.word(1) & 0xffc);
    let page = status_page(run, run.privileged() && run.word(0) & BIT_21 == 0);
    let Some(page) = page else {
        return Ok(Outcome::Next);
    };
    let (view, value) = (run.view(), run.word(2));
    run.uncore
        .bus
        .write_u32(&view, Space::Global, page + offset, value)?;
    Ok(Outcome::Next)
}

/// Where store-index goes: the engine's status page, or page 0 of the context image. None for
/// the engine's from an unprivileged batch.
pub fn status_page<D: Dma>(run: &Executor<D>, global: bool) -> Option<u64> {
    if global {
        let page = run.uncore.file.get(run.engine.base() + engine::HWS_PGA) & 0xffff_f000;
        run.privileged().then_some(u64::from(page))
    } else {
        Some(u64::from(run.running.descriptor.lrca()))
    }
}

/// MI_COPY_MEM_MEM: one dword.
pub fn copy<D: Dma>(run: &mut Executor<D>) -> Result<Outcome, Fault> {
    run.needs(5)?;
    let header = run.word(0);
    let from = run.space(header & GLOBAL != 0);
    let to = run.space(header & BIT_21 != 0);
    if let (Some(from), Some(to)) = (from, to) {
        let view = run.view();
        let value = run.uncore.bus.read_u32(&view, from, run.address(3, 4))?;
        run.uncore
            .bus
            .write_u32(&view, to, run.address(1, 4), value)?;
    }
    Ok(Outcome::Next)
}

/// MI_UPDATE_GTT: entries of the global GTT, privileged only.
pub fn update_gtt<D: Dma>(run: &mut Executor<D>) -> Result<Outcome, Fault> {
    run.needs(4)?;
    if run.privileged()
        && let Some(first) = GraphicsAddress(u64::from(run.word(1))).gtt_index()
    {
        for (index, at) in (first.0..).zip((2..run.words.len().saturating_sub(1)).step_by(2)) {
            let entry = GttEntry(run.qword(at));
            run.uncore.bus.set_entry(crate::GttIndex(index), entry);
        }
        run.uncore.bus.invalidate();
    }
    Ok(Outcome::Next)
}

/// MI_SEMAPHORE_WAIT on memory. Signal mode is polled, too: the result is the same, later.
pub fn semaphore_wait<D: Dma>(run: &mut Executor<D>) -> Result<Outcome, Fault> {
    run.needs(4)?;
    let header = run.word(0);
    let Some(space) = run.space(header & GLOBAL != 0) else {
        return Ok(Outcome::Next);
    };
    let (view, at) = (run.view(), run.address(2, 4));
    let memory = run.uncore.bus.read_u32(&view, space, at)?;
    let inline = run.word(1);
    let signalled = match header >> 12 & 7 {
        0 => memory > inline,
        1 => memory >= inline,
        2 => memory < inline,
        3 => memory <= inline,
        4 => memory == inline,
        5 => memory != inline,
        _ => return Err(Fault::Malformed(header)),
    };
    if signalled {
        run.running.semaphore_reported = false;
        return Ok(Outcome::Next);
    }
    if !core::mem::replace(&mut run.running.semaphore_reported, true) {
        run.uncore
            .raise(run.engine, engine::INTERRUPT_SEMAPHORE_WAIT);
    }
    run.running.arbitration_point = true;
    run.uncore.slice += time::POLL;
    Ok(Outcome::Wait)
}

/// MI_BATCH_BUFFER_START: a call from the ring, a jump inside a batch, a call to the second
/// level (bit 22). A batch in the PPGTT cannot start one in the global GTT.
pub fn start_batch<D: Dma>(run: &mut Executor<D>) -> Result<Outcome, Fault> {
    run.needs(3)?;
    let header = run.word(0);
    const PREDICATED: u32 = 1 << 15;
    if header & PREDICATED != 0 && !super::registers_commands::predicate_result(run) {
        return Ok(Outcome::Next);
    }
    let space = match header & 1 << 8 != 0 || !run.privileged() {
        true => Space::Process,
        false => Space::Global,
    };
    let batch = Batch {
        address: run.address(1, 4),
        space,
        end: None,
    };
    let running = &mut *run.running;
    let in_batch = running.batch().is_some();
    if let Some(prologue) = running.prologue.last_mut() {
        *prologue = batch;
        return Ok(Outcome::Jumped);
    }
    let returns = 4 * run.words.len() as u32;
    let [first, second] = &mut running.batches;
    match (in_batch, second.is_some(), header & GLOBAL != 0) {
        (false, ..) => {
            running.ring.head = (running.ring.head + returns) % running.ring.size();
            *first = Some(batch);
        }
        (true, true, _) => *second = Some(batch),
        (true, false, true) => {
            if let Some(first) = first {
                first.address += u64::from(returns);
            }
            *second = Some(batch);
        }
        (true, false, false) => *first = Some(batch),
    }
    Ok(Outcome::Jumped)
}

/// MI_CONDITIONAL_BATCH_BUFFER_END: ends the batch unless memory is greater than the operand.
pub fn end_batch_if<D: Dma>(run: &mut Executor<D>) -> Result<Outcome, Fault> {
    run.needs(4)?;
    let header = run.word(0);
    let Some(space) = run.space(header & GLOBAL != 0) else {
        return Ok(Outcome::Next);
    };
    const COMPARE: u32 = BIT_21;
    const MASKED: u32 = 1 << 19;
    let (view, at) = (run.view(), run.address(2, 8));
    let value = run.uncore.bus.read_u64(&view, space, at)?;
    let (data, mask) = (value as u32, (value >> 32) as u32);
    let data = if header & MASKED != 0 {
        data & mask
    } else {
        data
    };
    if header & COMPARE != 0 && data <= run.word(1) {
        return Ok(run.running.end_batch());
    }
    Ok(Outcome::Next)
}
