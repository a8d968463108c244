//! MI commands on registers.

use super::execute::{Executor, Outcome};
use super::fault::Fault;
use crate::dma::Dma;
use crate::spec::engine;

/// Header bit that selects the global GTT.
const GLOBAL: u32 = 1 << 22;
/// MI_STORE_REGISTER_MEM: only if the predicate holds.
const PREDICATED: u32 = 1 << 21;

/// MI_LOAD_REGISTER_IMM.
pub fn load_immediate<D: Dma>(run: &mut Executor<D>) -> Result<Outcome, Fault> {
    run.needs(3)?;
    for at in (1..run.words.len().saturating_sub(1)).step_by(2) {
        write(run, run.word(at), run.word(at + 1));
    }
    Ok(Outcome::Next)
}

/// MI_LOAD_REGISTER_REG.
pub fn load_register<D: Dma>(run: &mut Executor<D>) -> Result<Outcome, Fault> {
    run.needs(3)?;
    let value = read(run, run.word(1));
    write(run, run.word(2), value);
    Ok(Outcome::Next)
}

/// MI_LOAD_REGISTER_MEM.
pub fn load_from_memory<D: Dma>(run: &mut Executor<D>) -> Result<Outcome, Fault> {
    run.needs(4)?;
    if let Some(space) = run.space(run.word(0) & GLOBAL != 0) {
        let (view, at) = (run.view(), run.address(2, 4));
        let value = run.uncore.bus.read_u32(&view, space, at)?;
        write(run, run.word(1), value);
    }
    Ok(Outcome::Next)
}

/// MI_STORE_REGISTER_MEM.
pub fn store_to_memory<D: Dma>(run: &mut Executor<D>) -> Result<Outcome, Fault> {
    run.needs(4)?;
    let header = run.word(0);
    let held_back = header & PREDICATED != 0 && !predicate_result(run);
    if let Some(space) = run.space(header & GLOBAL != 0)
        && !held_back
    {
        let value = read(run, run.word(1));
        let (view, at) = (run.view(), run.address(2, 4));
        run.uncore.bus.write_u32(&view, space, at, value)?;
    }
    Ok(Outcome::Next)
}

/// MI_PREDICATE: compares SRC0 with SRC1, combines with the earlier result, loads it.
pub fn predicate<D: Dma>(run: &mut Executor<D>) -> Result<Outcome, Fault> {
    let header = run.word(0);
    let [source_0, source_1, data] = [
        engine::PREDICATE_SRC0,
        engine::PREDICATE_SRC1,
        engine::PREDICATE_DATA,
    ]
    .map(|offset| qword(run, offset));
    let compared = match header & 3 {
        0 => true,
        1 => false,
        2 => source_0 == source_1,
        _ => source_0.wrapping_sub(source_1) == data,
    };
    let before = predicate_result(run);
    let combined = match header >> 3 & 3 {
        0 => compared,
        1 => before & compared,
        2 => before | compared,
        _ => before ^ compared,
    };
    let result = match header >> 6 & 3 {
        2 => combined,
        3 => !combined,
        _ => before,
    };
    let offset = run.engine.base() + engine::PREDICATE_RESULT;
    run.uncore.file.set(offset, u32::from(result));
    Ok(Outcome::Next)
}

/// What the last MI_PREDICATE said.
pub fn predicate_result<D: Dma>(run: &Executor<D>) -> bool {
    run.uncore
        .file
        .get(run.engine.base() + engine::PREDICATE_RESULT)
        & 1
        != 0
}

fn qword<D: Dma>(run: &Executor<D>, offset: u32) -> u64 {
    let at = run.engine.base() + offset;
    u64::from(run.uncore.file.get(at + 4)) << 32 | u64::from(run.uncore.file.get(at))
}

/// A register as a command reads it: views of the context it runs in, else what is stored.
fn read<D: Dma>(run: &Executor<D>, operand: u32) -> u32 {
    let inside = (operand & 0x7f_fffc).wrapping_sub(run.engine.base());
    run.running
        .register(inside, || run.uncore.timestamp())
        .unwrap_or_else(|| run.uncore.command_read(operand))
}

fn write<D: Dma>(run: &mut Executor<D>, operand: u32, value: u32) {
    let privileged = run.privileged();
    run.uncore
        .command_write(run.engine, privileged, operand, value);
}
