//! Which domain is meant: names and numbers from Xenstore.
//!
//! Only nodes that the toolstack alone can write decide: `/local/domain/<id>/name` and
//! `/libxl/<id>/type`. A domain's own `data` directory proves nothing: every guest can write there
//! that it offers a GPU, and being believed would give it device-model rights over another guest.

use crate::error::{Error, Result};
use crate::text::Untrusted;
use crate::xenstore::Xenstore;

/// First domid that Xen reserves for itself (`DOMID_FIRST_RESERVED`).
const FIRST_RESERVED: u32 = 0x7ff0;

/// Numbers of all domains.
pub fn all(store: &mut Xenstore) -> Result<Vec<u32>> {
    let names = store.directory("/local/domain")?;
    let mut ids: Vec<u32> = names
        .iter()
        .filter_map(|name| Untrusted::from(name.as_str()).number())
        .collect();
    ids.sort_unstable();
    Ok(ids)
}

/// A domain's name.
pub fn name(store: &mut Xenstore, id: u32) -> Result<Option<Untrusted>> {
    store.read(&format!("/local/domain/{id}/name"))
}

/// Whether the toolstack knows the domain.
pub fn exists(store: &mut Xenstore, id: u32) -> Result<bool> {
    Ok(name(store, id)?.is_some())
}

/// The domain with this name, or else this number.
pub fn find(store: &mut Xenstore, wanted: &str) -> Result<u32> {
    let mut found = Vec::new();
    for id in all(store)? {
        if name(store, id)?.is_some_and(|name| name.0 == wanted.as_bytes()) {
            found.push(id);
        }
    }
    match found.as_slice() {
        [id] => Ok(*id),
        [] => match Untrusted::from(wanted).number() {
            Some(id) if id < FIRST_RESERVED && exists(store, id)? => Ok(id),
            _ => Err(Error::NoDomain(wanted.into())),
        },
        _ => Err(Error::SeveralDomains(wanted.into())),
    }
}

/// The guest with this name or number, if it is of a type that can have a vGPU.
pub fn find_guest(store: &mut Xenstore, wanted: &str) -> Result<u32> {
    let id = find(store, wanted)?;
    if id == 0 {
        return Err(Error::NotHvm {
            domain: 0,
            kind: "Dom0".into(),
        });
    }
    match store.read(&format!("/libxl/{id}/type"))? {
        Some(kind) if kind.word() != Some("hvm") => Err(Error::NotHvm { domain: id, kind }),
        // A toolstack other than libxl has no such node: then Xen itself tells the service domain.
        _ => Ok(id),
    }
}
