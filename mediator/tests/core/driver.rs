//! A minimal blitter driver over the software GPU: sets up one context, draws rectangles.

use gpu::model::Model;
use gpu::ram::Ram;
use gpu::spec::context;
use gpu::spec::engine::{self, Engine, masked};
use gpu::spec::registers::{GFX_FLSH_CNTL, GT_INTERRUPT_BANKS, MASTER_INTERRUPT};
use mediator::DomainId;

use crate::common::{SMALL, World};

pub type Machine = World<Model<Ram>>;

// Guest frames; the entries of low GM map them in this order.
const STATUS: u64 = 0;
const PML4: u64 = 1;
pub const CONTEXT: u64 = 5;
pub const RING: u64 = 7;
const SURFACE: u64 = 16;
pub const FRAMES: u64 = 32;
/// Dword of the status page that takes the breadcrumb.
const BREADCRUMB: u64 = 0x40;
/// Bytes from row to row of the surface.
const PITCH: u32 = 512;

pub fn machine() -> Machine {
    let ram = Ram::new(16384);
    World::with(Model::new(ram.clone(), 512 * 256), ram)
}

pub fn store(world: &mut Machine, id: DomainId, frame: u64, dword: u64, value: u32) {
    world.poke(id, frame * 4096 + dword * 4, &value.to_le_bytes());
}

fn load(world: &mut Machine, id: DomainId, frame: u64, dword: u64) -> u32 {
    let mut bytes = [0; 4];
    world.peek(id, frame * 4096 + dword * 4, &mut bytes);
    u32::from_le_bytes(bytes)
}

/// A guest with its blitter ready: entries, page tables, context image, interrupts.
pub fn driver(world: &mut Machine, id: u16) -> DomainId {
    let id = world.booted(id, SMALL);
    let base = world.first(id)[0];
    for frame in 0..FRAMES {
        world.map(id, base + frame as u32, frame);
    }
    world.write(id, GFX_FLSH_CNTL, 1);
    for level in 0..3 {
        store(
            world,
            id,
            PML4 + level,
            0,
            ((PML4 + level + 1) << 12 | 3) as u32,
        );
    }
    for page in 0..16 {
        store(
            world,
            id,
            PML4 + 3,
            page * 2,
            ((SURFACE + page) << 12 | 3) as u32,
        );
    }
    image(world, id);
    let block = Engine::Bcs.base();
    world.write(id, block + engine::HWS_PGA, base * 4096);
    world.write(id, block + engine::RING_MODE, masked(1 << 15, 1 << 15));
    let events = engine::INTERRUPT_USER | engine::INTERRUPT_CONTEXT_SWITCH;
    world.write(id, block + engine::RING_IMR, !(events << 16));
    world.write(id, GT_INTERRUPT_BANKS + 0x4, !(events << 16));
    world.write(id, GT_INTERRUPT_BANKS + 0xc, events << 16);
    world.enable_master(id);
    id
}

/// The context's registers: pairs of number and value behind MI_LOAD_REGISTER_IMM.
pub fn image(world: &mut Machine, id: DomainId) {
    let ring = (world.first(id)[0] + RING as u32) * 4096;
    let block = Engine::Bcs.base();
    let first = [
        (0x244, masked(0x9, 0x9)),
        (engine::RING_HEAD, 0),
        (engine::RING_TAIL, 0),
        (engine::RING_START, ring),
        (engine::RING_CTL, 1),
        (0x168, 0),
        (0x140, 0),
        (0x110, 0),
        (0x11c, 0),
        (0x114, 0),
        (0x118, 0),
    ];
    let second = [
        (0x3a8, 0),
        (0x28c, 0),
        (0x288, 0),
        (0x284, 0),
        (0x280, 0),
        (0x27c, 0),
        (0x278, 0),
        (0x274, 0),
        (0x270, (PML4 as u32) << 12),
    ];
    let page = CONTEXT + 1;
    store(
        world,
        id,
        page,
        0x01,
        0x1100_1000 | (2 * first.len() as u32 - 1),
    );
    store(
        world,
        id,
        page,
        0x21,
        0x1100_1000 | (2 * second.len() as u32 - 1),
    );
    let places = (0x02..)
        .step_by(2)
        .zip(first)
        .chain((0x22..).step_by(2).zip(second));
    for (dword, (register, value)) in places {
        store(world, id, page, dword, block + register);
        store(world, id, page, dword + 1, value);
    }
    store(world, id, page, 0x34, 0x0500_0000);
}

pub fn descriptor(world: &Machine, id: DomainId) -> u64 {
    let image = (world.first(id)[0] + CONTEXT as u32) * 4096;
    u64::from(image) | 1 << 32 | 1 << 8 | 3 << 3 | 1
}

pub fn submit(world: &mut Machine, id: DomainId, elements: [u64; 2]) {
    for element in [elements[1], elements[0]] {
        let port = Engine::Bcs.base() + engine::ELSP;
        world.write(id, port, (element >> 32) as u32);
        world.write(id, port, element as u32);
    }
}

/// Puts a filled rectangle, a breadcrumb and an interrupt into the ring; the new tail.
pub fn draw(world: &mut Machine, id: DomainId, tail: u64, colour: u32, breadcrumb: u32) -> u64 {
    let status = world.first(id)[0] * 4096;
    let commands = [
        2 << 29 | 0x50 << 22 | 3 << 20 | 5, // XY_COLOR_BLT, 32 bits per pixel
        3 << 24 | 0xf0 << 16 | PITCH,
        3 << 16 | 2,  // top, left
        9 << 16 | 12, // bottom, right
        0,
        0,
        colour,
        0x1300_0002 | 1 << 14, // MI_FLUSH_DW with a store
        (status + BREADCRUMB as u32 * 4) | 1 << 2,
        0,
        breadcrumb,
        0x0100_0000, // MI_USER_INTERRUPT
    ];
    let mut tail = tail;
    for dword in commands {
        store(world, id, RING, tail / 4, dword);
        tail = (tail + 4) % 4096;
    }
    store(
        world,
        id,
        CONTEXT + 1,
        context::RING_TAIL as u64,
        tail as u32,
    );
    tail
}

fn run(world: &mut Machine) {
    for _ in 0..2000 {
        world.clock.advance(20_000);
        if world.mediator.service() == gpu::Progress::Idle {
            return;
        }
    }
}

/// Draws once more and sees it done, pixel by pixel.
pub fn draws(world: &mut Machine, id: DomainId, tail: u64, colour: u32, breadcrumb: u32) -> u64 {
    world.domain(id).messages.clear();
    let tail = draw(world, id, tail, colour, breadcrumb);
    let context = descriptor(world, id);
    submit(world, id, [context, 0]);
    run(world);
    assert_eq!(
        load(world, id, STATUS, BREADCRUMB),
        breadcrumb,
        "the work of {id} is done"
    );
    assert!(!world.domain(id).messages.is_empty(), "{id} was told");
    for (x, y) in [(2, 3), (11, 8), (2, 8)] {
        assert_eq!(load(world, id, SURFACE + y / 8, (y % 8) * 128 + x), colour);
    }
    world.write(id, MASTER_INTERRUPT, 0);
    world.write(id, GT_INTERRUPT_BANKS + 0x8, !0);
    world.enable_master(id);
    tail
}
