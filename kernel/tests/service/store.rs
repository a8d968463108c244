//! A Xenstore in this process that answers when it is told to, and must never be waited for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use xen::xenstore::wire::{HEADER_SIZE, Header};
use xen::xenstore::{Transport, XenstoreError};

const DIRECTORY: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 11;
const EVENT: u32 = 15;
const ERROR: u32 = 16;

/// The daemon.
#[derive(Default)]
pub struct Store {
    pub tree: BTreeMap<String, String>,
    /// What the service wrote, in order.
    pub written: Vec<(String, String)>,
    /// Requests that came.
    pub requests: usize,
    /// How many more requests it answers.
    pub patience: usize,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Store {
    /// What the toolstack does for one command.
    pub fn command(&mut self, domain: u16, command: &str) {
        self.tree.remove(&node(domain, "state"));
        self.put(domain, "command", command);
    }

    /// The toolstack writes a node below the watch.
    pub fn put(&mut self, domain: u16, name: &str, value: &str) {
        self.tree.insert(node(domain, name), value.into());
        self.event(&node(domain, name));
    }

    pub fn event(&mut self, path: &str) {
        self.send(EVENT, 0, format!("{path}\0vgpu\0").as_bytes());
    }

    pub fn garble(&mut self, bytes: &[u8]) {
        self.outgoing.extend_from_slice(bytes);
    }

    fn send(&mut self, kind: u32, request: u32, payload: &[u8]) {
        let header = Header {
            kind,
            request,
            transaction: 0,
            length: payload.len() as u32,
        };
        self.outgoing.extend_from_slice(&header.encode());
        self.outgoing.extend_from_slice(payload);
    }

    fn run(&mut self) {
        while self.patience > 0
            && let Some(head) = self.incoming.first_chunk::<HEADER_SIZE>()
        {
            let header = Header::decode(head).expect("within the limit");
            let end = HEADER_SIZE + header.length as usize;
            let payload: Vec<u8> = self.incoming.drain(..end).skip(HEADER_SIZE).collect();
            self.patience -= 1;
            self.requests += 1;
            let payload = String::from_utf8(payload).expect("text");
            let (path, value) = payload.split_once('\0').expect("a path");
            match self.answer(header.kind, path, value) {
                Some(reply) => self.send(header.kind, header.request, reply.as_bytes()),
                None => self.send(ERROR, header.request, b"ENOENT\0"),
            }
        }
    }

    fn answer(&mut self, kind: u32, path: &str, value: &str) -> Option<String> {
        match kind {
            READ => self.tree.get(path).cloned(),
            DIRECTORY => {
                let below = format!("{path}/");
                let names = self.tree.keys().filter_map(|key| key.strip_prefix(&below));
                let mut names: Vec<_> = names.filter_map(|name| name.split('/').next()).collect();
                names.dedup();
                Some(names.iter().map(|name| format!("{name}\0")).collect())
            }
            WRITE => {
                self.tree.insert(path.into(), value.into());
                self.written.push((path.into(), value.into()));
                if path.starts_with("data/gpu/vgpu/") {
                    self.event(path);
                }
                Some("OK\0".into())
            }
            _ => panic!("request {kind}"),
        }
    }
}

/// The service's end.
pub struct Line(pub Rc<RefCell<Store>>);

impl Transport for Line {
    fn put(&mut self, bytes: &[u8], wait: bool) -> Result<usize, XenstoreError> {
        assert!(!wait, "the loop waits");
        self.0.borrow_mut().incoming.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn get(&mut self, into: &mut [u8], wait: bool) -> Result<usize, XenstoreError> {
        assert!(!wait, "the loop waits");
        let mut store = self.0.borrow_mut();
        store.run();
        let count = into.len().min(store.outgoing.len());
        for (to, from) in into.iter_mut().zip(store.outgoing.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}

pub fn node(domain: u16, name: &str) -> String {
    format!("data/gpu/vgpu/{domain}/{name}")
}
