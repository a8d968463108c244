//! An event loop with everything but the machine.

pub mod store;

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use mediator::{Display, DomainId, VgpuConfig};
use xen::xenstore::{Client, XenstoreError};

use crate::exchange::{Exchange, Step};
use crate::nodes::{self, Command, Order};
use store::{Line, Store, node};

/// The event loop, as far as it matters here.
pub struct Loop {
    pub exchange: Exchange<Line>,
    store: Rc<RefCell<Store>>,
    pub now: u64,
    /// Accesses of guests that were served, one in each round.
    pub served: u32,
    /// What the service did, and what went wrong.
    pub obeyed: Vec<Command>,
    pub errors: Vec<XenstoreError>,
}

impl Loop {
    pub fn new() -> Self {
        let store = Rc::new(RefCell::new(Store::default()));
        Self {
            exchange: Exchange::new(Client::new(Line(Rc::clone(&store)))),
            store,
            now: 0,
            served: 0,
            obeyed: Vec::new(),
            errors: Vec::new(),
        }
    }

    pub fn store(&self) -> RefMut<'_, Store> {
        self.store.borrow_mut()
    }

    /// One round; whether the next one is to follow at once.
    pub fn round(&mut self) -> bool {
        self.served += 1;
        let step = match self.exchange.step(self.now) {
            Ok(Step::Command(command)) => {
                assert!(self.exchange.is_idle());
                let domain = command.domain;
                let answer = match &command.order {
                    Ok(Order::Attach(_)) => ("attached", ""),
                    Ok(Order::Detach) => ("detached", ""),
                    Err(reason) => ("refused", reason.as_str()),
                };
                let free = nodes::free((1, 2, 3));
                let step = self.exchange.answer(domain, answer, free, self.now);
                self.obeyed.push(command);
                step
            }
            step => step,
        };
        match step {
            Ok(step) => step != Step::Nothing,
            Err(error) => {
                self.errors.push(error);
                true
            }
        }
    }

    /// Rounds until the loop would sleep.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.round() {
                return;
            }
        }
        panic!("it never sleeps");
    }

    /// Writes the nodes of an attach and gives the command.
    pub fn ask_for_attach(&self, domain: u16) {
        for (name, value) in SIZES {
            self.store().put(domain, name, value);
        }
        self.store().command(domain, "attach");
    }

    /// Gives commands of which no event tells.
    pub fn command_unheard(&self, domains: &[u16]) {
        for domain in domains {
            let path = node(*domain, "command");
            self.store().tree.insert(path, "detach".into());
        }
    }

    /// The guests whose commands were carried out.
    pub fn obeyed(&self) -> Vec<u16> {
        self.obeyed.iter().map(|command| command.domain.0).collect()
    }

    pub fn value(&self, domain: u16, name: &str) -> Option<String> {
        self.store().tree.get(&node(domain, name)).cloned()
    }
}

/// Of an attach.
pub const SIZES: [(&str, &str); 6] = [
    ("low-gm", "64"),
    ("high-gm", "384"),
    ("fences", "4"),
    ("weight", "2"),
    ("display", "none"),
    ("huge-gtt", "1"),
];

/// What they say.
pub fn attach(domain: u16) -> Command {
    Command {
        domain: DomainId(domain),
        name: "attach",
        order: Ok(Order::Attach(VgpuConfig {
            low_mib: 64,
            high_mib: 384,
            fences: 4,
            weight: 2,
            display: Display::None,
            huge_gtt: true,
        })),
    }
}
