//! The final page tables: an identity map in which nothing is both writable and executable.
//!
//! ```text
//! 0 .. 1 MiB                  nothing: null pointers fault
//! image    text               read, execute
//!          constants          read
//!          data, stacks       read, write; the page under each stack is left out
//! RAM                         read, write
//! local APIC                  read, write, uncached
//! max(4 GiB, top of RAM) ..   windows: address space for pages that a hypervisor puts there
//! ```
//!
//! Nothing is ever unmapped or changed afterwards, so no TLB entry is ever stale.
#![expect(unsafe_code, reason = "writing page tables and CR3")]

mod tables;

use boot::{FIRST_MIB, MemoryMap, PAGE_SIZE};
use spin::{Mutex, Once};
use x86_64::PhysAddr;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::PhysFrame;

use crate::frames::{self, Frame};
use crate::{interrupts, layout};
use tables::{AddressSpace, Tables};

pub use tables::{Access, MapError};

static SPACE: Mutex<Option<AddressSpace>> = Mutex::new(None);
static WINDOW_BASE: Once<Frame> = Once::new();

const GIB: u64 = 1 << 30;

/// Tables in frames of RAM, which are mapped at their own addresses before and after the switch.
struct InRam;

impl Tables for InRam {
    fn allocate(&mut self) -> Option<u64> {
        frames::allocate().map(Frame::address)
    }

    fn read(&self, table: u64, index: usize) -> u64 {
        // SAFETY: `table` came from `allocate` and `index` is below 512: inside that frame, which
        // the page tables alone own.
        unsafe { (table as *const u64).add(index).read_volatile() }
    }

    fn write(&mut self, table: u64, index: usize, entry: u64) {
        // SAFETY: as in `read`; entries only ever go from absent to present.
        unsafe { (table as *mut u64).add(index).write_volatile(entry) };
    }
}

/// Builds the final tables and switches to them. Call once.
pub fn init(memory: &MemoryMap) -> Result<(), MapError> {
    let space = AddressSpace::new(&mut InRam, address_bits()).ok_or(MapError::OutOfFrames)?;
    let map = |range, access| space.map(&mut InRam, range, access);
    map(layout::text(), Access::Code)?;
    map(layout::rodata(), Access::Constants)?;

    let data = layout::data();
    let mut start = data.start;
    let behind = |start| {
        let guards = layout::stacks().map(|stack| stack.guard);
        let behind = guards.filter(move |guard| guard.start >= start);
        behind.min_by_key(|guard| guard.start)
    };
    while let Some(guard) = behind(start) {
        map(start..guard.start, Access::Data)?;
        start = guard.end;
    }
    map(start..data.end, Access::Data)?;

    for range in memory.usable(layout::image()) {
        map(range, Access::Data)?;
    }
    if let Some(registers) = interrupts::local_apic_page() {
        map(registers..registers + PAGE_SIZE, Access::Device)?;
    }

    let root = PhysFrame::containing_address(PhysAddr::new(space.root()));
    // SAFETY: the new tables map the running code, its data and this stack at the addresses they
    // have now; `init` of `interrupts` has put the descriptor tables into the same image.
    unsafe { Cr3::write(root, Cr3Flags::empty()) };
    *SPACE.lock() = Some(space);
    let base = memory.top_of_ram().max(4 * GIB).next_multiple_of(GIB);
    WINDOW_BASE.call_once(|| Frame::containing(base));
    Ok(())
}

/// The first frame above RAM where windows may lie.
pub fn window_base() -> Frame {
    *WINDOW_BASE.get().unwrap_or(&Frame::containing(4 * GIB))
}

/// Maps address space, readable and writable, that a hypervisor has put pages into or will:
/// touching it before is a fault. Mapping it twice is harmless; the image and its guard pages
/// cannot be mapped so.
pub fn map_window(first: Frame, pages: u64) -> Result<(), MapError> {
    let bytes = |frame: u64| frame.checked_mul(PAGE_SIZE);
    let end = first.0.checked_add(pages).and_then(bytes);
    let (Some(start), Some(end)) = (bytes(first.0), end) else {
        return Err(MapError::BadRange {
            start: first.0,
            end: u64::MAX,
        });
    };
    let image = layout::image();
    if start < FIRST_MIB || (start < image.end && image.start < end) {
        return Err(MapError::Conflict { address: start });
    }
    let space = SPACE.lock();
    let space = space.as_ref().ok_or(MapError::OutOfFrames)?;
    space.map(&mut InRam, start..end, Access::Data)
}

/// What may be done at an address, as the tables say.
pub fn access(address: u64) -> Option<Access> {
    SPACE
        .try_lock()
        .and_then(|space| space.as_ref()?.lookup(&InRam, address))
}

/// Physical address bits (CPUID 0x80000008, eax 7:0).
fn address_bits() -> u32 {
    let last = core::arch::x86_64::__cpuid(0x8000_0000).eax;
    if last < 0x8000_0008 {
        return 36;
    }
    core::arch::x86_64::__cpuid(0x8000_0008).eax & 0xff
}
