//! Jobs of a known length: loops on the render engine, blits on the blitter.

use gpu::Engine;

use crate::Stream;
use crate::linux::Machine;
use crate::linux::request::Payload;
use crate::linux::scheduler::Scheduler;

/// Pages that a job's batch and its data take.
pub const PAGES: u64 = 12;
/// Bytes of one line of the surface, and lines of one microsecond's blit.
const LINE: u32 = 8192;

/// The batch of one job, for addresses from `at` on; the data follow its two pages.
pub fn batch(stream: Stream, at: u64) -> Vec<u32> {
    let data = at + 2 * 4096;
    let mut commands = Vec::new();
    if stream.engine == Engine::Bcs {
        // 8 bytes a nanosecond; up to ten microseconds in one command.
        let blits = stream.length.div_ceil(10);
        for _ in 0..blits {
            let lines = (stream.length / blits * 8000).div_ceil(LINE);
            // The lines lie on each other: PITCH is a fraction of their width.
            commands.extend([2 << 29 | 0x50 << 22 | 3 << 20 | 5]);
            commands.extend([3 << 24 | 0xf0 << 16 | 2048, 0, lines << 16 | (LINE / 4)]);
            commands.extend([data as u32, (data >> 32) as u32, 7]);
        }
    } else {
        // 40 ns a round: decrement, end at zero, go round.
        let rounds = stream.length * 1000 / 40;
        commands.extend([0x1000_0002, data as u32, (data >> 32) as u32, rounds]);
        let start = at + 4 * commands.len() as u64;
        commands.extend([0x1780_0001 | 0x6 << 8, data as u32, (data >> 32) as u32]);
        commands.extend([0x1b00_0002 | 1 << 21, 0, data as u32, (data >> 32) as u32]);
        commands.extend([0x1880_0101, start as u32, (start >> 32) as u32]);
    }
    commands.push(0x0500_0000);
    assert!(commands.len() <= 2048);
    commands
}

/// Keeps as many requests waiting as the stream says; true when the last one is complete.
pub fn refill(machine: &mut impl Machine, scheduler: &mut Scheduler, stream: Stream) -> bool {
    loop {
        let arrived: u32 = scheduler
            .contexts
            .iter()
            .map(|context| context.arrived(machine))
            .sum();
        let submitted = scheduler.requests.len();
        let waiting = submitted - arrived as usize;
        if submitted == stream.jobs {
            return waiting == 0;
        }
        if waiting >= stream.depth {
            return false;
        }
        let context = submitted % stream.contexts;
        let batch = scheduler.contexts[context].place.spinners[0];
        scheduler.submit(machine, context, Payload::Batch(batch));
    }
}
