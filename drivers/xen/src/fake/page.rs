//! A page in test memory that can be changed between any two accesses.

use std::cell::{Cell, RefCell};

use crate::abi::PAGE_SIZE;
use crate::shared::SharedPage;

/// What happens before each load.
type OnLoad = Box<dyn FnMut(&TestPage, usize)>;

/// A [`SharedPage`] without any real sharing: one thread plays both sides.
pub struct TestPage {
    bytes: Vec<Cell<u8>>,
    on_load: RefCell<Option<OnLoad>>,
    stores: RefCell<Vec<(usize, usize)>>,
}

impl TestPage {
    /// All zero.
    pub fn new() -> Self {
        Self {
            bytes: vec![Cell::new(0); PAGE_SIZE],
            on_load: RefCell::new(None),
            stores: RefCell::new(Vec::new()),
        }
    }

    /// Offset and size of every store so far, in order.
    pub fn stores(&self) -> Vec<(usize, usize)> {
        self.stores.borrow().clone()
    }

    /// Calls `hook` before each load with the page and the load's offset; only `poke`s from it.
    pub fn mutate_on_load(self, hook: impl FnMut(&TestPage, usize) + 'static) -> Self {
        self.on_load.replace(Some(Box::new(hook)));
        self
    }

    fn before_load(&self, offset: usize) {
        // Taken out for the call, so that a hook that loads does not recurse.
        let hook = self.on_load.take();
        if let Some(mut hook) = hook {
            hook(self, offset);
            self.on_load.replace(Some(hook));
        }
    }

    fn peek<const N: usize>(&self, offset: usize) -> [u8; N] {
        assert!(offset.is_multiple_of(N), "unaligned access at {offset:#x}");
        core::array::from_fn(|index| self.bytes[offset + index].get())
    }

    fn poke<const N: usize>(&self, offset: usize, value: [u8; N]) {
        assert!(offset.is_multiple_of(N), "unaligned access at {offset:#x}");
        for (cell, byte) in self.bytes[offset..].iter().zip(value) {
            cell.set(byte);
        }
    }

    fn store<const N: usize>(&self, offset: usize, value: [u8; N]) {
        self.stores.borrow_mut().push((offset, N));
        self.poke(offset, value);
    }

    /// The other side's store.
    pub fn poke_u32(&self, offset: usize, value: u32) {
        self.poke(offset, value.to_le_bytes());
    }

    /// The other side's load.
    pub fn peek_u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.peek(offset))
    }
}

impl SharedPage for TestPage {
    fn load_u8(&self, offset: usize) -> u8 {
        self.before_load(offset);
        u8::from_le_bytes(self.peek(offset))
    }

    fn load_u16(&self, offset: usize) -> u16 {
        self.before_load(offset);
        u16::from_le_bytes(self.peek(offset))
    }

    fn load_u32(&self, offset: usize) -> u32 {
        self.before_load(offset);
        u32::from_le_bytes(self.peek(offset))
    }

    fn load_u64(&self, offset: usize) -> u64 {
        self.before_load(offset);
        u64::from_le_bytes(self.peek(offset))
    }

    fn store_u8(&self, offset: usize, value: u8) {
        self.store(offset, value.to_le_bytes());
    }

    fn store_u16(&self, offset: usize, value: u16) {
        self.store(offset, value.to_le_bytes());
    }

    fn store_u32(&self, offset: usize, value: u32) {
        self.store(offset, value.to_le_bytes());
    }

    fn store_u64(&self, offset: usize, value: u64) {
        self.store(offset, value.to_le_bytes());
    }

    fn compare_exchange_u16(&self, offset: usize, current: u16, new: u16) -> Result<u16, u16> {
        let found = self.load_u16(offset);
        if found != current {
            return Err(found);
        }
        self.store_u16(offset, new);
        Ok(found)
    }

    fn fetch_add_u32(&self, offset: usize, value: u32) -> u32 {
        let found = self.load_u32(offset);
        self.store_u32(offset, found.wrapping_add(value));
        found
    }

    fn swap_u64(&self, offset: usize, value: u64) -> u64 {
        let found = self.load_u64(offset);
        self.store_u64(offset, value);
        found
    }

    fn fetch_and_u64(&self, offset: usize, mask: u64) -> u64 {
        let found = self.load_u64(offset);
        self.store_u64(offset, found & mask);
        found
    }

    fn fetch_or_u64(&self, offset: usize, mask: u64) -> u64 {
        let found = self.load_u64(offset);
        self.store_u64(offset, found | mask);
        found
    }
}

/// One thread plays both sides, so a pointer is as good as the page.
macro_rules! through_pointer {
    ($($pointer:ty),*) => {$(
        impl<P: SharedPage + ?Sized> SharedPage for $pointer {
            fn load_u8(&self, offset: usize) -> u8 {
                (**self).load_u8(offset)
            }

            fn load_u16(&self, offset: usize) -> u16 {
                (**self).load_u16(offset)
            }

            fn load_u32(&self, offset: usize) -> u32 {
                (**self).load_u32(offset)
            }

            fn load_u64(&self, offset: usize) -> u64 {
                (**self).load_u64(offset)
            }

            fn store_u8(&self, offset: usize, value: u8) {
                (**self).store_u8(offset, value);
            }

            fn store_u16(&self, offset: usize, value: u16) {
                (**self).store_u16(offset, value);
            }

            fn store_u32(&self, offset: usize, value: u32) {
                (**self).store_u32(offset, value);
            }

            fn store_u64(&self, offset: usize, value: u64) {
                (**self).store_u64(offset, value);
            }

            fn compare_exchange_u16(&self, offset: usize, current: u16, new: u16) -> Result<u16, u16> {
                (**self).compare_exchange_u16(offset, current, new)
            }

            fn fetch_add_u32(&self, offset: usize, value: u32) -> u32 {
                (**self).fetch_add_u32(offset, value)
            }

            fn swap_u64(&self, offset: usize, value: u64) -> u64 {
                (**self).swap_u64(offset, value)
            }

            fn fetch_and_u64(&self, offset: usize, mask: u64) -> u64 {
                (**self).fetch_and_u64(offset, mask)
            }

            fn fetch_or_u64(&self, offset: usize, mask: u64) -> u64 {
                (**self).fetch_or_u64(offset, mask)
            }
        }
    )*};
}
through_pointer!(&P, std::rc::Rc<P>);
