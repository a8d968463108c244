//! Life of a server against an imitation of Xen, and the laws of its slots.

use std::mem::offset_of;

use proptest::prelude::*;

use super::request::RequestPage;
use super::*;
use crate::abi::ioreq::{
    BufferedIopage, DATA_IS_PTR, DF, DIR_READ, Ioreq, STATE_NONE, STATE_RESP_READY, TYPE_COPY,
    TYPE_INVALIDATE, TYPE_PCI_CONFIG, TYPE_PIO,
};
use crate::device_model::Sbdf;
use crate::fake::{Arena, FakeXen, TestPage};
use crate::shared::SharedPage;

const GUEST: DomainId = DomainId(5);

fn attach(xen: &FakeXen, window: Window) -> Result<IoreqServer<&FakeXen>, IoreqError> {
    let model = DeviceModel::new(xen, GUEST);
    let mut server = IoreqServer::create(model, window, Buffering::Atomic)?;
    let set_up = (|| {
        server.map(Range::Pci(Sbdf::new(0, 0, 2, 0)))?;
        server.map(Range::Memory(0xf000_0000, 0xf0ff_ffff))?;
        server.enable()
    })();
    match set_up {
        Ok(()) => Ok(server),
        Err(error) => {
            server.destroy()?;
            Err(error)
        }
    }
}

/// What Xen does when a vCPU makes an access.
fn send(page: &impl SharedPage, vcpu: usize, ioreq: Ioreq) {
    let slot = vcpu * size_of::<Ioreq>();
    page.store_u64(slot + offset_of!(Ioreq, addr), ioreq.addr);
    page.store_u64(slot + offset_of!(Ioreq, data), ioreq.data);
    page.store_u32(slot + offset_of!(Ioreq, count), ioreq.count);
    page.store_u32(slot + offset_of!(Ioreq, size), ioreq.size);
    page.store_u8(slot + offset_of!(Ioreq, r#type), ioreq.r#type);
    page.store_u8(
        slot + offset_of!(Ioreq, bits),
        ioreq.bits & !0xf | STATE_READY,
    );
}

fn answer(page: &impl SharedPage, vcpu: usize) -> (u8, u64) {
    let slot = vcpu * size_of::<Ioreq>();
    (
        page.load_u8(slot + offset_of!(Ioreq, bits)) & 0xf,
        page.load_u64(slot + offset_of!(Ioreq, data)),
    )
}

fn read_of(address: u64, size: u32) -> Ioreq {
    Ioreq {
        addr: address,
        data: 0,
        count: 1,
        size,
        vp_eport: 0,
        _pad0: 0,
        bits: DIR_READ,
        r#type: TYPE_COPY,
    }
}

#[test]
fn a_request_is_taken_once_and_answered_once() {
    let arena = Arena::new(2);
    let xen = FakeXen::new(arena.window());
    let mut server = attach(&xen, arena.window()).expect("set up");
    let page = arena.window().page(1).expect("mapped");
    assert_eq!(server.next(0), Next::Idle);
    send(&page, 1, read_of(0xf000_2034, 4));
    assert_eq!(server.next(0), Next::Idle, "the other vCPU's slot");
    let Next::Request(request) = server.next(1) else {
        panic!("not taken");
    };
    assert_eq!(
        (
            request.kind,
            request.address,
            request.size,
            request.direction
        ),
        (Kind::Memory, 0xf000_2034, 4, Direction::Read)
    );
    assert_eq!(answer(&page, 1).0, STATE_INPROCESS);
    assert_eq!(server.next(1), Next::Idle, "it is being served");
    xen.state.borrow_mut().sent.clear();
    server.complete(&request, 0x1234_5678).expect("notified");
    assert_eq!(answer(&page, 1), (STATE_RESP_READY, 0x1234_5678));
    assert_eq!(xen.state.borrow().sent, [server.ports()[1].0]);
    server.complete(&request, 0xbad).expect("ignored");
    assert_eq!(answer(&page, 1).1, 0x1234_5678, "answered once");
    assert_eq!(
        server.next(1),
        Next::Idle,
        "the slot is Xen's until it takes the answer"
    );
    server.destroy().expect("given back");
}

#[test]
fn an_answer_is_taken_when_xen_has_emptied_the_slot_and_passing_changes_nothing() {
    let arena = Arena::new(2);
    let xen = FakeXen::new(arena.window());
    let mut server = attach(&xen, arena.window()).expect("set up");
    let page = arena.window().page(1).expect("mapped");
    assert!(server.taken(0), "nothing was asked");
    send(&page, 0, read_of(0xf000_2034, 4));
    assert!(!server.taken(0));
    let Next::Request(request) = server.next(0) else {
        panic!("not taken");
    };
    assert!(!server.taken(0));
    server.complete(&request, 7).expect("notified");
    assert!(!server.taken(0), "answered, and Xen has not looked yet");
    page.store_u8(offset_of!(Ioreq, bits), 0);
    assert!(server.taken(0));
    let ports = server.ports().to_vec();
    server.pass().expect("enabled again");
    assert_eq!(server.ports(), ports);
}

#[test]
fn every_refused_call_leaks_nothing() {
    let arena = Arena::new(2);
    let xen = FakeXen::new(arena.window());
    let before = xen.resources();
    let mut refused = 0;
    for nth in 1.. {
        xen.refuse_nth(nth, Errno::ENOMEM);
        match attach(&xen, arena.window()) {
            Err(error) => {
                refused += 1;
                assert!(error.to_string().starts_with("d"), "{error}");
                assert_eq!(xen.resources(), before, "call {nth} refused: {error}");
            }
            Ok(mut server) => {
                let left = xen.refusal_left();
                // Now the refusal meets the teardown, which is tried again.
                let first = server.destroy();
                assert_eq!(first.is_ok(), left && xen.refusal_left(), "call {nth}");
                server.destroy().expect("second try");
                assert_eq!(xen.resources(), before, "call {nth} refused in teardown");
                if first.is_ok() {
                    break;
                }
            }
        }
    }
    assert!(refused >= 10, "only {refused} calls were refused");
}

#[test]
fn a_guest_that_vanishes_leaves_nothing_of_ours() {
    let arena = Arena::new(2);
    let xen = FakeXen::new(arena.window());
    let mut server = attach(&xen, arena.window()).expect("set up");
    xen.state.borrow_mut().guests.remove(&5);
    server.destroy().expect("a guest that is gone is no error");
    assert_eq!(xen.resources(), Default::default());
}

#[test]
fn an_existing_server_is_found_and_goes_on_where_it_was() {
    let arena = Arena::new(2);
    let xen = FakeXen::new(arena.window());
    let model = DeviceModel::new(&xen, GUEST);
    assert_eq!(find_own(&model), Ok(0), "QEMU's server is not ours");
    let mut old = attach(&xen, arena.window()).expect("set up");
    let held = xen.resources();
    let page = arena.window().page(1).expect("mapped");
    send(&page, 0, read_of(0xf000_0000, 4));
    send(&page, 1, read_of(0xf000_0008, 8));
    let Next::Request(_) = old.next(1) else {
        panic!("not taken");
    };
    // The restart: everything we knew is gone, vCPU 0 waits, vCPU 1 was being served.
    drop(old);
    assert_eq!(find_own(&model), Ok(1 << 1));
    let mut server = IoreqServer::adopt(model, arena.window(), ServerId(1)).expect("taken over");
    server.enable().expect("ports bound anew");
    assert_eq!(xen.resources(), held, "the same and no more");
    for vcpu in 0..2 {
        let Next::Request(request) = server.next(vcpu) else {
            panic!("vCPU {vcpu} hangs for ever");
        };
        server
            .complete(&request, u64::from(vcpu))
            .expect("answered");
        assert_eq!(
            answer(&page, vcpu as usize),
            (STATE_RESP_READY, u64::from(vcpu))
        );
    }
    server.destroy().expect("given back");
    assert_eq!(xen.resources().servers, 1, "QEMU's stays");
}

#[test]
fn a_failed_takeover_leaks_nothing() {
    let arena = Arena::new(2);
    let xen = FakeXen::new(arena.window());
    let before = xen.resources();
    let mut refused = 0;
    // The first call asks for the vCPUs and changes nothing, whatever the answer.
    for nth in 2..90 {
        let server = attach(&xen, arena.window()).expect("set up");
        let id = server.id();
        drop(server);
        xen.refuse_nth(nth, Errno::EIO);
        let model = DeviceModel::new(&xen, GUEST);
        match IoreqServer::adopt(model, arena.window(), id) {
            Ok(mut server) => {
                assert!(xen.refusal_left(), "call {nth} was refused and not missed");
                xen.state.borrow_mut().refuse = None;
                server.destroy().expect("given back");
            }
            Err(_) => refused += 1,
        }
        assert_eq!(xen.resources(), before, "call {nth} refused");
    }
    assert!(refused > 10, "only {refused} calls were refused");
}

#[test]
fn without_privilege_the_message_names_call_and_remedy() {
    let arena = Arena::new(2);
    let xen = FakeXen::new(arena.window());
    xen.state.borrow_mut().privileged = false;
    let error = attach(&xen, arena.window())
        .expect_err("refused")
        .to_string();
    for part in [
        "d5",
        "XEN_DMOP_nr_vcpus",
        "-EPERM (1)",
        "gpuctl attach",
        "FLASK",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn an_old_xen_is_named_when_it_refuses_the_pages() {
    let arena = Arena::new(2);
    let xen = FakeXen::new(arena.window()).of_version(4, 17);
    let before = xen.resources();
    let error = attach(&xen, arena.window())
        .expect_err("refused")
        .to_string();
    for part in [
        "Xen 4.17 refuses",
        "XENMEM_acquire_resource",
        "needs 4.19 or newer",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(xen.resources(), before);
}

#[test]
fn guests_that_cannot_be_served_are_refused_with_the_reason() {
    let arena = Arena::new(2);
    let xen = FakeXen::new(arena.window());
    let serve = |domain| {
        let model = DeviceModel::new(&xen, DomainId(domain));
        IoreqServer::create(model, arena.window(), Buffering::Off).map(drop)
    };
    let text = |domain| serve(domain).expect_err("refused").to_string();
    assert!(text(77).contains("d77 does not exist"), "{}", text(77));
    xen.state.borrow_mut().guests.get_mut(&5).expect("d5").hvm = false;
    assert!(text(5).contains("no HVM or PVH guest"), "{}", text(5));
    let mut crowd = crate::fake::FakeXen::new(arena.window());
    crowd.state.get_mut().guests.get_mut(&5).expect("d5").vcpus = 129;
    let model = DeviceModel::new(&crowd, GUEST);
    let error = IoreqServer::create(model, arena.window(), Buffering::Off).expect_err("refused");
    assert!(error.to_string().contains("129 vCPUs"), "{error}");
}

#[test]
fn a_window_too_small_is_refused_before_anything_is_mapped() {
    let arena = Arena::new(1);
    let xen = FakeXen::new(arena.window());
    let before = xen.resources();
    let model = DeviceModel::new(&xen, GUEST);
    let error = IoreqServer::create(model, arena.window(), Buffering::Atomic).expect_err("refused");
    assert_eq!(
        error,
        IoreqError::Memory(MemoryError::DoesNotFit { asked: 2, room: 1 })
    );
    assert_eq!(xen.resources(), before);
}

#[test]
fn claiming_and_giving_back_twice_is_fine() {
    let arena = Arena::new(2);
    let xen = FakeXen::new(arena.window());
    let mut server = attach(&xen, arena.window()).expect("set up");
    let bar = Range::memory(0xe000_0000, 0x1000).expect("a range");
    for _ in 0..3 {
        server.map(bar).expect("claimed");
    }
    assert_eq!(xen.resources().ranges, 3);
    for _ in 0..3 {
        server.unmap(bar).expect("given back");
    }
    assert_eq!(xen.resources().ranges, 2);
    assert_eq!(Range::memory(u64::MAX, 2), None);
    assert_eq!(Range::memory(0x1000, 0), None);
    server.destroy().expect("given back");
}

#[test]
fn an_invalidation_has_no_count_and_still_is_a_request() {
    let page = RequestPage::new(TestPage::new());
    let mut ioreq = read_of(0, 4);
    (ioreq.bits, ioreq.r#type, ioreq.count, ioreq.data) = (0, TYPE_INVALIDATE, 0, !0);
    send(page.page(), 0, ioreq);
    let request = page.take(0).expect("decodes");
    assert_eq!(request.kind, Kind::Invalidate);
}

#[test]
fn a_configuration_access_names_function_and_register() {
    let page = RequestPage::new(TestPage::new());
    let mut ioreq = read_of(0x10_u64 << 32 | 0x3c, 1);
    ioreq.r#type = TYPE_PCI_CONFIG;
    send(page.page(), 0, ioreq);
    let request = page.take(0).expect("decodes");
    assert_eq!(request.configuration(), Some((Sbdf::new(0, 0, 2, 0), 0x3c)));
    ioreq.size = 8;
    send(page.page(), 0, ioreq);
    assert_eq!(
        page.take(0).expect_err("no such size").reason,
        Slot::Size(8)
    );
}

#[test]
fn a_refused_request_is_answered_with_all_ones() {
    let arena = Arena::new(2);
    let xen = FakeXen::new(arena.window());
    let mut server = attach(&xen, arena.window()).expect("set up");
    let page = arena.window().page(1).expect("mapped");
    send(&page, 0, read_of(0xf000_0000, 3));
    let Next::Refused(refusal) = server.next(0) else {
        panic!("size 3 is no access");
    };
    assert_eq!(answer(&page, 0), (STATE_RESP_READY, !0));
    assert!(refusal.notified);
    let text = refusal.to_string();
    assert!(
        text.starts_with("d5: vCPU 0") && text.contains("size 0x3"),
        "{text}"
    );
    server.destroy().expect("given back");
}

#[test]
fn repeats_walk_in_both_directions_and_stop_at_the_edge() {
    let page = RequestPage::new(TestPage::new());
    let mut ioreq = read_of(0x1008, 4);
    (ioreq.count, ioreq.data, ioreq.bits) = (3, 0x9000, DATA_IS_PTR | DF);
    send(page.page(), 0, ioreq);
    let walk = |page: &RequestPage<TestPage>| {
        let request = page.take(0).expect("decodes");
        request
            .elements()
            .map(|element| (element.address, element.data))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        walk(&page),
        [(0x1008, 0x9000), (0x1004, 0x8ffc), (0x1000, 0x8ff8)]
    );
    ioreq.bits = 0;
    ioreq.data = 7;
    send(page.page(), 0, ioreq);
    assert_eq!(
        walk(&page),
        [(0x1008, 7), (0x100c, 7), (0x1010, 7)],
        "a plain value stays"
    );
    (ioreq.addr, ioreq.bits) = (u64::MAX - 7, 0);
    send(page.page(), 0, ioreq);
    assert_eq!(walk(&page).len(), 2, "the third would wrap");
    (ioreq.addr, ioreq.r#type, ioreq.bits) = (0x3f8, TYPE_PIO, DATA_IS_PTR);
    ioreq.data = 0x9000;
    send(page.page(), 0, ioreq);
    assert_eq!(
        walk(&page),
        [(0x3f8, 0x9000), (0x3f8, 0x9004), (0x3f8, 0x9008)]
    );
}

#[test]
fn the_answer_is_stored_before_it_is_announced() {
    let page = RequestPage::new(TestPage::new());
    send(page.page(), 0, read_of(0x1000, 4));
    let request = page.take(0).expect("decodes");
    page.respond(0, request.bits, 7);
    let stores = page.page().stores();
    let (data, state) = (offset_of!(Ioreq, data), offset_of!(Ioreq, bits));
    assert_eq!(stores[stores.len() - 2..], [(data, 8), (state, 1)]);
}

#[test]
fn a_slot_rewritten_while_it_is_read_gives_one_consistent_check() {
    // After the size has been read and found good, it changes; the copy must not.
    let hostile = TestPage::new().mutate_on_load(|page, offset| {
        if offset > offset_of!(Ioreq, size) {
            page.poke_u32(offset_of!(Ioreq, size), 4096);
            page.poke_u32(offset_of!(Ioreq, count), u32::MAX);
        }
    });
    let page = RequestPage::new(hostile);
    send(page.page(), 0, read_of(0x1000, 4));
    let request = page.take(0).expect("as first read");
    assert_eq!((request.size, request.count), (4, 1));
}

fn pointers(page: &TestPage, read: u32, write: u32) {
    page.store_u32(offset_of!(BufferedIopage, read_pointer), read);
    page.store_u32(offset_of!(BufferedIopage, write_pointer), write);
}

#[test]
fn buffered_requests_come_in_order_and_wide_ones_take_two_slots() {
    let page = TestPage::new();
    pointers(&page, 510, 513);
    let slot = |index: usize, bits: u32, data: u32| {
        page.store_u32(8 + index * 8, bits);
        page.store_u32(12 + index * 8, data);
    };
    slot(510, u32::from(TYPE_COPY) | 2 << 10 | 0xa0010 << 12, 0x11);
    slot(0, u32::from(TYPE_COPY) | 3 << 10 | 0xa0018 << 12, 0x33);
    slot(1, u32::from(TYPE_COPY) | 3 << 10 | 0xa0018 << 12, 0x44);
    let ring = BufferedRing::new(&page);
    let mut seen = Vec::new();
    assert_eq!(
        ring.drain(100, |request| seen.push((request.address, request.data))),
        3
    );
    assert_eq!(seen, [(0xa0010, 0x11), (0xa0018, 0x44_0000_0033)]);
    assert!(ring.is_empty());
    assert_eq!(page.peek_u32(0), 513, "added to, never set");
}

proptest! {
    #[test]
    fn any_buffered_page_is_drained_in_bounded_steps(
        read in any::<u32>(), write in any::<u32>(), words in prop::collection::vec(any::<u32>(), 32),
        budget in 0_u32..600,
    ) {
        let page = TestPage::new();
        for index in 0..511 {
            page.store_u32(8 + index * 8, words[index % words.len()]);
        }
        pointers(&page, read, write);
        let ring = BufferedRing::new(&page);
        let mut served = 0_u32;
        let used = ring.drain(budget, |_| served += 1);
        prop_assert!(served <= used && used <= budget.saturating_add(1));
        prop_assert!(used <= 511);
    }

    #[test]
    fn any_slot_gets_exactly_one_defined_outcome(
        address in any::<u64>(), data in any::<u64>(), count in any::<u32>(), size in any::<u32>(),
        small in any::<bool>(), kind in any::<u8>(), bits in any::<u8>(),
    ) {
        let ioreq = Ioreq {
            addr: address,
            data,
            count: if small { count % 5 } else { count },
            size: if small { size % 10 } else { size },
            vp_eport: 0,
            _pad0: 0,
            bits,
            r#type: if small { kind % 10 } else { kind },
        };
        let page = RequestPage::new(TestPage::new());
        send(page.page(), 0, ioreq);
        prop_assert_eq!(page.state(0), STATE_READY);
        let outcome = page.take(0);
        prop_assert_eq!(page.state(0), STATE_INPROCESS);
        let kept = match outcome {
            Ok(request) => {
                prop_assert!(matches!(request.size, 1 | 2 | 4 | 8));
                prop_assert!((1..=MAX_COUNT).contains(&request.count));
                let mut steps = 0;
                for element in request.elements() {
                    prop_assert!(element.address.checked_add(u64::from(request.size) - 1).is_some());
                    steps += 1;
                }
                prop_assert!(steps <= MAX_COUNT);
                request.bits
            }
            Err(undecodable) => undecodable.bits,
        };
        page.respond(0, kept, 42);
        prop_assert_eq!(answer(page.page(), 0), (STATE_RESP_READY, 42));
        let flags = page.page().load_u8(offset_of!(Ioreq, bits));
        prop_assert_eq!(flags & 0xf0, bits & 0xf0, "the other flags stay as Xen set them");
    }

    #[test]
    fn states_that_are_not_ours_are_left_alone(state in 0_u8..16, vcpu in any::<u32>()) {
        prop_assume!(!matches!(state, STATE_READY | STATE_INPROCESS));
        let arena = Arena::new(2);
        let xen = FakeXen::new(arena.window());
        let mut server = attach(&xen, arena.window()).expect("set up");
        let page = arena.window().page(1).expect("mapped");
        let slot = (vcpu % 128) as usize * size_of::<Ioreq>();
        page.store_u8(slot + offset_of!(Ioreq, bits), state);
        prop_assert_eq!(server.next(vcpu), Next::Idle);
        prop_assert_eq!(page.load_u8(slot + offset_of!(Ioreq, bits)), state);
        prop_assert!(matches!(page.load_u8(offset_of!(Ioreq, bits)) & 0xf, STATE_NONE | 3..));
        server.destroy().expect("given back");
    }
}
