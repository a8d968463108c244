//! Foreign maps, populate and the memory map, against the imitation of Xen.

use super::*;
use crate::fake::{Arena, FakeXen};

#[test]
fn foreign_pages_fail_one_by_one_and_leave_nothing_when_the_call_fails() {
    let arena = Arena::new(8);
    let xen = FakeXen::new(arena.window());
    let before = xen.resources();
    let gfns = [0x100, 0x101, 0x9999, 0x103];
    let mut results = [Ok(()); 4];
    let mapped = map_foreign(&&xen, DomainId(5), &gfns, arena.window(), &mut results);
    assert_eq!(mapped, Ok(3), "Xen answers 0 although one failed");
    assert_eq!(results[2], Err(Errno::EINVAL));
    assert_eq!(results[3], Ok(()));
    for index in [0, 1, 3] {
        unmap(&&xen, arena.window(), index).expect("unmapped");
    }
    assert_eq!(xen.resources(), before);
    // The call stops in the middle, with pages mapped already.
    xen.state.borrow_mut().foreign_errors.insert(0x102, 1);
    let gfns = [0x100, 0x101, 0x102, 0x103];
    map_foreign(&&xen, DomainId(5), &gfns, arena.window(), &mut results).expect_err("stopped");
    assert_eq!(
        xen.resources(),
        before,
        "what had been mapped is unmapped again"
    );
}

#[test]
fn more_pages_than_there_is_room_for_are_refused_unmapped() {
    let arena = Arena::new(2);
    let xen = FakeXen::new(arena.window());
    let calls = xen.state.borrow().calls;
    let mut results = [Ok(()); BATCH + 1];
    let gfns = [0x100; BATCH + 1];
    for asked in [3, BATCH + 1] {
        let outcome = map_foreign(
            &&xen,
            DomainId(5),
            &gfns[..asked],
            arena.window(),
            &mut results,
        );
        let error = outcome.expect_err("does not fit");
        assert!(
            matches!(error, MemoryError::DoesNotFit { room: 2, .. }),
            "{error}"
        );
    }
    assert_eq!(
        map_foreign(&&xen, DomainId(5), &[], arena.window(), &mut results),
        Ok(0)
    );
    assert_eq!(xen.state.borrow().calls, calls, "Xen was not asked");
    assert_eq!(arena.window().part(1, 2), None);
    assert_eq!(arena.window().part(u64::MAX, 2), None);
    assert!(arena.window().page(2).is_none());
}

#[test]
fn mapping_without_privilege_names_the_remedy_for_this_xen() {
    let arena = Arena::new(1);
    let refusal = |xen: &FakeXen| {
        map_foreign(&xen, DomainId(5), &[0x100], arena.window(), &mut [Ok(())])
            .expect_err("refused")
            .to_string()
    };
    let old = FakeXen::new(arena.window()).of_version(4, 18);
    assert!(
        refusal(&old).contains("needs 4.19 or newer"),
        "{}",
        refusal(&old)
    );
    let stock = FakeXen::new(arena.window());
    stock.state.borrow_mut().privileged = false;
    refusal(&stock);
    assert_eq!(
        stock.state.borrow().calls,
        1,
        "nothing was mapped, nothing is unmapped"
    );
    assert!(
        refusal(&stock).contains("gpuctl attach"),
        "{}",
        refusal(&stock)
    );
}

#[test]
fn populate_says_how_far_it_came() {
    let arena = Arena::new(1);
    let xen = FakeXen::new(arena.window());
    let mut gfns: Vec<u64> = (0xe_0000..0xe_0008).collect();
    let error = populate(&&xen, DomainId(5), &mut gfns).expect_err("the guest's maximum");
    assert_eq!(
        error,
        MemoryError::Short {
            call: "XENMEM_populate_physmap",
            domain: DomainId(5),
            done: 4,
            asked: 8
        }
    );
    assert!(error.to_string().starts_with("d5: "), "{error}");
    decrease(&&xen, DomainId(5), &mut gfns[..4]).expect("given back");
    populate(&&xen, DomainId(5), &mut gfns[..4]).expect("and taken again");
    remove_guest_frame(&&xen, DomainId(5), 0xe_0000).expect("removed");
    assert!(remove_guest_frame(&&xen, DomainId::SELF, 0x100).is_err());
}

#[test]
fn the_memory_map_is_cut_to_the_room_there_is() {
    let arena = Arena::new(1);
    let xen = FakeXen::new(arena.window());
    let entry = |addr| E820Entry {
        addr,
        size: 0x1000,
        r#type: 1,
    };
    xen.state.borrow_mut().e820 = (0..6).map(|index| entry(index << 20)).collect();
    let mut entries = [E820Entry::default(); 4];
    assert_eq!(memory_map(&&xen, &mut entries), Ok(4));
    assert_eq!(entries[3], entry(3 << 20));
}

#[test]
fn the_shared_page_is_mapped_where_the_window_says() {
    let arena = Arena::new(2);
    let xen = FakeXen::new(arena.window());
    let place = arena.window().part(1, 1).expect("inside");
    map_shared_info(&&xen, place).expect("mapped");
    assert_eq!(xen.resources().mappings, 1);
    unmap(&&xen, place, 0).expect("unmapped");
    assert_eq!(xen.resources().mappings, 0);
}
