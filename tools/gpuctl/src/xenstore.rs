//! Xenstore over xenstored's socket or the kernel's xenbus device.
//!
//! The protocol is [`xen::xenstore::Client`]'s; here are the byte stream and the waiting. A thread
//! reads, so that waiting can have a deadline on a socket and on a character device alike.

use core::cell::RefCell;
use core::time::Duration;
use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use xen::DomainId;
use xen::xenstore::{Access, Client, Permission, Transaction, Transport, XenstoreError};

use crate::error::{Error, Result};
use crate::text::Untrusted;

/// How long xenstored itself may take to answer a request.
const ANSWER: Duration = Duration::from_secs(30);
/// Every request stands alone.
const NONE: Transaction = Transaction::NONE;
/// The only token: whichever watch fired, the caller looks again.
const TOKEN: &str = "gpuctl";
/// What a closed connection counts as (EPIPE).
const CLOSED: i32 = 32;

/// One connection.
pub struct Xenstore {
    client: Client<Stream>,
    inbox: Rc<Inbox>,
}

impl Xenstore {
    /// Connects where xenstored listens: `$XENSTORED_PATH`, its socket, or the kernel's device.
    pub fn connect() -> Result<Self> {
        let mut sockets: Vec<_> = std::env::var_os("XENSTORED_PATH").into_iter().collect();
        sockets.extend(["/run/xenstored/socket", "/var/run/xenstored/socket"].map(Into::into));
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for path in sockets {
            match UnixStream::connect(&path).and_then(|out| Ok((out.try_clone()?, out))) {
                Ok((input, out)) => return Ok(Self::over(input, out)),
                Err(error) => last = error,
            }
        }
        for path in ["/dev/xen/xenbus", "/proc/xen/xenbus"] {
            let opened = OpenOptions::new().read(true).write(true).open(path);
            match opened.and_then(|out| Ok((out.try_clone()?, out))) {
                Ok((input, out)) => return Ok(Self::over(input, out)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => last = error,
            }
        }
        Err(Error::NoXenstore(last))
    }

    /// A connection over any pair of byte streams.
    pub fn over(mut input: impl Read + Send + 'static, out: impl Write + 'static) -> Self {
        let (sender, incoming) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Ends with the stream, an error, or when nobody listens any more.
            while let Ok(count @ 1..) = input.read(&mut bytes) {
                let chunk = bytes.get(..count).unwrap_or_default().to_vec();
                if sender.send(chunk).is_err() {
                    return;
                }
            }
        });
        let inbox = Rc::new(Inbox {
            incoming,
            bytes: RefCell::default(),
        });
        let stream = Stream {
            out: Box::new(out),
            inbox: Rc::clone(&inbox),
            deadline: None,
        };
        Self {
            client: Client::new(stream),
            inbox,
        }
    }

    /// The value of a node; `None` if there is no such node.
    pub fn read(&mut self, path: &str) -> Result<Option<Untrusted>> {
        match self.client.read(NONE, path) {
            Ok(value) => Ok(Some(Untrusted(value))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(failed(path, error)),
        }
    }

    /// The names of a node's children; empty if there is no such node.
    pub fn directory(&mut self, path: &str) -> Result<Vec<String>> {
        match self.client.directory(NONE, path) {
            Ok(names) => Ok(names),
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(failed(path, error)),
        }
    }

    /// Writes a node, making it and its parents where they are missing.
    pub fn write(&mut self, path: &str, value: &str) -> Result<()> {
        self.client
            .write(NONE, path, value.as_bytes())
            .map_err(|error| failed(path, error))
    }

    /// Removes a node and everything below; a missing one is fine.
    pub fn remove(&mut self, path: &str) -> Result<()> {
        match self.client.rm(NONE, path) {
            // xenstored says so when the parent is missing as well.
            Err(error) if !error.is_not_found() => Err(failed(path, error)),
            _ => Ok(()),
        }
    }

    /// Lets `domain` read a node or special name, keeping everybody else's permissions.
    pub fn allow_reading(&mut self, path: &str, domain: u32) -> Result<()> {
        let number = u16::try_from(domain).map_err(|_| Error::NoDomain(domain.to_string()))?;
        let wanted = Permission {
            domain: DomainId(number),
            access: Access::Read,
        };
        let permissions = self.client.get_permissions(NONE, path);
        let mut permissions = permissions.map_err(|error| failed(path, error))?;
        if permissions.contains(&wanted) {
            return Ok(());
        }
        permissions.push(wanted);
        let set = self.client.set_permissions(NONE, path, &permissions);
        set.map_err(|error| failed(path, error))
    }

    /// Asks for an event at every change of or below `path`; the first comes at once.
    pub fn watch(&mut self, path: &str) -> Result<()> {
        self.client
            .watch(path, TOKEN)
            .map_err(|error| failed(path, error))
    }

    /// Ends a watch. Its last events may still come, and make somebody look once more.
    pub fn unwatch(&mut self, path: &str) -> Result<()> {
        self.client
            .unwatch(path, TOKEN)
            .map_err(|error| failed(path, error))
    }

    /// Waits for any watch event, or for at most `longest`.
    pub fn wait(&mut self, longest: Duration) -> Result<()> {
        let deadline = Instant::now() + longest;
        loop {
            let event = self
                .client
                .next_event()
                .map_err(|error| failed("events", error))?;
            if event.is_some() || self.client.take_events_lost() {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.inbox
                .fill(left)
                .map_err(|error| failed("events", error))?;
        }
    }
}

fn failed(path: &str, error: XenstoreError) -> Error {
    match error {
        XenstoreError::Host(errno) => Error::NoXenstore(io::Error::from_raw_os_error(errno)),
        error => Error::Xenstore {
            path: path.into(),
            error,
        },
    }
}

/// What the reading thread has brought.
struct Inbox {
    incoming: Receiver<Vec<u8>>,
    bytes: RefCell<VecDeque<u8>>,
}

impl Inbox {
    /// Waits until there are bytes, or for at most `longest`; whether there are any.
    fn fill(&self, longest: Duration) -> core::result::Result<bool, XenstoreError> {
        let mut bytes = self.bytes.borrow_mut();
        if bytes.is_empty() {
            match self.incoming.recv_timeout(longest) {
                Ok(chunk) => bytes.extend(chunk),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(XenstoreError::Host(CLOSED)),
            }
        }
        Ok(!bytes.is_empty())
    }
}

/// Both directions, with the time that one request may take.
struct Stream {
    out: Box<dyn Write>,
    inbox: Rc<Inbox>,
    deadline: Option<Instant>,
}

impl Transport for Stream {
    // Writing blocks where it must: a command line has nothing else to do.
    fn put(&mut self, bytes: &[u8], _wait: bool) -> core::result::Result<usize, XenstoreError> {
        self.out
            .write_all(bytes)
            .and_then(|()| self.out.flush())
            .map(|()| bytes.len())
            .map_err(|error| XenstoreError::Host(error.raw_os_error().unwrap_or(CLOSED)))
    }

    fn get(&mut self, into: &mut [u8], wait: bool) -> core::result::Result<usize, XenstoreError> {
        let left = match self.deadline {
            Some(deadline) if wait => deadline.saturating_duration_since(Instant::now()),
            _ => Duration::ZERO,
        };
        self.inbox.fill(left)?;
        let mut bytes = self.inbox.bytes.borrow_mut();
        let count = into.len().min(bytes.len());
        for (to, from) in into.iter_mut().zip(bytes.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }

    fn begin(&mut self) {
        self.deadline = Some(Instant::now() + ANSWER);
    }
}
