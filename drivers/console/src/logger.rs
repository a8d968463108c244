//! The `log` facade's end: levels, time, and domains that talk too much.

use crate::limiter::Limiter;
use crate::line::Line;
use crate::output;
use core::fmt;
use log::{Level, LevelFilter, Log, Metadata, Record};
use spin::{Mutex, Once};

static LOGGER: Logger = Logger;
static CLOCK: Once<fn() -> u64> = Once::new();
static LIMITER: Mutex<Limiter> = Mutex::new(Limiter::new());

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            say(record.level(), record.target(), *record.args());
        }
    }

    fn flush(&self) {}
}

/// Opens the sinks that exist among those wanted and becomes the program's logger. Calling it
/// again opens them anew.
pub fn init(serial: bool, port_e9: bool, on_xen: bool, level: LevelFilter) {
    output::open(serial, port_e9, on_xen);
    // Fails when we are the logger already, which is what is wanted.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(level);
}

/// Changes what is said from now on.
pub fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}

/// Gives lines their time, nanoseconds; until then they say 0. The first call counts.
pub fn set_clock(now: fn() -> u64) {
    CLOCK.call_once(|| now);
}

/// Whether a line about `domain` may be said at `now` nanoseconds: `Some` with the number of
/// lines withheld before it, `None` if this one is to be withheld as well.
pub fn rate_limited(domain: u16, now: u64) -> Option<u32> {
    LIMITER.lock().admit(domain, now)
}

/// Says a line about a domain, `dN subject: text`, unless it causes too many of them.
pub fn report(level: Level, domain: u16, subject: &str, text: fmt::Arguments<'_>) {
    if level > log::max_level() {
        return;
    }
    match rate_limited(domain, now()) {
        None => {}
        Some(0) => say(level, "", format_args!("d{domain} {subject}: {text}")),
        Some(withheld) => say(
            level,
            "",
            format_args!("d{domain} {subject}: {text} ({withheld} lines before it withheld)"),
        ),
    }
}

fn say(level: Level, target: &str, text: fmt::Arguments<'_>) {
    output::say(Line::new(now(), level, target, text).as_str());
}

fn now() -> u64 {
    CLOCK.get().map_or(0, |clock| clock())
}
