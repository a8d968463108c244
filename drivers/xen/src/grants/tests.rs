//! Lending and taking back, with a peer that behaves and one that does not.

use super::*;
use crate::fake::{Arena, FakeXen, TestPage};

const PEER: DomainId = DomainId(3);

fn flags_of(arena: &Arena, reference: GrantRef) -> (MappedPage, usize) {
    let page = arena
        .window()
        .page(u64::from(reference.0 / 512))
        .expect("mapped");
    (page, (reference.0 % 512) as usize * 8)
}

#[test]
fn a_grant_is_valid_only_when_complete_and_gone_when_revoked() {
    let arena = Arena::new(2);
    let xen = FakeXen::new(arena.window());
    let mut table = GrantTable::new(&xen, arena.window()).expect("mapped");
    let reference = table
        .grant(PEER, 0x1234, Access::ReadOnly)
        .expect("granted");
    assert!(
        reference.0 >= NR_RESERVED_ENTRIES,
        "the toolstack's entries stay"
    );
    let (page, entry) = flags_of(&arena, reference);
    assert_eq!(page.load_u16(entry), GTF_PERMIT_ACCESS | GTF_READONLY);
    assert_eq!(page.load_u16(entry + 2), PEER.0);
    assert_eq!(page.load_u32(entry + 4), 0x1234);
    assert_eq!(table.given(), 1);
    table.revoke(reference).expect("not in use");
    assert_eq!(page.load_u16(entry), 0);
    assert_eq!(table.revoke(reference), Err(GrantError::Unknown(reference)));
    assert_eq!(table.given(), 0);
    assert_eq!(
        table.revoke(GrantRef(0)),
        Err(GrantError::Unknown(GrantRef(0)))
    );
    assert_eq!(
        table.revoke(GrantRef(!0)),
        Err(GrantError::Unknown(GrantRef(!0)))
    );
}

#[test]
fn a_mapped_grant_cannot_be_revoked_and_stays_ours_to_revoke() {
    let arena = Arena::new(2);
    let xen = FakeXen::new(arena.window());
    let mut table = GrantTable::new(&xen, arena.window()).expect("mapped");
    let reference = table.grant(PEER, 1, Access::ReadWrite).expect("granted");
    let (page, entry) = flags_of(&arena, reference);
    page.store_u16(entry, GTF_PERMIT_ACCESS | GTF_READING | GTF_WRITING);
    assert_eq!(table.in_use(reference), Ok(true));
    assert_eq!(table.revoke(reference), Err(GrantError::InUse(reference)));
    assert_eq!(
        page.load_u16(entry) & GTF_PERMIT_ACCESS,
        GTF_PERMIT_ACCESS,
        "as it was"
    );
    assert_eq!(
        table.given(),
        1,
        "the reference is not given to anybody else"
    );
    page.store_u16(entry, GTF_PERMIT_ACCESS);
    table.revoke(reference).expect("let go");
}

#[test]
fn the_table_grows_until_xens_limit_and_says_so() {
    let arena = Arena::new(8);
    let xen = FakeXen::new(arena.window());
    let mut table = GrantTable::new(&xen, arena.window()).expect("mapped");
    let mut references = Vec::new();
    let error = loop {
        match table.grant(PEER, references.len() as u64, Access::ReadWrite) {
            Ok(reference) => references.push(reference),
            Err(error) => break error,
        }
    };
    assert_eq!(error, GrantError::Full);
    assert_eq!(
        references.len(),
        2 * 512 - 8,
        "the two frames that Xen allows"
    );
    assert_eq!(xen.resources().mappings, 2);
    let unique: std::collections::BTreeSet<u32> = references.iter().map(|r| r.0).collect();
    assert_eq!(unique.len(), references.len());
    for reference in references {
        table.revoke(reference).expect("not in use");
    }
    assert_eq!(table.free(), 2 * 512 - 8);
    assert_eq!(
        table.grant(PEER, 1 << 32, Access::ReadOnly),
        Err(GrantError::FrameTooBig(1 << 32))
    );
}

#[test]
fn growing_that_is_refused_loses_nothing() {
    let arena = Arena::new(8);
    let xen = FakeXen::new(arena.window());
    let mut table = GrantTable::new(&xen, arena.window()).expect("mapped");
    for frame in 0..504 {
        table.grant(PEER, frame, Access::ReadWrite).expect("room");
    }
    xen.refuse_nth(1, crate::abi::Errno::ENOMEM);
    let error = table
        .grant(PEER, 9, Access::ReadWrite)
        .expect_err("refused");
    assert!(matches!(error, GrantError::Memory(_)), "{error}");
    assert_eq!(table.given(), 504);
    table.grant(PEER, 9, Access::ReadWrite).expect("grown now");
}

#[test]
fn a_foreign_grant_is_mapped_and_unmapped_once() {
    let arena = Arena::new(1);
    let xen = FakeXen::new(arena.window());
    xen.state.borrow_mut().grants.insert(9, 0);
    let before = xen.resources();
    let handle = map(&&xen, PEER, GrantRef(9), Access::ReadWrite, arena.window()).expect("mapped");
    assert_eq!(xen.resources().mappings, before.mappings + 1);
    unmap(&&xen, handle, arena.window()).expect("unmapped");
    assert_eq!(xen.resources(), before);
    let error = unmap(&&xen, handle, arena.window()).expect_err("unmapped twice");
    assert!(error.to_string().contains("GNTST_bad_handle"), "{error}");
}

#[test]
fn each_status_is_an_error_with_its_name() {
    let arena = Arena::new(1);
    let xen = FakeXen::new(arena.window());
    let before = xen.resources();
    for (status, name, meaning) in STATUS_NAMES {
        xen.state.borrow_mut().grants.insert(9, *status);
        let error = map(&&xen, PEER, GrantRef(9), Access::ReadOnly, arena.window())
            .expect_err("refused")
            .to_string();
        assert!(error.starts_with("d3: GNTTABOP_map_grant_ref"), "{error}");
        assert!(error.contains(name) && error.contains(meaning), "{error}");
    }
    assert_eq!(xen.resources(), before);
}

#[test]
fn a_peer_that_maps_just_before_the_exchange_keeps_its_page() {
    let mut loads = 0;
    let page = TestPage::new().mutate_on_load(move |page, _| {
        loads += 1;
        // The first load saw it free; the exchange finds it mapped.
        if loads == 2 {
            page.poke_u32(0, u32::from(GTF_PERMIT_ACCESS | GTF_READING));
        }
    });
    page.poke_u32(0, u32::from(GTF_PERMIT_ACCESS));
    assert!(!clear_unless_used(&page, 0));
    assert_eq!(page.peek_u32(0), u32::from(GTF_PERMIT_ACCESS | GTF_READING));
}

#[test]
fn a_peer_that_plays_with_an_entry_does_not_hold_us_up() {
    let mut loads = 0_u32;
    let page = TestPage::new().mutate_on_load(move |page, _| {
        loads += 1;
        page.poke_u32(0, u32::from(GTF_PERMIT_ACCESS) | (loads & 1) << 8);
    });
    assert!(
        !clear_unless_used(&page, 0),
        "given up after a few attempts"
    );
}
