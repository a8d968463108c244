//! The GPU, seen once: what it is (`spec`), the door to it, and a software one.
//!
//! Everything above this crate talks to a GPU through [`Gpu`] and cannot tell whether registers
//! are memory-mapped silicon ([`hw`]) or the software device ([`model`]).
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod address;
pub mod device;
pub mod dma;
pub mod hw;
pub mod interrupts;
pub mod model;
pub mod ram;
pub mod spec;

pub use address::{DmaAddress, DmaPage, GraphicsAddress, GttIndex, PAGE_SIZE};
pub use device::{Gpu, GpuFault, Progress};
pub use dma::{Dma, DmaFault, Owner};
pub use ram::Ram;
pub use spec::engine::Engine;
