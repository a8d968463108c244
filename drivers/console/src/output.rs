//! The one console: its sinks and recent lines behind a lock, and the way around it.

use crate::port_e9::{self, PortE9};
use crate::{Ring, Serial, Sink};
use arrayvec::ArrayVec;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use spin::{Mutex, Once};

/// Most sinks besides the 16550 and port 0xE9.
const OTHERS: usize = 4;

static CONSOLE: Mutex<Console> = Mutex::new(Console::new());

/// Whether port 0xE9 may be written without the lock.
static RAW_PORT_E9: AtomicBool = AtomicBool::new(false);

/// How to speak when the lock is held by whoever panicked and port 0xE9 is not there.
static LAST_RESORT: Once<fn(&[u8])> = Once::new();

struct Console {
    serial: Option<Serial>,
    port_e9: Option<PortE9>,
    others: ArrayVec<&'static mut dyn Sink, OTHERS>,
    recent: Ring,
}

impl Console {
    const fn new() -> Self {
        Self {
            serial: None,
            port_e9: None,
            others: ArrayVec::new_const(),
            recent: Ring::new(),
        }
    }

    fn each(&mut self, mut act: impl FnMut(&mut dyn Sink)) {
        if let Some(serial) = &mut self.serial {
            act(serial);
        }
        if let Some(port) = &mut self.port_e9 {
            act(port);
        }
        for sink in &mut self.others {
            act(*sink);
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.each(|sink| sink.write(bytes));
    }
}

/// Looks for the sinks that every machine may have.
pub(crate) fn open(serial: bool, port_e9: bool, on_xen: bool) {
    let mut console = CONSOLE.lock();
    console.serial = if serial { Serial::com1() } else { None };
    console.port_e9 = if port_e9 { PortE9::probe(on_xen) } else { None };
    RAW_PORT_E9.store(console.port_e9.is_some(), Ordering::Relaxed);
}

/// Says one line and keeps it.
pub(crate) fn say(line: &str) {
    let mut console = CONSOLE.lock();
    console.recent.push(line.as_bytes());
    console.write(line.as_bytes());
    console.write(b"\n");
}

/// Adds a sink, for good, and repeats there what has been said so far. False if there are too
/// many already.
pub fn add_sink(sink: &'static mut dyn Sink) -> bool {
    let mut console = CONSOLE.lock();
    let console = &mut *console;
    if console.others.is_full() {
        return false;
    }
    copy(console.recent.tail(usize::MAX), |chunk| sink.write(chunk));
    console.others.push(sink);
    true
}

/// The sinks in use, for the boot log.
pub fn sink_names() -> ArrayVec<&'static str, { OTHERS + 2 }> {
    let mut names = ArrayVec::new();
    CONSOLE.lock().each(|sink| names.push(sink.name()));
    names
}

/// Bytes that every sink has room for: who has much to say waits for it.
pub fn room() -> usize {
    let mut room = usize::MAX;
    CONSOLE.lock().each(|sink| room = room.min(sink.room()));
    room
}

/// The next byte a person typed, at any sink.
pub fn read() -> Option<u8> {
    let mut typed = None;
    CONSOLE.lock().each(|sink| {
        if typed.is_none() {
            typed = sink.read();
        }
    });
    typed
}

/// Writes the last `lines` lines.
pub fn print_recent(lines: usize, out: &mut dyn Write) -> fmt::Result {
    // Not under the lock: `out` may be the console itself. A copy costs stack, a deadlock more.
    let mut text = ArrayVec::<u8, { crate::RING_SIZE }>::new();
    let Some(console) = CONSOLE.try_lock() else {
        return writeln!(out, "(the console was busy)");
    };
    text.extend(console.recent.tail(lines));
    drop(console);
    text.utf8_chunks()
        .try_for_each(|chunk| out.write_str(chunk.valid()))
}

/// Text to every sink as it is: answers of the shell, dumps.
#[derive(Debug, Clone, Copy)]
pub struct Output;

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        CONSOLE.lock().write(text.as_bytes());
        Ok(())
    }
}

/// Sets how a panic speaks when no other way is left; on Xen, console_io.
pub fn set_last_resort(write: fn(&[u8])) {
    LAST_RESORT.call_once(|| write);
}

/// Says text from a panic or fault: never waits for the lock, because its owner may be the one
/// that was interrupted.
pub fn emergency(text: fmt::Arguments<'_>) {
    let _ = Emergency.write_fmt(text);
}

/// Repeats the last `lines` lines from a panic or fault, if the console can be had.
pub fn emergency_recent(lines: usize) {
    if let Some(mut console) = CONSOLE.try_lock() {
        let Console {
            serial,
            port_e9,
            others,
            recent,
        } = &mut *console;
        copy(recent.tail(lines), |chunk| {
            serial.iter_mut().for_each(|sink| sink.write(chunk));
            port_e9.iter_mut().for_each(|sink| sink.write(chunk));
            others.iter_mut().for_each(|sink| sink.write(chunk));
        });
    }
}

struct Emergency;

impl Write for Emergency {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(mut console) = CONSOLE.try_lock() {
            console.write(text.as_bytes());
        } else if RAW_PORT_E9.load(Ordering::Relaxed) {
            text.bytes().for_each(port_e9::output);
        } else if let Some(write) = LAST_RESORT.get() {
            write(text.as_bytes());
        } else if let Some(mut serial) = Serial::com1() {
            serial.write(text.as_bytes());
        }
        Ok(())
    }
}

/// Hands bytes over in pieces that need no allocation.
fn copy(bytes: impl Iterator<Item = u8>, mut write: impl FnMut(&[u8])) {
    let mut chunk = ArrayVec::<u8, 256>::new();
    for byte in bytes {
        chunk.push(byte);
        if chunk.is_full() {
            write(&chunk);
            chunk.clear();
        }
    }
    write(&chunk);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Recorder(&'static Mutex<Vec<u8>>);

    impl Sink for Recorder {
        fn name(&self) -> &'static str {
            "recorder"
        }

        fn write(&mut self, bytes: &[u8]) {
            self.0.lock().extend_from_slice(bytes);
        }

        fn read(&mut self) -> Option<u8> {
            Some(b'!')
        }

        fn room(&self) -> usize {
            77
        }
    }

    // One test, because the console is one: tests run side by side.
    #[test]
    fn a_late_sink_hears_what_was_said_before_and_every_line_after() {
        static HEARD: Mutex<Vec<u8>> = Mutex::new(Vec::new());
        static LAST_WORDS: Mutex<Vec<u8>> = Mutex::new(Vec::new());
        say("early");
        assert!(add_sink(Box::leak(Box::new(Recorder(&HEARD)))));
        say("late");
        Output.write_str("raw").unwrap();
        emergency(format_args!("{}", "!"));
        set_last_resort(|bytes| LAST_WORDS.lock().extend_from_slice(bytes));
        let held = CONSOLE.lock();
        emergency(format_args!("the lock is {}", "held"));
        drop(held);
        assert_eq!(&LAST_WORDS.lock()[..], b"the lock is held");
        assert_eq!(&HEARD.lock()[..], b"early\nlate\nraw!");
        assert_eq!(read(), Some(b'!'));
        assert_eq!(room(), 77);
        assert_eq!(&sink_names()[..], ["recorder"]);
        let mut recent = String::new();
        print_recent(1, &mut recent).unwrap();
        assert_eq!(recent, "late\n");
        HEARD.lock().clear();
        emergency_recent(2);
        assert_eq!(&HEARD.lock()[..], b"early\nlate\n");
    }
}
