//! The software GPU: Kaby Lake GT2 as a device, not a mock.

pub mod blitter;
pub mod fault;
pub mod surface;
