//! One trapped access: which space, which window, which register or entry.
//!
//! Any size from 1 to 8 at any address has a defined result, byte by byte: an access is taken
//! apart into pieces that each lie in one dword of configuration or register space, one GTT entry,
//! one 16-byte group of the aperture, or nowhere. Pieces are served in ascending order, so eight
//! bytes of registers are two dwords, low first. A write outside of both windows that arrives at all
//! is one to a write-protected page table: it is carried out on the guest's RAM. Anywhere else reads
//! all-ones and ignores writes.

use gpu::spec::registers::{GTT_BASE, REGISTER_SPACE};
use gpu::{Gpu, GraphicsAddress, GttIndex, PAGE_SIZE};

use crate::pci::Bar;
use crate::vgpu::Vgpu;
use crate::{Clock, Guests, Host, aperture, gtt, registers, submission};

/// Where an access goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Configuration space of the virtual device, byte offset.
    Config(u16),
    /// Guest-physical memory.
    Memory(u64),
}

/// One access of a guest's CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Where.
    pub space: Space,
    /// Bytes, 1 to 8; more count as 8.
    pub size: u8,
    /// What is written, in the low bytes; `None` for a read.
    pub write: Option<u64>,
}

impl Access {
    /// Bytes.
    fn length(&self) -> usize {
        usize::from(self.size.min(8))
    }

    /// What an access that nobody answers returns: all-ones, or 0 for a write.
    pub(crate) fn absent(&self) -> u64 {
        if self.write.is_some() {
            0
        } else {
            low(!0, self.length())
        }
    }
}

/// Serves one access; the value of a read, or 0.
pub fn serve<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    access: Access,
) -> u64 {
    // Nearly every access is one whole register.
    if let Space::Memory(address) = access.space
        && access.size == 4
        && let Some((Bar::Registers, offset, _)) = vgpu.pci.locate(address)
        && offset < REGISTER_SPACE.into()
        && offset % 4 == 0
    {
        let offset = offset as u32;
        return match access.write {
            None => registers::read(host, vgpu, offset).into(),
            Some(value) => {
                registers::write(host, vgpu, offset, !0, value as u32);
                0
            }
        };
    }

    let length = access.length();
    let mut bytes = access.write.unwrap_or(!0).to_le_bytes();
    let mut done = 0;
    let mut outside = false;
    while let Some(rest) = bytes.get_mut(done..length).filter(|rest| !rest.is_empty()) {
        let mut piece = Piece {
            bytes: rest,
            write: access.write.is_some(),
        };
        done += match access.space {
            Space::Config(offset) => piece.config(host, vgpu, offset, done),
            Space::Memory(address) => match address.checked_add(done as u64) {
                Some(address) => piece.memory(host, vgpu, address, &mut outside),
                None => piece.bytes.len(),
            },
        };
    }
    vgpu.counters.outside += u64::from(outside);
    match access.write {
        Some(_) => 0,
        None => low(u64::from_le_bytes(bytes), length),
    }
}

/// What is left of an access: bytes to write, or to fill with what is read.
struct Piece<'a> {
    bytes: &'a mut [u8],
    write: bool,
}

/// All of these tell how many bytes they served, at least one.
impl Piece<'_> {
    fn config<G: Gpu, H: Guests, C: Clock>(
        &mut self,
        host: &mut Host<G, H, C>,
        vgpu: &mut Vgpu,
        offset: u16,
        done: usize,
    ) -> usize {
        vgpu.counters.config += 1;
        let Some(offset) = offset.checked_add(done as u16) else {
            return self.bytes.len();
        };
        let lanes = Lanes::new(offset.into(), 4, self.bytes.len());
        let aligned = offset & !3;
        if !self.write {
            let value = vgpu.pci.read(aligned);
            return self.take(lanes, value.into());
        }
        let (mask, value) = self.give(lanes);
        if vgpu.pci.write(aligned, mask as u32, value as u32) {
            // Before the window they lie in moves away from them.
            gtt::close(host, vgpu);
            if let Err(error) = vgpu.pci.route(vgpu.domain, &vgpu.slice, host) {
                let now = host.clock.now();
                vgpu.warn(
                    now,
                    format_args!("pci: a window stays where it was: {error}"),
                );
            }
        }
        lanes.count
    }

    fn memory<G: Gpu, H: Guests, C: Clock>(
        &mut self,
        host: &mut Host<G, H, C>,
        vgpu: &mut Vgpu,
        address: u64,
        outside: &mut bool,
    ) -> usize {
        match vgpu.pci.locate(address) {
            Some((bar, offset, left)) => {
                let count = self
                    .bytes
                    .len()
                    .min(usize::try_from(left).unwrap_or(usize::MAX));
                let Some(bytes) = self.bytes.get_mut(..count) else {
                    return 1;
                };
                let mut piece = Piece {
                    bytes,
                    write: self.write,
                };
                match bar {
                    Bar::Registers => piece.registers(host, vgpu, offset as u32),
                    Bar::Aperture => piece.aperture(host, vgpu, offset),
                }
            }
            None => {
                // As far as the page: a window begins at one.
                let left = PAGE_SIZE - address % PAGE_SIZE;
                let count = self.bytes.len().min(left as usize);
                let Some(bytes) = self.bytes.get_mut(..count) else {
                    return 1;
                };
                if !self.write || !submission::table_written(host, vgpu, address, bytes) {
                    *outside = true;
                    if !self.write {
                        bytes.fill(0xff);
                    }
                }
                count
            }
        }
    }

    /// BAR0: registers, a reserved hole that reads zero, GTT entries.
    fn registers<G: Gpu, H: Guests, C: Clock>(
        &mut self,
        host: &mut Host<G, H, C>,
        vgpu: &mut Vgpu,
        offset: u32,
    ) -> usize {
        if offset < REGISTER_SPACE {
            let lanes = Lanes::new(offset.into(), 4, self.bytes.len());
            let aligned = offset & !3;
            if !self.write {
                let value = registers::read(host, vgpu, aligned);
                return self.take(lanes, value.into());
            }
            let (mask, value) = self.give(lanes);
            registers::write(host, vgpu, aligned, mask as u32, value as u32);
            lanes.count
        } else if let Some(entry) = offset.checked_sub(GTT_BASE) {
            vgpu.counters.gtt += 1;
            let lanes = Lanes::new(offset.into(), 8, self.bytes.len());
            let index = GttIndex(entry / 8);
            if !self.write {
                let value = gtt::read(host, vgpu, index);
                return self.take(lanes, value);
            }
            let (mask, value) = self.give(lanes);
            gtt::write(host, vgpu, index, mask, value);
            lanes.count
        } else {
            registers::untracked(host, vgpu, offset & !3);
            let lanes = Lanes::new(offset.into(), 8, self.bytes.len());
            if self.write {
                lanes.count
            } else {
                self.take(lanes, 0)
            }
        }
    }

    fn aperture<G: Gpu, H: Guests, C: Clock>(
        &mut self,
        host: &mut Host<G, H, C>,
        vgpu: &mut Vgpu,
        offset: u64,
    ) -> usize {
        vgpu.counters.aperture += 1;
        gtt::close(host, vgpu);
        let count = Lanes::new(offset, aperture::GROUP, self.bytes.len()).count;
        let Some(bytes) = self.bytes.get_mut(..count) else {
            return 1;
        };
        aperture::access(host, vgpu, GraphicsAddress(offset), bytes, self.write);
        count
    }

    /// Fills the first bytes with some lanes of a unit.
    fn take(&mut self, lanes: Lanes, value: u64) -> usize {
        for (byte, from) in self
            .bytes
            .iter_mut()
            .zip((value >> lanes.shift).to_le_bytes())
            .take(lanes.count)
        {
            *byte = from;
        }
        lanes.count
    }

    /// The first bytes as lanes of a unit: which bits, and their values.
    fn give(&self, lanes: Lanes) -> (u64, u64) {
        let mut bytes = [0; 8];
        for (to, byte) in bytes.iter_mut().zip(&*self.bytes).take(lanes.count) {
            *to = *byte;
        }
        (
            low(!0, lanes.count) << lanes.shift,
            u64::from_le_bytes(bytes) << lanes.shift,
        )
    }
}

/// Part of an aligned unit.
#[derive(Clone, Copy)]
struct Lanes {
    /// Bits below it.
    shift: u32,
    /// Its bytes, at least 1 if any are left.
    count: usize,
}

impl Lanes {
    /// What `length` bytes from `offset` cover of the unit (a power of two bytes) they begin in.
    fn new(offset: u64, unit: u64, length: usize) -> Self {
        let inside = offset % unit;
        Self {
            shift: inside as u32 * 8,
            count: length.min((unit - inside) as usize),
        }
    }
}

/// The low `length` bytes.
const fn low(value: u64, length: usize) -> u64 {
    if length >= 8 {
        value
    } else {
        value & ((1 << (8 * length)) - 1)
    }
}
