//! What crosses the mediator's boundary, recorded, and read again (docs/trace.md).
//!
//! A [`Recorder`] is told of every call into the mediator and of what the outside world said
//! meanwhile, by [`Taped`] around each part of that world. Its log, given to a fresh mediator over
//! a fresh software GPU, must bring about the same answers, messages and memory: `mediator/tests/replay`
//! does that with every file in `mediator/tests/traces`.
//!
//! | file | story |
//! |---|---|
//! | `record` | what a trace is made of |
//! | `layout` | tags, and what writer and reader both know |
//! | `writer` | from records to bytes |
//! | `reader` | from bytes to records |
//! | `code` | numbers as few bytes |
//! | `memory` | what the replay's memory will hold at this point |
//! | `recorder` | from calls to records |
//! | `taped` | the recorder's ears |
//! | `dump` | out through a console, and in again |
//! | `names` | records for people |

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod code;
mod dump;
mod layout;
mod memory;
mod names;
mod reader;
mod record;
mod recorder;
mod taped;
mod writer;

pub use dump::{BEGIN, DumpError, Dumps, LINE_LIMIT, Line, MARK, dumps};
pub use memory::hash;
pub use names::Names;
pub use reader::Reader;
pub use record::{Header, Record, Repeat, Request, TraceError};
pub use recorder::Recorder;
pub use taped::{Tape, Taped};
pub use writer::Encoder;
