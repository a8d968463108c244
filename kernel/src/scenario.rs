//! What tests ask to see happen: each fault there is, and the red-zone torture.
#![expect(unsafe_code, reason = "doing what must not be done")]

pub mod dom0;

use alloc::vec::Vec;
use core::arch::naked_asm;
use core::hint::black_box;

use boot::Scenario;
use log::info;

use crate::{interrupts, layout};

/// Vector whose interrupts are counted, for scenarios that want to be interrupted.
pub const VECTOR: u8 = interrupts::TICK;

/// Makes it happen; returns if it is one that can be survived.
pub fn run(scenario: Scenario) {
    info!("scenario {scenario:?}");
    match scenario {
        Scenario::Fault => write(0x70_0000_0000),
        Scenario::Null => write(0),
        // A byte of a constant function's code: W^X must refuse it.
        Scenario::Wx => write(layout::text().start),
        Scenario::Nx => execute(),
        Scenario::Overflow => info!("{}", recurse(0)),
        Scenario::Panic => panic!("asked for by scenario=panic"),
        Scenario::Memory => exhaust(),
        Scenario::SelfTest => self_test(),
        // Wants Xen in service: `dom0::run`, when the bring-up is through.
        Scenario::Dom0 => {}
    }
}

fn write(address: u64) {
    // SAFETY: none: the scenario wants the fault. If it does not come, nothing below matters.
    unsafe { (address as *mut u8).write_volatile(0) };
    info!("wrote to {address:#x} and nothing happened");
}

/// Runs a `ret` that lies among data.
fn execute() {
    static RET: [u8; 1] = [0xc3];
    let mut code = [RET[0]];
    let address = black_box(&mut code).as_ptr();
    // SAFETY: none, as above; the byte is a whole function, should the processor take it.
    let function = unsafe { core::mem::transmute::<*const u8, extern "C" fn()>(address) };
    function();
    info!("ran data at {address:p} and nothing happened");
}

/// Runs off the end of the stack.
#[expect(unconditional_recursion, reason = "that is the scenario")]
fn recurse(depth: u64) -> u64 {
    black_box([depth; 64]);
    recurse(depth + 1) + 1
}

/// Asks for ever more heap.
fn exhaust() {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(alloc::vec![0u8; 1 << 20]));
    }
}

/// Microseconds between ticks; nested in Xen under TCG, one takes a good part of a millisecond.
const PERIOD: u64 = 2000;
/// Probes of each kind, and turns of each.
const PROBES: u64 = 20;
const TURNS: u64 = 200_000;

/// Shows that a tick on the interrupted stack destroys red zones, and that with an interrupt
/// stack neither they nor the xmm registers change.
fn self_test() {
    for own_stack in [false, true] {
        interrupts::set_tick_stack(own_stack);
        interrupts::start_tick(PERIOD);
        let before = interrupts::ticks();
        let corrupted = (0..PROBES).filter(|_| red_zone_probe(TURNS) != 0).count();
        interrupts::stop_tick();
        let ticks = interrupts::ticks() - before;
        info!(
            "red zone, interrupt stack {own_stack}: {ticks} ticks, {corrupted} of {PROBES} probes \
             corrupted"
        );
        assert!(ticks > 0, "the tick never came");
        assert_eq!(
            corrupted == 0,
            own_stack,
            "interrupt stacks do not do what they are for"
        );
    }
}

/// Keeps a pattern in the 128 bytes below RSP and in xmm15 for `turns` turns; returns how many
/// of its 17 words came back changed. A leaf function, as the compiler would emit one; interrupts
/// are open in it alone, because without interrupt stacks nothing else would survive them.
#[unsafe(naked)]
extern "C" fn red_zone_probe(turns: u64) -> u64 {
    naked_asm!(
        "mov rdx, 0x5aa55aa55aa55aa5",
        "movq xmm15, rdx",
        "mov rcx, -16",
        "2: mov [rsp + rcx * 8], rdx",
        "inc rcx",
        "jnz 2b",
        "sti",
        "3: pause",
        "dec rdi",
        "jnz 3b",
        "cli",
        "xor eax, eax",
        "mov rcx, -16",
        "4: cmp [rsp + rcx * 8], rdx",
        "je 5f",
        "inc rax",
        "5: inc rcx",
        "jnz 4b",
        "movq rsi, xmm15",
        "cmp rsi, rdx",
        "je 6f",
        "inc rax",
        "6: ret",
    )
}
