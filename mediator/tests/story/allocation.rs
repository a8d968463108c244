//! Submitting and completing allocate nothing.
#![expect(
    unsafe_code,
    reason = "a global allocator that counts is an unsafe trait"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gpu::Engine;

use crate::driver::{BATCH_END, Driver, back_memory, batch, machine, serve, settle, store};

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

#[test]
fn a_submission_a_lite_restore_and_their_completions_allocate_nothing() {
    let mut machine = machine();
    machine.mediator.host_mut().gpu.set_quantum(200);
    let mut driver = Driver::new(&mut machine, 1);
    let mut contexts = [Engine::Rcs, Engine::Bcs]
        .map(|engine| [(); 2].map(|()| driver.context(&mut machine, engine, 2)));
    let frame = driver.frames(2);
    let at = driver.map(&mut machine, frame, 2);
    let commands = [&store(false, at + 4096, 7)[..], &[BATCH_END]].concat();
    driver.store(&mut machine, frame * 4096, &commands);
    back_memory(&mut machine);
    let mut counted = 0;
    for _ in 0..40 {
        for pair in &mut contexts {
            let engine = pair[0].engine;
            for context in pair.iter_mut() {
                driver.request(&mut machine, context, &batch(false, at));
            }
            let [first, second] = pair.each_ref().map(|context| context.descriptor());
            // The driver's own bookkeeping may allocate; what it calls may not.
            let before = ALLOCATIONS.get();
            driver.port(&mut machine, engine, first, second);
            driver.port(&mut machine, engine, first, second);
            while serve(&mut machine) == gpu::Progress::Busy {}
            counted += ALLOCATIONS.get() - before;
        }
    }
    settle(&mut machine);
    assert_eq!(counted, 0);
    let counters = machine.vgpu(driver.domain).counters();
    assert_eq!((counters.submissions, counters.refused), (160, 0));
    assert_eq!(counters.completions, 160, "each pair once");
    assert!(ALLOCATIONS.get() > 100, "the counter counts");
}
