//! Rows 16 to 20 and 24 of the threat table: each attack on the audit by its number.

mod batches;
mod registers;
mod stores;

use super::*;

const STORE: u32 = 0x1000_0002 | 1 << 22;
const LRI: u32 = 0x1100_0001;
const LRM: u32 = 0x1480_0002;
const SRM: u32 = 0x1200_0002;
const LRR: u32 = 0x1500_0001;
const FLUSH: u32 = 0x1300_0003 | 1 << 14;
const PIPE_CONTROL: u32 = 0x7a00_0004;
const BATCH_START: u32 = 0x1880_0001;
const BATCH_END: u32 = 0x0500_0000;
const PPGTT: u32 = 1 << 8;
const CALL: u32 = 1 << 22;
const NONPRIV: u32 = 0x24d0;

fn ring(engine: Engine, dwords: &[u32]) -> Option<What> {
    verdict(engine, Privilege::Ring, dwords)
}

fn outside(address: u64, bytes: u64) -> Option<What> {
    Some(What::Address { address, bytes })
}
