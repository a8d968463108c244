//! A hypervisor for tests: guests' RAM, counted pins, recorded messages, failures on demand.

use std::collections::BTreeMap;

use gpu::ram::Ram;
use gpu::{DmaAddress, DmaFault, DmaPage, Owner};
use mediator::{DomainId, GuestFrame, Guests, PageError, Window};

/// One guest as the hypervisor knows it.
pub struct Domain {
    /// RAM by frame number.
    frames: Vec<Option<DmaPage>>,
    /// How often each page of the machine is pinned for this guest; as long as the machine's RAM.
    pinned: Vec<u32>,
    /// Sum of `pinned`.
    pub pins: u32,
    /// Most pins it may have.
    pub quota: u32,
    /// Routed windows: registers, aperture.
    pub windows: [Option<(u64, u64)>; 2],
    /// How often routing was really changed.
    pub routings: u32,
    /// Windows in here are refused.
    pub forbidden: Option<(u64, u64)>,
    /// Interrupt messages, oldest first.
    pub messages: Vec<(u64, u32)>,
    /// Frames that its CPU may read, but whose writes are trapped.
    protected: Vec<bool>,
    /// How often frames became other pages, or none.
    generation: u32,
    /// Aperture frames placed without traps.
    pub placed: Vec<(GuestFrame, DmaPage, u64)>,
    /// Memory put at trapped frames.
    pub open: Vec<(GuestFrame, DmaPage)>,
    /// Pages that it may have more than it has: what is put there.
    pub spare: Vec<DmaPage>,
    /// Where an access of its CPU is under way.
    pub under_way: Option<GuestFrame>,
    /// Something waits for that access to be over.
    pub awaited: bool,
}

impl Domain {
    /// The machine's page behind a frame.
    pub fn page(&self, frame: GuestFrame) -> Option<DmaPage> {
        self.frames.get(usize::try_from(frame.0).ok()?).copied()?
    }

    /// The memory put at a trapped frame.
    pub fn opened(&self, frame: GuestFrame) -> Option<DmaPage> {
        let mut open = self.open.iter();
        open.find(|(at, _)| *at == frame).map(|(_, page)| *page)
    }

    /// Takes the page at a frame away from the guest; it stays held while it is pinned.
    pub fn balloon_out(&mut self, frame: GuestFrame) {
        self.frames[frame.0 as usize] = None;
        self.changed(frame);
    }

    /// Puts another page there.
    pub fn populate(&mut self, frame: GuestFrame, page: DmaPage) {
        self.frames[frame.0 as usize] = Some(page);
        self.changed(frame);
    }

    /// Protection goes with the page, without a word.
    fn changed(&mut self, frame: GuestFrame) {
        self.protected[frame.0 as usize] = false;
        self.generation += 1;
    }

    /// Whether a write of its CPU to this frame is trapped.
    pub fn is_protected(&self, frame: u64) -> bool {
        self.protected.get(frame as usize) == Some(&true)
    }
}

/// The hypervisor.
pub struct Simulated {
    ram: Ram,
    domains: BTreeMap<DomainId, Domain>,
    /// Pages handed out by `allocate` and not freed.
    pub allocated: u32,
    /// Calls that may fail, so far.
    pub calls: u64,
    /// The call of this number fails.
    pub fail_at: Option<u64>,
    /// All calls from `fail_at` on fail.
    pub fail_on: bool,
}

impl Simulated {
    pub fn new(ram: Ram) -> Self {
        Self {
            ram,
            domains: BTreeMap::new(),
            allocated: 0,
            calls: 0,
            fail_at: None,
            fail_on: false,
        }
    }

    /// All memory.
    pub fn ram(&self) -> &Ram {
        &self.ram
    }

    /// A new guest with RAM in frames `0 .. frames`.
    pub fn add(&mut self, id: DomainId, frames: u64) {
        let page = || self.ram.allocate(Owner::Nobody).expect("enough RAM");
        let spare: Vec<_> = (0..64).map(|_| page()).collect();
        for page in &spare {
            // Backed from now on, so that using it allocates nothing.
            self.ram.write(page.at(0), &[0xc2]).expect("RAM");
        }
        let domain = Domain {
            frames: (0..frames).map(|_| Some(page())).collect(),
            // So that pinning allocates nothing.
            pinned: vec![0; (1 << 15) + 1],
            pins: 0,
            quota: u32::MAX,
            windows: [None; 2],
            routings: 0,
            forbidden: None,
            messages: Vec::with_capacity(4096),
            protected: vec![false; frames as usize],
            generation: 0,
            placed: Vec::new(),
            open: Vec::with_capacity(64),
            spare,
            under_way: None,
            awaited: false,
        };
        assert!(self.domains.insert(id, domain).is_none(), "{id} is new");
    }

    pub fn get(&mut self, id: DomainId) -> &mut Domain {
        self.domains.get_mut(&id).expect("a guest")
    }

    /// Counts a call that may fail; whether it does.
    fn fails(&mut self) -> bool {
        self.calls += 1;
        match self.fail_at {
            Some(at) => self.calls == at || self.fail_on && self.calls > at,
            None => false,
        }
    }
}

impl Guests for Simulated {
    fn pin(&mut self, domain: DomainId, frame: GuestFrame) -> Result<DmaPage, PageError> {
        let fails = self.fails();
        let ram = self.ram.clone();
        let guest = self
            .domains
            .get_mut(&domain)
            .ok_or(PageError::Refused(-3))?;
        let page = guest.page(frame).ok_or(PageError::Absent(frame))?;
        if fails {
            return Err(PageError::OutOfMemory);
        }
        if guest.pins >= guest.quota {
            return Err(PageError::Quota { limit: guest.quota });
        }
        let index = page.0 as usize;
        guest.pinned[index] += 1;
        guest.pins += 1;
        ram.set_owner(page, Owner::Guest(domain.0));
        Ok(page)
    }

    fn unpin(&mut self, domain: DomainId, frame: GuestFrame, page: DmaPage) {
        let guest = self
            .domains
            .get_mut(&domain)
            .expect("a guest that was pinned");
        let count = guest
            .pinned
            .get_mut(page.0 as usize)
            .expect("a page that was pinned");
        *count = count
            .checked_sub(1)
            .unwrap_or_else(|| panic!("{frame:?} is not pinned"));
        if *count == 0 {
            self.ram.set_owner(page, Owner::Nobody);
        }
        guest.pins -= 1;
    }

    fn allocate(&mut self, domain: Option<DomainId>) -> Result<DmaPage, PageError> {
        if self.fails() {
            return Err(PageError::OutOfMemory);
        }
        let owner = domain.map_or(Owner::Host, |domain| Owner::HostFor(domain.0));
        let page = self.ram.allocate(owner).ok_or(PageError::OutOfMemory)?;
        self.allocated += 1;
        Ok(page)
    }

    fn hand_over(&mut self, page: DmaPage, domain: Option<DomainId>) {
        let owner = domain.map_or(Owner::Host, |domain| Owner::HostFor(domain.0));
        self.ram.set_owner(page, owner);
    }

    fn free(&mut self, page: DmaPage) {
        self.ram.release(page);
        self.allocated -= 1;
    }

    fn read(&self, address: DmaAddress, data: &mut [u8]) -> Result<(), DmaFault> {
        assert!(
            address.offset() + data.len() as u64 <= 4096,
            "crosses a page"
        );
        match gpu::Dma::owner(&self.ram, address.page()) {
            Owner::Nobody => Err(DmaFault(address)),
            _ => self.ram.read(address, data),
        }
    }

    fn write(&mut self, address: DmaAddress, data: &[u8]) -> Result<(), DmaFault> {
        assert!(
            address.offset() + data.len() as u64 <= 4096,
            "crosses a page"
        );
        match gpu::Dma::owner(&self.ram, address.page()) {
            Owner::Nobody => Err(DmaFault(address)),
            _ => self.ram.write(address, data),
        }
    }

    fn inject(&mut self, domain: DomainId, address: u64, data: u32) {
        self.get(domain).messages.push((address, data));
    }

    fn trap(
        &mut self,
        domain: DomainId,
        window: Window,
        range: Option<(u64, u64)>,
    ) -> Result<(), PageError> {
        let fails = self.fails();
        let guest = self.get(domain);
        let position = match window {
            Window::Registers => 0,
            Window::Aperture => 1,
        };
        let forbidden = match (range, guest.forbidden) {
            (Some((start, size)), Some((first, length))) => {
                start < first + length && first < start + size
            }
            _ => false,
        };
        if range.is_some() && (fails || forbidden) {
            return Err(PageError::Refused(-22));
        }
        guest.routings += u32::from(guest.windows[position] != range);
        guest.windows[position] = range;
        Ok(())
    }

    fn write_protect(
        &mut self,
        domain: DomainId,
        frame: GuestFrame,
        on: bool,
    ) -> Result<(), PageError> {
        if on && self.fails() {
            return Err(PageError::Refused(-16));
        }
        let guest = self.get(domain);
        if guest.page(frame).is_none() {
            return Err(PageError::Refused(-22));
        }
        guest.protected[frame.0 as usize] = on;
        Ok(())
    }

    fn generation(&self, domain: DomainId) -> u32 {
        self.domains
            .get(&domain)
            .map_or(0, |domain| domain.generation)
    }

    fn map_frames(
        &mut self,
        domain: DomainId,
        at: GuestFrame,
        first: DmaPage,
        count: u64,
        on: bool,
    ) -> Result<(), PageError> {
        let fails = self.fails();
        let guest = self.get(domain);
        let entry = (at, first, count);
        if !on {
            guest.placed.retain(|placed| *placed != entry);
        } else if fails {
            return Err(PageError::Refused(-22));
        } else {
            guest.placed.push(entry);
        }
        Ok(())
    }

    fn open_page(
        &mut self,
        domain: DomainId,
        frame: GuestFrame,
        contents: &[u8; 4096],
    ) -> Result<DmaPage, PageError> {
        let fails = self.fails();
        let ram = self.ram.clone();
        let guest = self.get(domain);
        assert_eq!(guest.opened(frame), None, "opened twice");
        if guest.under_way == Some(frame) {
            guest.awaited = true;
            return Err(PageError::Busy(frame));
        }
        let page = guest.spare.pop().filter(|_| !fails);
        let page = page.ok_or(PageError::OutOfMemory)?;
        guest.open.push((frame, page));
        ram.set_owner(page, Owner::Guest(domain.0));
        ram.write(page.at(0), contents).expect("RAM");
        Ok(page)
    }

    fn close_page(
        &mut self,
        domain: DomainId,
        frame: GuestFrame,
        page: DmaPage,
        contents: &mut [u8; 4096],
    ) -> Result<(), DmaFault> {
        let ram = self.ram.clone();
        let guest = self.get(domain);
        assert_eq!(guest.opened(frame), Some(page), "not open");
        guest.open.retain(|open| *open != (frame, page));
        guest.spare.push(page);
        ram.set_owner(page, Owner::Nobody);
        ram.read(page.at(0), contents)
    }

    fn pins(&self, domain: DomainId) -> u32 {
        self.domains.get(&domain).map_or(0, |domain| domain.pins)
    }
}
