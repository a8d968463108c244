//! The machine under test: image, initrds, payload, QEMU, and what its serial line says.

pub mod chain;
pub mod image;
pub mod machine;
pub mod report;
pub mod scenario;

mod cpio;
mod initrd;
mod modules;
mod payload;
