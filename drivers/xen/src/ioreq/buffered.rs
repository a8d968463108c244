//! The ring of buffered requests: writes nobody waits for.
//!
//! Today's Xen puts only accesses below 1 MiB of its own standard VGA and clock shifts in here
//! (`common/ioreq.c:ioreq_send_buffered`). Pointers run freely; a slot is pointer % 511. With
//! atomic buffering Xen may subtract a multiple of 511 from both at any time, so ours is only
//! ever added to.

use core::mem::offset_of;

use super::request::{Direction, Kind, Request};
use crate::abi::ioreq::{
    BUFFER_SLOTS, BufIoreq, BufferedIopage, TYPE_COPY, TYPE_PIO, TYPE_TIMEOFFSET,
};
use crate::shared::SharedPage;

/// A server's buffered ring.
#[derive(Debug, Clone, Copy)]
pub struct BufferedRing<P> {
    page: P,
}

impl<P: SharedPage> BufferedRing<P> {
    /// Over a server's buffered page.
    pub const fn new(page: P) -> Self {
        Self { page }
    }

    /// Whether requests wait.
    pub fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    fn waiting(&self) -> u32 {
        // Both pointers at once, or a canonicalisation in between would show nonsense.
        let pointers = self.page.load_u64(offset_of!(BufferedIopage, read_pointer));
        let (read, write) = (pointers as u32, (pointers >> 32) as u32);
        write.wrapping_sub(read)
    }

    /// Takes up to `budget` requests in order, and returns how many slots were used up. Slots
    /// that make no sense are dropped. Pointers that make no sense empty the ring.
    pub fn drain(&self, budget: u32, mut serve: impl FnMut(Request)) -> u32 {
        let mut used = 0;
        while used < budget {
            let waiting = self.waiting();
            if waiting == 0 {
                break;
            }
            if waiting > BUFFER_SLOTS {
                self.advance(waiting);
                break;
            }
            let read = self.page.load_u32(offset_of!(BufferedIopage, read_pointer));
            let (bits, low) = self.slot(read);
            // An 8-byte value takes a second slot for its upper half.
            let wide = bits >> 10 & 3 == 3;
            if wide && waiting < 2 {
                self.advance(1);
                break;
            }
            let high = if wide {
                self.slot(read.wrapping_add(1)).1
            } else {
                0
            };
            let slots = if wide { 2 } else { 1 };
            self.advance(slots);
            used += slots;
            if let Some(request) = decode(bits, u64::from(high) << 32 | u64::from(low)) {
                serve(request);
            }
        }
        used
    }

    fn slot(&self, pointer: u32) -> (u32, u32) {
        let index = (pointer % BUFFER_SLOTS) as usize;
        let slot = offset_of!(BufferedIopage, buf_ioreq) + index * size_of::<BufIoreq>();
        (
            self.page.load_u32(slot + offset_of!(BufIoreq, bits)),
            self.page.load_u32(slot + offset_of!(BufIoreq, data)),
        )
    }

    fn advance(&self, slots: u32) {
        self.page
            .fetch_add_u32(offset_of!(BufferedIopage, read_pointer), slots);
    }
}

fn decode(bits: u32, data: u64) -> Option<Request> {
    let kind = match bits as u8 {
        TYPE_PIO => Kind::PortIo,
        TYPE_COPY => Kind::Memory,
        TYPE_TIMEOFFSET => Kind::TimeOffset,
        _ => return None,
    };
    Some(Request {
        vcpu: 0,
        kind,
        address: u64::from(bits >> 12),
        data,
        count: 1,
        size: 1 << (bits >> 10 & 3),
        direction: if bits >> 9 & 1 == 1 {
            Direction::Read
        } else {
            Direction::Write
        },
        backwards: false,
        data_is_pointer: false,
        bits: 0,
    })
}
