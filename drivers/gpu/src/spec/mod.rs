//! Hardware as tables: registers, commands, page-table entries, contexts. No behaviour.
//!
//! Source, unless a file says otherwise: Intel Open Source HD Graphics Programmer's Reference
//! Manual, Kaby Lake (volumes 2a-2d, 3, 5, 7), and what Linux i915 does with it.

pub mod commands;
pub mod context;
pub mod engine;
pub mod gtt;
pub mod pvinfo;
pub mod registers;
