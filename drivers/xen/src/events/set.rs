//! A set of ports in a fixed 512 bytes.

use core::fmt;

use crate::abi::event_channel::{NR_CHANNELS, Port};

const WORDS: usize = NR_CHANNELS as usize / 64;

/// Ports of one domain, each once.
#[derive(Clone, PartialEq, Eq)]
pub struct PortSet {
    words: [u64; WORDS],
}

impl PortSet {
    /// No ports.
    pub const fn new() -> Self {
        Self { words: [0; WORDS] }
    }

    /// Adds a port; a number no port can have is ignored.
    pub fn insert(&mut self, port: Port) {
        self.insert_word(port.0 as usize / 64, 1 << (port.0 % 64));
    }

    /// Adds the ports `64 × word + bit` of every bit set.
    pub(super) fn insert_word(&mut self, word: usize, bits: u64) {
        if let Some(known) = self.words.get_mut(word) {
            *known |= bits;
        }
    }

    /// Removes a port and says whether it was there.
    pub fn remove(&mut self, port: Port) -> bool {
        let bit = 1 << (port.0 % 64);
        self.words
            .get_mut(port.0 as usize / 64)
            .is_some_and(|word| {
                let there = *word & bit != 0;
                *word &= !bit;
                there
            })
    }

    /// Whether a port is in the set.
    pub fn contains(&self, port: Port) -> bool {
        self.words
            .get(port.0 as usize / 64)
            .is_some_and(|word| word & 1 << (port.0 % 64) != 0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.words = [0; WORDS];
    }

    /// The ports in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Port> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            core::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(Port(index as u32 * 64 + bit))
            })
        })
    }
}

impl Default for PortSet {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
