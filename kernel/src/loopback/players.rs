//! The loopback guests at play: each gets a vGPU, draws, and says how it went.

use core::fmt::{self, Write};

use alloc::vec::Vec;
use gpu::{DmaPage, Owner};
use log::{error, info};
use mediator::{Display, DomainId, VgpuConfig};

use super::memory::PAGES;
use super::program::{Guest, Outcome};
use super::{FIRST_DOMAIN, MAX};
use crate::frames;
use crate::wiring::{Machine, pages};

/// Rectangles that each guest draws.
const RECTANGLES: u32 = 50;
/// How often a guest reports.
const REPORT: u32 = 10;
/// Graphics memory of each, MiB: enough for what it maps, so that eight fit a small GTT.
const GRAPHICS_MIB: u32 = 8;

/// All loopback guests.
#[derive(Default)]
pub struct Players {
    guests: Vec<Guest>,
    failed: u32,
}

impl Players {
    /// Makes `count` guests with memory and a vGPU each.
    pub fn start(machine: &mut Machine, count: u8) -> Self {
        let mut players = Self::default();
        for number in 0..u16::from(count) {
            let domain = DomainId(FIRST_DOMAIN + number);
            if usize::from(number) >= MAX {
                error!("loopback: {count} guests asked for, {MAX} are possible");
                players.failed += 1;
                break;
            }
            match add(machine, domain) {
                Ok(pages) => players.guests.push(Guest::new(domain, pages, RECTANGLES)),
                Err(why) => {
                    error!("{domain} loopback: {why}");
                    players.failed += 1;
                }
            }
        }
        players
    }

    /// One step of each; true if any of them moved on.
    pub fn round(&mut self, machine: &mut Machine) -> bool {
        let mut moved = false;
        for guest in &mut self.guests {
            let domain = guest.domain();
            let before = (guest.drawn(), guest.outcome());
            let messages = machine
                .host()
                .guests
                .loopback
                .get(domain)
                .map_or(0, |d| d.messages);
            let outcome = guest.step(machine, messages);
            let drawn = guest.drawn();
            moved |= before != (drawn, outcome) || outcome == Outcome::Running;
            if drawn != before.0 && drawn % REPORT == 0 {
                info!("{domain} loopback: {drawn} of {RECTANGLES} rectangles drawn and checked");
            }
            if before.1 == Outcome::Running {
                match outcome {
                    Outcome::Running => {}
                    Outcome::Done => info!("{domain} loopback: done, {messages} interrupts"),
                    Outcome::Failed(why) => {
                        error!("{domain} loopback: rectangle {drawn}: {why}");
                        self.failed += 1;
                    }
                }
            }
        }
        moved
    }

    /// Whether none is at work any more.
    pub fn finished(&self) -> bool {
        self.guests
            .iter()
            .all(|guest| guest.outcome() != Outcome::Running)
    }

    /// Whether all that were asked for are done, without a fault.
    pub fn succeeded(&self) -> bool {
        self.failed == 0
            && self
                .guests
                .iter()
                .all(|guest| guest.outcome() == Outcome::Done)
    }

    /// One line for each.
    pub fn status(&self, out: &mut dyn Write) -> fmt::Result {
        for guest in &self.guests {
            let (domain, drawn) = (guest.domain(), guest.drawn());
            let outcome = guest.outcome();
            writeln!(
                out,
                "loopback {domain}: {drawn} of {RECTANGLES} rectangles, {outcome:?}"
            )?;
        }
        Ok(())
    }
}

/// Gives a guest memory and a vGPU.
fn add(machine: &mut Machine, domain: DomainId) -> Result<[DmaPage; PAGES], alloc::string::String> {
    let mut memory = [DmaPage(0); PAGES];
    for page in &mut memory {
        let frame = frames::allocate().ok_or("no memory for its pages")?;
        *page = DmaPage(frame.0);
        pages::set_owner(*page, Owner::Guest(domain.0));
    }
    if !machine.host_mut().guests.loopback.add(domain, memory) {
        return Err("no place left".into());
    }
    let config = VgpuConfig {
        low_mib: GRAPHICS_MIB,
        high_mib: GRAPHICS_MIB,
        fences: 2,
        weight: 1,
        display: Display::None,
        huge_gtt: false,
    };
    match machine.domain_added(domain, config) {
        Ok(()) => Ok(memory),
        Err(error) => Err(alloc::format!("{error}")),
    }
}
