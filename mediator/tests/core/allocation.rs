#![expect(
    unsafe_code,
    reason = "a global allocator that counts is an unsafe trait"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gpu::spec::engine::{self, Engine};
use gpu::spec::registers::{FENCE, GFX_FLSH_CNTL, GT_INTERRUPT_BANKS, GTT_BASE};
use mediator::Space;

use crate::common::{BAR0, BAR2, SMALL, World};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise about `pointer` and `layout` is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(5)))), 1);
}

#[test]
fn serving_accesses_allocates_nothing() {
    let mut world = World::new(512);
    let guest = world.booted(1, SMALL);
    let [first, high] = world.first(guest);
    // The simulated memory backs a page when it is first written, its pin table at the first pin.
    for frame in 0..256 {
        world.poke(guest, frame * 4096, &[1]);
    }
    world.map(guest, first, 1);
    let work = || {
        let mut seed = 1u64;
        for round in 0..20_000u32 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let value = seed >> 33;
            world.write_gtt(guest, first + round % 512, (value % 300) << 12 | 1);
            world.write_gtt(guest, high + round % 700, value);
            world.read(guest, (value as u32 % 0x20_0000) & !3);
            world.read(guest, 0x7_8000 + round % 0x100 * 4);
            world.write(guest, 0x8_0000 + round % 0x100 * 4, value as u32);
            world.write(guest, GT_INTERRUPT_BANKS + round % 16 * 4, value as u32);
            world.write(guest, Engine::Bcs.base() + engine::HWS_PGA, value as u32);
            world.write(guest, FENCE + round % 80 * 4, value as u32);
            world.write(guest, 0x2b00, 1);
            let odd = Space::Memory(BAR0 + u64::from(GTT_BASE) + value % 8192);
            world.access(guest, odd, (value % 9) as u8, Some(seed));
            let aperture = Space::Memory(BAR2 + value % 0x20_0000);
            world.access(guest, aperture, 8, Some(seed));
            world.access(guest, Space::Memory(seed), 8, None);
            world.config_write(guest, 0x04, 2, if round % 50 == 0 { 0 } else { 6 });
            if round % 100 == 0 {
                world.write(guest, GFX_FLSH_CNTL, 1);
                world.mediator.service();
            }
        }
    };
    assert_eq!(allocations(work), 0);
    let counters = world.vgpu(guest).counters();
    assert!(counters.gtt > 20_000 && counters.violations > 20_000 && counters.aperture > 1000);
}
