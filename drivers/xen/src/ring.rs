//! Byte rings in a shared page, safe against a peer that lies.
//!
//! Both indices run freely; byte `i` of the stream sits at `i % size` (`docs/misc/xenstore-ring.txt`,
//! and the console alike). Each side writes one index only, and here our own is kept in private:
//! whatever the peer writes over it in the page changes nothing. The peer's index is read once
//! per operation and refused if it claims more than the ring holds.

use core::fmt;

use crate::shared::{SharedPage, full_barrier};

/// Where a ring lies in its page. Size is a power of two.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Offset of the bytes.
    pub data: usize,
    /// How many there are.
    pub size: u32,
    /// Offset of the receiver's index.
    pub consumer: usize,
    /// Offset of the sender's index.
    pub producer: usize,
}

/// The peer's index makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingError {
    /// Our index.
    pub ours: u32,
    /// The peer's.
    pub theirs: u32,
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ring index {:#x} against ours {:#x}: more than the ring holds",
            self.theirs, self.ours
        )
    }
}

impl core::error::Error for RingError {}

/// The side that writes bytes.
#[derive(Debug)]
pub struct Sender {
    layout: Layout,
    produced: u32,
}

impl Sender {
    /// Goes on where the page says that we are.
    pub fn resume<P: SharedPage>(page: &P, layout: Layout) -> Self {
        Self {
            layout,
            produced: page.load_u32(layout.producer),
        }
    }

    /// Bytes that can be put now.
    pub fn room<P: SharedPage>(&self, page: &P) -> Result<u32, RingError> {
        let consumed = page.load_u32(self.layout.consumer);
        let waiting = self.produced.wrapping_sub(consumed);
        self.layout.size.checked_sub(waiting).ok_or(RingError {
            ours: self.produced,
            theirs: consumed,
        })
    }

    /// Puts as many bytes as there is room for and returns how many. The peer must be notified.
    pub fn put<P: SharedPage>(&mut self, page: &P, bytes: &[u8]) -> Result<usize, RingError> {
        let room = self.room(page)? as usize;
        let bytes = bytes.get(..room).unwrap_or(bytes);
        if bytes.is_empty() {
            return Ok(0);
        }
        for byte in bytes {
            let place = self.produced & (self.layout.size - 1);
            page.store_u8(self.layout.data + place as usize, *byte);
            self.produced = self.produced.wrapping_add(1);
        }
        // Releases the bytes above.
        page.store_u32(self.layout.producer, self.produced);
        // The peer looks at our index and then sleeps; we look at its index and then return.
        full_barrier();
        Ok(bytes.len())
    }
}

/// The side that reads bytes.
#[derive(Debug)]
pub struct Receiver {
    layout: Layout,
    consumed: u32,
}

impl Receiver {
    /// Goes on where the page says that we are.
    pub fn resume<P: SharedPage>(page: &P, layout: Layout) -> Self {
        Self {
            layout,
            consumed: page.load_u32(layout.consumer),
        }
    }

    /// Bytes that can be got now.
    pub fn waiting<P: SharedPage>(&self, page: &P) -> Result<u32, RingError> {
        let produced = page.load_u32(self.layout.producer);
        let waiting = produced.wrapping_sub(self.consumed);
        if waiting > self.layout.size {
            return Err(RingError {
                ours: self.consumed,
                theirs: produced,
            });
        }
        Ok(waiting)
    }

    /// Gets up to `into.len()` bytes, each read once, and returns how many. The peer must be
    /// notified if it may be waiting for room.
    pub fn get<P: SharedPage>(&mut self, page: &P, into: &mut [u8]) -> Result<usize, RingError> {
        let waiting = self.waiting(page)? as usize;
        let wanted = into.len().min(waiting);
        for byte in into.iter_mut().take(wanted) {
            let place = self.consumed & (self.layout.size - 1);
            *byte = page.load_u8(self.layout.data + place as usize);
            self.consumed = self.consumed.wrapping_add(1);
        }
        if wanted > 0 {
            // Releases the places only after the bytes have been read.
            page.store_u32(self.layout.consumer, self.consumed);
            full_barrier();
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::TestPage;
    use proptest::prelude::*;

    const LAYOUT: Layout = Layout {
        data: 0,
        size: 16,
        consumer: 16,
        producer: 20,
    };

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order(
            start in any::<u32>(),
            pieces in prop::collection::vec((0_usize..40, 0_usize..40), 1..40),
        ) {
            let page = TestPage::new();
            page.store_u32(LAYOUT.consumer, start);
            page.store_u32(LAYOUT.producer, start);
            let (mut sender, mut receiver) =
                (Sender::resume(&page, LAYOUT), Receiver::resume(&page, LAYOUT));
            let (mut sent, mut received) = (0_u8, 0_u8);
            for (put, get) in pieces {
                let bytes: Vec<u8> = (0..put).map(|i| sent.wrapping_add(i as u8)).collect();
                let room = sender.room(&page)? as usize;
                let done = sender.put(&page, &bytes)?;
                prop_assert_eq!(done, put.min(room));
                sent = sent.wrapping_add(done as u8);
                let mut into = vec![0; get];
                let got = receiver.get(&page, &mut into)?;
                for byte in &into[..got] {
                    prop_assert_eq!(*byte, received);
                    received = received.wrapping_add(1);
                }
            }
            let mut rest = [0; 16];
            let got = receiver.get(&page, &mut rest)?;
            prop_assert_eq!(received.wrapping_add(got as u8), sent, "nothing is lost");
        }

        #[test]
        fn a_lying_peer_costs_an_error_at_most(
            start in any::<u32>(), lies in prop::collection::vec(any::<u32>(), 1..30),
        ) {
            let page = TestPage::new();
            page.store_u32(LAYOUT.consumer, start);
            page.store_u32(LAYOUT.producer, start);
            let mut sender = Sender::resume(&page, LAYOUT);
            for lie in &lies {
                page.poke_u32(LAYOUT.consumer, *lie);
                match sender.put(&page, &[1, 2, 3]) {
                    Ok(done) => prop_assert!(done <= 3),
                    Err(error) => prop_assert_eq!(error.theirs, *lie),
                }
            }
            let mut receiver = Receiver::resume(&page, LAYOUT);
            for lie in &lies {
                page.poke_u32(LAYOUT.producer, *lie);
                let mut into = [0; 64];
                if let Ok(got) = receiver.get(&page, &mut into) {
                    prop_assert!(got <= 16);
                }
            }
        }
    }

    #[test]
    fn bytes_are_there_before_the_index_says_so() {
        let page = TestPage::new();
        let mut sender = Sender::resume(&page, LAYOUT);
        assert_eq!(sender.put(&page, b"ab"), Ok(2));
        assert_eq!(page.stores(), [(0, 1), (1, 1), (LAYOUT.producer, 4)]);
    }

    #[test]
    fn overwriting_our_index_changes_nothing() {
        let page = TestPage::new();
        let mut sender = Sender::resume(&page, LAYOUT);
        assert_eq!(sender.put(&page, b"abc"), Ok(3));
        page.poke_u32(LAYOUT.producer, 0x1234);
        assert_eq!(sender.put(&page, b"d"), Ok(1));
        assert_eq!(page.peek_u32(LAYOUT.producer), 4);
    }
}
