//! GDT, TSS, IDT: every vector on an interrupt stack, handlers that only count.
//!
//! The prebuilt `core` and `alloc` of a hosted target use the red zone (the 128 bytes below the
//! stack pointer), so nothing may ever be pushed on an interrupted stack: each vector has a stack
//! of its own class in the TSS's IST, which the processor switches to before it pushes. Two
//! vectors that may strike inside each other have different stacks; interrupt gates only, and no
//! handler opens interrupts, so one stack is never entered twice, except by a fault inside the
//! fault report, which ends the report. SSE registers are saved by the entry path.
#![expect(
    unsafe_code,
    reason = "descriptor tables, and the entry points the processor calls"
)]

mod local_apic;

use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::ptr::addr_of;
use core::sync::atomic::{AtomicU64, Ordering};

use x86_64::VirtAddr;
use x86_64::instructions::port::Port;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::idt::{Entry, InterruptDescriptorTable};
use x86_64::structures::tss::TaskStateSegment;

use crate::{fault, layout};

pub use local_apic::{page as local_apic_page, start_tick, stop_tick};

global_asm!(include_str!("vectors.S"), options(att_syntax));

/// Vector of the local APIC's timer.
pub const TICK: u8 = 0x40;
/// Where the local APIC sends an interrupt that went away; it wants no acknowledgement.
const SPURIOUS: u8 = 0xff;

/// Slots of [`layout::INTERRUPT_STACKS`] (the `x86_64` crate counts them from 0).
const STACK_INTERRUPT: u16 = 0;
const STACK_FAULT: u16 = 1;
const STACK_NMI: u16 = 2;
const STACK_DOUBLE_FAULT: u16 = 3;
const STACK_MACHINE_CHECK: u16 = 4;

/// Bytes between two entry stubs in vectors.S.
const STUB_SIZE: u64 = 16;

/// Memory that the processor reads and, once `init` is through, no Rust code writes.
struct Tables(
    UnsafeCell<(
        TaskStateSegment,
        GlobalDescriptorTable,
        InterruptDescriptorTable,
    )>,
);

// SAFETY: `init` alone takes a reference, once, on the one processor and with interrupts off.
unsafe impl Sync for Tables {}

static TABLES: Tables = Tables(UnsafeCell::new((
    TaskStateSegment::new(),
    GlobalDescriptorTable::new(),
    InterruptDescriptorTable::new(),
)));

/// Timer interrupts since start.
static TICKS: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    /// 256 entry stubs.
    safe static vector_stubs: u8;
}

/// What the entry path leaves on the stack, lowest address first.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// rax, rbx, rcx, rdx, rsi, rdi, rbp, r8 to r15.
    pub registers: [u64; 15],
    /// Vector number.
    pub vector: u64,
    /// Error code; 0 for vectors without one.
    pub error: u64,
    /// Where it struck.
    pub rip: u64,
    /// Code segment.
    pub cs: u64,
    /// Flags.
    pub rflags: u64,
    /// Interrupted stack.
    pub rsp: u64,
    /// Stack segment.
    pub ss: u64,
}

/// Loads the descriptor tables and silences the legacy interrupt controllers. Call once.
pub fn init() {
    // SAFETY: called once, on the one processor, interrupts off: no other reference exists.
    let (tss, gdt, idt) = unsafe { &mut *TABLES.0.get() };
    // By value: the structure is packed.
    let mut table = tss.interrupt_stack_table;
    for (slot, stack) in table.iter_mut().zip(layout::interrupt_stacks()) {
        *slot = VirtAddr::new(stack.range.end);
    }
    tss.interrupt_stack_table = table;
    let code = gdt.append(Descriptor::kernel_code_segment());
    let data = gdt.append(Descriptor::kernel_data_segment());
    let tss = gdt.append(Descriptor::tss_segment(tss));
    gdt.load();
    // SAFETY: the selectors were just made in the table just loaded, and flat as pvh.S's were.
    unsafe {
        CS::set_reg(code);
        SS::set_reg(data);
        DS::set_reg(data);
        ES::set_reg(data);
        load_tss(tss);
    }

    let gates = core::ptr::from_mut(idt).cast::<Entry<()>>();
    for vector in 0..=u8::MAX {
        // SAFETY: the table has 256 gates of one size, and only this reference to it exists.
        let gate = unsafe { &mut *gates.add(usize::from(vector)) };
        set_gate(gate, vector, Some(stack_of(vector)));
    }
    idt.load();

    // QEMU's firmware leaves the legacy controllers unmasked with IRQ 0 on vector 8, which is the
    // double fault's: mask both. Where there are none, nobody hears it.
    for port in [0x21, 0xa1] {
        // SAFETY: the data ports of the two 8259s on a PC; a mask only silences them.
        unsafe { Port::new(port).write(0xffu8) };
    }
    local_apic::init(SPURIOUS);
}

fn stack_of(vector: u8) -> u16 {
    match vector {
        2 => STACK_NMI,
        8 => STACK_DOUBLE_FAULT,
        18 => STACK_MACHINE_CHECK,
        0..32 => STACK_FAULT,
        _ => STACK_INTERRUPT,
    }
}

fn set_gate(gate: &mut Entry<()>, vector: u8, stack: Option<u16>) {
    let stub = addr_of!(vector_stubs) as u64 + u64::from(vector) * STUB_SIZE;
    // SAFETY: each stub of vectors.S is a complete handler for its vector.
    let options = unsafe { gate.set_handler_addr(VirtAddr::new(stub)) };
    if let Some(stack) = stack {
        // SAFETY: `init` fills this slot of the TSS.
        unsafe { options.set_stack_index(stack) };
    }
}

/// Timer interrupts since start.
pub fn ticks() -> u64 {
    TICKS.load(Ordering::Relaxed)
}

/// Opens interrupts for a moment: what is pending strikes now.
pub fn open() {
    // SAFETY: every vector has a handler on a stack of its own. Not `nostack` and not `nomem`:
    // handlers push, and count what the code after this reads. `sti` takes effect one instruction
    // later, so `nop` is where the interrupt strikes.
    unsafe { core::arch::asm!("sti", "nop", "cli") };
}

/// Called by vectors.S for every vector, on that vector's interrupt stack, interrupts off.
#[unsafe(no_mangle)]
extern "C" fn on_vector(frame: &Frame) {
    let vector = frame.vector as u8;
    if vector < 32 {
        fault::report(frame);
    }
    if vector == TICK {
        TICKS.fetch_add(1, Ordering::Relaxed);
    }
    local_apic::acknowledge(vector);
}

/// For the self-test: takes the tick's interrupt stack away, or gives it back.
pub fn set_tick_stack(own: bool) {
    // SAFETY: interrupts are off wherever this is called, so the processor reads no gate now, and
    // nobody else holds a reference after `init`.
    let idt = unsafe { &raw mut (*TABLES.0.get()).2 };
    // SAFETY: as in `init`, one gate of 256.
    let gate = unsafe { &mut *idt.cast::<Entry<()>>().add(usize::from(TICK)) };
    set_gate(gate, TICK, own.then_some(STACK_INTERRUPT));
}
