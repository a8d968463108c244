//! Where the image lies: the linker's symbols as addresses, and every stack with its guard.
#![expect(
    unsafe_code,
    reason = "names of the linker script, and memory that only stacks use"
)]

use core::cell::UnsafeCell;
use core::ops::Range;

use boot::PAGE_SIZE;

unsafe extern "C" {
    safe static __image_start: u8;
    safe static __text_start: u8;
    safe static __text_end: u8;
    safe static __rodata_start: u8;
    safe static __rodata_end: u8;
    safe static __data_start: u8;
    safe static __data_end: u8;
    safe static __image_end: u8;
    safe static boot_stack_guard: u8;
    safe static boot_stack_bottom: u8;
    safe static boot_stack_top: u8;
}

fn between(start: &u8, end: &u8) -> Range<u64> {
    (&raw const *start) as u64..(&raw const *end) as u64
}

/// The whole image, zeroed data and stacks included.
pub fn image() -> Range<u64> {
    between(&__image_start, &__image_end)
}

/// Code.
pub fn text() -> Range<u64> {
    between(&__text_start, &__text_end)
}

/// Constants.
pub fn rodata() -> Range<u64> {
    between(&__rodata_start, &__rodata_end)
}

/// Everything writable, stacks and their guards included.
pub fn data() -> Range<u64> {
    between(&__data_start, &__data_end)
}

/// A stack and the unmapped page under it.
#[derive(Debug, Clone)]
pub struct Stack {
    /// For reports.
    pub name: &'static str,
    /// The page left out of the page tables.
    pub guard: Range<u64>,
    /// The stack, which grows down from its end.
    pub range: Range<u64>,
}

/// Stacks that the processor switches to by itself (the IST of the TSS), by slot.
pub const INTERRUPT_STACKS: [&str; 5] =
    ["interrupt", "fault", "NMI", "double fault", "machine check"];

/// Bytes of each; enough to format a fault report without optimisation.
const INTERRUPT_STACK_SIZE: usize = 32 * 1024;

#[repr(C, align(4096))]
struct Guarded {
    guard: [u8; PAGE_SIZE as usize],
    stack: [u8; INTERRUPT_STACK_SIZE],
}

struct Memory(UnsafeCell<[Guarded; INTERRUPT_STACKS.len()]>);

// SAFETY: no reference into it is ever made; the processor alone uses it, as stacks.
unsafe impl Sync for Memory {}

static MEMORY: Memory = Memory(UnsafeCell::new(
    [const {
        Guarded {
            guard: [0; PAGE_SIZE as usize],
            stack: [0; INTERRUPT_STACK_SIZE],
        }
    }; INTERRUPT_STACKS.len()],
));

/// The stacks of the IST, by slot.
pub fn interrupt_stacks() -> impl Iterator<Item = Stack> {
    let first = MEMORY.0.get() as u64;
    (first..)
        .step_by(size_of::<Guarded>())
        .zip(INTERRUPT_STACKS)
        .map(|(guard, name)| {
            let bottom = guard + PAGE_SIZE;
            Stack {
                name,
                guard: guard..bottom,
                range: bottom..bottom + INTERRUPT_STACK_SIZE as u64,
            }
        })
}

/// All stacks: the one `kernel_main` runs on, then those of the IST.
pub fn stacks() -> impl Iterator<Item = Stack> {
    let boot = Stack {
        name: "boot",
        guard: between(&boot_stack_guard, &boot_stack_bottom),
        range: between(&boot_stack_bottom, &boot_stack_top),
    };
    core::iter::once(boot).chain(interrupt_stacks())
}
