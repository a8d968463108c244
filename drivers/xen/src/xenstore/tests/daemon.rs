//! A small xenstored on the other side of a test page.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::offset_of;
use std::rc::Rc;

use crate::abi::xenstore::{CONNECTED, DomainInterface, MessageType, RECONNECT};
use crate::fake::TestPage;
use crate::ring::{Receiver, Sender};
use crate::shared::SharedPage;
use crate::xenstore::ring::{REPLIES, REQUESTS};
use crate::xenstore::wire::{HEADER_SIZE, Header};
use crate::xenstore::{Client, Doorbell, RingTransport};

/// How the daemon behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Good,
    /// Does nothing.
    Asleep,
    /// Replies with this much added to the request number.
    WrongNumber(u32),
    /// Replies with this type.
    WrongType(u32),
    /// Claims this payload length, without sending that much.
    Length(u32),
    /// Answers each request with events only, one for each sleep and more.
    Flood,
}

type Nodes = BTreeMap<String, Vec<u8>>;

struct Inner {
    receiver: Receiver,
    sender: Sender,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    mood: Mood,
    nodes: Nodes,
    perms: BTreeMap<String, Vec<u8>>,
    watches: BTreeSet<(String, String)>,
    transactions: BTreeMap<u32, Nodes>,
    next_transaction: u32,
    collisions: u32,
    /// Payload put in place of the right one.
    forged: Option<Vec<u8>>,
    reconnects: bool,
    waiting_forbidden: bool,
    requests: u32,
}

/// The daemon, and the page it shares with its one client.
pub struct Daemon {
    pub page: Rc<TestPage>,
    inner: Rc<RefCell<Inner>>,
}

pub type TestClient = Client<RingTransport<Rc<TestPage>, Bell>>;

/// Lets the daemon run whenever the client waits; patient for so many sleeps.
pub struct Bell {
    page: Rc<TestPage>,
    inner: Rc<RefCell<Inner>>,
}

impl Doorbell for Bell {
    fn notify(&mut self) {}

    fn wait(&mut self, waits: u32) -> bool {
        assert!(!self.inner.borrow().waiting_forbidden, "the client waits");
        self.inner.borrow_mut().run(&self.page);
        waits < 64
    }
}

pub fn connect(daemon: &Daemon) -> TestClient {
    let bell = Bell {
        page: daemon.page.clone(),
        inner: daemon.inner.clone(),
    };
    Client::new(RingTransport::new(daemon.page.clone(), bell))
}

impl Daemon {
    pub fn new() -> Self {
        let page = Rc::new(TestPage::new());
        // Indices need not start at zero, and they wrap.
        for layout in [REQUESTS, REPLIES] {
            page.store_u32(layout.consumer, u32::MAX - 100);
            page.store_u32(layout.producer, u32::MAX - 100);
        }
        let inner = Inner {
            receiver: Receiver::resume(&*page, REQUESTS),
            sender: Sender::resume(&*page, REPLIES),
            incoming: Vec::new(),
            outgoing: Vec::new(),
            mood: Mood::Good,
            nodes: Nodes::new(),
            perms: BTreeMap::new(),
            watches: BTreeSet::new(),
            transactions: BTreeMap::new(),
            next_transaction: 0,
            collisions: 0,
            forged: None,
            reconnects: true,
            waiting_forbidden: false,
            requests: 0,
        };
        Self {
            page,
            inner: Rc::new(RefCell::new(inner)),
        }
    }

    pub fn set_mood(&self, mood: Mood) {
        self.inner.borrow_mut().mood = mood;
    }

    pub fn forge(&self, payload: &[u8]) {
        self.inner.borrow_mut().forged = Some(payload.to_vec());
    }

    pub fn never_reconnect(&self) {
        self.inner.borrow_mut().reconnects = false;
    }

    /// Refuses the next `times` commits.
    pub fn collide(&self, times: u32) {
        self.inner.borrow_mut().collisions = times;
    }

    pub fn open_transactions(&self) -> usize {
        self.inner.borrow().transactions.len()
    }

    /// From now on the client must not wait; [`Self::run`] lets the daemon run.
    pub fn forbid_waiting(&self) {
        self.inner.borrow_mut().waiting_forbidden = true;
    }

    /// Takes some of what was asked, and answers it.
    pub fn run(&self) {
        self.inner.borrow_mut().run(&self.page);
    }

    /// Puts what is to be sent into the ring, and does nothing else.
    pub fn push(&self) {
        self.inner.borrow_mut().push(&self.page);
    }

    /// Requests that came whole.
    pub fn requests(&self) -> u32 {
        self.inner.borrow().requests
    }

    pub fn inject_event(&self, path: &str, token: &str) {
        self.inner.borrow_mut().event(path, token);
    }

    pub fn inject_reply(&self, kind: u32, request: u32, payload: &[u8]) {
        self.inner.borrow_mut().send(kind, request, 0, payload);
    }

    /// Bytes to be sent before anything else.
    pub fn inject(&self, bytes: &[u8]) {
        self.inner.borrow_mut().outgoing.extend_from_slice(bytes);
    }
}

impl Inner {
    fn run(&mut self, page: &TestPage) {
        let connection = offset_of!(DomainInterface, connection);
        if self.reconnects && page.load_u32(connection) == RECONNECT {
            self.incoming.clear();
            self.outgoing.clear();
            self.transactions.clear();
            self.watches.clear();
            for layout in [REQUESTS, REPLIES] {
                page.store_u32(layout.consumer, 77);
                page.store_u32(layout.producer, 77);
            }
            page.store_u32(offset_of!(DomainInterface, error), 0);
            self.receiver = Receiver::resume(page, REQUESTS);
            self.sender = Sender::resume(page, REPLIES);
            page.store_u32(connection, CONNECTED);
            return;
        }
        if self.mood == Mood::Asleep {
            return;
        }
        let mut bytes = [0; 300];
        let got = self.receiver.get(page, &mut bytes).unwrap_or(0);
        self.incoming.extend_from_slice(&bytes[..got]);
        while let Some(header) = self
            .incoming
            .first_chunk::<HEADER_SIZE>()
            .map(|head| Header::decode(head).expect("a client keeps to the limit"))
        {
            let end = HEADER_SIZE + header.length as usize;
            if self.incoming.len() < end {
                break;
            }
            let payload = self.incoming[HEADER_SIZE..end].to_vec();
            self.incoming.drain(..end);
            self.serve(header, &payload);
        }
        if self.mood == Mood::Flood {
            for _ in 0..20 {
                self.send(MessageType::WatchEvent as u32, 0, 0, b"a\0b\0");
            }
        }
        self.push(page);
    }

    fn push(&mut self, page: &TestPage) {
        let put = self.sender.put(page, &self.outgoing).unwrap_or(0);
        self.outgoing.drain(..put);
    }

    fn send(&mut self, kind: u32, request: u32, transaction: u32, payload: &[u8]) {
        let header = Header {
            kind,
            request,
            transaction,
            length: payload.len() as u32,
        };
        self.outgoing.extend_from_slice(&header.encode());
        self.outgoing.extend_from_slice(payload);
    }

    fn serve(&mut self, header: Header, payload: &[u8]) {
        self.requests += 1;
        let kind = MessageType::from_number(header.kind).expect("a known request");
        let (kind, mut reply) = match self.answer(kind, header.transaction, payload) {
            Ok(reply) => (header.kind, reply),
            Err(name) => (MessageType::Error as u32, format!("{name}\0").into_bytes()),
        };
        if let Some(forged) = self.forged.take() {
            reply = forged;
        }
        let (request, transaction) = (header.request, header.transaction);
        match self.mood {
            Mood::Good => self.send(kind, request, transaction, &reply),
            Mood::WrongNumber(add) => {
                self.send(kind, request.wrapping_add(add), transaction, &reply);
            }
            Mood::WrongType(kind) => self.send(kind, request, transaction, &reply),
            Mood::Length(length) => {
                let header = Header {
                    kind,
                    request,
                    transaction,
                    length,
                };
                self.outgoing.extend_from_slice(&header.encode());
                self.outgoing.extend_from_slice(&reply);
            }
            Mood::Flood | Mood::Asleep => {}
        }
        if kind == MessageType::Watch as u32 {
            let (path, token) = two(payload);
            self.event(&path, &token);
        }
        if kind == MessageType::Write as u32 && transaction == 0 {
            let (path, _) = two(payload);
            for (watched, token) in self.watches.clone() {
                if path.starts_with(&watched) {
                    self.event(&path, &token);
                }
            }
        }
    }

    fn event(&mut self, path: &str, token: &str) {
        let payload = format!("{path}\0{token}\0");
        self.send(MessageType::WatchEvent as u32, 0, 0, payload.as_bytes());
    }

    fn answer(
        &mut self,
        kind: MessageType,
        transaction: u32,
        payload: &[u8],
    ) -> Result<Vec<u8>, &'static str> {
        let done = || Ok(b"OK\0".to_vec());
        let end = payload.iter().position(|byte| *byte == 0).expect("a NUL");
        let path = String::from_utf8(payload[..end].to_vec()).expect("text");
        let rest = &payload[end + 1..];
        match kind {
            MessageType::TransactionStart => {
                self.next_transaction += 1;
                self.transactions
                    .insert(self.next_transaction, self.nodes.clone());
                return Ok(format!("{}\0", self.next_transaction).into_bytes());
            }
            MessageType::TransactionEnd => {
                let nodes = self.transactions.remove(&transaction).ok_or("ENOENT")?;
                if path == "T" {
                    if self.collisions > 0 {
                        self.collisions -= 1;
                        return Err("EAGAIN");
                    }
                    self.nodes = nodes;
                }
                return done();
            }
            MessageType::Watch => {
                self.watches.insert(two(payload));
                return done();
            }
            MessageType::Unwatch => {
                self.watches.remove(&two(payload));
                return done();
            }
            MessageType::ResetWatches => {
                self.watches.clear();
                return done();
            }
            MessageType::GetDomainPath => {
                return Ok(format!("/local/domain/{path}\0").into_bytes());
            }
            _ => {}
        }
        let nodes = match transaction {
            0 => &mut self.nodes,
            number => self.transactions.get_mut(&number).ok_or("EINVAL")?,
        };
        match kind {
            MessageType::Read => nodes.get(&path).cloned().ok_or("ENOENT"),
            MessageType::Write => {
                nodes.insert(path, rest.to_vec());
                done()
            }
            MessageType::Mkdir => {
                nodes.entry(path).or_default();
                done()
            }
            MessageType::Rm => {
                nodes.retain(|node, _| *node != path && !node.starts_with(&format!("{path}/")));
                done()
            }
            MessageType::Directory => {
                let below = format!("{path}/");
                let names: BTreeSet<&str> = nodes
                    .keys()
                    .filter_map(|node| node.strip_prefix(&below)?.split('/').next())
                    .collect();
                Ok(names
                    .iter()
                    .flat_map(|name| format!("{name}\0").into_bytes())
                    .collect())
            }
            MessageType::SetPerms => {
                self.perms.insert(path, rest.to_vec());
                done()
            }
            MessageType::GetPerms => self.perms.get(&path).cloned().ok_or("ENOENT"),
            _ => Err("ENOSYS"),
        }
    }
}

fn two(payload: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(payload);
    let mut parts = text.split('\0').map(ToString::to_string);
    (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    )
}
