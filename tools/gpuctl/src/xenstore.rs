//! A Xenstore client over xenstored's socket or the kernel's xenbus device.
//!
//! Every message is a 16-byte header (type, request, transaction, length; little-endian) and at
//! most 4096 bytes: `xen/include/public/io/xs_wire.h`. Watch events arrive between answers. A
//! thread reads, so that waiting can have a deadline on a socket and on a character device alike.

use core::time::Duration;
use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::text::Untrusted;

/// Longest payload of a message.
const PAYLOAD_MAX: usize = 4096;
/// How long xenstored itself may take to answer a request.
const ANSWER: Duration = Duration::from_secs(30);

/// `enum xsd_sockmsg_type`, what is used of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Kind {
    Directory = 1,
    Read = 2,
    GetPermissions = 3,
    Watch = 4,
    Unwatch = 5,
    Write = 11,
    Remove = 13,
    SetPermissions = 14,
}

const WATCH_EVENT: u32 = 15;
const ERROR: u32 = 16;

struct Message {
    kind: u32,
    request: u32,
    payload: Vec<u8>,
}

/// One connection.
pub struct Xenstore {
    out: Box<dyn Write>,
    incoming: Receiver<io::Result<Message>>,
    events: VecDeque<Vec<u8>>,
    request: u32,
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
            loop {
                let message = receive(&mut input);
                let last = message.is_err();
                if sender.send(message).is_err() || last {
                    return;
                }
            }
        });
        Self {
            out: Box::new(out),
            incoming,
            events: VecDeque::new(),
            request: 0,
        }
    }

    /// The value of a node; `None` if there is no such node.
    pub fn read(&mut self, path: &str) -> Result<Option<Untrusted>> {
        Ok(self.optional(Kind::Read, path)?.map(Untrusted))
    }

    /// The names of a node's children; empty if there is no such node.
    pub fn directory(&mut self, path: &str) -> Result<Vec<String>> {
        let names = self.optional(Kind::Directory, path)?.unwrap_or_default();
        Ok(names
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect())
    }

    /// Writes a node, making it and its parents where they are missing.
    pub fn write(&mut self, path: &str, value: &str) -> Result<()> {
        let payload = [path.as_bytes(), b"\0", value.as_bytes()].concat();
        self.ask(Kind::Write, path, &payload).map(drop)
    }

    /// Removes a node and everything below; a missing one is fine.
    pub fn remove(&mut self, path: &str) -> Result<()> {
        self.optional(Kind::Remove, path).map(drop)
    }

    /// Lets `domain` read a node or special name, keeping everybody else's permissions.
    pub fn allow_reading(&mut self, path: &str, domain: u32) -> Result<()> {
        let mut permissions = self.ask(
            Kind::GetPermissions,
            path,
            &[path.as_bytes(), b"\0"].concat(),
        )?;
        let wanted = format!("r{domain}");
        if permissions
            .split(|byte| *byte == 0)
            .any(|entry| entry == wanted.as_bytes())
        {
            return Ok(());
        }
        if permissions.last().is_some_and(|last| *last != 0) {
            permissions.push(0);
        }
        let payload = [
            path.as_bytes(),
            b"\0",
            &permissions,
            wanted.as_bytes(),
            b"\0",
        ]
        .concat();
        self.ask(Kind::SetPermissions, path, &payload).map(drop)
    }

    /// Asks for an event at every change of or below `path`; the first comes at once.
    pub fn watch(&mut self, path: &str) -> Result<()> {
        let payload = [path.as_bytes(), b"\0gpuctl\0"].concat();
        self.ask(Kind::Watch, path, &payload).map(drop)
    }

    /// Ends a watch and forgets its events.
    pub fn unwatch(&mut self, path: &str) -> Result<()> {
        let payload = [path.as_bytes(), b"\0gpuctl\0"].concat();
        self.ask(Kind::Unwatch, path, &payload)?;
        self.events.clear();
        Ok(())
    }

    /// Waits for any watch event, or until `longest` has passed: false.
    pub fn wait(&mut self, longest: Duration) -> Result<bool> {
        if self.events.pop_front().is_some() {
            return Ok(true);
        }
        match self.incoming.recv_timeout(longest) {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(error)) => Err(Error::NoXenstore(error)),
            Err(RecvTimeoutError::Timeout) => Ok(false),
            Err(RecvTimeoutError::Disconnected) => Err(Error::NoXenstore(closed())),
        }
    }

    /// A request about one path whose absence is an answer, not a failure.
    fn optional(&mut self, kind: Kind, path: &str) -> Result<Option<Vec<u8>>> {
        match self.ask(kind, path, &[path.as_bytes(), b"\0"].concat()) {
            Ok(payload) => Ok(Some(payload)),
            Err(Error::Xenstore { answer, .. }) if answer.0 == b"ENOENT" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One request and its answer; watch events that arrive in between are kept.
    fn ask(&mut self, kind: Kind, path: &str, payload: &[u8]) -> Result<Vec<u8>> {
        let protocol = |answer: &str| Error::Xenstore {
            path: path.into(),
            answer: answer.into(),
        };
        if payload.len() > PAYLOAD_MAX {
            return Err(protocol("E2BIG"));
        }
        self.request = self.request.wrapping_add(1);
        let header = [kind as u32, self.request, 0, payload.len() as u32];
        let mut packet: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
        packet.extend_from_slice(payload);
        self.out
            .write_all(&packet)
            .and_then(|()| self.out.flush())
            .map_err(Error::NoXenstore)?;

        let deadline = Instant::now() + ANSWER;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = match self.incoming.recv_timeout(left) {
                Ok(message) => message.map_err(Error::NoXenstore)?,
                Err(RecvTimeoutError::Timeout) => return Err(protocol("no answer")),
                Err(RecvTimeoutError::Disconnected) => return Err(Error::NoXenstore(closed())),
            };
            match message.kind {
                WATCH_EVENT => self.events.push_back(message.payload),
                _ if message.request != self.request => {
                    return Err(protocol("answer out of order"));
                }
                ERROR => {
                    let name = message
                        .payload
                        .split(|byte| *byte == 0)
                        .next()
                        .unwrap_or_default();
                    let answer = Untrusted(name.to_vec());
                    return Err(Error::Xenstore {
                        path: path.into(),
                        answer,
                    });
                }
                answered if answered == kind as u32 => return Ok(message.payload),
                _ => return Err(protocol("answer of another type")),
            }
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "xenstored closed the connection",
    )
}

fn receive(input: &mut impl Read) -> io::Result<Message> {
    let mut header = [0; 16];
    input.read_exact(&mut header)?;
    let [kind, request, _, length] = words(header);
    if length as usize > PAYLOAD_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "message longer than 4096 bytes",
        ));
    }
    let mut payload = vec![0; length as usize];
    input.read_exact(&mut payload)?;
    Ok(Message {
        kind,
        request,
        payload,
    })
}

fn words(header: [u8; 16]) -> [u32; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(header.chunks_exact(4)) {
        *word = bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u32::from(*byte));
    }
    words
}
