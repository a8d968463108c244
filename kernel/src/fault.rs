//! The report of a processor exception, decoded for the person at the console.
//!
//! Vectors and error codes: Intel SDM volume 3A, chapter 6; page-fault error code: 6.15.

use core::fmt;

use console::emergency;
use x86_64::registers::control::Cr2;

use crate::interrupts::Frame;
use crate::power::{self, ExitReason};
use crate::{backtrace, layout, paging, panic};

const PAGE_FAULT: u64 = 14;
const DOUBLE_FAULT: u64 = 8;

const NAMES: [&str; 32] = [
    "divide error (#DE)",
    "debug (#DB)",
    "non-maskable interrupt",
    "breakpoint (#BP)",
    "overflow (#OF)",
    "bound range exceeded (#BR)",
    "invalid opcode (#UD)",
    "device not available (#NM)",
    "double fault (#DF)",
    "coprocessor segment overrun",
    "invalid TSS (#TS)",
    "segment not present (#NP)",
    "stack-segment fault (#SS)",
    "general protection (#GP)",
    "page fault (#PF)",
    "reserved",
    "x87 floating-point error (#MF)",
    "alignment check (#AC)",
    "machine check (#MC)",
    "SIMD floating-point error (#XM)",
    "virtualization exception (#VE)",
    "control protection (#CP)",
    "reserved",
    "reserved",
    "reserved",
    "reserved",
    "reserved",
    "reserved",
    "hypervisor injection (#HV)",
    "VMM communication (#VC)",
    "security exception (#SX)",
    "reserved",
];

/// Reports the exception and leaves.
pub fn report(frame: &Frame) -> ! {
    let cr2 = Cr2::read_raw();
    let name = NAMES.get(frame.vector as usize).unwrap_or(&"interrupt");
    if !panic::begin_report() {
        emergency(format_args!(
            "\nFAULT inside a report: {name} at {:#x}\n",
            frame.rip
        ));
        power::exit(ExitReason::Fault);
    }
    emergency(format_args!(
        "\nFAULT {name}, vector {}, error code {:#x}, at {:#x}\n",
        frame.vector, frame.error, frame.rip
    ));
    if frame.vector == PAGE_FAULT {
        emergency(format_args!(
            "  {}\n",
            PageFault {
                error: frame.error,
                address: cr2
            }
        ));
    }
    if matches!(frame.vector, PAGE_FAULT | DOUBLE_FAULT) {
        let overflown = layout::stacks().find(|stack| stack.guard.contains(&cr2));
        if let Some(stack) = overflown {
            emergency(format_args!(
                "  stack overflow: {cr2:#x} is in the guard page under the {} stack\n",
                stack.name
            ));
        }
    }
    print_registers(frame);
    panic::print_control_registers();
    backtrace::print(frame.rip, frame.rsp);
    panic::print_recent();
    power::exit(ExitReason::Fault)
}

fn print_registers(frame: &Frame) {
    const NAMES: [&str; 15] = [
        "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8 ", "r9 ", "r10", "r11", "r12", "r13",
        "r14", "r15",
    ];
    for (index, (name, value)) in NAMES.iter().zip(frame.registers).enumerate() {
        let end = if index % 3 == 2 { "\n" } else { "" };
        emergency(format_args!("  {name} {value:016x}{end}"));
    }
    emergency(format_args!(
        "  rip {:016x}  rsp {:016x}  rfl {:016x}\n  cs  {:016x}  ss  {:016x}\n",
        frame.rip, frame.rsp, frame.rflags, frame.cs, frame.ss
    ));
}

/// A page fault in words.
struct PageFault {
    error: u64,
    address: u64,
}

impl fmt::Display for PageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bit = |bit: u32| self.error & 1 << bit != 0;
        let what = match (bit(4), bit(1)) {
            (true, _) => "execution of",
            (false, true) => "write to",
            (false, false) => "read of",
        };
        write!(f, "{what} {:#x}: ", self.address)?;
        if bit(3) {
            return write!(f, "reserved bit set in a page table");
        }
        match (bit(0), paging::access(self.address)) {
            (false, _) if self.address < 4096 => write!(f, "null pointer"),
            (false, _) => write!(f, "nothing is mapped there"),
            (true, Some(access)) => write!(f, "mapped as {access:?} only"),
            (true, None) => write!(f, "mapped without that right"),
        }
    }
}
