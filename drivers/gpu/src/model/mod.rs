//! The software GPU: Kaby Lake GT2 as a device, not a mock.
