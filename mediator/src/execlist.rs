//! One guest's execlists on one engine, as its driver believes the hardware to be.

/// One engine as one guest sees it.
#[derive(Debug)]
pub struct VirtualEngine {}

impl VirtualEngine {
    /// After reset: nothing runs, the next event goes to slot 0.
    pub const fn new() -> Self {
        Self {}
    }
}
