//! The end of a panic: what happened, where, what was said before; then out.
#![expect(
    unsafe_code,
    reason = "reading rsp, and the control registers for the report"
)]

use core::arch::asm;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use console::emergency;
use x86_64::registers::control::{Cr0, Cr2, Cr3, Cr4};
use x86_64::registers::rflags;

use crate::power::{self, ExitReason};
use crate::{backtrace, heap};

/// Console lines repeated at the end of a report.
const RECENT: usize = 12;

/// Set by the first report: a second one, from inside the first, stops at once.
static REPORTING: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    x86_64::instructions::interrupts::disable();
    let reason = if is_allocation_failure(info) {
        ExitReason::OutOfMemory
    } else {
        ExitReason::Panic
    };
    if begin_report() {
        match info.location() {
            Some(place) => emergency(format_args!("\nPANIC at {place}: {}\n", info.message())),
            None => emergency(format_args!("\nPANIC: {}\n", info.message())),
        }
        print_heap();
        print_control_registers();
        backtrace::print(0, stack_pointer());
        print_recent();
    } else {
        emergency(format_args!(
            "\nPANIC inside a report: {}\n",
            info.message()
        ));
    }
    power::exit(reason)
}

/// Claims the right to report; false for whoever comes second.
pub fn begin_report() -> bool {
    !REPORTING.swap(true, Ordering::Relaxed)
}

/// Prints what the heap looks like; after a failed allocation this is the report's core.
pub fn print_heap() {
    match heap::statistics() {
        Some(statistics) => emergency(format_args!("heap: {statistics}\n")),
        None => emergency(format_args!("heap: being changed at this moment\n")),
    }
}

/// Prints the registers that say which mode the processor is in.
pub fn print_control_registers() {
    let (table, _) = Cr3::read();
    emergency(format_args!(
        "  cr0 {:016x}  cr2 {:016x}  cr3 {:016x}\n  cr4 {:016x}  rfl {:016x}  rsp {:016x}\n",
        Cr0::read_raw(),
        Cr2::read_raw(),
        table.start_address().as_u64(),
        Cr4::read_raw(),
        rflags::read_raw(),
        stack_pointer(),
    ));
}

/// Repeats the last console lines, for whoever sees only the end.
pub fn print_recent() {
    emergency(format_args!("last lines:\n"));
    console::emergency_recent(RECENT);
}

fn stack_pointer() -> u64 {
    let rsp: u64;
    // SAFETY: only reads the register.
    unsafe { asm!("mov {}, rsp", out(reg) rsp, options(nomem, nostack, preserves_flags)) };
    rsp
}

/// Stable Rust has no hook for it: `alloc` panics with a message of this form.
fn is_allocation_failure(info: &PanicInfo<'_>) -> bool {
    let mut prefix = Prefix {
        expected: "memory allocation of ",
        matches: true,
    };
    let _ = write!(prefix, "{}", info.message());
    prefix.matches && prefix.expected.is_empty()
}

/// Compares what is written with the start of a text.
struct Prefix {
    expected: &'static str,
    matches: bool,
}

impl Write for Prefix {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let length = self.expected.len().min(text.len());
        let (expected, rest) = self.expected.split_at(length);
        self.matches &= text.as_bytes().starts_with(expected.as_bytes());
        self.expected = rest;
        Ok(())
    }
}
