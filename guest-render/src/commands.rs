//! Encoders of the commands that the checks use.
//!
//! Source: Intel PRM Kaby Lake volume 2a. Addresses have 48 bits; every address is of the
//! context's own address space. `tests/encoders.rs` compares with the software GPU's table.

mod blits;

use crate::engine::Engine;

/// MI_NOOP.
pub const NOOP: u32 = 0;
/// MI_BATCH_BUFFER_END.
pub const END: u32 = 0x0a << 23;
/// MI_BATCH_BUFFER_START in the address space of the context.
const START: u32 = 0x31 << 23 | 1 << 8 | 1;
/// MI_BATCH_BUFFER_START: come back afterwards.
const SECOND_LEVEL: u32 = 1 << 22;
/// MI_STORE_REGISTER_MEM: only if the predicate holds.
const PREDICATED: u32 = 1 << 21;

/// One instruction of MI_MATH.
#[derive(Debug, Clone, Copy)]
pub enum Math {
    /// Loads the first operand from a general-purpose register.
    LoadA(u32),
    /// Loads the second.
    LoadB(u32),
    /// Adds them.
    Add,
    /// Subtracts the second from the first.
    Subtract,
    /// Exclusive or.
    Xor,
    /// Stores the result in a general-purpose register.
    Store(u32),
}

impl Math {
    const fn encode(self) -> u32 {
        const SOURCE_A: u32 = 0x20;
        const SOURCE_B: u32 = 0x21;
        const RESULT: u32 = 0x31;
        match self {
            Self::LoadA(register) => 0x080 << 20 | SOURCE_A << 10 | register,
            Self::LoadB(register) => 0x080 << 20 | SOURCE_B << 10 | register,
            Self::Add => 0x100 << 20,
            Self::Subtract => 0x101 << 20,
            Self::Xor => 0x104 << 20,
            Self::Store(register) => 0x180 << 20 | register << 10 | RESULT,
        }
    }
}

/// A growing sequence of commands.
#[derive(Debug, Default, Clone)]
pub struct Commands(pub Vec<u32>);

impl Commands {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Bytes so far.
    pub const fn length(&self) -> u64 {
        4 * self.0.len() as u64
    }

    /// Appends dwords as they are.
    pub fn raw(mut self, dwords: &[u32]) -> Self {
        self.0.extend_from_slice(dwords);
        self
    }

    /// Header, then an address, then the rest.
    fn at(self, header: u32, address: u64, rest: &[u32]) -> Self {
        self.raw(&[header, address as u32, (address >> 32) as u32 & 0xffff])
            .raw(rest)
    }

    /// MI_STORE_DATA_IMM of a dword.
    pub fn store(self, address: u64, value: u32) -> Self {
        self.at(0x20 << 23 | 2, address, &[value])
    }

    /// MI_STORE_DATA_IMM of a qword.
    pub fn store_wide(self, address: u64, value: u64) -> Self {
        self.at(
            0x20 << 23 | 1 << 21 | 3,
            address,
            &[value as u32, (value >> 32) as u32],
        )
    }

    /// MI_STORE_DATA_INDEX of a dword: into the context's own status page.
    pub fn store_by_index(self, offset: u32, value: u32) -> Self {
        self.raw(&[0x21 << 23 | 1, offset, value])
    }

    /// The engine's flush with a qword stored after it: PIPE_CONTROL or MI_FLUSH_DW.
    pub fn flush_and_store(self, engine: Engine, address: u64, value: u64) -> Self {
        const POST_SYNC_STORE: u32 = 1 << 14;
        const STALL: u32 = 1 << 20;
        let value = [value as u32, (value >> 32) as u32];
        match engine {
            Engine::Render => self
                .raw(&[0x7a00_0004, POST_SYNC_STORE | STALL])
                .raw(&[address as u32, (address >> 32) as u32 & 0xffff])
                .raw(&value),
            _ => self.at(0x26 << 23 | POST_SYNC_STORE | 3, address, &value),
        }
    }

    /// MI_LOAD_REGISTER_IMM.
    pub fn load(self, values: &[(u32, u32)]) -> Self {
        let length = 2 * values.len() as u32 - 1;
        let operands: Vec<u32> = values
            .iter()
            .flat_map(|(register, value)| [*register, *value])
            .collect();
        self.raw(&[0x22 << 23 | length]).raw(&operands)
    }

    /// MI_STORE_REGISTER_MEM.
    pub fn save(self, register: u32, address: u64) -> Self {
        self.raw(&[
            0x24 << 23 | 2,
            register,
            address as u32,
            (address >> 32) as u32 & 0xffff,
        ])
    }

    /// MI_STORE_REGISTER_MEM if the predicate holds.
    pub fn save_if(mut self, register: u32, address: u64) -> Self {
        let header = self.0.len();
        self = self.save(register, address);
        if let Some(header) = self.0.get_mut(header) {
            *header |= PREDICATED;
        }
        self
    }

    /// MI_LOAD_REGISTER_MEM.
    pub fn fetch(self, register: u32, address: u64) -> Self {
        self.raw(&[
            0x29 << 23 | 2,
            register,
            address as u32,
            (address >> 32) as u32 & 0xffff,
        ])
    }

    /// MI_LOAD_REGISTER_REG.
    pub fn move_register(self, from: u32, to: u32) -> Self {
        self.raw(&[0x2a << 23 | 1, from, to])
    }

    /// MI_COPY_MEM_MEM of a dword.
    pub fn copy(self, from: u64, to: u64) -> Self {
        self.at(
            0x2e << 23 | 3,
            to,
            &[from as u32, (from >> 32) as u32 & 0xffff],
        )
    }

    /// MI_MATH.
    pub fn math(self, program: &[Math]) -> Self {
        let program: Vec<u32> = program.iter().map(|step| step.encode()).collect();
        self.raw(&[0x1a << 23 | (program.len() as u32 - 1)])
            .raw(&program)
    }

    /// MI_ATOMIC: adds to a dword. Inline operands fill all eleven dwords.
    pub fn atomic_add(self, address: u64, value: u32) -> Self {
        const INLINE: u32 = 1 << 18;
        const ADD: u32 = 0x07 << 8;
        self.at(
            0x2f << 23 | INLINE | ADD | 9,
            address,
            &[value, 0, 0, 0, 0, 0, 0, 0],
        )
    }

    /// MI_PREDICATE: holds if its two source registers are equal.
    pub fn predicate_equal(self) -> Self {
        const LOAD: u32 = 2 << 6;
        const SOURCES_EQUAL: u32 = 2;
        self.raw(&[0x0c << 23 | LOAD | SOURCES_EQUAL])
    }

    /// MI_BATCH_BUFFER_START: goes on there.
    pub fn jump(self, address: u64) -> Self {
        self.at(START, address, &[])
    }

    /// MI_BATCH_BUFFER_START of the second level: goes on there until its end, then here.
    pub fn call(self, address: u64) -> Self {
        self.at(START | SECOND_LEVEL, address, &[])
    }

    /// MI_CONDITIONAL_BATCH_BUFFER_END: goes on only while the dword there is greater.
    pub fn end_unless_greater(self, address: u64, value: u32) -> Self {
        const COMPARE: u32 = 1 << 21;
        self.raw(&[0x36 << 23 | COMPARE | 2, value])
            .raw(&[address as u32, (address >> 32) as u32 & 0xffff])
    }

    /// MI_NOOPs.
    pub fn noops(mut self, count: usize) -> Self {
        self.0.resize(self.0.len() + count, NOOP);
        self
    }

    /// MI_BATCH_BUFFER_END.
    pub fn end(self) -> Self {
        self.raw(&[END])
    }
}
