//! A place the console speaks to and may listen at.

/// One way out of the machine. Nothing a sink does may wait without bound.
pub trait Sink: Send {
    /// What the place is called in the boot log.
    fn name(&self) -> &'static str;

    /// Sends text; lines end in `\n` and the sink adds a carriage return where one is needed.
    fn write(&mut self, bytes: &[u8]);

    /// Bytes that can be sent now without a wait or a loss, as far as the place knows.
    fn room(&self) -> usize {
        usize::MAX
    }

    /// The next byte that a person typed there.
    fn read(&mut self) -> Option<u8> {
        None
    }
}
