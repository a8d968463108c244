//! The shared page's protocol, seen from both ends.

use proptest::prelude::*;

use super::*;
use crate::fake::{Arena, FakeXen, TestPage};

/// What Xen does to announce an event to a vCPU (`common/event_2l.c`).
fn announce(page: &TestPage, vcpu: usize, port: u32) {
    let (word, bit) = (port as usize / 64, 1 << (port % 64));
    page.fetch_or_u64(PENDING + word * 8, bit);
    if page.load_u64(MASK + word * 8) & bit == 0 {
        let info = vcpu * size_of::<VcpuInfo>();
        page.fetch_or_u64(info + PENDING_SELECTOR, 1 << word);
        page.store_u8(info + UPCALL_PENDING, 1);
    }
}

fn channels<'x>(xen: &'x FakeXen, page: &'x TestPage) -> EventChannels<&'x FakeXen, &'x TestPage> {
    EventChannels::new(xen, page)
}

#[test]
fn masked_events_wait_and_unmasking_asks_xen_to_announce_them() {
    let (xen, page) = (FakeXen::new(Arena::new(1).window()), TestPage::new());
    let channels = channels(&xen, &page);
    let mut set = PortSet::new();
    channels.mask(Port(70));
    announce(&page, 0, 70);
    announce(&page, 0, 4095);
    assert_eq!(channels.take_pending(0, &mut set), 1);
    assert!(set.contains(Port(4095)) && !set.contains(Port(70)));
    assert!(channels.is_pending(Port(70)), "kept");
    channels.unmask(Port(70)).expect("unmasked");
    assert_eq!(
        xen.state.borrow().unmasked,
        [70],
        "only Xen can announce it now"
    );
    let mask = page.load_u64(MASK + 8);
    assert_eq!(mask, 1 << 6, "and does so only for a port it finds masked");
    channels.unmask(Port(71)).expect("unmasked");
    assert_eq!(xen.state.borrow().unmasked, [70], "nothing waited there");
    assert!(channels.take(Port(70)));
    assert!(!channels.take(Port(70)), "taken once");
    assert!(!channels.take(Port(4096)), "no such port");
}

#[test]
fn an_event_that_comes_while_others_are_taken_is_not_lost() {
    let xen = FakeXen::new(Arena::new(1).window());
    let mut once = true;
    let page = TestPage::new().mutate_on_load(move |page, offset| {
        // Just as word 0 is looked at, port 3 comes, announced as Xen does it.
        if offset == PENDING && core::mem::take(&mut once) {
            let low = page.peek_u32(PENDING);
            page.poke_u32(PENDING, low | 1 << 3);
            page.poke_u32(PENDING_SELECTOR, 1);
            page.poke_u32(UPCALL_PENDING, 1);
        }
    });
    page.fetch_or_u64(PENDING + 8, 1 << 5);
    page.fetch_or_u64(PENDING_SELECTOR, 0b11);
    let channels = channels(&xen, &page);
    let mut set = PortSet::new();
    channels.take_pending(0, &mut set);
    channels.take_pending(0, &mut set);
    assert!(set.contains(Port(3)) && set.contains(Port(69)));
}

proptest! {
    #[test]
    fn every_announced_port_is_taken_exactly_once(
        ports in prop::collection::btree_set(0_u32..4096, 0..80),
        masked in prop::collection::btree_set(0_u32..4096, 0..80),
        vcpu in 0_usize..32,
    ) {
        let (xen, page) = (FakeXen::new(Arena::new(1).window()), TestPage::new());
        let channels = channels(&xen, &page);
        for port in &masked {
            channels.mask(Port(*port));
        }
        for port in &ports {
            announce(&page, vcpu, *port);
        }
        let mut set = PortSet::new();
        let taken = channels.take_pending(vcpu, &mut set);
        let expected: Vec<Port> = ports.difference(&masked).map(|port| Port(*port)).collect();
        prop_assert_eq!(taken, expected.len());
        prop_assert_eq!(set.iter().collect::<Vec<_>>(), expected);
        prop_assert_eq!(channels.take_pending(vcpu, &mut set), 0);
        let mut rest = PortSet::new();
        channels.take_all(&mut rest);
        let held: Vec<Port> = ports.intersection(&masked).map(|port| Port(*port)).collect();
        prop_assert_eq!(rest.iter().collect::<Vec<_>>(), held, "masked ones are still there");
    }

    #[test]
    fn a_set_holds_each_port_once(ports in prop::collection::vec(0_u32..5000, 0..60)) {
        let mut set = PortSet::new();
        let mut model = std::collections::BTreeSet::new();
        for port in &ports {
            set.insert(Port(*port));
            if *port < 4096 {
                model.insert(*port);
            }
        }
        prop_assert_eq!(
            set.iter().map(|port| port.0).collect::<Vec<_>>(),
            model.iter().copied().collect::<Vec<_>>()
        );
        for port in model {
            prop_assert!(set.remove(Port(port)));
            prop_assert!(!set.remove(Port(port)));
        }
        prop_assert!(set.is_empty());
    }
}

#[test]
fn ports_say_what_they_are_connected_to_until_closed() {
    let xen = FakeXen::new(Arena::new(1).window());
    let before = xen.resources();
    let unbound = alloc_unbound(&&xen, DomainId(3)).expect("allocated");
    let virq = bind_virq(&&xen, 1, 0).expect("bound");
    let ipi = bind_ipi(&&xen, 0).expect("bound");
    assert_eq!(status(&&xen, unbound), Ok(PortStatus::Unbound(DomainId(3))));
    assert_eq!(status(&&xen, virq), Ok(PortStatus::Virq));
    assert_eq!(status(&&xen, ipi), Ok(PortStatus::Ipi));
    for port in [unbound, virq, ipi] {
        close(&&xen, port).expect("closed");
        assert_eq!(
            close(&&xen, port).expect_err("closed twice").errno,
            Errno::EINVAL
        );
    }
    assert_eq!(xen.resources(), before);
}

#[test]
fn binding_a_port_that_is_not_for_us_says_so() {
    let xen = FakeXen::new(Arena::new(1).window());
    let error = bind_interdomain(&&xen, DomainId(5), Port(99)).expect_err("no such port");
    assert_eq!((error.errno, error.domain), (Errno::EINVAL, DomainId(5)));
    let error = bind_interdomain(&&xen, DomainId(6), Port(99)).expect_err("no such domain");
    assert!(error.to_string().contains("d6 does not exist"), "{error}");
}

#[test]
fn the_callback_vector_goes_into_the_parameter_with_its_type() {
    let xen = FakeXen::new(Arena::new(1).window());
    set_callback_vector(&&xen, 0xf3).expect("set");
    let value = parameters::get(&&xen, DomainId::SELF, Parameter::CallbackIrq).expect("read");
    assert_eq!(value, 0x0200_0000_0000_00f3);
}
