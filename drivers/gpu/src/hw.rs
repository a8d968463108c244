//! The GPU over memory-mapped registers.
