//! What a loopback guest does: probe, set up the blitter, draw, check every pixel.
//!
//! The sequence is a minimal Gen9 execlists driver (Linux i915 `intel_lrc.c`,
//! `intel_execlists_submission.c`): status page, interrupt masks, one context with a four-level
//! PPGTT, then per rectangle XY_COLOR_BLT, MI_FLUSH_DW breadcrumb, MI_USER_INTERRUPT.
//!
//! ```text
//! guest frame  0 status page   1 PML4  2 PDP  3 PD  4 PT   5-6 context   7 ring   16-31 surface
//! GGTT         partition base + frame * 4 KiB;  PPGTT: surface at 0
//! ```

use gpu::spec::context;
use gpu::spec::engine::{self, Engine, masked};
use gpu::spec::gtt::PpgttEntry;
use gpu::spec::pvinfo;
use gpu::spec::registers::{GT_INTERRUPT_BANKS, GTT_BASE, MASTER_INTERRUPT};
use gpu::{DmaPage, Gpu, PAGE_SIZE};
use log::info;
use mediator::{Access, Clock, DomainId, GuestFrame, Guests, Mediator, Space};

use super::memory::PAGES;

const BAR0: u64 = 0xc000_0000;
const BAR2: u64 = 0xd000_0000;
const MSI_DATA: u32 = 0x4051;

const STATUS: u64 = 0;
const PML4: usize = 1;
const CONTEXT: u64 = 5;
const RING: u64 = 7;
const SURFACE: usize = 16;
const SURFACE_PAGES: usize = 16;
/// Dword of the status page that carries the breadcrumb.
const BREADCRUMB: u64 = 0x40;

/// The surface is 128 x 128 pixels of 4 bytes.
const WIDTH: u32 = 128;

/// How far a guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Still at work, or waiting for its interrupt.
    Running,
    /// Drew and checked all its rectangles.
    Done,
    /// Something was wrong; what.
    Failed(&'static str),
}

/// One loopback guest.
pub struct Guest {
    domain: DomainId,
    pages: [DmaPage; PAGES],
    rectangles: u32,
    drawn: u32,
    ggtt: u32,
    tail: u32,
    messages: u64,
    started: bool,
    outcome: Outcome,
}

/// One rectangle: corners in pixels, colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rectangle {
    left: u32,
    top: u32,
    right: u32,
    bottom: u32,
    colour: u32,
}

impl Guest {
    /// A guest that will draw `rectangles`.
    pub fn new(domain: DomainId, pages: [DmaPage; PAGES], rectangles: u32) -> Self {
        Self {
            domain,
            pages,
            rectangles,
            drawn: 0,
            ggtt: 0,
            tail: 0,
            messages: 0,
            started: false,
            outcome: Outcome::Running,
        }
    }

    /// Its domain number.
    pub fn domain(&self) -> DomainId {
        self.domain
    }

    /// Rectangles drawn and checked so far.
    pub fn drawn(&self) -> u32 {
        self.drawn
    }

    /// How far it is.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// One step; `messages` is how many MSIs the guest has received.
    pub fn step<G: Gpu, H: Guests, C: Clock>(
        &mut self,
        mediator: &mut Mediator<G, H, C>,
        messages: u64,
    ) -> Outcome {
        if self.outcome != Outcome::Running {
            return self.outcome;
        }
        let mut bus = Bus {
            mediator,
            domain: self.domain,
            pages: &self.pages,
        };
        let result = if !self.started {
            self.started = true;
            start(&mut bus).map(|ggtt| {
                self.ggtt = ggtt;
                self.tail = draw(&mut bus, ggtt, self.tail, rectangle(self.domain, 0), 1);
            })
        } else if messages > self.messages {
            self.messages = messages;
            acknowledge(&mut bus);
            let done = bus.memory(STATUS as usize, BREADCRUMB * 4);
            if done != self.drawn + 1 {
                Ok(()) // the context-status interrupt may come before or after the user one
            } else {
                let current = rectangle(self.domain, self.drawn);
                check(&bus, current).map(|()| {
                    self.drawn += 1;
                    if self.drawn == self.rectangles {
                        self.outcome = Outcome::Done;
                    } else {
                        let next = rectangle(self.domain, self.drawn);
                        self.tail = draw(&mut bus, self.ggtt, self.tail, next, self.drawn + 1);
                    }
                })
            }
        } else {
            Ok(())
        };
        if let Err(why) = result {
            self.outcome = Outcome::Failed(why);
        }
        self.outcome
    }
}

/// The guest's view of its machine.
struct Bus<'a, G, H, C> {
    mediator: &'a mut Mediator<G, H, C>,
    domain: DomainId,
    pages: &'a [DmaPage; PAGES],
}

impl<G: Gpu, H: Guests, C: Clock> Bus<'_, G, H, C> {
    fn config_read(&mut self, offset: u16) -> u32 {
        let access = Access {
            space: Space::Config(offset),
            size: 4,
            write: None,
        };
        self.mediator.access(self.domain, access) as u32
    }

    fn config_write(&mut self, offset: u16, value: u32) {
        let access = Access {
            space: Space::Config(offset),
            size: 4,
            write: Some(value.into()),
        };
        self.mediator.access(self.domain, access);
    }

    fn read(&mut self, offset: u32) -> u32 {
        let space = Space::Memory(BAR0 + u64::from(offset));
        self.mediator.access(
            self.domain,
            Access {
                space,
                size: 4,
                write: None,
            },
        ) as u32
    }

    fn write(&mut self, offset: u32, value: u32) {
        let space = Space::Memory(BAR0 + u64::from(offset));
        let access = Access {
            space,
            size: 4,
            write: Some(value.into()),
        };
        self.mediator.access(self.domain, access);
    }

    /// To memory if some is there, as a CPU does; else it traps.
    fn write_gtt(&mut self, index: u32, entry: u64) {
        let address = BAR0 + u64::from(GTT_BASE) + u64::from(index) * 8;
        let frame = GuestFrame(address / PAGE_SIZE);
        let guests = &mut self.mediator.host_mut().guests;
        if let Ok(page) = guests.pin(self.domain, frame) {
            // A write that failed shows up as a wrong picture.
            let _ = guests.write(page.at(address % PAGE_SIZE), &entry.to_le_bytes());
            guests.unpin(self.domain, frame, page);
            return;
        }
        let access = Access {
            space: Space::Memory(address),
            size: 8,
            write: Some(entry),
        };
        self.mediator.access(self.domain, access);
    }

    /// One dword of the guest's own memory; all-ones if the frame is not there.
    fn memory(&self, frame: usize, offset: u64) -> u32 {
        let mut bytes = [0xff; 4];
        if let Some(page) = self.pages.get(frame) {
            // An error leaves the all-ones: the check that follows fails on them.
            let _ = self
                .mediator
                .host()
                .guests
                .read(page.at(offset), &mut bytes);
        }
        u32::from_le_bytes(bytes)
    }

    fn store(&mut self, frame: usize, offset: u64, value: u32) {
        if let Some(page) = self.pages.get(frame) {
            // As above: a store that failed is found by the check of what it was for.
            let _ = self
                .mediator
                .host_mut()
                .guests
                .write(page.at(offset), &value.to_le_bytes());
        }
    }

    fn store_qword(&mut self, frame: usize, offset: u64, value: u64) {
        self.store(frame, offset, value as u32);
        self.store(frame, offset + 4, (value >> 32) as u32);
    }
}

/// Probe and set-up; the GGTT address of guest frame 0.
fn start<G: Gpu, H: Guests, C: Clock>(bus: &mut Bus<'_, G, H, C>) -> Result<u32, &'static str> {
    if bus.config_read(0) != 0x5916_8086 {
        return Err("no 8086:5916 in configuration space");
    }
    // What the time from power-on is measured to.
    info!("{} loopback: first access served", bus.domain);
    bus.config_write(0x10, !0);
    if bus.config_read(0x10) & 0xffff_fff0 != 0xff00_0000 {
        return Err("BAR0 is not 16 MiB");
    }
    for (offset, value) in [(0x10, BAR0), (0x18, BAR2)] {
        bus.config_write(offset, value as u32);
        bus.config_write(offset + 4, (value >> 32) as u32);
    }
    bus.config_write(0xb0, 0xfee0_0000); // MSI address
    bus.config_write(0xb4, MSI_DATA);
    bus.config_write(0xac, 1 << 16); // MSI enable, message control bit 0
    bus.config_write(0x04, 0x6); // memory decode, bus master

    if bus.read(pvinfo::BASE) != pvinfo::MAGIC as u32 {
        return Err("no PVINFO");
    }
    let base = bus.read(pvinfo::BASE + pvinfo::MAPPABLE_BASE);
    let size = bus.read(pvinfo::BASE + pvinfo::MAPPABLE_SIZE);
    if (size as usize) < PAGES * 4096 {
        return Err("mappable partition too small");
    }
    for frame in 0..PAGES as u32 {
        bus.write_gtt(base / 4096 + frame, u64::from(frame) << 12 | 1);
    }
    bus.write(gpu::spec::registers::GFX_FLSH_CNTL, 1);

    // PML4 -> PDP -> PD -> PT -> surface
    for level in 0..3 {
        let next = (PML4 + level + 1) as u64;
        bus.store_qword(PML4 + level, 0, next << 12 | 3);
    }
    for page in 0..SURFACE_PAGES {
        let flags = PpgttEntry::PRESENT | PpgttEntry::WRITABLE;
        let entry = ((SURFACE + page) as u64) << 12 | flags;
        bus.store_qword(PML4 + 3, page as u64 * 8, entry);
    }
    build_context(bus, base);

    let block = Engine::Bcs.base();
    bus.write(block + engine::HWS_PGA, base + STATUS as u32 * 4096);
    bus.write(block + engine::RING_MODE, masked(1 << 15, 1 << 15));
    let events = engine::INTERRUPT_USER | engine::INTERRUPT_CONTEXT_SWITCH;
    // The mask has the engine's bits where its GT bank has them.
    let (bank, shift) = Engine::Bcs.interrupt_slot();
    let (bank, events) = (GT_INTERRUPT_BANKS + bank as u32 * 0x10, events << shift);
    bus.write(block + engine::RING_IMR, !events);
    bus.write(bank + 0x4, !events);
    bus.write(bank + 0xc, events);
    bus.write(MASTER_INTERRUPT, 1 << 31);
    Ok(base)
}

/// Page 1 of the image: pairs of register and value behind MI_LOAD_REGISTER_IMM.
fn build_context<G: Gpu, H: Guests, C: Clock>(bus: &mut Bus<'_, G, H, C>, base: u32) {
    let block = Engine::Bcs.base();
    let control = masked(
        context::RESTORE_INHIBIT | 1 << 3,
        context::RESTORE_INHIBIT | 1 << 3,
    );
    let values = [
        (context::CONTEXT_CONTROL, 0x244, control),
        (context::RING_HEAD, engine::RING_HEAD, 0),
        (context::RING_TAIL, engine::RING_TAIL, 0),
        (
            context::RING_START,
            engine::RING_START,
            base + RING as u32 * 4096,
        ),
        (context::RING_CTL, engine::RING_CTL, 1),
        (0x0d, 0x168, 0),
        (0x0f, 0x140, 0),
        (0x11, 0x110, 0),
        (0x13, 0x11c, 0),
        (0x15, 0x114, 0),
        (0x17, 0x118, 0),
        (context::TIMESTAMP, 0x3a8, 0),
        (0x25, 0x28c, 0),
        (0x27, 0x288, 0),
        (0x29, 0x284, 0),
        (0x2b, 0x280, 0),
        (0x2d, 0x27c, 0),
        (0x2f, 0x278, 0),
        (context::PDP0_UDW, 0x274, 0),
        (context::PDP0_LDW, 0x270, (PML4 as u32) << 12),
    ];
    let page = CONTEXT as usize + 1;
    bus.store(page, 4, 0x1100_1000 | (2 * 11 - 1));
    bus.store(page, 0x21 * 4, 0x1100_1000 | (2 * 9 - 1));
    for (dword, register, value) in values {
        bus.store(page, (dword as u64 - 1) * 4, block + register);
        bus.store(page, dword as u64 * 4, value);
    }
    bus.store(page, 0x34 * 4, 0x0500_0000);
}

/// Puts one rectangle into the ring and submits; the new tail, bytes.
fn draw<G: Gpu, H: Guests, C: Clock>(
    bus: &mut Bus<'_, G, H, C>,
    ggtt: u32,
    tail: u32,
    rectangle: Rectangle,
    breadcrumb: u32,
) -> u32 {
    let commands = [
        // XY_COLOR_BLT, all four bytes of a pixel; 32 bits per pixel, PATCOPY, pitch in bytes
        2 << 29 | 0x50 << 22 | 3 << 20 | 5,
        3 << 24 | 0xf0 << 16 | (WIDTH * 4),
        rectangle.top << 16 | rectangle.left,
        rectangle.bottom << 16 | rectangle.right,
        0,
        0,
        rectangle.colour,
        // MI_FLUSH_DW, post-sync store of an immediate to the global GTT
        0x1300_0002 | 1 << 14,
        (ggtt + STATUS as u32 * 4096 + BREADCRUMB as u32 * 4) | 1 << 2,
        0,
        breadcrumb,
        // MI_USER_INTERRUPT
        0x0100_0000,
    ];
    let mut tail = tail;
    for dword in commands {
        bus.store(RING as usize, u64::from(tail), dword);
        tail = (tail + 4) % 4096;
    }
    bus.store(CONTEXT as usize + 1, context::RING_TAIL as u64 * 4, tail);
    let descriptor = u64::from(ggtt + CONTEXT as u32 * 4096) | 1 << 32 | 1 << 8 | 3 << 3 | 1;
    let elsp = Engine::Bcs.base() + engine::ELSP;
    for value in [0, 0, (descriptor >> 32) as u32, descriptor as u32] {
        bus.write(elsp, value);
    }
    tail
}

/// Master off, identity bits cleared, master on: the order of i915's interrupt handler.
fn acknowledge<G: Gpu, H: Guests, C: Clock>(bus: &mut Bus<'_, G, H, C>) {
    bus.write(MASTER_INTERRUPT, 0);
    let pending = bus.read(GT_INTERRUPT_BANKS + 0x8);
    bus.write(GT_INTERRUPT_BANKS + 0x8, pending);
    bus.write(MASTER_INTERRUPT, 1 << 31);
}

/// Rectangle `number` of a guest: each has other corners and another colour.
fn rectangle(domain: DomainId, number: u32) -> Rectangle {
    let left = number * 7 % 64;
    let top = number * 5 % 64;
    Rectangle {
        left,
        top,
        right: left + 1 + number * 3 % 60,
        bottom: top + 1 + number * 11 % 60,
        colour: 0x0100_0000 * u32::from(domain.0 & 0xff) + 0x0001_0101 * (number & 0xff) + 1,
    }
}

/// Every pixel of the rectangle has its colour, and the pixels around its corners do not.
fn check<G: Gpu, H: Guests, C: Clock>(
    bus: &Bus<'_, G, H, C>,
    rectangle: Rectangle,
) -> Result<(), &'static str> {
    let pixel = |x: u32, y: u32| {
        let byte = (y * WIDTH + x) as usize * 4;
        bus.memory(SURFACE + byte / 4096, (byte % 4096) as u64)
    };
    for y in rectangle.top..rectangle.bottom {
        for x in rectangle.left..rectangle.right {
            if pixel(x, y) != rectangle.colour {
                return Err("a pixel of the rectangle has another colour");
            }
        }
    }
    let outside = [
        (rectangle.right, rectangle.top),
        (rectangle.left, rectangle.bottom),
    ];
    if outside
        .iter()
        .any(|&(x, y)| pixel(x, y) == rectangle.colour)
    {
        return Err("a pixel outside the rectangle was drawn");
    }
    Ok(())
}
