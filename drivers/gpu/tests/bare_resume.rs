//! The driver brings bare hardware up: forcewake, workarounds, MOCS, engines, power states.
//!
//! `intel_gt_resume` of Linux 6.12, register by register, for Kaby Lake GT2 revision 2: what it
//! waits for, what it reads back, and what it takes for lost otherwise. Source: `intel_uncore.c`,
//! `gt/intel_gt_pm.c`, `intel_workarounds.c`, `intel_gtt.c`, `intel_mocs.c`, `intel_rc6.c`,
//! `intel_rps.c`.

#[expect(dead_code, reason = "resets and set-up alone, nothing is scheduled")]
mod linux;
mod model_support;

use gpu::spec::engine::{self, NONPRIV};
use gpu::spec::registers::{GDRST, find};
use gpu::{Engine, Gpu, Owner};
use linux::Machine;
use linux::reset::{reset_engines, reset_pointers, resume, stop};
use model_support::*;

/// Forcewake domains: request, acknowledgement.
const DOMAINS: [(u32, u32); 3] = [(0xa278, 0xd84), (0xa270, 0xd88), (0xa188, 0x13_0044)];
const KERNEL: u32 = 1 << 0;
const FALLBACK: u32 = 1 << 15;

/// Of the GT: register, bits that are set.
const GT_WORKAROUNDS: [(u32, u32); 6] = [
    (0x4090, 1 << 8),
    (0x4ddc, 1 << 31 | 1 << 27),
    (0x4090, 1 << 25),
    (0x940c, 1 << 14),
    (0x4ab0, 1 << 18),
    (0x4080, 0xf),
];
/// Of the render engine's block, masked.
const RENDER_MASKED: [(u32, u32); 2] = [(0x20d4, 1 << 2), (0x20e0, 1 << 14)];
/// Of the render engine elsewhere.
const RENDER_WORKAROUNDS: [(u32, u32); 2] = [(0xb11c, 1 << 2), (0xb118, 1 << 21)];
/// What unprivileged batches may write.
const WHITELIST: [u32; 5] = [0x2248, 0x2580, 0x7304, 0x7014, 0xb118];
/// First of 64 MOCS registers of each engine, by index.
const MOCS: [u32; 4] = [0xc800, 0xcc00, 0xc900, 0xcb00];
const L3CC: u32 = 0xb020;
const SEMAPHORE_POLL: u32 = 0x24c;

/// A machine whose driver may touch only what has a row.
struct Bare(Bench);

impl Machine for Bare {
    fn read(&mut self, offset: u32) -> u32 {
        assert!(find(offset).is_some(), "no register at {offset:#x}");
        self.0.gpu.read(offset)
    }

    fn write(&mut self, offset: u32, value: u32) {
        assert!(find(offset).is_some(), "no register at {offset:#x}");
        self.0.gpu.write(offset, value);
    }

    fn peek(&mut self, address: u64) -> u32 {
        self.0
            .peek(gpu::DmaPage(address >> 12), (address & 0xfff) as usize / 4)
    }

    fn poke(&mut self, address: u64, value: u32) {
        let page = gpu::DmaPage(address >> 12);
        self.0.poke(page, (address & 0xfff) as usize / 4, value);
    }

    fn message(&mut self) -> bool {
        self.0.gpu.take_interrupt()
    }
}

impl Bare {
    fn masked(&mut self, offset: u32, mask: u32, value: u32) {
        self.write(offset, engine::masked(mask, value));
    }

    /// `fw_domains_get`: all acknowledgements clear before, set after.
    fn wake(&mut self) {
        for (request, acknowledgement) in DOMAINS {
            assert_eq!(self.read(acknowledgement) & KERNEL, 0);
            self.masked(request, KERNEL, KERNEL);
        }
        for (_, acknowledgement) in DOMAINS {
            assert_eq!(self.read(acknowledgement) & KERNEL, KERNEL);
        }
    }

    fn sleep(&mut self) {
        for (request, _) in DOMAINS {
            self.masked(request, KERNEL, 0);
        }
    }

    fn set_bits(&mut self, offset: u32, bits: u32) {
        let value = self.read(offset) | bits;
        self.write(offset, value);
    }

    /// `intel_gt_init_hw`: workarounds and whether they stick, the GTT's, MOCS of L3.
    fn init_hardware(&mut self) {
        self.write(0xfdc, 0);
        for (offset, bits) in GT_WORKAROUNDS {
            self.set_bits(offset, bits);
        }
        for (offset, bits) in GT_WORKAROUNDS {
            assert_eq!(self.read(offset) & bits, bits, "{offset:#x} lost");
        }
        self.write(0x4dd4, 0x67f1_427f);
        self.write(0x4024, 0);
        (0..32).for_each(|entry| self.write(L3CC + 4 * entry, 0x0030_0010 + entry));
    }

    /// `intel_engine_resume`: workarounds, whitelist, MOCS, execlists.
    fn resume_engine(&mut self, which: Engine) {
        let base = which.base();
        if which == Engine::Rcs {
            for (offset, bits) in RENDER_MASKED {
                self.masked(offset, bits, bits);
            }
            for (offset, bits) in RENDER_WORKAROUNDS {
                self.set_bits(offset, bits);
            }
        } else {
            self.write(base + SEMAPHORE_POLL, 1);
        }
        let whitelist: &[u32] = if which == Engine::Rcs {
            &WHITELIST
        } else {
            &[]
        };
        for slot in 0..12 {
            let register = whitelist.get(slot).copied().unwrap_or(base + engine::NOPID);
            self.write(base + NONPRIV + 4 * slot as u32, register);
        }
        let mocs = MOCS[which.index()];
        (0..64).for_each(|entry| self.write(mocs + 4 * entry, 0x30 | entry));
        resume(self, which, (1 + which.index() as u32) * 0x1000);
        self.verify_engine(which);
    }

    fn verify_engine(&mut self, which: Engine) {
        if which == Engine::Rcs {
            for (offset, bits) in RENDER_MASKED.into_iter().chain(RENDER_WORKAROUNDS) {
                assert_eq!(self.read(offset) & bits, bits, "{offset:#x} lost");
            }
            for (slot, register) in (0..).zip(WHITELIST) {
                assert_eq!(self.read(0x2000 + NONPRIV + 4 * slot), register);
            }
        }
        let mocs = MOCS[which.index()];
        for entry in 0..64 {
            assert_eq!(self.read(mocs + 4 * entry), 0x30 | entry, "MOCS {entry}");
        }
    }

    /// `gen9_rc6_enable`, and what is read of it.
    fn power_states(&mut self) {
        for register in [0xa210, 0xa090, 0xa094] {
            self.write(register, 0);
            assert_eq!(self.read(register), 0);
        }
        self.write(0xa09c, 54 << 16);
        self.write(0xa0a8, 125_000);
        self.write(0xa0ac, 25);
        for engine in Engine::ALL {
            self.write(engine.base() + 0x54, 10);
        }
        self.write(0xc3e4, 0xa);
        self.write(0xa0b0, 0);
        self.write(0xa0c4, 250);
        self.write(0xa0c8, 250);
        self.write(0xa0b8, 37_500);
        self.write(0xa210, 0b11);
        self.write(0xa090, 1 << 31 | 1 << 18 | 1 << 27);
        assert_eq!(self.read(0xa090), 1 << 31 | 1 << 18 | 1 << 27);
        // Residencies stand still: the model never sleeps.
        for residency in [0x13_8104, 0x13_8108, 0x13_810c, 0x13_8110] {
            assert_eq!(self.read(residency), 0);
        }
        // No room between the lowest and the highest frequency: the driver leaves them alone.
        assert_eq!(self.read(0x14_5998), 0);
        for register in [0xa008, 0xa01c, 0xa010, 0xa014, 0xa024, 0xa070, 0xa168] {
            self.read(register);
        }
        // Dynamic duty cycle: PCODE answers, without an error.
        self.write(0x13_8128, 0);
        self.write(0x13_8124, 1 << 31 | 0x1a);
        assert_eq!(self.read(0x13_8124), 0, "neither busy nor in error");
    }

    /// The whole of it.
    fn resume(&mut self) {
        self.wake();
        for engine in Engine::ALL {
            stop(self, engine);
            reset_pointers(self, engine);
        }
        reset_engines(self, &Engine::ALL, 1);
        for engine in Engine::ALL {
            reset_pointers(self, engine);
        }
        self.init_hardware();
        for engine in Engine::ALL {
            self.resume_engine(engine);
        }
        self.power_states();
        self.sleep();
    }

    /// Each engine executes something, in the order of things.
    fn works(&mut self, engines: &[Engine]) {
        for &engine in engines {
            let page = self.0.status[engine.index()];
            self.0.expect_entry_zero(engine);
            let context = self.0.ring(engine, &[USER_INTERRUPT, ARB_CHECK]);
            assert_eq!(self.0.peek(page, 0x10), 1, "{engine}: entry 0");
            assert_eq!(self.0.events(engine), [(1, 0), (0x18, context.id())]);
        }
    }
}

#[test]
fn a_driver_finds_everything_that_it_waits_for_and_reads_back() {
    let mut bare = Bare(Bench::new());
    for round in 0..2 {
        bare.resume();
        bare.works(&Engine::ALL);
        for (_, acknowledgement) in DOMAINS {
            assert_eq!(bare.read(acknowledgement), 0, "round {round}");
        }
    }
}

#[test]
fn wake_requests_of_several_holders_are_kept_apart() {
    let mut bare = Bare(Bench::new());
    for (request, acknowledgement) in DOMAINS {
        bare.masked(request, 0xffff, 0xffff);
        assert_eq!(bare.read(acknowledgement), 0xffff);
        bare.masked(request, 0xffff, 0);
        assert_eq!(bare.read(acknowledgement), 0, "a driver starts so");
        // The driver's second try, when the first was not answered.
        bare.masked(request, KERNEL, KERNEL);
        bare.masked(request, FALLBACK, FALLBACK);
        assert_eq!(bare.read(acknowledgement), KERNEL | FALLBACK);
        bare.masked(request, FALLBACK, 0);
        assert_eq!(bare.read(acknowledgement), KERNEL);
        bare.masked(request, KERNEL, 0);
        assert_eq!(bare.read(acknowledgement), 0);
    }
    assert_eq!(bare.read(0x13_805c) & 7, 0, "threads are awake");
    assert!(bare.read(0x12_0008) & 0x7f > 20, "room for writes");
}

#[test]
fn an_engine_reset_takes_its_own_settings_and_nobody_elses() {
    let mut bare = Bare(Bench::new());
    bare.resume();
    for which in Engine::ALL {
        stop(&mut bare, which);
        reset_engines(&mut bare, &[which], which.reset_bit());
        let others = Engine::ALL.into_iter().filter(|other| *other != which);
        others.for_each(|other| bare.verify_engine(other));
        for (offset, bits) in GT_WORKAROUNDS {
            assert_eq!(bare.read(offset) & bits, bits);
        }
        for register in [engine::HWS_PGA, engine::RING_MODE] {
            assert_eq!(bare.read(which.base() + register), 0, "{which}");
        }
        assert_eq!(bare.read(which.base() + engine::RING_IMR), !0);
        assert_eq!(
            bare.read(which.base() + engine::MI_MODE) & 1 << 8,
            0,
            "not stopped"
        );
        reset_pointers(&mut bare, which);
        bare.resume_engine(which);
        bare.works(&[which]);
    }
}

#[test]
fn a_reset_of_everything_needs_everything_anew() {
    let mut bare = Bare(Bench::new());
    bare.resume();
    bare.write(GDRST, 1);
    assert_eq!(bare.read(GDRST), 0);
    for offset in [0x4090, 0x4ddc, 0x4ab0, 0xb11c, 0x20d4, MOCS[1]] {
        assert_eq!(bare.read(offset), 0, "{offset:#x}");
    }
    bare.resume();
    bare.works(&Engine::ALL);
}

#[test]
fn a_batch_reaches_what_the_whitelist_opens_and_nothing_else() {
    let mut bare = Bare(Bench::new());
    bare.resume();
    let bench = &mut bare.0;
    let mut context = bench.context(Engine::Rcs, Owner::Host);
    let writes = [
        [LOAD_IMMEDIATE, 0x7014, 1 << 16 | 1],
        [LOAD_IMMEDIATE, 0xe184, 1 << 16 | 1],
        [LOAD_IMMEDIATE, 0x2080, 0x5000_0000],
    ];
    let batch = [&writes.concat()[..], &[BATCH_END]].concat();
    bench.private(&context, 0x10_0000, &batch);
    bench.emit(&mut context, &[BATCH_START, 0x10_0000, 0, NOOP]);
    bench.expect_entry_zero(Engine::Rcs);
    bench.submit(&[&context]);
    bench.finish();
    assert_eq!(bare.read(0x7014) & 1, 1);
    assert_eq!(bare.read(0xe184) & 1, 0);
    assert_eq!(bare.read(0x2080), 0x1000, "its status page is where it was");
}
