//! The audit's tests: what drivers submit passes, what attackers submit does not, anything ends.

mod attacks;
mod laws;
mod sequences;

use super::*;
use gpu::spec::engine::Engine;

/// A slice of 2 MiB at 1 MiB, and 4 MiB at 512 MiB.
pub(super) const LIMITS: Limits = Limits {
    global: [
        Region {
            first: 0x100,
            count: 0x200,
        },
        Region {
            first: 0x2_0000,
            count: 0x400,
        },
    ],
    level: 0,
};

/// First byte of the slice.
pub(super) const LOW: u32 = 0x10_0000;
/// One past its first part.
pub(super) const LOW_END: u32 = 0x30_0000;
/// First byte of its second part.
pub(super) const HIGH: u32 = 0x2000_0000;

/// Everything that a scan reports.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub batches: Vec<BatchStart>,
    pub stores: Vec<StatusStore>,
    pub bits: Vec<(usize, Bits)>,
    pub end: Option<usize>,
    pub most: usize,
}

impl Sink for Found {
    fn batch(&mut self, start: BatchStart) -> bool {
        self.batches.push(start);
        self.batches.len() <= self.most
    }

    fn status_store(&mut self, store: StatusStore) -> bool {
        self.stores.push(store);
        true
    }

    fn set_bits(&mut self, position: usize, bits: Bits) -> bool {
        self.bits.push((position, bits));
        true
    }

    fn end(&mut self, position: usize) {
        assert_eq!(self.end.replace(position), None);
    }
}

/// Scans with room for 16 batches.
pub(super) fn found(
    engine: Engine,
    privilege: Privilege,
    dwords: &[u32],
) -> (Result<(), Violation>, Found) {
    let mut found = Found {
        most: 16,
        ..Found::default()
    };
    let limits = LIMITS.at_level(match privilege {
        Privilege::Privileged | Privilege::Unprivileged => 1,
        _ => 0,
    });
    let result = scan(engine, privilege, dwords, &limits, &mut found);
    (result, found)
}

/// Just the verdict.
pub(super) fn verdict(engine: Engine, privilege: Privilege, dwords: &[u32]) -> Option<What> {
    found(engine, privilege, dwords)
        .0
        .err()
        .map(|violation| violation.what)
}

#[test]
fn a_violation_names_the_command_the_place_and_the_reason() {
    let dwords = [0, 0x1000_0002 | 1 << 22, 0xdead_0000, 0, 1];
    let (result, _) = found(Engine::Bcs, Privilege::Ring, &dwords);
    assert_eq!(
        result.unwrap_err().to_string(),
        "MI_STORE_DATA_IMM (0x10400002) at dword 0x1: 4 bytes at global GTT 0xdead0000 are not the \
         guest's"
    );
    let (result, _) = found(Engine::Bcs, Privilege::Ring, &[0x7a00_0004]);
    assert_eq!(
        result.unwrap_err().to_string(),
        "command (0x7a000004) at dword 0x0: unknown to bcs"
    );
}
