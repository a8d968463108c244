//! The service domain's image: bring-up, one line a step, then the event loop.
#![no_std]
#![no_main]

extern crate alloc;

mod backtrace;
mod events;
mod fault;
mod frames;
mod heap;
mod interrupts;
mod layout;
mod loopback;
mod operator;
mod paging;
mod panic;
mod power;
mod runtime;
mod scenario;
mod start;
mod time;
mod wait;
mod wiring;

use arrayvec::ArrayVec;
use log::info;
use power::ExitReason;

/// Wakes a halted processor where no hypervisor does, microseconds.
const TICK: u64 = 1000;

/// Called by boot/pvh.S in long mode: one stack, interrupts off, 4 GiB identity mapped.
#[expect(unsafe_code, reason = "called from assembly by name")]
#[unsafe(no_mangle)]
extern "C" fn kernel_main(start_info: u64) -> ! {
    let xen = wiring::xen::find();
    let console_port = xen.and_then(|xen| xen.open_console());
    let (info, config) = start::boot_info(start_info, xen.is_some());
    if !config.sinks.xen {
        wiring::xen::close_console();
    }
    interrupts::init();
    let (hertz, source) = time::init(xen.map(|xen| xen.leaves()));
    let map = start::memory_map(&info, xen.map(|_| wiring::xen::memory_map as _));
    // Asked for now: between two sets of page tables nothing may be said.
    let shared: ArrayVec<_, 2> = xen
        .iter()
        .flat_map(wiring::xen::Found::shared_pages)
        .collect();
    start::memory(&map, shared.into_iter());
    heap::init().unwrap_or_else(|error| start::refuse(ExitReason::OutOfMemory, error));
    info!("TSC at {} MHz, {source}", hertz / 1_000_000);
    if let Some(scenario) = config.scenario {
        scenario::run(scenario);
    }
    let mut service = wiring::start(xen, console_port, &map, &config);
    if config.scenario == Some(boot::Scenario::Dom0) {
        scenario::dom0::run(service.xen.as_mut(), &map);
    }
    if service.xen.is_none() {
        interrupts::start_tick(TICK);
    }
    events::run(&config, service)
}

/// The entry point; ends by calling `kernel_main`.
mod entry {
    #![expect(unsafe_code, reason = "the loader's entry point is assembly")]
    core::arch::global_asm!(include_str!("../../boot/pvh.S"), options(att_syntax));
}
