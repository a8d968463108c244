//! PIPE_CONTROL and MI_FLUSH_DW: invalidations, and one store when all before is done.
//!
//! The model executes in order and caches nothing but translations, so what remains of a flush is
//! its post-sync store, its notification and TLB invalidation.

use super::bus::Space;
use super::execute::{Executor, Outcome};
use super::fault::Fault;
use super::memory::status_page;
use crate::dma::Dma;

/// Upper half of PIPE_CONTROL's header.
pub const PIPE_CONTROL: u32 = 0x7a00;

/// Engine interrupt bit 4: flush done.
const INTERRUPT_NOTIFY: u32 = 1 << 4;

const TLB_INVALIDATE: u32 = 1 << 18;
const STORE_INDEX: u32 = 1 << 21;
const NOTIFY: u32 = 1 << 8;

/// PIPE_CONTROL: flags in dword 1, address in 2 and 3, data in 4 and 5.
pub fn pipe_control<D: Dma>(run: &mut Executor<D>) -> Result<Outcome, Fault> {
    run.needs(6)?;
    const GLOBAL: u32 = 1 << 24;
    let flags = run.word(1);
    let value = match flags >> 14 & 3 {
        0 => None,
        1 => Some(Value::Qword(run.qword(4))),
        // PS_DEPTH_COUNT: nothing is drawn, nothing is counted.
        2 => Some(Value::Qword(0)),
        _ => Some(Value::Qword(run.uncore.timestamp())),
    };
    let to = Destination {
        address: run.address(2, 8),
        global: flags & GLOBAL != 0,
        index: flags & STORE_INDEX != 0,
    };
    finish(run, flags, value, to)
}

/// MI_FLUSH_DW: flags in the header, address in 1 and 2 (bit 2: global GTT), data behind.
pub fn flush_dword<D: Dma>(run: &mut Executor<D>) -> Result<Outcome, Fault> {
    run.needs(4)?;
    const GLOBAL: u64 = 1 << 2;
    let flags = run.word(0);
    let value = match flags >> 14 & 3 {
        1 if run.words.len() >= 5 => Some(Value::Qword(run.qword(3))),
        1 => Some(Value::Dword(run.word(3))),
        3 => Some(Value::Qword(run.uncore.timestamp())),
        _ => None,
    };
    let to = Destination {
        address: run.address(1, 8),
        global: run.qword(1) & GLOBAL != 0,
        index: flags & STORE_INDEX != 0,
    };
    finish(run, flags, value, to)
}

/// What is stored.
enum Value {
    Dword(u32),
    Qword(u64),
}

/// And where.
struct Destination {
    address: u64,
    global: bool,
    /// The address is an offset in a status page.
    index: bool,
}

fn finish<D: Dma>(
    run: &mut Executor<D>,
    flags: u32,
    value: Option<Value>,
    to: Destination,
) -> Result<Outcome, Fault> {
    if flags & TLB_INVALIDATE != 0 {
        run.uncore.bus.invalidate();
    }
    let place = if to.index {
        let page = status_page(run, to.global);
        page.map(|page| (Space::Global, page + to.address % crate::PAGE_SIZE))
    } else {
        run.space(to.global).map(|space| (space, to.address))
    };
    if let (Some(value), Some((space, at))) = (value, place) {
        let view = run.view();
        match value {
            Value::Dword(value) => run.uncore.bus.write_u32(&view, space, at, value)?,
            Value::Qword(value) => run.uncore.bus.write_u64(&view, space, at, value)?,
        }
    }
    if flags & NOTIFY != 0 {
        run.uncore.raise(run.engine, INTERRUPT_NOTIFY);
    }
    Ok(Outcome::Next)
}
