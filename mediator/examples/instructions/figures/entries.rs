//! Entries of the global GTT, eight bytes at a time as i915 writes them.

use gpu::spec::registers::{GFX_FLSH_CNTL, GTT_BASE};
use mediator::{Display, GuestFrame, VgpuConfig};

use super::{access, seat, settle};
use crate::common::BAR0;
use crate::driver::{self, Driver, Machine};
use crate::measured;

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
/// From one to the next: never two in a row.
const STEP: u32 = 3;

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
            let index = first + written * STEP % ENTRIES;
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

/// Sizes of a guest whose high graphics memory is filled in one run.
const LARGE: VgpuConfig = VgpuConfig {
    low_mib: 4,
    high_mib: 64,
    fences: 2,
    weight: 1,
    huge_gtt: false,
    display: Display::None,
};

/// All entries of high graphics memory in a row, then a flush. Counted is what traps, and what the
/// mediator does when an access is over; the rest goes to memory.
pub fn bursts() -> impl FnMut(u32) -> u64 {
    let mut machine = driver::machine();
    let domain = machine.guest(1, 1024);
    machine.attach(domain, LARGE).expect("fits");
    machine.boot(domain);
    let driver = Driver::start(&mut machine, domain);
    let (first, count) = machine.vgpu(domain).graphics_memory()[1];
    let mut written = 0;
    move |rounds| {
        for _ in 0..rounds {
            written += 1;
            for index in first.0..first.0 + count {
                let frame = u64::from(index + written) % 16;
                store(&mut machine, &driver, index, frame << 12 | 1);
            }
            access(&mut machine, &driver, GFX_FLSH_CNTL, 4, Some(1));
            settle(&mut machine, &driver);
        }
        (rounds * count).into()
    }
}

/// What the guest's CPU does.
fn store(machine: &mut Machine, driver: &Driver, index: u32, entry: u64) {
    let offset = GTT_BASE + index * 8;
    let frame = GuestFrame((BAR0 + u64::from(offset)) / 4096);
    let guest = machine.domain(driver.domain);
    if guest.opened(frame).is_some() {
        machine.write_gtt(driver.domain, index, entry);
        return;
    }
    guest.under_way = Some(frame);
    access(machine, driver, offset, 8, Some(entry));
    let guest = machine.domain(driver.domain);
    guest.under_way = None;
    if std::mem::take(&mut guest.awaited) {
        measured::access_settled(machine, driver.domain);
    }
}
