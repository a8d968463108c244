//! The mediator without submission: configuration space, accesses, GTT, attach and detach.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod allocation;
mod aperture;
mod attach;
mod bulk;
mod device;
mod driver;
mod gtt;
mod hostile;
mod pci;
mod registers;
