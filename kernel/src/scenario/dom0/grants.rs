//! Memory taken from Xen and given back; a page lent to ourselves.
//!
//! Xen keeps each page at one place of a domain: mapping our own grant moves the page there, and
//! unmapping takes it away. So the page lent is one that was asked for, far from RAM.

use alloc::format;
use alloc::string::String;
use xen::grants::{self, Access, GrantError, GrantRef, GrantTable};
use xen::memory::{self, MemoryError, Window};
use xen::shared::{MappedPage, SharedPage};
use xen::{DomainId, HypercallPage};

use super::{Checks, Outcome, holds, same, why};
use crate::wiring::xen::Xen;

const OURSELVES: DomainId = DomainId(0);
/// What an address with nothing behind it reads.
const NOTHING: u64 = !0;
const PATTERN: u64 = 0x6772_616e_7465_6421;
const ANSWER: u64 = 0x616e_7377_6572_6564;

/// The address space these checks use, a frame each.
struct Places {
    table: Window,
    lent: Window,
    mapped: Window,
}

impl Places {
    fn of(xen: &Xen) -> Option<Self> {
        let pair = xen.server_pages(1)?;
        Some(Self {
            table: xen.server_pages(0)?.part(0, 1)?,
            lent: pair.part(0, 1)?,
            mapped: pair.part(1, 1)?,
        })
    }
}

pub fn run(checks: &mut Checks, xen: &Xen) {
    let Some(places) = Places::of(xen) else {
        checks.check("grant-table", Err("no address space".into()));
        return;
    };
    checks.check("memory-populate-decrease", populated(xen, places.lent));
    checks.check("memory-decrease-nothing", nothing_there(xen, places.lent));
    let unmapped = memory::unmap(&xen.page, places.lent, 0);
    checks.check("memory-unmap-nothing", unmapped.map_err(why));
    let size = grants::query_size(&xen.page).map_err(why);
    let fits =
        size.and_then(|(now, most)| holds(now <= most && most > 0, "more than there can be"));
    checks.check("grant-query-size", fits);
    let mut table = match GrantTable::new(xen.page, places.table) {
        Ok(table) => table,
        Err(error) => {
            checks.check("grant-table", Err(why(error)));
            return;
        }
    };
    checks.check("grant-table", same(table.given(), 0));
    let free = table.free();
    checks.check("grant-lent", lent(xen, &mut table, &places));
    checks.check("grant-read-only", read_only(xen, &mut table, &places));
    checks.check("grant-bogus", bogus(xen, &table, &places));
    checks.check("grant-big-frame", big_frame(&mut table));
    let left = same((table.given(), table.free()), (0, free));
    checks.check("no-grant-leaked", left);
}

fn page(window: Window) -> Result<MappedPage, String> {
    window.page(0).ok_or_else(|| "no address space".into())
}

fn populate(xen: &Xen, window: Window) -> Outcome {
    memory::populate(&xen.page, DomainId::SELF, &mut [window.first()]).map_err(why)
}

fn decrease(xen: &Xen, window: Window) -> Result<(), MemoryError> {
    memory::decrease(&xen.page, DomainId::SELF, &mut [window.first()])
}

fn populated(xen: &Xen, window: Window) -> Outcome {
    let page = page(window)?;
    same(page.load_u64(8), NOTHING)?;
    populate(xen, window)?;
    page.store_u64(8, PATTERN);
    let stored = page.load_u64(8);
    decrease(xen, window).map_err(why)?;
    same(stored, PATTERN)?;
    same(page.load_u64(8), NOTHING)
}

fn nothing_there(xen: &Xen, window: Window) -> Outcome {
    match decrease(xen, window) {
        Err(MemoryError::Short {
            done: 0, asked: 1, ..
        }) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// Granted, mapped, written through, not to be revoked meanwhile; then unmapped and revoked.
fn lent(xen: &Xen, table: &mut GrantTable<HypercallPage>, places: &Places) -> Outcome {
    let (here, there) = (page(places.lent)?, page(places.mapped)?);
    populate(xen, places.lent)?;
    here.store_u64(0, PATTERN);
    let frame = places.lent.first();
    let reference = table
        .grant(OURSELVES, frame, Access::ReadWrite)
        .map_err(why)?;
    same((table.given(), table.in_use(reference)), (1, Ok(false)))?;
    let map = || {
        grants::map(
            &xen.page,
            OURSELVES,
            reference,
            Access::ReadWrite,
            places.mapped,
        )
    };
    let handle = map().map_err(why)?;
    same(there.load_u64(0), PATTERN)?;
    there.store_u64(8, ANSWER);
    same(there.load_u64(8), ANSWER)?;
    same(table.in_use(reference), Ok(true))?;
    same(table.revoke(reference), Err(GrantError::InUse(reference)))?;
    same(table.given(), 1)?;
    let unmap = || grants::unmap(&xen.page, handle, places.mapped);
    unmap().map_err(why)?;
    same(there.load_u64(0), NOTHING)?;
    refused(unmap())?;
    same(table.revoke(reference), Ok(()))?;
    same(table.revoke(reference), Err(GrantError::Unknown(reference)))?;
    refused(map().map(drop))
}

/// A page lent for reading cannot be mapped for writing.
fn read_only(xen: &Xen, table: &mut GrantTable<HypercallPage>, places: &Places) -> Outcome {
    populate(xen, places.lent)?;
    let frame = places.lent.first();
    let reference = table
        .grant(OURSELVES, frame, Access::ReadOnly)
        .map_err(why)?;
    let access = Access::ReadWrite;
    let mapped = grants::map(&xen.page, OURSELVES, reference, access, places.mapped);
    let unused = table.in_use(reference);
    table.revoke(reference).map_err(why)?;
    decrease(xen, places.lent).map_err(why)?;
    refused(mapped.map(drop))?;
    same(unused, Ok(false))
}

/// References that were never given out: ours says so, Xen says so.
fn bogus(xen: &Xen, table: &GrantTable<HypercallPage>, places: &Places) -> Outcome {
    for reference in [8, 511, 1 << 20, !0].map(GrantRef) {
        let access = Access::ReadOnly;
        let mapped = grants::map(&xen.page, OURSELVES, reference, access, places.mapped);
        refused(mapped.map(drop))?;
    }
    same(page(places.mapped)?.load_u64(0), NOTHING)?;
    let far = GrantRef(!0);
    same(table.in_use(far), Err(GrantError::Unknown(far)))
}

fn big_frame(table: &mut GrantTable<HypercallPage>) -> Outcome {
    let frame = 1 << 32;
    same(
        table.grant(OURSELVES, frame, Access::ReadOnly),
        Err(GrantError::FrameTooBig(frame)),
    )
}

/// The call was made, and a status with a name says why it did nothing.
fn refused(result: Result<(), GrantError>) -> Outcome {
    match result {
        Err(error @ GrantError::Status { .. }) => {
            let text = why(error);
            holds(!text.contains("GNTST_?"), &text)
        }
        other => Err(format!("{other:?}")),
    }
}
