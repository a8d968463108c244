//! [`Machine`] in an HVM guest with Debian's stock kernel: sysfs, /dev/mem, and no driver at all.
//!
//! BARs are mapped through `/sys/bus/pci/devices/0000:00:02.0/resource0` and `resource2`,
//! configuration space is its `config`. Own pages are locked and found through
//! `/proc/self/pagemap`.
//!
//! Interrupts need a vector with a handler, and Debian's kernel is built without VFIO's no-IOMMU
//! mode. But Linux has a vector whose handler does nothing but count: 0xf2, POSTED_INTR_VECTOR
//! (`arch/x86/include/asm/irq_vectors.h`), shown as `PIN:` in /proc/interrupts where KVM is
//! configured (`sysvec_kvm_posted_intr_ipi` in `arch/x86/kernel/irq.c`). So the device's messages
//! are aimed at it: fixed delivery, edge, to the first processor. Every message counts once.

mod bars;
mod memory;
mod sysfs;

use core::time::Duration;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Instant;

use crate::machine::{Bar, Machine, PAGE, Page, Trouble, Width};
use bars::Mapping;
use memory::Arena;

/// Where i915 wants its GPU, and the only place we look.
const DEVICE: &str = "/sys/bus/pci/devices/0000:00:02.0";
/// POSTED_INTR_VECTOR.
const COUNTED_VECTOR: u32 = 0xf2;
/// Its line in /proc/interrupts.
const COUNTER: &str = "PIN:";
/// Pages of the arena: 16 MiB.
const ARENA_PAGES: usize = 4096;

/// The guest we run in.
pub struct Linux {
    config: File,
    registers: Mapping,
    aperture: Mapping,
    arena: Arena,
    message: (u32, u32),
    first_count: u64,
    start: Instant,
}

impl Linux {
    /// Finds and maps the device.
    pub fn open() -> Result<Self, Trouble> {
        let vendor = sysfs::text(&format!("{DEVICE}/vendor"))?;
        let device = sysfs::text(&format!("{DEVICE}/device"))?;
        if (vendor.as_str(), device.as_str()) != ("0x8086", "0x5916") {
            return Err(Trouble(format!(
                "0000:00:02.0 is {vendor}:{device}, not 8086:5916"
            )));
        }
        let path = format!("{DEVICE}/config");
        let config = File::options().read(true).write(true).open(&path);
        let config = config.map_err(|error| Trouble(format!("{path}: {error}")))?;
        // hvmloader leaves decoding on; a kernel that found no driver may have left it off.
        let mut command = [0; 2];
        config
            .read_exact_at(&mut command, 4)
            .map_err(|error| Trouble(error.to_string()))?;
        config
            .write_all_at(&[command[0] | 0x2, command[1]], 4)
            .map_err(|error| Trouble(error.to_string()))?;
        let first = sysfs::first_processor()?;
        Ok(Self {
            config,
            registers: Mapping::of_resource(&format!("{DEVICE}/resource0"))?,
            aperture: Mapping::of_resource(&format!("{DEVICE}/resource2"))?,
            arena: Arena::new(ARENA_PAGES)?,
            message: (0xfee0_0000 | first << 12, COUNTED_VECTOR),
            first_count: counted()?,
            start: Instant::now(),
        })
    }

    /// Mapping of another device's register window, for comparison.
    pub fn other(&self, resource: &str) -> Result<Mapping, Trouble> {
        Mapping::of_resource(resource)
    }

    /// The register window once more, for another thread.
    pub fn registers() -> Result<Mapping, Trouble> {
        Mapping::of_resource(&format!("{DEVICE}/resource0"))
    }

    fn window(&mut self, bar: Bar) -> &mut Mapping {
        match bar {
            Bar::Registers => &mut self.registers,
            Bar::Aperture => &mut self.aperture,
        }
    }
}

/// How often the vector has fired on all processors.
fn counted() -> Result<u64, Trouble> {
    let text = fs::read_to_string("/proc/interrupts");
    let text = text.map_err(|error| Trouble(format!("/proc/interrupts: {error}")))?;
    let line = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(COUNTER));
    let line = line.ok_or_else(|| {
        Trouble(format!(
            "/proc/interrupts has no line {COUNTER}: this kernel has no CONFIG_KVM"
        ))
    })?;
    Ok(line
        .split_whitespace()
        .map_while(|word| word.parse::<u64>().ok())
        .sum())
}

impl Machine for Linux {
    fn load(&mut self, bar: Bar, offset: u64, width: Width) -> u64 {
        self.window(bar).load(offset, width)
    }

    fn store(&mut self, bar: Bar, offset: u64, width: Width, value: u64) {
        self.window(bar).store(offset, width, value);
    }

    fn load_physical(&mut self, address: u64) -> Result<u32, Trouble> {
        let mut page = Mapping::physical(address & !(PAGE - 1), PAGE)?;
        Ok(page.load(address % PAGE, Width::Dword) as u32)
    }

    fn config(&mut self, offset: u64, width: Width) -> u32 {
        let mut bytes = [0; 4];
        let wanted = bytes.get_mut(..width.bytes() as usize);
        match wanted.map(|wanted| self.config.read_exact_at(wanted, offset)) {
            Some(Ok(())) => u32::from_le_bytes(bytes),
            // What a missing device reads as.
            _ => !0,
        }
    }

    fn set_config(&mut self, offset: u64, width: Width, value: u32) {
        let bytes = value.to_le_bytes();
        if let Some(Err(error)) = bytes
            .get(..width.bytes() as usize)
            .map(|part| self.config.write_all_at(part, offset))
        {
            println!("GUEST config write at {offset:#x}: {error}");
        }
    }

    fn free_range(&mut self, size: u64) -> Result<u64, Trouble> {
        sysfs::free_range(size)
    }

    fn ram_address(&mut self, size: u64) -> Result<u64, Trouble> {
        sysfs::ram_address(size)
    }

    fn page(&mut self) -> Result<Page, Trouble> {
        self.arena.page()
    }

    fn frame(&mut self, page: Page) -> Result<u64, Trouble> {
        self.arena.frame(page.index)
    }

    fn read(&self, page: Page, dword: usize) -> u32 {
        self.arena.read(page, dword)
    }

    fn write(&mut self, page: Page, dword: usize, value: u32) {
        self.arena.write(page, dword, value);
    }

    fn store_own(&mut self, page: Page, offset: u64, width: Width, value: u64) {
        self.arena.store(page, offset, width, value);
    }

    fn fill_own(&mut self, page: Page, value: u64) {
        self.arena.fill(page, value);
    }

    fn message(&self) -> (u32, u32) {
        self.message
    }

    fn interrupts(&mut self) -> u64 {
        counted().unwrap_or(self.first_count) - self.first_count
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn rest(&mut self) {
        std::thread::sleep(Duration::from_millis(1));
    }
}
