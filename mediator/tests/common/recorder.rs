//! A device that only remembers: registers, GTT entries, how often it was flushed.

use gpu::spec::gtt::GttEntry;
use gpu::spec::registers::{GDRST, GFX_FLSH_CNTL, REGISTER_SPACE};
use gpu::{Engine, Gpu, GttIndex, Progress};

/// See above.
pub struct Recorder {
    registers: Vec<u32>,
    /// The global GTT.
    pub gtt: Vec<GttEntry>,
    /// Entries as they were at the last flush: what the device goes by.
    pub visible: Vec<GttEntry>,
    /// Entries written since.
    stale: Vec<GttIndex>,
    /// Flushes so far.
    pub flushes: u64,
}

impl Recorder {
    pub fn new(entries: u32) -> Self {
        let gtt = vec![GttEntry::default(); entries as usize];
        Self {
            registers: vec![0; REGISTER_SPACE as usize / 4],
            visible: gtt.clone(),
            gtt,
            stale: Vec::with_capacity(4096),
            flushes: 0,
        }
    }

    /// What was written to a register last.
    pub fn register(&self, offset: u32) -> u32 {
        self.registers[offset as usize / 4]
    }
}

impl Gpu for Recorder {
    fn read(&mut self, offset: u32) -> u32 {
        let value = self.register(offset);
        let reset_control = gpu::spec::engine::RESET_CTL;
        if offset == GDRST {
            0
        } else if Engine::ALL
            .iter()
            .any(|engine| offset == engine.base() + reset_control)
        {
            value & 1 | (value & 1) << 1
        } else {
            value
        }
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.registers[offset as usize / 4] = value;
        if offset == GFX_FLSH_CNTL {
            self.flushes += 1;
            for index in self.stale.drain(..) {
                self.visible[index.0 as usize] = self.gtt[index.0 as usize];
            }
        }
    }

    fn read_gtt(&mut self, index: GttIndex) -> GttEntry {
        self.gtt[index.0 as usize]
    }

    fn write_gtt(&mut self, index: GttIndex, entry: GttEntry) {
        self.gtt[index.0 as usize] = entry;
        self.stale.push(index);
    }

    fn gtt_entries(&self) -> u32 {
        self.gtt.len() as u32
    }

    fn take_interrupt(&mut self) -> bool {
        false
    }

    fn run(&mut self) -> Progress {
        Progress::Idle
    }
}
