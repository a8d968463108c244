//! A memory object: pages that the CPU and the GPU share.
//!
//! Each gets a graphics address of its own when it is made, so that batches can be written before
//! the kernel has seen them ("softpin"). Addresses lie above 4 GiB and 2 MiB apart: every object
//! needs page tables of its own on the lowest level.
#![expect(unsafe_code, reason = "gives the kernel addresses of buffers")]

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use crate::abi::object as abi;
use crate::device::Device;
use crate::system::{self, Mapping, Refusal};

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// The next object's address.
static NEXT: AtomicU64 = AtomicU64::new(0x12_3400_0000);
const APART: u64 = 2 << 20;

/// ETIME: not yet.
const TIMER_EXPIRED: i32 = 62;

/// An object; closed when dropped.
#[derive(Debug)]
pub struct Object {
    device: Device,
    /// The kernel's number for it.
    pub handle: u32,
    /// Bytes, whole pages.
    pub size: u64,
    /// Where it wants to be in the address space of a context.
    pub address: u64,
}

impl Object {
    /// Makes one of zeroed pages.
    pub fn new(device: &Device, size: u64) -> Result<Self, Refusal> {
        let size = size.next_multiple_of(PAGE);
        let mut create = abi::Create {
            size,
            ..Default::default()
        };
        device.call(&abi::CREATE, &mut create)?;
        Ok(Self::with_handle(device, create.handle, size))
    }

    /// Makes one of pages of our own, those from `offset` on, which must outlive it.
    pub fn of_mapping(
        device: &Device,
        pages: &Mapping,
        offset: u64,
        size: u64,
    ) -> Result<Self, Refusal> {
        let mut create = abi::UserPointer {
            user_ptr: pages.address() + offset,
            user_size: size,
            ..Default::default()
        };
        // SAFETY: pages of a mapping, which is accessed volatile only; if it went away before the
        // object, the kernel would revoke the GPU's access.
        unsafe { system::call_with_pointers(device, &abi::USER_POINTER, &mut create) }?;
        Ok(Self::with_handle(device, create.handle, size))
    }

    fn with_handle(device: &Device, handle: u32, size: u64) -> Self {
        let room = size.next_multiple_of(APART) + APART;
        let address = NEXT.fetch_add(room, Ordering::Relaxed);
        Self {
            device: device.clone(),
            handle,
            size,
            address,
        }
    }

    /// Whose it is.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Lets the kernel copy out of it, waiting for who writes it.
    pub fn read(&self, offset: u64, data: &mut [u8]) -> Result<(), Refusal> {
        let mut argument = abi::Pread {
            handle: self.handle,
            offset,
            size: data.len() as u64,
            data_ptr: data.as_mut_ptr().expose_provenance() as u64,
            ..Default::default()
        };
        // SAFETY: the buffer and its length.
        unsafe { system::call_with_pointers(&self.device, &abi::PREAD, &mut argument) }
    }

    /// Lets the kernel copy into it, waiting for who uses it.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<(), Refusal> {
        let mut argument = abi::Pwrite {
            handle: self.handle,
            offset,
            size: data.len() as u64,
            data_ptr: data.as_ptr().expose_provenance() as u64,
            ..Default::default()
        };
        // SAFETY: the buffer and its length; the kernel only reads it.
        unsafe { system::call_with_pointers(&self.device, &abi::PWRITE, &mut argument) }
    }

    /// Writes dwords at its beginning.
    pub fn write_dwords(&self, dwords: &[u32]) -> Result<(), Refusal> {
        let bytes: Vec<u8> = dwords
            .iter()
            .flat_map(|dword| dword.to_le_bytes())
            .collect();
        self.write(0, &bytes)
    }

    /// Reads one dword, waiting for who writes it.
    pub fn dword(&self, offset: u64) -> Result<u32, Refusal> {
        let mut bytes = [0; 4];
        self.read(offset, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// All of it.
    pub fn contents(&self) -> Result<Vec<u8>, Refusal> {
        let mut bytes = vec![0; self.size as usize];
        self.read(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Maps it: I915_MMAP_OFFSET_*.
    pub fn map(&self, kind: u64) -> Result<Mapping, Refusal> {
        let mut argument = abi::MapOffset {
            handle: self.handle,
            flags: kind,
            ..Default::default()
        };
        self.device.call(&abi::MAP_OFFSET, &mut argument)?;
        Mapping::of_file(self.device.file(), argument.offset, self.size as usize)
    }

    /// Maps it as programs did before there were kinds: I915_MMAP_*.
    pub fn map_at_once(&self, flags: u64) -> Result<Mapping, Refusal> {
        let mut argument = abi::Map {
            handle: self.handle,
            size: self.size,
            flags,
            ..Default::default()
        };
        self.device.call(&abi::MAP, &mut argument)?;
        // SAFETY: the kernel mapped all of the object there, for this call.
        Ok(unsafe { Mapping::adopt(argument.addr_ptr, self.size as usize) })
    }

    /// Says who looks at it next; waits for who has it now.
    pub fn set_domain(&self, read: u32, write: u32) -> Result<(), Refusal> {
        let mut argument = abi::SetDomain {
            handle: self.handle,
            read_domains: read,
            write_domain: write,
        };
        self.device.call(&abi::SET_DOMAIN, &mut argument)
    }

    /// Whether the GPU's accesses look into the CPU's caches.
    pub fn set_caching(&self, caching: u32) -> Result<(), Refusal> {
        let mut argument = abi::SetCaching {
            handle: self.handle,
            caching,
        };
        self.device.call(&abi::SET_CACHING, &mut argument)
    }

    /// Makes mappings through the aperture show it linear while it lies tiled. The swizzling that
    /// the kernel says memory has on top.
    pub fn set_tiling(&self, tiling: u32, stride: u32) -> Result<u32, Refusal> {
        let mut argument = abi::SetTiling {
            handle: self.handle,
            tiling_mode: tiling,
            stride,
            ..Default::default()
        };
        self.device.call(&abi::SET_TILING, &mut argument)?;
        Ok(argument.swizzle_mode)
    }

    /// Classes of engines that use it: bit 16 + class read it, bits 15:0 the writer's class + 1.
    pub fn busy(&self) -> Result<u32, Refusal> {
        let mut argument = abi::Busy {
            handle: self.handle,
            ..Default::default()
        };
        self.device.call(&abi::BUSY, &mut argument)?;
        Ok(argument.busy)
    }

    /// Whether nobody uses it any more, at the latest after `patience`.
    pub fn idle_within(&self, patience: Duration) -> Result<bool, Refusal> {
        let mut argument = abi::Wait {
            bo_handle: self.handle,
            timeout_ns: patience.as_nanos() as i64,
            ..Default::default()
        };
        match self.device.call(&abi::WAIT, &mut argument) {
            Ok(()) => Ok(true),
            Err(refusal) if refusal.error == TIMER_EXPIRED => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let mut argument = abi::Close {
            handle: self.handle,
            ..Default::default()
        };
        // An object that is not ours to close would have failed all along.
        let _ = self.device.call(&abi::CLOSE, &mut argument);
    }
}
