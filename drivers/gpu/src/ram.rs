//! Memory with an owner for every page: what tests and loopback guests give the software GPU.
//!
//! A [`Ram`] is a handle; clones are the same memory. The simulated guests' CPUs, the mediator's
//! page services and the model's bus accesses all see one set of pages, as on a real machine.
//! Page 0 is never handed out, so that a forgotten address faults.
//!
//! Not done: several threads. The handle is an `Rc`.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use crate::address::{DmaAddress, DmaPage, PAGE_SIZE};
use crate::dma::{Dma, DmaFault, Owner};

/// Bytes of one page.
const SIZE: usize = PAGE_SIZE as usize;

/// One page: backed only once something was written to it.
#[derive(Clone)]
struct Page {
    owner: Owner,
    bytes: Option<Box<[u8; SIZE]>>,
}

struct Pages {
    pages: Vec<Page>,
    /// Released page numbers, used first.
    free: Vec<u64>,
    /// Lowest page number that was never handed out.
    fresh: u64,
}

/// A block of memory at DMA addresses `0 .. (pages + 1) * 4096`, of which page 0 is nobody's.
#[derive(Clone)]
pub struct Ram(Rc<RefCell<Pages>>);

impl Ram {
    /// Memory of which `pages` pages can be handed out.
    pub fn new(pages: usize) -> Self {
        let page = Page {
            owner: Owner::Nobody,
            bytes: None,
        };
        let pages = alloc::vec![page; pages.saturating_add(1)];
        Self(Rc::new(RefCell::new(Pages {
            pages,
            free: Vec::new(),
            fresh: 1,
        })))
    }

    /// Hands out one zeroed page, or none if all are in use.
    pub fn allocate(&self, owner: Owner) -> Option<DmaPage> {
        let mut inner = self.0.borrow_mut();
        let number = match inner.free.pop() {
            Some(number) => number,
            None => {
                let number = inner.fresh;
                inner.fresh += 1;
                number
            }
        };
        let Some(page) = inner.pages.get_mut(number as usize) else {
            inner.fresh -= 1;
            return None;
        };
        *page = Page { owner, bytes: None };
        Some(DmaPage(number))
    }

    /// Takes a page back: it is nobody's, its contents are gone. Twice is once.
    pub fn release(&self, page: DmaPage) {
        let inner = &mut *self.0.borrow_mut();
        if page.0 == 0 || page.0 >= inner.fresh || inner.free.contains(&page.0) {
            return;
        }
        if let Some(entry) = inner.pages.get_mut(page.0 as usize) {
            *entry = Page {
                owner: Owner::Nobody,
                bytes: None,
            };
            inner.free.push(page.0);
        }
    }

    /// Changes whose page it is; its contents stay. Pinning a guest's page does this.
    pub fn set_owner(&self, page: DmaPage, owner: Owner) {
        if let Some(entry) = self.0.borrow_mut().pages.get_mut(page.0 as usize) {
            entry.owner = owner;
        }
    }

    /// How many pages are handed out now.
    pub fn in_use(&self) -> usize {
        let inner = self.0.borrow();
        (inner.fresh as usize).saturating_sub(1 + inner.free.len())
    }

    /// Copies out of any address in bounds, across pages, whoever owns them: a CPU's view.
    pub fn read(&self, address: DmaAddress, data: &mut [u8]) -> Result<(), DmaFault> {
        let inner = self.0.borrow();
        let mut at = address.0;
        let mut data = data;
        while !data.is_empty() {
            let page = inner
                .pages
                .get((at / PAGE_SIZE) as usize)
                .ok_or(DmaFault(address))?;
            let offset = (at % PAGE_SIZE) as usize;
            let (chunk, rest) = data.split_at_mut(data.len().min(SIZE - offset));
            match page
                .bytes
                .as_ref()
                .and_then(|bytes| bytes.get(offset..offset + chunk.len()))
            {
                Some(bytes) => chunk.copy_from_slice(bytes),
                None => chunk.fill(0),
            }
            at += chunk.len() as u64;
            data = rest;
        }
        Ok(())
    }

    /// Copies into any address in bounds, across pages, whoever owns them: a CPU's view.
    pub fn write(&self, address: DmaAddress, data: &[u8]) -> Result<(), DmaFault> {
        let mut inner = self.0.borrow_mut();
        let mut at = address.0;
        let mut data = data;
        while !data.is_empty() {
            let page = inner
                .pages
                .get_mut((at / PAGE_SIZE) as usize)
                .ok_or(DmaFault(address))?;
            let offset = (at % PAGE_SIZE) as usize;
            let (chunk, rest) = data.split_at(data.len().min(SIZE - offset));
            let bytes = page.bytes.get_or_insert_with(|| Box::new([0; SIZE]));
            if let Some(bytes) = bytes.get_mut(offset..offset + chunk.len()) {
                bytes.copy_from_slice(chunk);
            }
            at += chunk.len() as u64;
            data = rest;
        }
        Ok(())
    }
}

impl Dma for Ram {
    fn read(&self, address: DmaAddress, data: &mut [u8]) -> Result<(), DmaFault> {
        Self::read(self, address, data)
    }

    fn write(&mut self, address: DmaAddress, data: &[u8]) -> Result<(), DmaFault> {
        Self::write(self, address, data)
    }

    fn owner(&self, page: DmaPage) -> Owner {
        self.0
            .borrow()
            .pages
            .get(page.0 as usize)
            .map_or(Owner::Nobody, |page| page.owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_the_same_memory() {
        let ram = Ram::new(2);
        let page = ram.allocate(Owner::Guest(1)).unwrap();
        ram.clone().write(page.at(5), b"abc").unwrap();
        let mut seen = [0; 3];
        ram.read(page.at(5), &mut seen).unwrap();
        assert_eq!(&seen, b"abc");
        assert_eq!(Dma::owner(&ram, page), Owner::Guest(1));
    }

    #[test]
    fn pages_run_out_and_come_back_zeroed_and_ownerless() {
        let ram = Ram::new(1);
        let page = ram.allocate(Owner::Host).unwrap();
        assert_eq!(ram.allocate(Owner::Host), None);
        ram.write(page.at(0), &[7]).unwrap();
        ram.release(page);
        ram.release(page);
        assert_eq!(Dma::owner(&ram, page), Owner::Nobody);
        assert_eq!(ram.in_use(), 0);
        assert_eq!(ram.allocate(Owner::Host), Some(page));
        assert_eq!(
            ram.allocate(Owner::Host),
            None,
            "a double release is one release"
        );
        let mut byte = [1];
        ram.read(page.at(0), &mut byte).unwrap();
        assert_eq!(byte, [0]);
    }

    #[test]
    fn accesses_may_cross_pages_but_not_the_end() {
        let ram = Ram::new(2);
        let data: Vec<u8> = (0..=255).collect();
        ram.write(DmaAddress(2 * PAGE_SIZE - 100), &data).unwrap();
        let mut back = [0; 256];
        ram.read(DmaAddress(2 * PAGE_SIZE - 100), &mut back)
            .unwrap();
        assert_eq!(back.as_slice(), data);
        let end = DmaAddress(3 * PAGE_SIZE - 1);
        assert_eq!(ram.write(end, &[1, 2]), Err(DmaFault(end)));
        assert_eq!(
            ram.read(DmaAddress(u64::MAX), &mut [0]),
            Err(DmaFault(DmaAddress(u64::MAX)))
        );
    }
}
