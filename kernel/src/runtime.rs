//! The few C symbols that compiled Rust calls and a hosted target expects from libc.
//!
//! The image is built for the host's target, whose prebuilt `core` and `alloc` leave memcpy and
//! friends to libc and name an unwinder. `x86_64-unknown-none` brings its own, so this module is
//! empty there.
#![cfg(not(target_os = "none"))]
#![expect(unsafe_code, reason = "symbols that the compiler calls by name")]

use core::arch::global_asm;

// `rep movsb`/`rep stosb` are what the hardware optimises, and assembly cannot be turned back
// into a call of itself the way a Rust loop can. Intel syntax; arguments in rdi, rsi, rdx.
global_asm!(
    ".section .text.mem, \"ax\", @progbits",
    ".globl memcpy, memmove, memset, memcmp, bcmp, strlen",
    "memcpy:",
    "    mov rax, rdi",
    "    mov rcx, rdx",
    "    rep movsb",
    "    ret",
    "memmove:",
    "    mov rax, rdi",
    "    mov rcx, rdi",
    "    sub rcx, rsi",
    "    cmp rcx, rdx", // unsigned: destination inside [src, src + n)?
    "    mov rcx, rdx",
    "    jb 2f",
    "    rep movsb",
    "    ret",
    "2:  lea rdi, [rdi + rdx - 1]",
    "    lea rsi, [rsi + rdx - 1]",
    "    std", // an interrupt may come here: the entry stubs clear the flag
    "    rep movsb",
    "    cld",
    "    ret",
    "memset:",
    "    mov r8, rdi",
    "    mov eax, esi",
    "    mov rcx, rdx",
    "    rep stosb",
    "    mov rax, r8",
    "    ret",
    "memcmp:",
    "bcmp:",
    "    xor eax, eax",
    "    mov rcx, rdx",
    "    test rcx, rcx",
    "    jz 3f",
    "    repe cmpsb",
    "    movzx eax, byte ptr [rdi - 1]",
    "    movzx ecx, byte ptr [rsi - 1]",
    "    sub eax, ecx",
    "3:  ret",
    "strlen:",
    "    xor eax, eax",
    "    mov rcx, -1",
    "    repne scasb",
    "    not rcx",
    "    lea rax, [rcx - 1]",
    "    ret",
);

/// The prebuilt `alloc` names its unwinding personality; nothing ever unwinds here.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// Called by landing pads of the prebuilt `alloc`, which an image built with
/// `panic = "abort"` never enters.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    unreachable!("unwinding in the kernel")
}
