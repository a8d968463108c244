//! The few commands that the stories' guests emit.

use gpu::Engine;

pub const USER_INTERRUPT: u32 = 0x0100_0000;
pub const ARBITRATION_ON: u32 = 0x0400_0001;
pub const BATCH_END: u32 = 0x0500_0000;

/// A store of `value` in the global GTT that is visible before what follows.
pub fn breadcrumb(engine: Engine, address: u64, value: u32) -> Vec<u32> {
    let low = address as u32;
    match engine {
        Engine::Rcs => vec![0x7a00_0004, 1 << 24 | 1 << 14 | 1 << 20, low, 0, value, 0],
        _ => vec![0x1300_0002 | 1 << 14, low | 1 << 2, 0, value],
    }
}

/// MI_STORE_DATA_IMM.
pub fn store(global: bool, address: u64, value: u32) -> [u32; 4] {
    let space = if global { 1 << 22 } else { 0 };
    [
        0x1000_0002 | space,
        address as u32,
        (address >> 32) as u32,
        value,
    ]
}

/// MI_LOAD_REGISTER_IMM.
pub fn load_register(offset: u32, value: u32) -> [u32; 3] {
    [0x1100_0001, offset, value]
}

/// MI_BATCH_BUFFER_START.
pub fn batch(global: bool, address: u64) -> [u32; 3] {
    let space = if global { 0 } else { 1 << 8 };
    [0x1880_0001 | space, address as u32, (address >> 32) as u32]
}

/// XY_COLOR_BLT, 32 bits per pixel: a filled rectangle.
pub fn fill(
    surface: u64,
    pitch: u32,
    [left, top, right, bottom]: [u32; 4],
    colour: u32,
) -> [u32; 7] {
    [
        2 << 29 | 0x50 << 22 | 3 << 20 | 5,
        3 << 24 | 0xf0 << 16 | pitch,
        top << 16 | left,
        bottom << 16 | right,
        surface as u32,
        (surface >> 32) as u32,
        colour,
    ]
}

/// XY_SRC_COPY_BLT, 32 bits per pixel: a copied rectangle.
pub fn copy(
    (to, from): (u64, u64),
    pitch: u32,
    [left, top, right, bottom]: [u32; 4],
    [x, y]: [u32; 2],
) -> [u32; 10] {
    [
        2 << 29 | 0x53 << 22 | 3 << 20 | 8,
        3 << 24 | 0xcc << 16 | pitch,
        top << 16 | left,
        bottom << 16 | right,
        to as u32,
        (to >> 32) as u32,
        y << 16 | x,
        pitch,
        from as u32,
        (from >> 32) as u32,
    ]
}
