//! The owner check: every page a context touches must be its client's.

mod model_support;

use gpu::model::isolation::Client;
use gpu::spec::context;
use gpu::spec::engine;
use gpu::spec::gtt::GttEntry;
use gpu::{DmaPage, Engine, Gpu, GraphicsAddress, GttIndex, Owner, PAGE_SIZE};
use model_support::*;

const FOREIGN: [Owner; 4] = [
    Owner::Guest(2),
    Owner::HostFor(2),
    Owner::Host,
    Owner::Nobody,
];

#[test]
fn a_write_to_a_foreign_page_is_dropped_counted_and_described() {
    for owner in FOREIGN {
        let mut bench = Bench::new();
        let (page, at) = bench.global(owner, &[5]);
        let mut context = bench.context(Engine::Rcs, Owner::Guest(1));
        let (own, own_at) = bench.global(Owner::HostFor(1), &[5]);
        bench.emit(
            &mut context,
            &[STORE_GLOBAL, at, 0, 9, STORE_GLOBAL, own_at, 0, 9],
        );
        bench.submit(&[&context]);
        bench.finish();
        assert_eq!(bench.peek(page, 0), 5, "{owner:?}");
        assert_eq!(bench.peek(own, 0), 9, "the context goes on");
        assert_eq!(bench.gpu.breaches(), 1);
        let breach = bench.gpu.last_breach().unwrap();
        assert_eq!((breach.engine, breach.context), (Engine::Rcs, context.id()));
        assert_eq!(breach.client, Client::Domain(1));
        assert_eq!(
            (breach.page, breach.owner, breach.write),
            (page, owner, true)
        );
        assert_eq!(breach.address, GraphicsAddress(at.into()));
        assert!(
            breach.to_string().starts_with("d1 rcs context 0x"),
            "{breach}"
        );
    }
}

#[test]
fn a_read_from_a_foreign_page_gives_zero_every_time() {
    let mut bench = Bench::new();
    let mut context = bench.context(Engine::Bcs, Owner::Guest(1));
    let secret = bench.page(Owner::Guest(2));
    bench.fill(secret, &[0x5ec4e7; 16]);
    bench.bind(&context, 0x8000, secret, WRITABLE);
    let result = bench.private(&context, 0x9000, &[1, 1]);
    let copy = 0x1700_0003;
    bench.emit(
        &mut context,
        &[copy, 0x9000, 0, 0x8000, 0, copy, 0x9004, 0, 0x8004, 0],
    );
    bench.submit(&[&context]);
    bench.finish();
    assert_eq!([0, 1].map(|dword| bench.peek(result, dword)), [0, 0]);
    assert_eq!(bench.gpu.breaches(), 2, "not only the first");
}

#[test]
fn foreign_page_tables_lead_nowhere() {
    for level in 0..4 {
        let mut bench = Bench::new();
        let mut context = bench.context(Engine::Vcs, Owner::Guest(1));
        let page = bench.private(&context, 0x8000, &[5]);
        let mut table = context.root;
        for _ in level..3 {
            table = DmaPage(bench.peek64(table, 0) >> 12);
        }
        bench.ram.set_owner(table, Owner::Guest(2));
        bench.emit(&mut context, &[STORE, 0x8000, 0, 9]);
        bench.submit(&[&context]);
        bench.finish();
        assert_eq!(
            (bench.peek(page, 0), bench.gpu.breaches()),
            (5, 1),
            "level {level}"
        );
        assert_eq!(
            bench.gpu.last_breach().map(|breach| breach.page),
            Some(table)
        );
    }
}

#[test]
fn a_status_page_of_a_guest_is_not_written() {
    let mut bench = Bench::new();
    let (page, at) = bench.global(Owner::Guest(1), &[]);
    bench.gpu.write(Engine::Bcs.base() + engine::HWS_PGA, at);
    bench.ring(Engine::Bcs, &[NOOP, NOOP]);
    assert!((0..1024).all(|dword| bench.peek(page, dword) == 0));
    assert_eq!(
        bench.gpu.last_breach().map(|breach| breach.client),
        Some(Client::Host)
    );
    // Two events, an entry and a pointer each.
    assert_eq!(bench.gpu.breaches(), 4);
}

#[test]
fn a_guests_store_index_does_not_reach_the_hosts_status_page() {
    let mut bench = Bench::new();
    let mut context = bench.context(Engine::Vecs, Owner::HostFor(1));
    bench.emit(
        &mut context,
        &[FLUSH_DWORD | 1 << 14 | 1 << 21, 0xd0 | 1 << 2, 0, 9],
    );
    bench.submit(&[&context]);
    bench.finish();
    assert_eq!(bench.peek(bench.status[Engine::Vecs.index()], 0xd0 / 4), 0);
    assert_eq!(bench.gpu.breaches(), 1);
    assert_eq!(
        bench.events(Engine::Vecs).len(),
        2,
        "the engine's own writes do"
    );
}

#[test]
fn a_host_context_keeps_out_of_guest_memory() {
    let mut bench = Bench::new();
    let (page, at) = bench.global(Owner::Guest(1), &[5]);
    bench.ring(Engine::Rcs, &[STORE_GLOBAL, at, 0, 9]);
    assert_eq!((bench.peek(page, 0), bench.gpu.breaches()), (5, 1));
}

#[test]
fn an_image_taken_away_while_it_runs_is_not_saved_to() {
    let mut bench = Bench::new();
    let mut context = bench.context(Engine::Bcs, Owner::Guest(1));
    let at = 0x10_0000;
    let batch = bench.private(&context, at, &[NOOP, BATCH_START, at as u32, 0]);
    bench.emit(&mut context, &[BATCH_START, at as u32, 0, NOOP]);
    bench.submit(&[&context]);
    bench.gpu.run();
    bench.ram.set_owner(context.image[1], Owner::Guest(2));
    bench.poke(batch, 0, BATCH_END);
    bench.finish();
    assert_eq!(bench.saved_head(&context), 0);
    assert_ne!(bench.gpu.breaches(), 0);
    assert_eq!(bench.events(Engine::Bcs), [(1, 0), (0x18, context.id())]);
}

#[test]
fn a_context_without_an_image_halts_the_engine() {
    let mut bench = Bench::new();
    let mut context = bench.context(Engine::Bcs, Owner::Guest(1));
    bench.ram.set_owner(context.image[1], Owner::Nobody);
    bench.submit(&[&context]);
    bench.finish();
    assert!(bench.gpu.fault(Engine::Bcs).is_some());
    let mut bench = Bench::new();
    context.descriptor |= 0xff_f000;
    bench.gpu.submit(Engine::Bcs, [context.descriptor, 0]);
    bench.finish();
    assert!(bench.gpu.fault(Engine::Bcs).is_some());
}

#[test]
fn a_translation_is_never_older_than_the_last_run() {
    let mut bench = Bench::new();
    let mut context = bench.context(Engine::Rcs, Owner::Guest(1));
    let at = 0x10_0000;
    let body = [STORE, 0x8000, 0, 9, BATCH_START, at as u32, 0];
    bench.private(&context, at, &body);
    let first = bench.private(&context, 0x8000, &[0]);
    bench.emit(&mut context, &[BATCH_START, at as u32, 0, NOOP]);
    bench.submit(&[&context]);
    bench.gpu.run();
    assert_eq!(bench.peek(first, 0), 9);
    // Another page comes to that address; the first goes to somebody else.
    let second = bench.private(&context, 0x8000, &[0]);
    bench.ram.set_owner(first, Owner::Guest(2));
    bench.poke(first, 0, 0);
    bench.gpu.run();
    assert_eq!((bench.peek(first, 0), bench.peek(second, 0)), (0, 9));
    assert_eq!(bench.gpu.breaches(), 0);
}

#[test]
fn another_contexts_translations_are_not_used() {
    let mut bench = Bench::new();
    let pages = [1, 2].map(|domain| {
        let mut context = bench.context(Engine::Bcs, Owner::Guest(domain));
        let page = bench.private(&context, 0x8000, &[0]);
        bench.emit(&mut context, &[STORE, 0x8000, 0, domain.into()]);
        (context, page)
    });
    let [(first, page_1), (second, page_2)] = pages;
    bench.submit(&[&first, &second]);
    bench.gpu.run();
    bench.finish();
    assert_eq!((bench.peek(page_1, 0), bench.peek(page_2, 0)), (1, 2));
    assert_eq!(bench.gpu.breaches(), 0);
}

#[test]
fn entries_outside_the_global_gtt_do_not_exist() {
    let mut bench = Bench::new();
    let count = bench.gpu.gtt_entries();
    bench.gpu.write_gtt(GttIndex(count), GttEntry::new(1));
    assert_eq!(bench.gpu.read_gtt(GttIndex(count)), GttEntry::default());
    let mut context = bench.context(Engine::Rcs, Owner::Host);
    bench.poke(
        context.image[1],
        context::RING_START,
        count * PAGE_SIZE as u32,
    );
    bench.emit(&mut context, &[NOOP, NOOP]);
    bench.submit(&[&context]);
    bench.finish();
    assert!(bench.gpu.fault(Engine::Rcs).is_some());
}
