//! What the loader hands over, checked once and copied out.
//!
//! `../pvh.S` (the entry) and `../link.ld` (the layout) belong to the image: the kernel binary and
//! `build.rs` pull them in, not this library, so that it still links into host tests. Physical
//! memory is reached through [`PhysicalMemory`] alone, so that every malformed table can be tried
//! on a host.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod config;
mod error;
mod memory;
mod start_info;

pub use config::{Complaint, Config, Gpu, LOOPBACK_LIMIT, Scenario, Sinks, Trouble};
pub use error::BootError;
pub use memory::{FIRST_MIB, MemoryMap, PAGE_SIZE, REGION_LIMIT, Region, RegionKind};
pub use start_info::{BootInfo, COMMAND_LINE_LIMIT, PhysicalMemory};
