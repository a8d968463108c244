//! The console: one logger, several places it speaks to, and a shell that listens.
//!
//! Every line goes to all sinks that exist (16550, port 0xE9, what [`add_sink`] brought) and into
//! a ring of recent lines. Lines are formatted before the lock is taken and nothing here
//! allocates, so a line can be said anywhere; what a hostile string contains cannot move the
//! cursor of the person reading it.
#![cfg_attr(not(test), no_std)]

mod limiter;
mod line;
mod logger;
mod output;
mod port_e9;
mod ring;
mod serial;
mod shell;
mod sink;

pub use limiter::{BURST, Limiter, PERIOD};
pub use line::{LINE_LIMIT, Line};
pub use logger::{init, rate_limited, report, set_clock, set_level};
pub use output::{
    Output, add_sink, emergency, emergency_recent, print_recent, read, room, set_last_resort,
    sink_names,
};
pub use ring::{RING_SIZE, Ring};
pub use serial::Serial;
pub use shell::{Command, Commands, Shell};
pub use sink::Sink;
