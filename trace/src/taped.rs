//! The recorder's ears: a part of the outside world that tells a recorder, if there is one.
//!
//! Only what happens inside a call into the mediator is told. Whoever owns a part also uses it
//! otherwise, as a guest's CPU for example, and that is none of the mediator's business.

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::ops::{Deref, DerefMut};

use gpu::{Dma, DmaAddress, DmaFault, DmaPage, Owner};
use mediator::{Call, Clock, DomainId, GuestFrame, Guests, PageError, Window};

use crate::{Recorder, Request};

/// A place for a recorder, shared by all that tell it something.
#[derive(Clone, Default)]
pub struct Tape(Rc<Shared>);

#[derive(Default)]
struct Shared {
    running: Cell<bool>,
    inside: Cell<bool>,
    recorder: RefCell<Option<Recorder>>,
}

impl Tape {
    /// Records from now on, before the mediator is made.
    pub fn start(&self, recorder: Recorder) {
        *self.0.recorder.borrow_mut() = Some(recorder);
        self.0.running.set(true);
    }

    /// A part of the outside world, with ears.
    pub fn around<T>(&self, inner: T) -> Taped<T> {
        Taped {
            inner,
            tape: self.clone(),
        }
    }

    /// Stops, and gives the recording a name.
    pub fn finish(&self, label: &str) {
        self.0.running.set(false);
        self.with(|recorder| recorder.finish(label));
    }

    /// The recorder, if there is one.
    pub fn with<R>(&self, act: impl FnOnce(&mut Recorder) -> R) -> Option<R> {
        self.0.recorder.borrow_mut().as_mut().map(act)
    }

    /// The recorder, inside a call that is recorded.
    #[inline]
    fn tell(&self, mut act: impl FnMut(&mut Recorder)) {
        if self.0.inside.get() {
            self.told(&mut act);
        }
    }

    /// Not generic: this is in the image only once.
    #[cold]
    fn told(&self, act: &mut dyn FnMut(&mut Recorder)) {
        if let Some(recorder) = self.0.recorder.borrow_mut().as_mut() {
            act(recorder);
        }
    }

    #[cold]
    fn enter(&self) {
        self.0.inside.set(true);
        self.with(Recorder::entered);
    }

    #[cold]
    fn leave(&self, call: Call) {
        self.0.inside.set(false);
        if self.with(|recorder| recorder.left(call)) == Some(false) {
            self.0.running.set(false);
            log::warn!("trace: no room for more, the recording has stopped");
        }
    }
}

/// A part of the outside world and where to tell of it.
pub struct Taped<T> {
    inner: T,
    tape: Tape,
}

impl<T> Deref for Taped<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for Taped<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<C: Clock> Clock for Taped<C> {
    fn now(&self) -> u64 {
        let mut now = self.inner.now();
        // Also before the first call: what the mediator starts with.
        if self.tape.0.running.get() {
            self.tape.told(&mut |recorder| now = recorder.clock(now));
        }
        now
    }
}

/// Memory as the GPU reaches it.
impl<D: Dma> Dma for Taped<D> {
    fn read(&self, address: DmaAddress, data: &mut [u8]) -> Result<(), DmaFault> {
        self.inner.read(address, data)?;
        self.tape.tell(|recorder| {
            recorder.touch();
            let mut look = |page: &mut [u8; 4096]| self.inner.read(start(address), page).is_ok();
            recorder.read(address, data, &mut look);
        });
        Ok(())
    }

    fn write(&mut self, address: DmaAddress, data: &[u8]) -> Result<(), DmaFault> {
        let Self { inner, tape } = self;
        tape.tell(|recorder| {
            let mut look = |page: &mut [u8; 4096]| inner.read(start(address), page).is_ok();
            recorder.before_write(address.page(), &mut look);
        });
        inner.write(address, data)?;
        tape.tell(|recorder| recorder.written(address, data));
        Ok(())
    }

    fn owner(&self, page: DmaPage) -> Owner {
        self.inner.owner(page)
    }
}

impl<H: Guests> Guests for Taped<H> {
    fn entered(&mut self) {
        if self.tape.0.running.get() {
            self.tape.enter();
        }
    }

    fn left(&mut self, call: Call) {
        if self.tape.0.inside.get() {
            self.tape.leave(call);
        }
    }

    fn pin(&mut self, domain: DomainId, frame: GuestFrame) -> Result<DmaPage, PageError> {
        let answer = self.inner.pin(domain, frame);
        let tell = |recorder: &mut Recorder| recorder.pinned(domain, frame, answer);
        self.tape.tell(tell);
        answer
    }

    fn unpin(&mut self, domain: DomainId, frame: GuestFrame, page: DmaPage) {
        self.tape.tell(Recorder::touch);
        self.inner.unpin(domain, frame, page);
    }

    fn allocate(&mut self, domain: Option<DomainId>) -> Result<DmaPage, PageError> {
        let answer = self.inner.allocate(domain);
        let result = answer.map(drop);
        self.tape
            .tell(|recorder| recorder.asked(DomainId(0), Request::Allocate, result));
        answer
    }

    fn hand_over(&mut self, page: DmaPage, domain: Option<DomainId>) {
        self.tape.tell(Recorder::touch);
        self.inner.hand_over(page, domain);
    }

    fn free(&mut self, page: DmaPage) {
        self.tape.tell(Recorder::touch);
        self.inner.free(page);
    }

    fn read(&self, address: DmaAddress, data: &mut [u8]) -> Result<(), DmaFault> {
        self.inner.read(address, data)?;
        self.tape.tell(|recorder| {
            let mut look = |page: &mut [u8; 4096]| self.inner.read(start(address), page).is_ok();
            recorder.read(address, data, &mut look);
        });
        Ok(())
    }

    fn write(&mut self, address: DmaAddress, data: &[u8]) -> Result<(), DmaFault> {
        let Self { inner, tape } = self;
        tape.tell(|recorder| {
            let mut look = |page: &mut [u8; 4096]| inner.read(start(address), page).is_ok();
            recorder.before_write(address.page(), &mut look);
        });
        inner.write(address, data)?;
        tape.tell(|recorder| recorder.written(address, data));
        Ok(())
    }

    fn inject(&mut self, domain: DomainId, address: u64, data: u32) {
        self.tape
            .tell(|recorder| recorder.message(domain, address, data));
        self.inner.inject(domain, address, data);
    }

    fn trap(
        &mut self,
        domain: DomainId,
        window: Window,
        range: Option<(u64, u64)>,
    ) -> Result<(), PageError> {
        let result = self.inner.trap(domain, window, range);
        self.tape
            .tell(|recorder| recorder.window(domain, window, range, result));
        result
    }

    fn write_protect(
        &mut self,
        domain: DomainId,
        frame: GuestFrame,
        on: bool,
    ) -> Result<(), PageError> {
        let result = self.inner.write_protect(domain, frame, on);
        self.tape
            .tell(|recorder| recorder.asked(domain, Request::Protect(frame), result));
        result
    }

    fn map_frames(
        &mut self,
        domain: DomainId,
        at: GuestFrame,
        first: DmaPage,
        count: u64,
        on: bool,
    ) -> Result<(), PageError> {
        let result = self.inner.map_frames(domain, at, first, count, on);
        self.tape
            .tell(|recorder| recorder.asked(domain, Request::Place(at), result));
        result
    }

    fn open_page(
        &mut self,
        domain: DomainId,
        frame: GuestFrame,
        contents: &[u8; 4096],
    ) -> Result<DmaPage, PageError> {
        let answer = self.inner.open_page(domain, frame, contents);
        self.tape
            .tell(|recorder| recorder.opened(domain, frame, answer, contents));
        answer
    }

    fn close_page(
        &mut self,
        domain: DomainId,
        frame: GuestFrame,
        page: DmaPage,
        contents: &mut [u8; 4096],
    ) -> Result<(), DmaFault> {
        self.inner.close_page(domain, frame, page, contents)?;
        self.tape.tell(|recorder| recorder.closed(page, contents));
        Ok(())
    }

    fn generation(&self, domain: DomainId) -> u32 {
        let generation = self.inner.generation(domain);
        self.tape
            .tell(|recorder| recorder.generation(domain, generation));
        generation
    }

    fn pins(&self, domain: DomainId) -> u32 {
        self.inner.pins(domain)
    }
}

/// The first byte of the page of an address.
const fn start(address: DmaAddress) -> DmaAddress {
    address.page().at(0)
}
