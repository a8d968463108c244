//! A piece of a guest's ring: copied once, judged, patched, cut where our room ends.

use gpu::spec::engine;
use gpu::{Engine, GraphicsAddress, PAGE_SIZE};

use super::batch::{Arena, Failure, Found, patch_start, patch_store};
use super::image::Ring;
use super::memory::Memory;
use super::{Buffer, RING_PAGES, Refusal};
use crate::Guests;
use crate::scan::{self, BatchStart, Limits, Privilege, Step, Violation, What};

/// Most dwords of one chunk; TAIL must not catch up with HEAD, nor stand in its cache line.
const MOST: usize = RING_PAGES * PAGE_SIZE as usize / 4 - 32;

/// What a chunk came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chunk {
    /// Bytes of the guest's ring that it stands for.
    pub consumed: u32,
    /// Dwords of our ring, an even number.
    pub dwords: usize,
    /// The first command starts a batch that our arena is too small for; the chunk is empty.
    pub large: Option<([u32; 3], BatchStart)>,
}

impl Chunk {
    /// The one command of a large batch, patched to lead to `address`.
    pub fn of_large(command: [u32; 3], address: GraphicsAddress, out: &mut [u32]) -> Self {
        let [header, low, high] = command;
        let mut dwords = [header, low, high, 0];
        patch_start(&mut dwords, address);
        if let Some(out) = out.first_chunk_mut() {
            *out = dwords;
        }
        Self {
            consumed: size_of_val(&command) as u32,
            dwords: dwords.len(),
            large: None,
        }
    }
}

/// Makes of MI_STORE_REGISTER_MEM of a register of the ring, of which the hardware has that of our
/// ring, MI_STORE_DATA_IMM of the guest's value: four dwords, too, and the same flag for the global
/// GTT. What it has become is judged like any command. Whether it was one.
fn patch_register(command: &mut [u32], engine: Engine, ring: &Ring, register: u32) -> bool {
    const STORE_REGISTER_MEM: u32 = 0x24 << 23 | 2;
    const STORE_DATA_IMM: u32 = 0x20 << 23 | 2;
    const GLOBAL: u32 = 1 << 22;
    let [header, operands @ ..] = command else {
        return false;
    };
    let value = match register.wrapping_sub(engine.base()) {
        _ if *header & !GLOBAL != STORE_REGISTER_MEM => return false,
        engine::RING_TAIL => ring.tail,
        engine::RING_START => ring.start.0 as u32,
        engine::RING_CTL => ring.control(),
        _ => return false,
    };
    *header = STORE_DATA_IMM | *header & GLOBAL;
    // Register, address low, high: now address low, high, value.
    if let Some([register, low, high]) = operands.first_chunk_mut() {
        (*register, *low, *high) = (*low, *high, value);
    }
    true
}

/// Patches the refused command at `at`, if that helps, and judges what it has become.
#[cold]
#[inline(never)]
fn again(
    dwords: &mut [u32],
    at: usize,
    engine: Engine,
    limits: &Limits,
    ring: &Ring,
    refused: Violation,
) -> Result<Step, Violation> {
    let command = dwords.get_mut(at..at + 4).unwrap_or(&mut []);
    match refused.what {
        What::Register(register) if patch_register(command, engine, ring, register) => {
            let (privilege, mut none) = (Privilege::Ring, Found::default());
            scan::step(engine, privilege, command, at, limits, &mut none)
        }
        _ => Err(refused),
    }
}

/// Copies from `ring`'s head into `out` and makes it executable.
pub fn chunk<H: Guests>(
    memory: &Memory<'_, H>,
    ring: &Ring,
    arena: &mut Arena<'_, '_, H>,
    out: &mut [u32],
) -> Result<Chunk, Refusal> {
    let pending = ring.pending() as usize / 4;
    let length = pending.min(MOST).min(out.len());
    let Some(dwords) = out.get_mut(..length) else {
        return Ok(Chunk::default());
    };
    // The ring may wrap once.
    let until_end = ((ring.size - ring.head) as usize / 4).min(length);
    let (first, second) = dwords.split_at_mut(until_end);
    let head = GraphicsAddress(ring.start.0 + u64::from(ring.head));
    memory.read(true, head, first)?;
    memory.read(true, ring.start, second)?;

    let refused = |what| Refusal::Command {
        buffer: Buffer::Ring,
        at: ring.head.into(),
        what,
    };
    let mut at = 0;
    while at < length {
        let mut found = Found {
            patchable: arena.status_page.is_some(),
            ..Found::default()
        };
        let rest = dwords.get(at..).unwrap_or(&[]);
        let step = scan::step(
            arena.engine,
            Privilege::Ring,
            rest,
            at,
            &arena.limits,
            &mut found,
        );
        let step = match step {
            Ok(step) => step,
            // Only our room ends here, not the guest's ring.
            Err(what) if matches!(what.what, What::Truncated(_)) && length < pending && at > 0 => {
                break;
            }
            Err(what) => {
                again(dwords, at, arena.engine, &arena.limits, ring, what).map_err(refused)?
            }
        };
        let Some(command) = dwords.get_mut(at..at + step.dwords) else {
            break;
        };
        if let (Some(store), Some(page)) = (found.store, arena.status_page) {
            patch_store(command, store, page);
        }
        if let Some(start) = found.batch {
            match arena.take(start, command) {
                Ok(()) => {}
                Err(Failure::Refused(refusal)) => return Err(refusal),
                // The next chunk has the whole arena.
                Err(Failure::Full | Failure::Later) if at > 0 => break,
                Err(Failure::Full | Failure::Later) => {
                    return Ok(Chunk {
                        large: command.first_chunk().map(|command| (*command, start)),
                        ..Chunk::default()
                    });
                }
            }
        }
        at += step.dwords;
    }
    let consumed = at as u32 * 4;
    if at % 2 != 0
        && let Some(noop) = out.get_mut(at)
    {
        *noop = 0;
        at += 1;
    }
    Ok(Chunk {
        consumed,
        dwords: at,
        large: None,
    })
}
