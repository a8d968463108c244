//! Where we came from: return addresses found on the stack, for addr2line.
//!
//! There are no frame pointers in the prebuilt libraries and no unwind tables in the image, so
//! every word of the stack that points behind a call instruction counts. A stale one may be among
//! them; none is missing.
#![expect(unsafe_code, reason = "reading raw stack words and code bytes")]

use core::ops::Range;

use crate::layout;

/// Addresses printed at most.
const LIMIT: usize = 32;

/// Prints the calls that led to `rip`, the stack pointer being `rsp`.
pub fn print(rip: u64, rsp: u64) {
    console::emergency(format_args!(
        "backtrace (addr2line -fipe kernel ADDRESS...):\n"
    ));
    if layout::text().contains(&rip) {
        console::emergency(format_args!("  {rip:#x}\n"));
    }
    // Off the lower end, in the guard, still means this stack.
    let stack = layout::stacks().find(|stack| (stack.guard.start..stack.range.end).contains(&rsp));
    let Some(stack) = stack else {
        console::emergency(format_args!("  (rsp {rsp:#x} is on no stack of ours)\n"));
        return;
    };
    // One word of a call instruction less: the line of the call, not the one after it.
    calls(rsp.max(stack.range.start)..stack.range.end)
        .take(LIMIT)
        .for_each(|address| console::emergency(format_args!("  {:#x}\n", address - 1)));
}

/// Return addresses among the words of a stack.
fn calls(stack: Range<u64>) -> impl Iterator<Item = u64> {
    let first = stack.start.next_multiple_of(8);
    (first..stack.end)
        .step_by(8)
        .map(word)
        .filter(|&address| follows_call(address))
}

fn word(address: u64) -> u64 {
    // SAFETY: `calls` stays inside a stack of ours, which is mapped.
    unsafe { (address as *const u64).read_volatile() }
}

/// Whether the instruction before `address` may be a call: E8 with 32 bits of distance, or FF /2
/// with its operand in 2, 3, 6 or 7 bytes in all.
fn follows_call(address: u64) -> bool {
    let text = layout::text();
    if !(text.start + 8..text.end).contains(&address) {
        return false;
    }
    // SAFETY: inside .text, with at least eight bytes before it.
    let byte = |back: u64| unsafe { ((address - back) as *const u8).read_volatile() };
    let indirect = |back: u64| byte(back) == 0xff && byte(back - 1) & 0x38 == 0x10;
    byte(5) == 0xe8 || [2, 3, 6, 7].into_iter().any(indirect)
}
