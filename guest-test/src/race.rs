//! Two processors write entries at once: none gets lost, and the hypervisor has no reason to crash us.
//!
//! i915 binds under a lock, but not always under the same one (`gen8_ggtt_insert_page` of relocations,
//! asynchronous binds). The processors share pages of entries and no entry. Besides that the second one
//! looks at entries that the first is writing, which are old or new.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::ggtt::{self, Partition};
use crate::hardware::GGTT_ENTRIES;
use crate::linux::Linux;
use crate::machine::{Machine, Width};
use crate::report::{Outcome, ensure, equal};

/// Entries in a page of them.
const PAGE: u64 = 512;
/// Pages that both write, and as many behind them that only the first does.
const PAGES: u64 = 8;
/// The second processor's entries of each shared page, at its end.
const THEIRS: u64 = 32;

/// So many rounds of the first processor.
pub fn race(linux: &mut Linux, rounds: u32) -> Outcome {
    let span = Partition::read(linux)?.nonmappable;
    let first = (span.first / 4096).next_multiple_of(PAGE);
    ensure((first + 2 * PAGES * PAGE) * 4096 <= span.end(), || {
        "the partition is too small".into()
    })?;
    let mut frames = [0; 4];
    for frame in &mut frames {
        *frame = linux.page().map_err(|trouble| trouble.0)?.frame;
    }
    for index in first..first + 2 * PAGES * PAGE {
        ggtt::write_entry(linux, index, ggtt::entry(frames[0]));
    }
    ggtt::flush(linux);

    let stop = AtomicBool::new(false);
    let (ours, theirs) = thread::scope(|scope| {
        let other = scope.spawn(|| second(first, frames, &stop));
        let ours = (0..rounds).try_for_each(|round| round_of_first(linux, first, frames, round));
        stop.store(true, Ordering::Relaxed);
        (ours, other.join())
    });
    ours?;
    let (written, last) = theirs.map_err(|_| "the second processor gave up".to_owned())??;
    println!("GUEST the second processor wrote {written} entries meanwhile");
    ensure(written > 0, || "it wrote nothing".into())?;
    ggtt::flush(linux);
    for (index, want) in (0..).zip(last) {
        let index = first + index / THEIRS * PAGE + PAGE - THEIRS + index % THEIRS;
        let read = ggtt::read_entry(linux, index) & !0xffe;
        equal(&format!("entry {index:#x} of the second"), read, want)?;
    }
    Ok(())
}

/// Fills its part of each shared page, then all of its own pages in one run.
fn round_of_first(linux: &mut Linux, first: u64, frames: [u64; 4], round: u32) -> Outcome {
    let frame = |index: u64| frames[(index as usize + round as usize) % 4];
    for page in 0..PAGES {
        let entries = first + page * PAGE..first + (page + 1) * PAGE - THEIRS;
        for index in entries.clone() {
            ggtt::write_entry(linux, index, ggtt::entry(frame(index)));
        }
        if page % 3 == 0 {
            ggtt::flush(linux);
        }
        for index in entries.step_by(37) {
            let read = ggtt::read_entry(linux, index) & !0xffe;
            equal(
                &format!("entry {index:#x}"),
                read,
                ggtt::entry(frame(index)),
            )?;
        }
    }
    let own = first + PAGES * PAGE..first + 2 * PAGES * PAGE;
    for index in own.clone() {
        ggtt::write_entry(linux, index, ggtt::entry(frame(index)));
    }
    for index in own.step_by(211) {
        let read = ggtt::read_entry(linux, index) & !0xffe;
        equal(
            &format!("entry {index:#x}"),
            read,
            ggtt::entry(frame(index)),
        )?;
    }
    Ok(())
}

/// Single entries and short runs in the shared pages, and looks at the first one's. How many it
/// wrote, and what is in its entries in the end.
fn second(first: u64, frames: [u64; 4], stop: &AtomicBool) -> Result<(u64, Vec<u64>), String> {
    let mut registers = Linux::registers().map_err(|trouble| trouble.0)?;
    let place = |index: u64| GGTT_ENTRIES + 8 * index;
    let mut last = vec![ggtt::entry(frames[0]); (PAGES * THEIRS) as usize];
    let (mut seed, mut written) = (1u64, 0);
    while !stop.load(Ordering::Relaxed) {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let random = seed >> 33;
        let page = random % PAGES;
        let (from, count) = match random / 8 % 4 {
            0 => (0, THEIRS),
            _ => (random / 32 % THEIRS, 1),
        };
        for at in from..from + count {
            let index = first + (page + 1) * PAGE - THEIRS + at;
            let value = ggtt::entry(frames[(random / 1024 + at) as usize % 4]);
            registers.store(place(index), Width::Qword, value);
            let kept = last.get_mut((page * THEIRS + at) as usize);
            kept.map(|kept| *kept = value).ok_or("no such entry")?;
            written += 1;
        }
        let index = first + (page + 1) * PAGE - THEIRS + from;
        let read = registers.load(place(index), Width::Qword) & !0xffe;
        let want = ggtt::entry(frames[(random / 1024 + from) as usize % 4]);
        equal(&format!("entry {index:#x} of the second"), read, want)?;
        let index = first + (PAGES + page) * PAGE + random / 4096 % PAGE;
        let read = registers.load(place(index), Width::Qword) & !0xffe;
        ensure(
            frames.iter().any(|frame| ggtt::entry(*frame) == read),
            || format!("entry {index:#x} is {read:#x}, which nobody wrote"),
        )?;
    }
    Ok((written, last))
}
