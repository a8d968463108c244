//! MI_MATH: the command streamer's arithmetic unit on its sixteen 64-bit registers.
//!
//! Each dword behind the header is one instruction: opcode 31:20, operands 19:10 and 9:0. Flags
//! are stored as all ones or zero. Source: PRM Kaby Lake vol. 2a, MI_MATH.

use super::execute::{Executor, Outcome};
use super::fault::Fault;
use crate::dma::Dma;
use crate::spec::engine;

const SOURCE_A: u32 = 0x20;
const SOURCE_B: u32 = 0x21;
const ACCUMULATOR: u32 = 0x31;
const ZERO_FLAG: u32 = 0x32;
const CARRY_FLAG: u32 = 0x33;

/// The unit's own registers; nothing of them outlives a command.
#[derive(Default)]
struct Unit {
    a: u64,
    b: u64,
    accumulator: u64,
    zero: bool,
    carry: bool,
}

/// Executes all instructions of one MI_MATH.
pub fn execute<D: Dma>(run: &mut Executor<D>) -> Result<Outcome, Fault> {
    let mut unit = Unit::default();
    for at in 1..run.words.len() {
        let instruction = run.word(at);
        let (first, second) = (instruction >> 10 & 0x3ff, instruction & 0x3ff);
        match instruction >> 20 {
            0x000 => {}
            0x080 => unit.load(first, general(run, second)),
            0x480 => unit.load(first, !general(run, second)),
            0x081 => unit.load(first, 0),
            0x481 => unit.load(first, u64::MAX),
            0x180 => store(run, first, unit.result(second)),
            0x580 => store(run, first, !unit.result(second)),
            opcode => {
                if !unit.compute(opcode) {
                    return Err(Fault::Malformed(run.word(0)));
                }
            }
        }
    }
    Ok(Outcome::Next)
}

impl Unit {
    fn load(&mut self, operand: u32, value: u64) {
        match operand {
            SOURCE_A => self.a = value,
            SOURCE_B => self.b = value,
            _ => {}
        }
    }

    fn result(&self, operand: u32) -> u64 {
        let flag = |set: bool| if set { u64::MAX } else { 0 };
        match operand {
            ACCUMULATOR => self.accumulator,
            ZERO_FLAG => flag(self.zero),
            CARRY_FLAG => flag(self.carry),
            _ => 0,
        }
    }

    /// Whether the opcode exists.
    fn compute(&mut self, opcode: u32) -> bool {
        let (result, carry) = match opcode {
            0x100 => self.a.overflowing_add(self.b),
            0x101 => self.a.overflowing_sub(self.b),
            0x102 => (self.a & self.b, false),
            0x103 => (self.a | self.b, false),
            0x104 => (self.a ^ self.b, false),
            _ => return false,
        };
        (self.accumulator, self.carry, self.zero) = (result, carry, result == 0);
        true
    }
}

/// Offset of a general-purpose register.
fn offset<D: Dma>(run: &Executor<D>, operand: u32) -> Option<u32> {
    (operand < 16).then(|| run.engine.base() + engine::GPR + 8 * operand)
}

/// A general-purpose register; zero for other operands.
pub fn general<D: Dma>(run: &Executor<D>, operand: u32) -> u64 {
    offset(run, operand).map_or(0, |at| {
        u64::from(run.uncore.file.get(at + 4)) << 32 | u64::from(run.uncore.file.get(at))
    })
}

/// Writes a general-purpose register.
pub fn store<D: Dma>(run: &mut Executor<D>, operand: u32, value: u64) {
    if let Some(at) = offset(run, operand) {
        run.uncore.file.set(at, value as u32);
        run.uncore.file.set(at + 4, (value >> 32) as u32);
    }
}
