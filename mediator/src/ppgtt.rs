//! Shadow PPGTTs of one guest: our copies of its page tables, with our frames in them.

/// All shadow page tables of one guest.
#[derive(Debug)]
pub struct PpgttSpace {}

impl PpgttSpace {
    /// None yet.
    pub const fn new() -> Self {
        Self {}
    }
}
