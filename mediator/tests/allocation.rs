//! No allocation on any hot path: every figure of `examples/instructions`, counted once more.
//!
//! The first use counts as well: everything was set aside at attach. The simulated memory backs a
//! page when it is first written; here it has done so before.

#![expect(
    unsafe_code,
    reason = "a global allocator that counts is an unsafe trait"
)]

#[path = "common/mod.rs"]
#[expect(dead_code, reason = "figures use a part of it")]
mod common;
#[path = "story/driver.rs"]
#[expect(dead_code, reason = "figures use a part of it")]
mod driver;
#[path = "../examples/instructions/figures/mod.rs"]
#[expect(dead_code, reason = "goals are for instructions")]
mod figures;
#[path = "../../drivers/gpu/tests/linux/mod.rs"]
#[expect(dead_code, reason = "the driver uses the judge of events alone")]
mod linux;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Of this test's thread; tests run in several.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on unchanged to the system's allocator. The provided methods,
// `realloc` among them, come by `alloc`.
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

/// The calls that figures are made of, with their allocations counted.
mod measured {
    use std::cell::Cell;

    use mediator::{Access, DomainId};

    use crate::driver::Machine;

    thread_local! {
        /// Calls so far, and allocations in them.
        static COUNTS: Cell<[u64; 2]> = const { Cell::new([0; 2]) };
    }

    pub fn access(machine: &mut Machine, domain: DomainId, access: Access) -> u64 {
        counted(|| machine.mediator.access(domain, access))
    }

    pub fn access_settled(machine: &mut Machine, domain: DomainId) {
        counted(|| machine.mediator.access_settled(domain));
    }

    pub fn service(machine: &mut Machine) -> gpu::Progress {
        counted(|| machine.mediator.service())
    }

    pub fn counted<T>(call: impl FnOnce() -> T) -> T {
        let before = crate::ALLOCATIONS.get();
        let result = call();
        let [calls, allocations] = COUNTS.get();
        COUNTS.set([calls + 1, allocations + crate::ALLOCATIONS.get() - before]);
        result
    }

    /// Calls and allocations since it was asked last.
    pub fn take() -> [u64; 2] {
        COUNTS.take()
    }
}

#[test]
fn the_counter_counts_an_allocation_a_growth_and_nothing_else() {
    let mut list = Vec::with_capacity(4);
    measured::counted(|| list.extend([1, 2, 3, 4]));
    assert_eq!(measured::take(), [1, 0]);
    measured::counted(|| list.push(5));
    measured::counted(|| drop(std::hint::black_box(Box::new(5))));
    assert_eq!(measured::take(), [2, 2]);
}

#[test]
fn serving_submitting_auditing_switching_and_completing_allocate_nothing() {
    for figure in figures::ALL {
        let mut run = (figure.prepare)();
        measured::take();
        let units = run(figure.rounds);
        let [calls, allocations] = measured::take();
        let (name, per, rounds) = (figure.name, figure.per, figure.rounds);
        assert!(
            calls > 0 && units >= rounds.into(),
            "{name}: {units} {per}s"
        );
        assert_eq!(allocations, 0, "{name}: in {calls} calls");
    }
}
