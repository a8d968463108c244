//! Configuration space of the virtual device 8086:5916 (Kaby Lake ULT GT2, revision 2).
//!
//! Source: Intel's Kaby Lake datasheet volume 2 (device 2 configuration registers), PCI Local Bus
//! 3.0 (sizing protocol, MSI), and what Linux i915 and hvmloader look at.
//!
//! Registers hold what was written, as the sizing protocol wants; a *window* is where accesses
//! really are routed. A window follows its BAR only to a sensible place: while a guest sizes a
//! BAR, moves it in two halves, or puts it over RAM, the window stays where it was.
//!
//! Not done: power management (left out, so that the driver never suspends the device), INTx
//! (no pin), the option ROM, the bytes behind the I/O BAR (the platform answers all-ones).

mod windows;

pub(crate) use windows::Bar;

use gpu::Gpu;
use windows::Windows;

use crate::partition::Slice;
use crate::{Clock, DomainId, Guests, Host, PageError};

/// Dwords of conventional configuration space.
const DWORDS: usize = 64;

/// 8086:5916.
const ID: u32 = 0x5916_8086;
/// Display controller, not VGA: no arbitration, no legacy ports; revision 2 (graphics C0).
const CLASS: u32 = 0x0380_0002;
const COMMAND: usize = 1;
const BAR0: usize = 0x10 / 4;
const BAR2: usize = 0x18 / 4;
const BAR4: usize = 0x20 / 4;
const SUBSYSTEM: usize = 0x2c / 4;
const CAPABILITIES: usize = 0x34 / 4;
const INTERRUPT: usize = 0x3c / 4;
/// GMCH graphics control: GGMS in bits 7:6, no stolen memory.
const GMCH_CONTROL: usize = 0x50 / 4;
const MSI: usize = 0xac / 4;
const MSI_ADDRESS: usize = 0xb0 / 4;
const MSI_DATA: usize = 0xb4 / 4;

/// COMMAND bit 1: memory decode.
const MEMORY_DECODE: u32 = 1 << 1;
/// COMMAND bit 2: bus master. Messages need it.
const BUS_MASTER: u32 = 1 << 2;
/// STATUS bit 4: there is a capability list.
const CAPABILITY_LIST: u32 = 1 << 20;
/// MSI control bit 0, in the upper half of its dword.
const MSI_ENABLE: u32 = 1 << 16;

/// Memory BAR: 64-bit.
const BAR_64: u32 = 0b100;
/// Memory BAR: prefetchable.
const BAR_PREFETCHABLE: u32 = 0b1000;
/// I/O BAR.
const BAR_IO: u32 = 1;

/// Configuration space of one vGPU.
pub struct PciConfig {
    registers: [u32; DWORDS],
    windows: Windows,
}

impl PciConfig {
    /// After power-on, for a global GTT of `entries`.
    pub fn new(entries: u32) -> Self {
        let mut registers = [0; DWORDS];
        let values = [
            (0, ID),
            (COMMAND, CAPABILITY_LIST),
            (0x08 / 4, CLASS),
            (BAR0, BAR_64),
            (BAR2, BAR_64 | BAR_PREFETCHABLE),
            (BAR4, BAR_IO),
            (SUBSYSTEM, ID),
            (CAPABILITIES, 4 * MSI as u32),
            (GMCH_CONTROL, gtt_size(entries) << 6),
            (MSI, 0x05), // the only capability: one vector, 32-bit address, no mask
        ];
        for (dword, value) in values {
            // PANIC: all constants above are below DWORDS.
            registers[dword] = value;
        }
        Self {
            registers,
            windows: Windows::default(),
        }
    }

    /// The aligned dword at `offset`; all-ones beyond conventional configuration space.
    pub fn read(&self, offset: u16) -> u32 {
        self.registers
            .get(usize::from(offset / 4))
            .copied()
            .unwrap_or(!0)
    }

    /// Writes the bits `lanes` of the aligned dword at `offset`; true if windows may have to move.
    pub fn write(&mut self, offset: u16, lanes: u32, value: u32) -> bool {
        let dword = usize::from(offset / 4);
        let writable = writable(dword) & lanes;
        let Some(register) = self.registers.get_mut(dword) else {
            return false;
        };
        let old = *register;
        *register = old & !writable | value & writable;
        *register != old && (dword == COMMAND || (BAR0..BAR4).contains(&dword))
    }

    /// Moves the windows to where COMMAND and the BARs now say, as far as that is sensible.
    pub fn route<G: Gpu, H: Guests, C: Clock>(
        &mut self,
        domain: DomainId,
        slice: &Slice,
        host: &mut Host<G, H, C>,
    ) -> Result<(), PageError> {
        let wanted = (self.registers[COMMAND] & MEMORY_DECODE != 0)
            .then(|| [self.bar(BAR0), self.bar(BAR2)]);
        self.windows.follow(wanted, domain, slice, host)
    }

    /// Stops all routing, for good.
    pub fn close<G: Gpu, H: Guests, C: Clock>(
        &mut self,
        domain: DomainId,
        slice: &Slice,
        host: &mut Host<G, H, C>,
    ) -> Result<(), PageError> {
        self.windows.follow(None, domain, slice, host)
    }

    /// Which BAR a guest-physical address lies in, the offset there, and the bytes left to its end.
    pub fn locate(&self, address: u64) -> Option<(Bar, u64, u64)> {
        self.windows.locate(address)
    }

    /// Where accesses to a BAR are routed from.
    pub fn window(&self, bar: Bar) -> Option<u64> {
        self.windows.base(bar)
    }

    /// How an interrupt message is sent, if the guest allows it.
    pub fn message(&self) -> Option<(u64, u32)> {
        let enabled = self.registers[MSI] & MSI_ENABLE != 0;
        let master = self.registers[COMMAND] & BUS_MASTER != 0;
        (enabled && master).then(|| {
            (
                self.registers[MSI_ADDRESS].into(),
                self.registers[MSI_DATA] & 0xffff,
            )
        })
    }

    /// Address in a 64-bit memory BAR.
    fn bar(&self, dword: usize) -> u64 {
        let low = self.registers.get(dword).copied().unwrap_or(0) & !0xf;
        let high = self.registers.get(dword + 1).copied().unwrap_or(0);
        u64::from(high) << 32 | u64::from(low)
    }
}

/// Bits of a dword that a guest can change.
const fn writable(dword: usize) -> u32 {
    const BAR0_UPPER: usize = BAR0 + 1;
    const BAR2_UPPER: usize = BAR2 + 1;
    match dword {
        // I/O and memory decode, bus master, INTx disable; nothing in STATUS is ever set
        COMMAND => 0x0407,
        // cache line size
        0x03 => 0x0000_00ff,
        BAR0 => !(Bar::Registers.size() as u32 - 1),
        BAR2 => !(Bar::Aperture.size() as u32 - 1),
        BAR0_UPPER | BAR2_UPPER => !0,
        // 64 bytes
        BAR4 => 0xffc0,
        // line; the pin reads 0: none
        INTERRUPT => 0xff,
        MSI => MSI_ENABLE,
        MSI_ADDRESS => !0b11,
        MSI_DATA => 0xffff,
        _ => 0,
    }
}

/// GGMS for a GTT of `entries`: MiB of entries as a power of two. Rounded up; entries that do not
/// exist are in nobody's slice.
const fn gtt_size(entries: u32) -> u32 {
    match entries {
        0..=0x4_0000 => 1,
        0x4_0001..=0x8_0000 => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests;
