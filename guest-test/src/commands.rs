//! Gen9 commands as a driver writes them: Linux i915 `gt/intel_gpu_commands.h`.

/// MI_NOOP.
pub const MI_NOOP: u32 = 0;
/// MI_USER_INTERRUPT.
pub const MI_USER_INTERRUPT: u32 = 0x02 << 23;
/// MI_BATCH_BUFFER_END.
pub const MI_BATCH_BUFFER_END: u32 = 0x0a << 23;
/// MI_ARB_ON_OFF.
const MI_ARB_ON_OFF: u32 = 0x08 << 23;

/// A command with the 48-bit address of its operand in the two dwords after the header.
const fn addressed<const N: usize>(header: u32, address: u64, rest: [u32; N]) -> [u32; 8] {
    let mut words = [MI_NOOP; 8];
    words[0] = header;
    words[1] = address as u32;
    words[2] = (address >> 32) as u32;
    let mut index = 0;
    while index < N {
        words[3 + index] = rest[index];
        index += 1;
    }
    words
}

/// A growing sequence of commands.
#[derive(Debug, Default, Clone)]
pub struct Commands(pub Vec<u32>);

impl Commands {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends dwords as they are.
    pub fn raw(mut self, words: &[u32]) -> Self {
        self.0.extend_from_slice(words);
        self
    }

    /// MI_STORE_DWORD_IMM into the global GTT (bit 22) or the PPGTT.
    pub fn store_dword(self, global: bool, address: u64, value: u32) -> Self {
        let header = 0x20 << 23 | 2 | (global as u32) << 22;
        self.raw(&addressed(header, address, [value])[..4])
    }

    /// MI_FLUSH_DW with a post-sync store of one dword into the global GTT (address bit 2).
    pub fn flush_dword_store(self, global_address: u32, value: u32) -> Self {
        const POST_SYNC_STORE: u32 = 1 << 14;
        const USE_GTT: u64 = 1 << 2;
        let header = 0x26 << 23 | 2 | POST_SYNC_STORE;
        self.raw(&addressed(header, u64::from(global_address) | USE_GTT, [value])[..4])
    }

    /// PIPE_CONTROL with a stalling qword write into the global GTT.
    pub fn pipe_control_store(self, global_address: u32, value: u64) -> Self {
        const QW_WRITE: u32 = 1 << 14;
        const CS_STALL: u32 = 1 << 20;
        const GLOBAL_GTT: u32 = 1 << 24;
        let address = u64::from(global_address);
        self.raw(&[
            0x7a00_0004,
            QW_WRITE | CS_STALL | GLOBAL_GTT,
            address as u32,
            0,
        ])
        .raw(&[value as u32, (value >> 32) as u32])
    }

    /// MI_LOAD_REGISTER_IMM of one register.
    pub fn load_register(self, register: u64, value: u32) -> Self {
        self.raw(&[0x22 << 23 | 1, register as u32, value])
    }

    /// MI_BATCH_BUFFER_START: unprivileged in the PPGTT (bit 8), or privileged in the global GTT.
    pub fn batch(self, global: bool, address: u64) -> Self {
        let header = 0x31 << 23 | 1 | (!global as u32) << 8;
        self.raw(&addressed(header, address, [])[..3])
    }

    /// MI_ARB_ON_OFF, as i915 puts around batches of a vGPU.
    pub fn arbitration(self, on: bool) -> Self {
        self.raw(&[MI_ARB_ON_OFF | on as u32])
    }

    /// XY_COLOR_BLT: fills the rectangle with a colour (ROP 0xf0, pattern copy).
    pub fn color_blit(self, target: Target, at: Rectangle, color: u32) -> Self {
        let header = 2 << 29 | 0x50 << 22 | target.depth.write_mask() | 5;
        self.raw(&[
            header,
            target.depth.bits() | 0xf0 << 16 | target.pitch,
            at.top << 16 | at.left,
            (at.top + at.height) << 16 | (at.left + at.width),
            target.address as u32,
            (target.address >> 32) as u32,
            color,
        ])
    }

    /// XY_SRC_COPY_BLT: copies a rectangle (ROP 0xcc, source copy).
    pub fn copy_blit(
        self,
        target: Target,
        at: Rectangle,
        source: Target,
        from: (u32, u32),
    ) -> Self {
        let header = 2 << 29 | 0x53 << 22 | target.depth.write_mask() | 8;
        self.raw(&[
            header,
            target.depth.bits() | 0xcc << 16 | target.pitch,
            at.top << 16 | at.left,
            (at.top + at.height) << 16 | (at.left + at.width),
            target.address as u32,
            (target.address >> 32) as u32,
            from.1 << 16 | from.0,
            source.pitch,
            source.address as u32,
            (source.address >> 32) as u32,
        ])
    }

    /// MI_BATCH_BUFFER_END.
    pub fn end(self) -> Self {
        self.raw(&[MI_BATCH_BUFFER_END])
    }
}

/// Bytes of one pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// One byte.
    Bits8,
    /// Two bytes.
    Bits16,
    /// Four bytes.
    Bits32,
}

impl Depth {
    /// As a number.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::Bits8 => 1,
            Self::Bits16 => 2,
            Self::Bits32 => 4,
        }
    }

    /// BLT_DEPTH_*.
    const fn bits(self) -> u32 {
        match self {
            Self::Bits8 => 0 << 24,
            Self::Bits16 => 1 << 24,
            Self::Bits32 => 3 << 24,
        }
    }

    /// BLT_WRITE_RGBA, which only 32-bit pixels have.
    const fn write_mask(self) -> u32 {
        match self {
            Self::Bits32 => 3 << 20,
            _ => 0,
        }
    }
}

/// Where the blitter draws.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Graphics address.
    pub address: u64,
    /// Bytes from one line to the next.
    pub pitch: u32,
    /// Pixel format.
    pub depth: Depth,
}

/// Pixels of a surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rectangle {
    /// First column.
    pub left: u32,
    /// First line.
    pub top: u32,
    /// Columns.
    pub width: u32,
    /// Lines.
    pub height: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers as they appear in i915's error states and GVT's command table.
    #[test]
    fn headers_are_those_a_driver_emits() {
        let first = |commands: Commands| commands.0.first().copied();
        let target = Target {
            address: 0,
            pitch: 256,
            depth: Depth::Bits32,
        };
        let at = Rectangle {
            left: 1,
            top: 2,
            width: 3,
            height: 4,
        };
        for (commands, header) in [
            (Commands::new().store_dword(true, 0, 0), 0x1040_0002),
            (Commands::new().store_dword(false, 0, 0), 0x1000_0002),
            (Commands::new().flush_dword_store(0, 0), 0x1300_4002),
            (Commands::new().load_register(0, 0), 0x1100_0001),
            (Commands::new().batch(false, 0), 0x1880_0101),
            (Commands::new().batch(true, 0), 0x1880_0001),
            (Commands::new().end(), 0x0500_0000),
            (Commands::new().color_blit(target, at, 0), 0x5430_0005),
            (
                Commands::new().copy_blit(target, at, target, (0, 0)),
                0x54f0_0008,
            ),
        ] {
            assert_eq!(first(commands), Some(header), "{header:#x}");
        }
        assert_eq!(MI_USER_INTERRUPT, 0x0100_0000);
    }

    #[test]
    fn every_command_is_as_long_as_its_header_says() {
        let target = Target {
            address: 1 << 40,
            pitch: 256,
            depth: Depth::Bits8,
        };
        let at = Rectangle {
            left: 0,
            top: 0,
            width: 1,
            height: 1,
        };
        for commands in [
            Commands::new().store_dword(true, 0, 0),
            Commands::new().flush_dword_store(0, 0),
            Commands::new().pipe_control_store(0, 0),
            Commands::new().load_register(0, 0),
            Commands::new().batch(true, 0),
            Commands::new().color_blit(target, at, 0),
            Commands::new().copy_blit(target, at, target, (0, 0)),
        ] {
            assert_eq!(commands.0.len() as u32, (commands.0[0] & 0xff) + 2);
        }
    }
}
