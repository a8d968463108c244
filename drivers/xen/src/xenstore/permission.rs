//! Who may do what with a node, in Xenstore's letters.

use alloc::vec::Vec;
use core::fmt;

use super::XenstoreError;
use crate::abi::DomainId;

/// What a domain may do with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `n`: nothing.
    None,
    /// `r`: read.
    Read,
    /// `w`: write.
    Write,
    /// `b`: both.
    Both,
}

/// One entry of a node's permissions. The first names the owner, who may do everything, and what
/// domains that are not listed may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// Whom it is about.
    pub domain: DomainId,
    /// What it may do.
    pub access: Access,
}

impl Permission {
    /// From Xenstore's form, such as `r5`.
    pub fn parse(text: &str) -> Result<Self, XenstoreError> {
        let access = match text.as_bytes().first() {
            Some(b'n') => Access::None,
            Some(b'r') => Access::Read,
            Some(b'w') => Access::Write,
            Some(b'b') => Access::Both,
            _ => return Err(XenstoreError::Malformed),
        };
        let number = text.get(1..).ok_or(XenstoreError::Malformed)?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(XenstoreError::Malformed);
        }
        Ok(Self {
            domain: DomainId(number.parse().map_err(|_| XenstoreError::Malformed)?),
            access,
        })
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.access {
            Access::None => 'n',
            Access::Read => 'r',
            Access::Write => 'w',
            Access::Both => 'b',
        };
        write!(f, "{letter}{}", self.domain.0)
    }
}

/// The payload form of a list of permissions.
pub fn encode(permissions: &[Permission]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for permission in permissions {
        bytes.extend_from_slice(alloc::format!("{permission}").as_bytes());
        bytes.push(0);
    }
    bytes
}
