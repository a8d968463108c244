//! Entries of the global GTT, eight bytes at a time as i915 writes them.

use gpu::spec::registers::GTT_BASE;

use super::{access, seat, settle};

/// What happens to the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Was absent, leads to a page.
    Mapped,
    /// Leads to another page.
    Replaced,
    /// Becomes absent.
    Cleared,
    /// Is another guest's.
    Foreign,
}

/// Entries that are written in turn: the driver has none of them.
const ENTRIES: u32 = 256;

/// Writes; pins that become free are given back later, and counted only if the guest is so fast
/// that a write has to do it.
pub fn entry_writes(entry: Entry) -> impl FnMut(u32) -> u64 {
    let (mut machine, driver) = seat();
    let [_, high] = machine.first(driver.domain);
    let first = match entry {
        Entry::Foreign => high + 0x1000,
        _ => high,
    };
    let mut written = 0;
    move |rounds| {
        for _ in 0..rounds {
            let index = first + written % ENTRIES;
            // Another frame each time round.
            let frame = u64::from(written % ENTRIES + written / ENTRIES % 8);
            match entry {
                Entry::Mapped => machine.write_gtt(driver.domain, index, 0),
                Entry::Cleared => machine.map(driver.domain, index, frame),
                Entry::Replaced | Entry::Foreign => {}
            }
            if entry != Entry::Replaced {
                settle(&mut machine, &driver);
            }
            let value = match entry {
                Entry::Cleared => 0,
                _ => frame << 12 | 1,
            };
            access(&mut machine, &driver, GTT_BASE + index * 8, 8, Some(value));
            written += 1;
        }
        rounds.into()
    }
}
