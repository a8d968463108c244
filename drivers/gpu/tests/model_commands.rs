//! What commands do to memory and registers, and what an unprivileged batch may not.

mod model_support;

use gpu::model::fault::Fault;
use gpu::spec::engine;
use gpu::spec::registers::{FAULT, FAULT_TLB_DATA};
use gpu::{Engine, Gpu, GraphicsAddress, Owner, Progress};
use model_support::*;

const BATCH: u64 = 0x40_0000;
const DATA: u64 = 0x7f12_3456_7000;

/// A guest's context whose ring starts an unprivileged batch of these commands; page of data at
/// [`DATA`] in its PPGTT.
fn batch(bench: &mut Bench, engine: Engine, dwords: &[u32]) -> (Context, gpu::DmaPage) {
    let mut context = bench.context(engine, Owner::Guest(1));
    let data = bench.private(&context, DATA, &[]);
    let ended: Vec<u32> = dwords.iter().copied().chain([BATCH_END]).collect();
    bench.private(&context, BATCH, &ended);
    bench.emit(
        &mut context,
        &[BATCH_START, BATCH as u32, (BATCH >> 32) as u32, NOOP],
    );
    (context, data)
}

fn run_batch(engine: Engine, dwords: &[u32]) -> (Bench, gpu::DmaPage) {
    let mut bench = Bench::new();
    let (context, data) = batch(&mut bench, engine, dwords);
    bench.submit(&[&context]);
    bench.finish();
    assert_eq!(bench.gpu.fault(engine), None);
    assert_eq!(bench.gpu.breaches(), 0);
    (bench, data)
}

const LOW: u32 = DATA as u32;
const HIGH: u32 = (DATA >> 32) as u32;

#[test]
fn stores_of_a_dword_and_a_qword_reach_the_ppgtt() {
    for engine in Engine::ALL {
        let qword = STORE | 1 << 21 | 1;
        let (bench, data) = run_batch(
            engine,
            &[STORE, LOW, HIGH, 0x11, qword, LOW + 8, HIGH, 0x22, 0x33],
        );
        assert_eq!(bench.peek(data, 0), 0x11);
        assert_eq!(bench.peek64(data, 2), 0x33_0000_0022);
    }
}

#[test]
fn copies_and_register_moves_carry_values_through() {
    let gpr = Engine::Rcs.base() + engine::GPR;
    let (mut bench, data) = run_batch(
        Engine::Rcs,
        &[
            STORE,
            LOW,
            HIGH,
            0xfeed,
            0x1700_0003,
            LOW + 4,
            HIGH,
            LOW,
            HIGH, // MI_COPY_MEM_MEM
            LOAD_MEMORY,
            gpr,
            LOW + 4,
            HIGH,
            0x1500_0001,
            gpr,
            gpr + 8, // MI_LOAD_REGISTER_REG
            STORE_REGISTER,
            gpr + 8,
            LOW + 8,
            HIGH,
        ],
    );
    assert_eq!([1, 2].map(|dword| bench.peek(data, dword)), [0xfeed; 2]);
    assert_eq!(bench.general(Engine::Rcs, 1), 0xfeed);
}

#[test]
fn arithmetic_carries_borrows_and_stores_flags() {
    const LOAD: u32 = 0x080 << 20;
    const STORE_RESULT: u32 = 0x180 << 20;
    let alu = |opcode: u32, first: u32, second: u32| opcode << 20 | first << 10 | second;
    let gpr = |number: u32| Engine::Vcs.base() + engine::GPR + 8 * number;
    let (mut bench, _) = run_batch(
        Engine::Vcs,
        &[
            0x1100_0007, // four registers
            gpr(0),
            5,
            gpr(0) + 4,
            1,
            gpr(1),
            7,
            gpr(1) + 4,
            0,
            0x0d00_0000 | 8, // MI_MATH, nine instructions
            LOAD | 0x20 << 10,
            LOAD | 0x21 << 10 | 1,
            alu(0x101, 0, 0),              // R0 - R1
            STORE_RESULT | 2 << 10 | 0x31, // accumulator
            STORE_RESULT | 3 << 10 | 0x33, // carry
            LOAD | 0x20 << 10 | 1,
            LOAD | 0x21 << 10,
            alu(0x101, 0, 0), // R1 - R0
            STORE_RESULT | 4 << 10 | 0x33,
        ],
    );
    assert_eq!(bench.general(Engine::Vcs, 2), (1 << 32 | 5) - 7);
    assert_eq!(bench.general(Engine::Vcs, 3), 0);
    assert_eq!(bench.general(Engine::Vcs, 4), u64::MAX);
}

#[test]
fn atomics_change_memory_and_return_what_was_there() {
    const ADD: u32 = 0x7 << 8;
    const INLINE: u32 = 1 << 18;
    const RETURN: u32 = 1 << 16;
    const QWORD: u32 = 1 << 19;
    let atomic = 0x1780_0000 | 9 | INLINE | RETURN;
    let (mut bench, data) = run_batch(
        Engine::Bcs,
        &[
            STORE,
            LOW,
            HIGH,
            40,
            atomic | ADD,
            LOW,
            HIGH,
            2,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            STORE,
            LOW + 8,
            HIGH,
            0xffff_ffff,
            (atomic | QWORD | 0x5 << 8) & !RETURN,
            LOW + 8,
            HIGH,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ],
    );
    assert_eq!(bench.peek(data, 0), 42);
    assert_eq!(bench.peek64(data, 2), 1 << 32);
    assert_eq!(bench.general(Engine::Bcs, 0), 40);
}

#[test]
fn post_sync_writes_land_where_their_bits_say() {
    let mut bench = Bench::new();
    let mut context = bench.context(Engine::Rcs, Owner::Guest(1));
    let data = bench.private(&context, DATA, &[]);
    let (global, at) = bench.global(Owner::Guest(1), &[]);
    let write = 1 << 14;
    bench.emit(
        &mut context,
        &[
            PIPE_CONTROL,
            write | 1 << 24,
            at,
            0,
            0x1111,
            0x2222,
            PIPE_CONTROL,
            write,
            LOW,
            HIGH,
            0x3333,
            0x4444,
            PIPE_CONTROL,
            write | 1 << 21,
            0xd0,
            0,
            0x5555,
            0x6666,
            PIPE_CONTROL,
            3 << 14,
            LOW + 8,
            HIGH,
            0,
            0,
        ],
    );
    bench.submit(&[&context]);
    bench.finish();
    assert_eq!(bench.peek64(global, 0), 0x2222_0000_1111);
    assert_eq!(bench.peek64(data, 0), 0x4444_0000_3333);
    assert_eq!(
        bench.peek64(context.image[0], 0xd0 / 4),
        0x6666_0000_5555,
        "per-process page"
    );
    assert_ne!(bench.peek64(data, 2), 0, "a timestamp");
}

#[test]
fn flushes_of_the_other_engines_store_a_dword_or_a_qword() {
    for engine in [Engine::Bcs, Engine::Vcs, Engine::Vecs] {
        let mut bench = Bench::new();
        let mut context = bench.context(engine, Owner::Host);
        let (global, at) = bench.global(Owner::Host, &[0, 0, 7, 7]);
        let write = 1 << 14;
        bench.emit(
            &mut context,
            &[
                FLUSH_DWORD | write,
                at | 1 << 2,
                0,
                0x1111,
                (FLUSH_DWORD | write) + 1,
                (at + 8) | 1 << 2,
                0,
                0x2222,
                0x3333,
                NOOP,
                FLUSH_DWORD | write | 1 << 21,
                0xd0,
                0,
                0x4444,
                FLUSH_DWORD | write | 1 << 21,
                0xd0 | 1 << 2,
                0,
                0x5555,
            ],
        );
        bench.submit(&[&context]);
        bench.finish();
        assert_eq!(bench.gpu.fault(engine), None);
        assert_eq!(bench.peek64(global, 0), 0x1111);
        assert_eq!(bench.peek64(global, 2), 0x3333_0000_2222);
        assert_eq!(bench.peek(context.image[0], 0xd0 / 4), 0x4444);
        assert_eq!(bench.peek(bench.status[engine.index()], 0xd0 / 4), 0x5555);
    }
}

#[test]
fn a_semaphore_waits_for_the_cpu_and_reports_itself_once() {
    let mut bench = Bench::new();
    let equal = SEMAPHORE_WAIT | 4 << 12;
    let (context, data) = batch(
        &mut bench,
        Engine::Rcs,
        &[equal, 3, LOW, HIGH, STORE, LOW + 4, HIGH, 1],
    );
    // Only the semaphore interrupt is listened to.
    let mask = Engine::Rcs.base() + engine::RING_IMR;
    bench.gpu.write(mask, !engine::INTERRUPT_SEMAPHORE_WAIT);
    bench.submit(&[&context]);
    for round in 0..5 {
        assert_eq!(bench.gpu.run(), Progress::Busy);
        assert_eq!(bench.gpu.take_interrupt(), round == 0);
    }
    assert_eq!(bench.peek(data, 1), 0);
    bench.poke(data, 0, 3);
    bench.finish();
    assert_eq!(bench.peek(data, 1), 1);
}

#[test]
fn a_waiting_semaphore_lets_another_context_in() {
    let mut bench = Bench::new();
    let (context, data) = batch(
        &mut bench,
        Engine::Rcs,
        &[SEMAPHORE_WAIT | 4 << 12, 3, LOW, HIGH],
    );
    let mut other = bench.context(Engine::Rcs, Owner::Guest(2));
    bench.emit(&mut other, &[NOOP, NOOP]);
    bench.submit(&[&context]);
    bench.gpu.run();
    bench.submit(&[&other, &context]);
    bench.gpu.run();
    bench.gpu.run();
    assert_eq!(
        bench.events(Engine::Rcs),
        [(1, 0), (2, context.id()), (0x14, other.id())]
    );
    bench.poke(data, 0, 3);
    bench.finish();
    assert_eq!(bench.events(Engine::Rcs), [(0x18, context.id())]);
}

#[test]
fn a_conditional_end_ends_the_batch_unless_memory_is_greater() {
    for (memory, ended) in [(5, true), (6, false)] {
        let mut bench = Bench::new();
        let end = 0x1b00_0002 | 1 << 21;
        let (context, data) = batch(
            &mut bench,
            Engine::Bcs,
            &[end, 5, LOW + 8, HIGH, STORE, LOW, HIGH, 1],
        );
        bench.poke(data, 2, memory);
        bench.submit(&[&context]);
        bench.finish();
        assert_eq!(bench.peek(data, 0) == 0, ended);
    }
}

#[test]
fn second_level_batches_return_and_chained_ones_do_not() {
    let mut bench = Bench::new();
    let second = 0x50_0000u32;
    let chained = 0x60_0000u32;
    let (context, data) = batch(
        &mut bench,
        Engine::Vcs,
        &[
            BATCH_START | 1 << 22,
            second,
            0,
            STORE,
            LOW + 4,
            HIGH,
            2,
            BATCH_START,
            chained,
            0,
            STORE,
            LOW,
            HIGH,
            99,
        ],
    );
    bench.private(&context, second.into(), &[STORE, LOW, HIGH, 1, BATCH_END]);
    bench.private(
        &context,
        chained.into(),
        &[STORE, LOW + 8, HIGH, 3, BATCH_END],
    );
    bench.submit(&[&context]);
    bench.finish();
    assert_eq!([0, 1, 2].map(|dword| bench.peek(data, dword)), [1, 2, 3]);
    assert_eq!(bench.saved_head(&context), context.tail);
}

#[test]
fn a_batch_that_rewrites_itself_does_what_it_says_at_that_moment() {
    // Overwrites the command behind it with MI_BATCH_BUFFER_END.
    let target = BATCH as u32 + 16;
    let (bench, data) = run_batch(
        Engine::Bcs,
        &[STORE, target, 0, BATCH_END, STORE, LOW, HIGH, 1],
    );
    assert_eq!(bench.peek(data, 0), 0);
}

#[test]
fn an_unprivileged_batch_writes_only_registers_the_hardware_lets_it() {
    let chicken = 0x7014;
    let mask = 0xffff_0000 | 0x40;
    let predicate = 0x2400;
    let (mut bench, _) = run_batch(
        Engine::Rcs,
        &[
            LOAD_IMMEDIATE,
            chicken,
            mask,
            LOAD_IMMEDIATE,
            predicate,
            0x77,
        ],
    );
    assert_eq!(bench.gpu.read(chicken), 0);
    assert_eq!(bench.gpu.read(predicate), 0x77);

    // The same with the chicken register in a FORCE_TO_NONPRIV slot.
    let (context, _) = batch(&mut bench, Engine::Rcs, &[LOAD_IMMEDIATE, chicken, mask]);
    bench
        .gpu
        .write(Engine::Rcs.base() + engine::NONPRIV + 8, chicken);
    bench.submit(&[&context]);
    bench.finish();
    assert_eq!(bench.gpu.read(chicken), 0x40);
}

#[test]
fn the_ring_and_global_batches_write_any_register() {
    let mut bench = Bench::new();
    let mask = 0xffff_0000 | 0x40;
    let (_, at) = bench.global(Owner::Host, &[LOAD_IMMEDIATE, 0x7014, mask, BATCH_END]);
    bench.ring(
        Engine::Rcs,
        &[LOAD_IMMEDIATE, 0xe194, mask, BATCH_START_GLOBAL, at, 0],
    );
    assert_eq!(
        [0x7014, 0xe194].map(|offset| bench.gpu.read(offset)),
        [0x40; 2]
    );
}

#[test]
fn the_blitter_engine_does_not_check_privilege_as_on_real_gen9() {
    let (mut bench, _) = run_batch(Engine::Bcs, &[LOAD_IMMEDIATE, 0x7004, 0xffff_0001]);
    assert_eq!(bench.gpu.read(0x7004), 1);
}

#[test]
fn an_unprivileged_batch_cannot_name_the_global_gtt() {
    let mut bench = Bench::new();
    let (page, at) = bench.global(Owner::Guest(1), &[5]);
    // MI_STORE_DATA_INDEX into the engine's status page: here it means the context's.
    let status = 0x1080_0001;
    let (context, data) = batch(
        &mut bench,
        Engine::Vcs,
        &[
            STORE_GLOBAL,
            at,
            0,
            9,
            0x1700_0003 | 1 << 22,
            LOW,
            HIGH,
            at,
            0,
            status,
            0xd0,
            9,
            FLUSH_DWORD | 1 << 14,
            at | 1 << 2,
            0,
            9,
        ],
    );
    bench.submit(&[&context]);
    bench.finish();
    assert_eq!(bench.peek(page, 0), 5);
    assert_eq!(bench.peek(data, 0), 0);
    assert_eq!(bench.peek(bench.status[Engine::Vcs.index()], 0xd0 / 4), 0);
    assert_eq!(bench.peek(context.image[0], 0xd0 / 4), 9);
    assert_eq!(
        bench.gpu.breaches(),
        0,
        "refused before any page was touched"
    );
    assert_eq!(bench.gpu.fault(Engine::Vcs), None);
}

#[test]
fn read_only_pages_swallow_writes() {
    let mut bench = Bench::new();
    let (context, _) = batch(
        &mut bench,
        Engine::Rcs,
        &[STORE, 0x8000, 0, 1, 0x1700_0003, LOW, HIGH, 0x8000, 0],
    );
    let scratch = bench.page(Owner::HostFor(1));
    bench.poke(scratch, 0, 0xaa);
    bench.bind(&context, 0x8000, scratch, READ_ONLY);
    bench.submit(&[&context]);
    bench.finish();
    assert_eq!(bench.peek(scratch, 0), 0xaa);
    assert_eq!(bench.gpu.fault(Engine::Rcs), None);
}

#[test]
fn large_pages_map_what_their_size_says() {
    let mut bench = Bench::new();
    let mut context = bench.context(Engine::Rcs, Owner::Guest(1));
    // 2 MiB at 1 GiB: 512 frames in a row; 64 KiB at 2 GiB: sixteen.
    let mut frames: Vec<_> = (0..1100).map(|_| bench.page(Owner::Guest(1))).collect();
    frames.sort_by_key(|page| page.0);
    let aligned = |bits: u64, from: usize| {
        *frames[from..]
            .iter()
            .find(|page| page.0 % bits == 0)
            .expect("an aligned frame")
    };
    let huge = aligned(512, 0);
    let wide = aligned(16, 1050);
    bench.bind_level(&context, 1 << 30, huge, WRITABLE | 1 << 7, 1);
    bench.bind(&context, 2 << 30, wide, WRITABLE);
    // The directory entry says that its table holds 64 KiB pages.
    let directory = bench.peek64(context.root, 0) >> 12;
    let directory = bench.peek64(gpu::DmaPage(directory), 2 * 2) >> 12;
    let entry = bench.peek64(gpu::DmaPage(directory), 0);
    bench.entry(gpu::DmaPage(directory), 0, entry | 1 << 11);
    bench.private(
        &context,
        BATCH,
        &[
            STORE,
            (1 << 30) + (300 << 12) + 4,
            0,
            0x2222,
            STORE,
            (2u32 << 30) + (9 << 12) + 8,
            0,
            0x6464,
            BATCH_END,
        ],
    );
    bench.emit(&mut context, &[BATCH_START, BATCH as u32, 0, NOOP]);
    bench.submit(&[&context]);
    bench.finish();
    assert_eq!(bench.gpu.fault(Engine::Rcs), None);
    assert_eq!(bench.peek(gpu::DmaPage(huge.0 + 300), 1), 0x2222);
    assert_eq!(bench.peek(gpu::DmaPage(wide.0 + 9), 2), 0x6464);
}

#[test]
fn an_unknown_command_halts_with_an_error_interrupt() {
    let mut bench = Bench::new();
    bench.gpu.write(
        Engine::Bcs.base() + engine::RING_IMR,
        !(engine::INTERRUPT_ERROR << 16),
    );
    let unknown = 0x7f << 22 | 2 << 29;
    let (context, _) = batch(&mut bench, Engine::Bcs, &[unknown]);
    bench.submit(&[&context]);
    bench.finish();
    assert_eq!(
        bench.gpu.fault(Engine::Bcs),
        Some(Fault::UnknownCommand(unknown))
    );
    assert!(bench.gpu.take_interrupt());
    let base = Engine::Bcs.base();
    assert_eq!(bench.gpu.read(base + engine::EIR), 1);
    assert_eq!(bench.gpu.read(base + engine::ESR), 1);
    assert_eq!(bench.gpu.read(base + engine::IPEHR), unknown);
    assert_eq!(bench.gpu.read(base + engine::ACTHD), BATCH as u32);
    assert_eq!(
        bench.gpu.read(base + engine::EXECLIST_STATUS_HI),
        context.id()
    );
    assert_eq!(bench.events(Engine::Bcs), [(1, 0)], "no completion");
    bench.gpu.write(base + engine::EIR, 1);
    assert_eq!(bench.gpu.read(base + engine::EIR), 0);
}

#[test]
fn an_address_that_leads_nowhere_halts_and_says_where() {
    let mut bench = Bench::new();
    let (context, _) = batch(&mut bench, Engine::Vecs, &[STORE, 0x9999_9000, 0, 1]);
    bench.submit(&[&context]);
    bench.finish();
    let at = GraphicsAddress(0x9999_9000);
    assert_eq!(bench.gpu.fault(Engine::Vecs), Some(Fault::Unmapped(at)));
    assert_eq!(bench.gpu.read(FAULT) & 1, 1);
    assert_eq!(bench.gpu.read(FAULT_TLB_DATA), 0x9_9999);
}

#[test]
fn masked_errors_halt_silently() {
    let mut bench = Bench::new();
    bench.gpu.write(Engine::Bcs.base() + engine::EMR, !0);
    bench.gpu.write(
        Engine::Bcs.base() + engine::RING_IMR,
        !(engine::INTERRUPT_ERROR << 16),
    );
    let (context, _) = batch(&mut bench, Engine::Bcs, &[STORE, 0x9999_9000, 0, 1]);
    bench.submit(&[&context]);
    bench.finish();
    assert!(bench.gpu.fault(Engine::Bcs).is_some());
    assert!(!bench.gpu.take_interrupt());
    assert_eq!(bench.gpu.read(Engine::Bcs.base() + engine::EIR), 0);
}

#[test]
fn work_around_batches_run_at_every_restore_before_the_ring() {
    use gpu::spec::context::{INDIRECT_CONTEXT, PER_CONTEXT_BATCH};
    let mut bench = Bench::new();
    let mut context = bench.context(Engine::Rcs, Owner::HostFor(1));
    let gpr = |number: u32| Engine::Rcs.base() + engine::GPR + 8 * number;
    let mut indirect = vec![LOAD_IMMEDIATE, gpr(1), 1];
    indirect.resize(16, NOOP); // one line of 64 bytes, no end
    indirect.extend([LOAD_IMMEDIATE, gpr(1), 99]);
    let (_, indirect) = bench.global(Owner::HostFor(1), &indirect);
    let (_, last) = bench.global(Owner::HostFor(1), &[0x1500_0001, gpr(1), gpr(2), BATCH_END]);
    bench.poke(context.image[1], INDIRECT_CONTEXT, indirect | 1);
    bench.poke(context.image[1], PER_CONTEXT_BATCH, last | 1);
    bench.emit(&mut context, &[0x1500_0001, gpr(2), gpr(3), NOOP]);
    bench.submit(&[&context]);
    bench.finish();
    assert_eq!(
        [1, 2, 3].map(|number| bench.general(Engine::Rcs, number)),
        [1; 3]
    );
}

#[test]
fn three_dimensional_state_is_skipped_by_its_length() {
    let mut bench = Bench::new();
    let (result, at) = bench.global(Owner::Host, &[0]);
    bench.ring(
        Engine::Rcs,
        &[
            0x6904_0000, // PIPELINE_SELECT, one dword
            0x680b_0000, // 3DSTATE_VF_STATISTICS, one dword
            0x7805_0002,
            0xdead_beef,
            0xdead_beef,
            0xdead_beef, // 3DSTATE of four dwords
            STORE_GLOBAL,
            at,
            0,
            1,
        ],
    );
    assert_eq!(bench.gpu.fault(Engine::Rcs), None);
    assert_eq!(bench.peek(result, 0), 1);
}

#[test]
fn a_fill_by_the_blitter_takes_as_long_as_its_bytes() {
    let mut bench = Bench::new();
    let mut context = bench.context(Engine::Bcs, Owner::Guest(1));
    let pages: Vec<_> = (0..64u64)
        .map(|number| bench.private(&context, DATA + 4096 * number, &[]))
        .collect();
    // XY_COLOR_BLT, 32 bpp, 1024 x 64 pixels of 4 KiB pitch.
    let fill = [
        0x5430_0005,
        0x03f0_1000,
        0,
        64 << 16 | 1024,
        LOW,
        HIGH,
        0x0bad_cafe,
        NOOP,
    ];
    bench.emit(&mut context, &fill);
    let before = bench.gpu.busy_time(Engine::Bcs);
    bench.submit(&[&context]);
    bench.finish();
    for page in pages {
        assert_eq!(
            (bench.peek(page, 0), bench.peek(page, 1023)),
            (0x0bad_cafe, 0x0bad_cafe)
        );
    }
    let bytes = 64 * 4096;
    assert!(bench.gpu.busy_time(Engine::Bcs) - before >= bytes / gpu::model::time::BLIT_BYTES);
    assert_eq!(bench.gpu.breaches(), 0);
}

#[test]
fn a_context_that_waits_counts_the_time_that_it_is_told_as_timestamp_does() {
    let srm = 0x1200_0002;
    let base = Engine::Vecs.base();
    let (timestamp, context_timestamp) =
        (base + engine::TIMESTAMP, base + engine::CONTEXT_TIMESTAMP);
    let mut bench = Bench::new();
    let (context, data) = batch(
        &mut bench,
        Engine::Vecs,
        &[
            [srm, timestamp, LOW + 8, HIGH],
            [srm, context_timestamp, LOW + 12, HIGH],
            [SEMAPHORE_WAIT | 4 << 12, 1, LOW, HIGH],
            [srm, timestamp, LOW + 16, HIGH],
            [srm, context_timestamp, LOW + 20, HIGH],
        ]
        .concat(),
    );
    bench.submit(&[&context]);
    for _ in 0..4 {
        bench.gpu.run();
    }
    let second = bench.gpu.now() + 1_000_000_000;
    bench.gpu.time_is(second);
    assert!(bench.gpu.read(timestamp) >= 12_000_000);
    bench.poke(data, 0, 1);
    bench.finish();
    let passed = |from, to| bench.peek(data, to) - bench.peek(data, from);
    // Between the two stores of either side lies one command.
    assert!(passed(2, 4) >= 12_000_000);
    assert!(passed(2, 4).abs_diff(passed(3, 5)) <= 1);
}

#[test]
fn a_device_that_was_told_an_earlier_time_does_not_go_back() {
    let mut bench = Bench::new();
    let timestamp = Engine::Bcs.base() + engine::TIMESTAMP;
    let (context, _) = batch(&mut bench, Engine::Bcs, &[0; 64]);
    bench.gpu.time_is(1_000_000);
    bench.submit(&[&context]);
    bench.finish();
    let ended = bench.gpu.read(timestamp);
    assert!(ended > 12_000);
    bench.gpu.time_is(5);
    assert!(bench.gpu.read(timestamp) >= ended);
}
