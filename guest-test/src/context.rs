//! A logical ring context: image, ring, and the descriptor that submits them.
//!
//! Page 0 of the image is the per-process status page. Page 1 is the register state, pairs of
//! MI_LOAD_REGISTER_IMM operands laid out as `gt/intel_lrc.c` does for Gen9 (`gen9_rcs_offsets`,
//! `gen9_xcs_offsets`); the engine loads them at a switch and saves them back.

use crate::commands::{Commands, MI_BATCH_BUFFER_END, MI_NOOP};
use crate::ggtt::Ggtt;
use crate::hardware::{
    CTX_CONTROL, CTX_PDP0_LDW, CTX_PDP0_UDW, CTX_RING_CTL, CTX_RING_HEAD, CTX_RING_START,
    CTX_RING_TAIL, DESCRIPTOR, Engine,
};
use crate::machine::{Machine, PAGE, Page};

/// Pages of a ring: small, so that it wraps often.
const RING_PAGES: usize = 1;
/// Bytes of a ring.
const RING_SIZE: u32 = RING_PAGES as u32 * PAGE as u32;

/// MI_LOAD_REGISTER_IMM of `count` registers, with MI_LRI_FORCE_POSTED as in saved images.
const fn load_registers(count: u32) -> u32 {
    0x22 << 23 | 1 << 12 | (2 * count - 1)
}

/// One context of one engine.
pub struct Context {
    /// Whose.
    pub engine: Engine,
    /// What context-status entries call it.
    pub id: u32,
    /// Where its image is in the global GTT.
    pub address: u32,
    /// Where its ring is.
    pub ring_address: u32,
    image: Vec<Page>,
    ring: Vec<Page>,
    root: u64,
    tail: u32,
}

impl Context {
    /// A context with an empty ring that runs in the PPGTT below `root`.
    pub fn new(
        machine: &mut dyn Machine,
        ggtt: &mut Ggtt,
        engine: Engine,
        id: u32,
        root: u64,
    ) -> Result<Self, String> {
        let mut pages = |count: usize| -> Result<Vec<Page>, String> {
            (0..count)
                .map(|_| machine.page().map_err(|trouble| trouble.0))
                .collect()
        };
        let (image, ring) = (pages(engine.context_pages)?, pages(RING_PAGES)?);
        // One above and one below the aperture's end, so that both parts are used.
        let address = ggtt.map_high(machine, &image)?;
        let ring_address = ggtt.map_low(machine, &ring)?;
        let mut context = Self {
            engine,
            id,
            address,
            ring_address,
            image,
            ring,
            root,
            tail: 0,
        };
        context.rewind(machine)?;
        Ok(context)
    }

    /// Writes a fresh image: ring empty, nothing to restore.
    pub fn rewind(&mut self, machine: &mut dyn Machine) -> Result<(), String> {
        const RESTORE_INHIBIT: u32 = 1 << 0;
        const INHIBIT_SYNC_SWITCH: u32 = 1 << 3;
        const ALLOWED: u32 = 0xf << 16;
        let base = self.engine.base as u32;
        let render = self.engine.base == crate::hardware::RCS.base;
        self.tail = 0;
        let state = self.state_page()?;
        for dword in 0..PAGE as usize / 4 {
            machine.write(state, dword, MI_NOOP);
        }
        let mut pairs = |header: usize, registers: &[u32]| {
            machine.write(state, header, load_registers(registers.len() as u32));
            for (index, register) in registers.iter().enumerate() {
                machine.write(state, header + 1 + 2 * index, base + register);
            }
        };
        pairs(
            0x01,
            &[
                0x244, 0x034, 0x030, 0x038, 0x03c, 0x168, 0x140, 0x110, 0x11c, 0x114, 0x118, 0x1c0,
                0x1c4, 0x1c8,
            ],
        );
        pairs(
            0x21,
            &[
                0x3a8, 0x28c, 0x288, 0x284, 0x280, 0x27c, 0x278, 0x274, 0x270,
            ],
        );
        pairs(0x41, &[if render { 0x0c8 } else { 0x200 }]);
        machine.write(state, 0x44, MI_BATCH_BUFFER_END);

        for (dword, value) in [
            (CTX_CONTROL, ALLOWED | INHIBIT_SYNC_SWITCH | RESTORE_INHIBIT),
            (CTX_RING_START, self.ring_address),
            (CTX_RING_CTL, (RING_SIZE - PAGE as u32) | 1),
            (CTX_PDP0_UDW, (self.root >> 32) as u32),
            (CTX_PDP0_LDW, self.root as u32),
        ] {
            machine.write(state, dword, value);
        }
        Ok(())
    }

    /// Appends commands to the ring and moves the tail behind them.
    pub fn emit(&mut self, machine: &mut dyn Machine, commands: &Commands) -> Result<(), String> {
        let mut words = commands.0.clone();
        if !words.len().is_multiple_of(2) {
            words.push(MI_NOOP); // the tail counts qwords
        }
        let length = words.len() as u32 * 4;
        if length >= RING_SIZE {
            return Err(format!("{length:#x} bytes of commands do not fit the ring"));
        }
        while self.tail + length > RING_SIZE {
            self.put(machine, MI_NOOP)?;
            if self.tail == 0 {
                break;
            }
        }
        for word in words {
            self.put(machine, word)?;
        }
        self.set(machine, CTX_RING_TAIL, self.tail)
    }

    fn put(&mut self, machine: &mut dyn Machine, word: u32) -> Result<(), String> {
        let page = self.ring.get(self.tail as usize / PAGE as usize);
        let page = *page.ok_or("the tail left the ring")?;
        machine.write(page, self.tail as usize % PAGE as usize / 4, word);
        self.tail = (self.tail + 4) % RING_SIZE;
        Ok(())
    }

    /// Changes one value of the register state, as a hostile driver may.
    pub fn set(&self, machine: &mut dyn Machine, dword: usize, value: u32) -> Result<(), String> {
        machine.write(self.state_page()?, dword, value);
        Ok(())
    }

    /// The ring's head in the image: where the engine stopped, once the context is complete.
    pub fn saved_head(&self, machine: &dyn Machine) -> Result<u32, String> {
        Ok(machine.read(self.state_page()?, CTX_RING_HEAD) & (RING_SIZE - 1))
    }

    /// Where the commands end.
    pub const fn tail(&self) -> u32 {
        self.tail
    }

    /// The 64 bits that ELSP wants, lower half first.
    pub const fn descriptor(&self) -> [u32; 2] {
        [self.address | DESCRIPTOR, self.id]
    }

    fn state_page(&self) -> Result<Page, String> {
        self.image
            .get(1)
            .copied()
            .ok_or_else(|| "an image has two pages".into())
    }
}
