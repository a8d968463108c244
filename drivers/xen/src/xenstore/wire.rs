//! Xenstore's message format: requests out, replies in, no memory or rings.
//!
//! A message is four little-endian words (type, request, transaction, payload length) and up to
//! 4096 bytes of payload (`xen/io/xs_wire.h`, `docs/misc/xenstore.txt`). Everything here is a
//! function of bytes and total: any input gives a value or an error.

use alloc::vec::Vec;

use super::XenstoreError;
use crate::abi::Errno;
use crate::abi::xenstore::{ABS_PATH_MAX, MessageType, PAYLOAD_MAX, REL_PATH_MAX, SockMsg};

/// Bytes of a message's head.
pub const HEADER_SIZE: usize = size_of::<SockMsg>();

/// A message's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Type, known or not.
    pub kind: u32,
    /// Number that ties a reply to its request; 0 for watch events.
    pub request: u32,
    /// Transaction, 0 for none.
    pub transaction: u32,
    /// Bytes that follow.
    pub length: u32,
}

impl Header {
    /// As bytes.
    pub fn encode(self) -> [u8; HEADER_SIZE] {
        let words = [self.kind, self.request, self.transaction, self.length];
        let mut bytes = [0; HEADER_SIZE];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// From bytes; refuses a length no message may have.
    pub fn decode(bytes: &[u8; HEADER_SIZE]) -> Result<Self, XenstoreError> {
        let mut words = bytes.chunks_exact(4).map(|word| {
            word.iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u32::from(*byte))
        });
        let mut word = || words.next().unwrap_or(0);
        let header = Self {
            kind: word(),
            request: word(),
            transaction: word(),
            length: word(),
        };
        if header.length as usize > PAYLOAD_MAX {
            return Err(XenstoreError::Oversize {
                length: header.length,
            });
        }
        Ok(header)
    }
}

/// A transaction's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction(pub u32);

impl Transaction {
    /// Outside any transaction.
    pub const NONE: Self = Self(0);
}

/// Checks a path: absolute, relative to the caller's own directory, or a special watch (`@…`).
pub fn check_path(path: &str) -> Result<(), XenstoreError> {
    let limit = if path.starts_with('/') {
        ABS_PATH_MAX
    } else {
        REL_PATH_MAX
    };
    if path.len() > limit {
        return Err(XenstoreError::PathTooLong {
            length: path.len(),
            limit,
        });
    }
    let trailing = path.len() > 1 && path.ends_with('/');
    if path.is_empty() || trailing || path.contains("//") || path.contains('\0') {
        return Err(XenstoreError::BadPath);
    }
    Ok(())
}

fn check_text(text: &str) -> Result<(), XenstoreError> {
    if text.contains('\0') {
        return Err(XenstoreError::BadText);
    }
    Ok(())
}

/// A request before it has a number.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What is asked; a reply has the same type, or [`MessageType::Error`].
    pub kind: MessageType,
    /// In which transaction.
    pub transaction: Transaction,
    /// Payload, in up to three parts.
    parts: [&'a [u8]; 3],
    /// NUL bytes after each part.
    ended: [bool; 3],
}

impl<'a> Request<'a> {
    fn new(kind: MessageType, transaction: Transaction) -> Self {
        Self {
            kind,
            transaction,
            parts: [&[]; 3],
            ended: [false; 3],
        }
    }

    fn on_path(
        kind: MessageType,
        transaction: Transaction,
        path: &'a str,
    ) -> Result<Self, XenstoreError> {
        check_path(path)?;
        let mut request = Self::new(kind, transaction);
        request.parts[0] = path.as_bytes();
        request.ended[0] = true;
        request.checked()
    }

    fn checked(self) -> Result<Self, XenstoreError> {
        let length = self.length();
        if length > PAYLOAD_MAX {
            return Err(XenstoreError::TooLarge { length });
        }
        Ok(self)
    }

    /// The value of a node.
    pub fn read(transaction: Transaction, path: &'a str) -> Result<Self, XenstoreError> {
        Self::on_path(MessageType::Read, transaction, path)
    }

    /// Sets a node's value, making it and its parents if need be.
    pub fn write(
        transaction: Transaction,
        path: &'a str,
        value: &'a [u8],
    ) -> Result<Self, XenstoreError> {
        let mut request = Self::on_path(MessageType::Write, transaction, path)?;
        request.parts[1] = value;
        request.checked()
    }

    /// Makes a node.
    pub fn mkdir(transaction: Transaction, path: &'a str) -> Result<Self, XenstoreError> {
        Self::on_path(MessageType::Mkdir, transaction, path)
    }

    /// Removes a node and everything below.
    pub fn rm(transaction: Transaction, path: &'a str) -> Result<Self, XenstoreError> {
        Self::on_path(MessageType::Rm, transaction, path)
    }

    /// The names of a node's children.
    pub fn directory(transaction: Transaction, path: &'a str) -> Result<Self, XenstoreError> {
        Self::on_path(MessageType::Directory, transaction, path)
    }

    /// Who may do what with a node.
    pub fn get_perms(transaction: Transaction, path: &'a str) -> Result<Self, XenstoreError> {
        Self::on_path(MessageType::GetPerms, transaction, path)
    }

    /// Sets who may do what; `encoded` comes from [`super::permission::encode`].
    pub fn set_perms(
        transaction: Transaction,
        path: &'a str,
        encoded: &'a [u8],
    ) -> Result<Self, XenstoreError> {
        let mut request = Self::on_path(MessageType::SetPerms, transaction, path)?;
        request.parts[1] = encoded;
        request.checked()
    }

    /// Asks for events on a node and below, marked with `token`.
    pub fn watch(path: &'a str, token: &'a str) -> Result<Self, XenstoreError> {
        Self::with_token(MessageType::Watch, path, token)
    }

    /// Ends a watch.
    pub fn unwatch(path: &'a str, token: &'a str) -> Result<Self, XenstoreError> {
        Self::with_token(MessageType::Unwatch, path, token)
    }

    fn with_token(kind: MessageType, path: &'a str, token: &'a str) -> Result<Self, XenstoreError> {
        check_text(token)?;
        let mut request = Self::on_path(kind, Transaction::NONE, path)?;
        request.parts[1] = token.as_bytes();
        request.ended[1] = true;
        request.checked()
    }

    /// Ends all watches and transactions of the caller.
    pub fn reset_watches() -> Self {
        Self::empty(MessageType::ResetWatches)
    }

    /// Starts a transaction.
    pub fn transaction_start() -> Self {
        Self::empty(MessageType::TransactionStart)
    }

    /// Commits or discards a transaction.
    pub fn transaction_end(transaction: Transaction, commit: bool) -> Self {
        let mut request = Self::new(MessageType::TransactionEnd, transaction);
        request.parts[0] = if commit { b"T" } else { b"F" };
        request.ended[0] = true;
        request
    }

    /// The path that relative paths of `domain` start from; `number` is its decimal number.
    pub fn get_domain_path(number: &'a str) -> Result<Self, XenstoreError> {
        check_text(number)?;
        let mut request = Self::new(MessageType::GetDomainPath, Transaction::NONE);
        request.parts[0] = number.as_bytes();
        request.ended[0] = true;
        request.checked()
    }

    fn empty(kind: MessageType) -> Self {
        let mut request = Self::new(kind, Transaction::NONE);
        request.ended[0] = true;
        request
    }

    /// Bytes of payload.
    pub fn length(&self) -> usize {
        let bytes: usize = self.parts.iter().map(|part| part.len()).sum();
        bytes + self.ended.iter().filter(|ended| **ended).count()
    }

    /// Appends the whole message, as request number `number`.
    pub fn encode(&self, number: u32, into: &mut Vec<u8>) {
        let header = Header {
            kind: self.kind as u32,
            request: number,
            transaction: self.transaction.0,
            length: self.length() as u32,
        };
        into.extend_from_slice(&header.encode());
        for (part, ended) in self.parts.iter().zip(self.ended) {
            into.extend_from_slice(part);
            if ended {
                into.push(0);
            }
        }
    }
}

/// Checks that a message is the reply to request `number` of this kind, and returns its payload
/// or the refusal in it.
pub fn reply<'p>(
    kind: MessageType,
    number: u32,
    header: &Header,
    payload: &'p [u8],
) -> Result<&'p [u8], XenstoreError> {
    let wrong = XenstoreError::WrongReply {
        expected: number,
        found: header.request,
        kind: header.kind,
    };
    if header.request != number || payload.len() != header.length as usize {
        return Err(wrong);
    }
    if header.kind == MessageType::Error as u32 {
        let name = single(payload)?;
        // A reason we have no number for is a refusal all the same.
        return Err(XenstoreError::Refused(
            Errno::from_name(name).unwrap_or(Errno::EIO),
        ));
    }
    if header.kind != kind as u32 {
        return Err(wrong);
    }
    Ok(payload)
}

/// A payload of one string with its NUL.
fn single(payload: &[u8]) -> Result<&str, XenstoreError> {
    let mut names = strings(payload);
    let name = names.next().ok_or(XenstoreError::Malformed)??;
    match names.next() {
        None => Ok(name),
        Some(_) => Err(XenstoreError::Malformed),
    }
}

/// The strings of a payload, each ended by a NUL; one without is an error, and the last item.
pub fn strings(payload: &[u8]) -> impl Iterator<Item = Result<&str, XenstoreError>> {
    let mut rest = payload;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(end) = rest.iter().position(|byte| *byte == 0) else {
            rest = &[];
            return Some(Err(XenstoreError::Malformed));
        };
        let (string, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or(&[]);
        Some(core::str::from_utf8(string).map_err(|_| XenstoreError::NotText))
    })
}

/// Path and token of a watch event.
pub fn watch_event(payload: &[u8]) -> Result<(&str, &str), XenstoreError> {
    let mut parts = strings(payload);
    let mut part = || parts.next().ok_or(XenstoreError::Malformed)?;
    let event = (part()?, part()?);
    match parts.next() {
        None => Ok(event),
        Some(_) => Err(XenstoreError::Malformed),
    }
}

/// The number of a transaction just started.
pub fn transaction_id(payload: &[u8]) -> Result<Transaction, XenstoreError> {
    let number = single(payload)?
        .parse()
        .map_err(|_| XenstoreError::Malformed)?;
    if number == 0 {
        // Zero is no transaction: using it would write without one.
        return Err(XenstoreError::Malformed);
    }
    Ok(Transaction(number))
}
