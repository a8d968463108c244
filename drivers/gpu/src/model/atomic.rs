//! MI_ATOMIC: read, change and write back one dword or qword of memory.
//!
//! Header: bit 22 global GTT, 20:19 size (0 dword, 1 qword), 18 operands inline (else in
//! general-purpose registers 0 and 1), 16 return the old value in register 0, 15:8 operation.
//! The size bits win over the size that an operation's number implies (bit 5). Inline operands
//! come as dwords 3 (operand 1) and 4 (operand 2), their upper halves in 5 and 6. Source: PRM
//! Kaby Lake vol. 2a, MI_ATOMIC and "atomic operation" table.
//!
//! Not done: 16-byte compare-and-write.

use super::execute::{Executor, Outcome};
use super::fault::Fault;
use super::math;
use crate::dma::Dma;

/// Executes one MI_ATOMIC.
pub fn execute<D: Dma>(run: &mut Executor<D>) -> Result<Outcome, Fault> {
    run.needs(3)?;
    let header = run.word(0);
    let Some(space) = run.space(header & 1 << 22 != 0) else {
        return Ok(Outcome::Next);
    };
    let (wide, inline) = (header >> 19 & 3 == 1, header & 1 << 18 != 0);
    let [first, second] = if inline {
        run.needs(5)?;
        [3, 4].map(|at| u64::from(run.word(at + 2)) << 32 | u64::from(run.word(at)))
    } else {
        [0, 1].map(|register| math::general(run, register))
    };
    let view = run.view();
    let at = run.address(1, if wide { 8 } else { 4 });
    let old = if wide {
        run.uncore.bus.read_u64(&view, space, at)?
    } else {
        u64::from(run.uncore.bus.read_u32(&view, space, at)?)
    };
    let bits = if wide { 64 } else { 32 };
    let new =
        operate(header >> 8 & 0x1f, bits, old, first, second).ok_or(Fault::Malformed(header))?;
    if wide {
        run.uncore.bus.write_u64(&view, space, at, new)?;
    } else {
        run.uncore.bus.write_u32(&view, space, at, new as u32)?;
    }
    if header & 1 << 16 != 0 {
        math::store(run, 0, old);
    }
    Ok(Outcome::Next)
}

/// The value to write back; none for an operation that does not exist.
fn operate(operation: u32, bits: u32, old: u64, first: u64, second: u64) -> Option<u64> {
    let narrow = |value: u64| {
        if bits == 32 {
            value & 0xffff_ffff
        } else {
            value
        }
    };
    let signed = |value: u64| ((value << (64 - bits)) as i64) >> (64 - bits);
    let (first, second) = (narrow(first), narrow(second));
    Some(narrow(match operation {
        0x1 => old & first,
        0x2 => old | first,
        0x3 => old ^ first,
        0x4 => first,
        0x5 => old.wrapping_add(1),
        0x6 | 0xf => old.wrapping_sub(1),
        0x7 => old.wrapping_add(first),
        0x8 => old.wrapping_sub(first),
        0x9 => first.wrapping_sub(old),
        0xa => signed(old).max(signed(first)) as u64,
        0xb => signed(old).min(signed(first)) as u64,
        0xc => old.max(first),
        0xd => old.min(first),
        0xe => {
            if old == first {
                second
            } else {
                old
            }
        }
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dword_operations_stay_within_a_dword() {
        assert_eq!(operate(0x5, 32, 0xffff_ffff, 0, 0), Some(0));
        assert_eq!(operate(0x8, 32, 0, 1, 0), Some(0xffff_ffff));
        assert_eq!(operate(0x5, 64, 0xffff_ffff, 0, 0), Some(1 << 32));
    }

    #[test]
    fn minimum_and_maximum_know_the_sign_of_their_size() {
        assert_eq!(operate(0xa, 32, 0xffff_ffff, 1, 0), Some(1));
        assert_eq!(operate(0xb, 32, 0xffff_ffff, 1, 0), Some(0xffff_ffff));
        assert_eq!(operate(0xc, 32, 0xffff_ffff, 1, 0), Some(0xffff_ffff));
        assert_eq!(operate(0xa, 64, 0xffff_ffff, 1, 0), Some(0xffff_ffff));
    }

    #[test]
    fn compare_and_write_writes_only_what_it_expects() {
        assert_eq!(operate(0xe, 32, 5, 5, 9), Some(9));
        assert_eq!(operate(0xe, 32, 6, 5, 9), Some(6));
        assert_eq!(operate(0x1f, 32, 0, 0, 0), None);
    }
}
