//! Every page the GPU may reach: who owns it, and the copies in and out.
//!
//! DMA addresses are the service domain's own physical addresses. Two ranges exist: its RAM, of
//! which only frames handed out by `Guests::allocate` have an owner, and the window above RAM
//! where guests' pages are mapped. Everything else, the image and its heap included, belongs to
//! nobody and cannot be named by a DMA address.
//!
//! ```text
//! frame 0 ............ top of RAM ........ window ........ window + slots
//!       owner per frame (mostly nobody)     owner per slot (nobody | guest)
//! ```
#![expect(
    unsafe_code,
    reason = "copies between the image and pages that guests and the GPU share"
)]

use alloc::boxed::Box;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use gpu::{Dma, DmaAddress, DmaFault, DmaPage, Owner, PAGE_SIZE};
use spin::Once;

/// Owner tags of both ranges.
struct Tags {
    ram: Box<[AtomicU32]>,
    window_first: u64,
    window: Box<[AtomicU32]>,
}

static TAGS: Once<Tags> = Once::new();

/// Sets the tag tables up, once: `ram` frames from 0 and `slots` frames from `window_first`, which
/// the paging code has mapped (present or not at the hypervisor's level).
pub fn init(ram: usize, window_first: u64, slots: usize) {
    TAGS.call_once(|| Tags {
        ram: (0..ram).map(|_| AtomicU32::new(0)).collect(),
        window_first,
        window: (0..slots).map(|_| AtomicU32::new(0)).collect(),
    });
}

fn tag(page: DmaPage) -> Option<&'static AtomicU32> {
    let tags = TAGS.get()?;
    let (table, index) = match page.0.checked_sub(tags.window_first) {
        Some(slot) => (&tags.window, slot),
        None => (&tags.ram, page.0),
    };
    table.get(usize::try_from(index).ok()?)
}

/// Says who a page belongs to from now on.
pub fn set_owner(page: DmaPage, owner: Owner) {
    if let Some(tag) = tag(page) {
        tag.store(encode(owner), Ordering::Release);
    }
}

/// Who a page belongs to.
pub fn owner(page: DmaPage) -> Owner {
    tag(page).map_or(Owner::Nobody, |tag| decode(tag.load(Ordering::Acquire)))
}

/// Copies out of a page that has an owner.
pub fn read(address: DmaAddress, data: &mut [u8]) -> Result<(), DmaFault> {
    let source = check(address, data.len())? as *const u8;
    // SAFETY: `check` found the bytes inside one page with an owner; such pages are mapped in the
    // identity map (RAM frames handed out, or window slots that the hypervisor has filled), and
    // no Rust object lives in them. Another domain may write them meanwhile: the copy then holds
    // old or new bytes, and only the copy is used.
    unsafe { ptr::copy_nonoverlapping(source, data.as_mut_ptr(), data.len()) };
    Ok(())
}

/// Copies into a page that has an owner.
pub fn write(address: DmaAddress, data: &[u8]) -> Result<(), DmaFault> {
    let target = check(address, data.len())? as *mut u8;
    if let (Ok(dword), 0) = (<[u8; 4]>::try_from(data), address.0 % 4) {
        // A command header that the GPU may be fetching: one store, never byte by byte.
        // SAFETY: as below, and the address is a multiple of four.
        unsafe {
            target
                .cast::<u32>()
                .write_volatile(u32::from_ne_bytes(dword))
        };
        return Ok(());
    }
    // SAFETY: as in `read`; no reference into such a page exists.
    unsafe { ptr::copy_nonoverlapping(data.as_ptr(), target, data.len()) };
    Ok(())
}

/// The address as a pointer value, if `length` bytes from it lie in one page with an owner.
fn check(address: DmaAddress, length: usize) -> Result<usize, DmaFault> {
    let inside = address.offset() + length as u64 <= PAGE_SIZE;
    if !inside || owner(address.page()) == Owner::Nobody {
        return Err(DmaFault(address));
    }
    usize::try_from(address.0).map_err(|_| DmaFault(address))
}

/// Tag: kind in the upper half, domain in the lower.
fn encode(owner: Owner) -> u32 {
    match owner {
        Owner::Nobody => 0,
        Owner::Host => 1 << 16,
        Owner::HostFor(domain) => 2 << 16 | u32::from(domain),
        Owner::Guest(domain) => 3 << 16 | u32::from(domain),
    }
}

fn decode(tag: u32) -> Owner {
    let domain = tag as u16;
    match tag >> 16 {
        1 => Owner::Host,
        2 => Owner::HostFor(domain),
        3 => Owner::Guest(domain),
        _ => Owner::Nobody,
    }
}

/// The software GPU's way to memory.
#[derive(Debug, Clone, Copy)]
pub struct PhysicalMemory;

impl Dma for PhysicalMemory {
    fn read(&self, address: DmaAddress, data: &mut [u8]) -> Result<(), DmaFault> {
        read(address, data)
    }

    fn write(&mut self, address: DmaAddress, data: &[u8]) -> Result<(), DmaFault> {
        write(address, data)
    }

    fn owner(&self, page: DmaPage) -> Owner {
        owner(page)
    }
}
