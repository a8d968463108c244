//! What can be asked of Xenstore; each waits for its reply.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::XenstoreError;
use super::client::Client;
use super::permission::{self, Permission};
use super::stream::Transport;
use super::wire::{self, Request, Transaction};
use crate::abi::Errno;

impl<T: Transport> Client<T> {
    /// A node's value.
    pub fn read(&mut self, tx: Transaction, path: &str) -> Result<Vec<u8>, XenstoreError> {
        self.request(&Request::read(tx, path)?, |payload| Ok(payload.to_vec()))
    }

    /// A node's value as text.
    pub fn read_text(&mut self, tx: Transaction, path: &str) -> Result<String, XenstoreError> {
        self.request(&Request::read(tx, path)?, |payload| {
            core::str::from_utf8(payload)
                .map(ToString::to_string)
                .map_err(|_| XenstoreError::NotText)
        })
    }

    /// Sets a node's value, making it and its parents if need be.
    pub fn write(
        &mut self,
        tx: Transaction,
        path: &str,
        value: &[u8],
    ) -> Result<(), XenstoreError> {
        self.request(&Request::write(tx, path, value)?, done)
    }

    /// Makes a node; one that exists is left alone.
    pub fn mkdir(&mut self, tx: Transaction, path: &str) -> Result<(), XenstoreError> {
        self.request(&Request::mkdir(tx, path)?, done)
    }

    /// Removes a node and everything below; one that does not exist is fine.
    pub fn rm(&mut self, tx: Transaction, path: &str) -> Result<(), XenstoreError> {
        self.request(&Request::rm(tx, path)?, done)
    }

    /// The names of a node's children.
    pub fn directory(&mut self, tx: Transaction, path: &str) -> Result<Vec<String>, XenstoreError> {
        self.request(&Request::directory(tx, path)?, |payload| {
            wire::strings(payload)
                .map(|name| name.map(ToString::to_string))
                .collect()
        })
    }

    /// Who may do what with a node; the first is its owner.
    pub fn get_permissions(
        &mut self,
        tx: Transaction,
        path: &str,
    ) -> Result<Vec<Permission>, XenstoreError> {
        self.request(&Request::get_perms(tx, path)?, |payload| {
            let permissions: Vec<_> = wire::strings(payload)
                .map(|text| Permission::parse(text?))
                .collect::<Result<_, _>>()?;
            if permissions.is_empty() {
                return Err(XenstoreError::Malformed);
            }
            Ok(permissions)
        })
    }

    /// Sets who may do what with a node.
    pub fn set_permissions(
        &mut self,
        tx: Transaction,
        path: &str,
        permissions: &[Permission],
    ) -> Result<(), XenstoreError> {
        let encoded = permission::encode(permissions);
        self.request(&Request::set_perms(tx, path, &encoded)?, done)
    }

    /// Asks for events on `path` and below. One comes at once.
    pub fn watch(&mut self, path: &str, token: &str) -> Result<(), XenstoreError> {
        self.request(&Request::watch(path, token)?, done)
    }

    /// Ends a watch. Events already on their way may still come.
    pub fn unwatch(&mut self, path: &str, token: &str) -> Result<(), XenstoreError> {
        self.request(&Request::unwatch(path, token)?, done)
    }

    /// Ends all watches and transactions, for a restart that remembers none.
    pub fn reset_watches(&mut self) -> Result<(), XenstoreError> {
        self.request(&Request::reset_watches(), done)
    }

    /// The directory of a domain.
    pub fn domain_path(&mut self, domain: crate::abi::DomainId) -> Result<String, XenstoreError> {
        let number = alloc::format!("{}", domain.0);
        self.request(&Request::get_domain_path(&number)?, |payload| {
            let mut names = wire::strings(payload);
            let path = names.next().ok_or(XenstoreError::Malformed)??;
            Ok(path.to_string())
        })
    }

    /// Starts a transaction, to be ended by [`Self::commit`] or [`Self::abort`].
    pub fn start(&mut self) -> Result<Transaction, XenstoreError> {
        self.request(&Request::transaction_start(), wire::transaction_id)
    }

    /// Makes a transaction's changes happen, all or, with EAGAIN, none.
    pub fn commit(&mut self, tx: Transaction) -> Result<(), XenstoreError> {
        self.request(&Request::transaction_end(tx, true), done)
    }

    /// Drops a transaction's changes.
    pub fn abort(&mut self, tx: Transaction) -> Result<(), XenstoreError> {
        self.request(&Request::transaction_end(tx, false), done)
    }

    /// Runs `changes` in a transaction, again while it collides with other writers, at most
    /// `attempts` times. An error in `changes` drops them.
    pub fn transaction<R>(
        &mut self,
        attempts: u32,
        mut changes: impl FnMut(&mut Self, Transaction) -> Result<R, XenstoreError>,
    ) -> Result<R, XenstoreError> {
        for _ in 0..attempts {
            let tx = self.start()?;
            let result = match changes(self, tx) {
                Ok(result) => result,
                Err(error) => {
                    // The first error is the one that explains.
                    let _ = self.abort(tx);
                    return Err(error);
                }
            };
            match self.commit(tx) {
                Ok(()) => return Ok(result),
                Err(XenstoreError::Refused(Errno::EAGAIN)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(XenstoreError::Conflict { attempts })
    }
}

/// For replies whose contents say no more than that they came.
fn done(_payload: &[u8]) -> Result<(), XenstoreError> {
    Ok(())
}
