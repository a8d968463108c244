//! Page tables of a guest: written while they are trusted, and followed afterwards.

use gpu::Engine;
use mediator::{Access, Space};

use super::submission::{check, submit};
use super::{seat, settle};
use crate::driver::{Context, Driver, Machine, store};
use crate::measured;

/// Submissions after which all tables are protected and none is looked at.
const QUIET: u32 = 6;

/// A guest whose ring stores to one page of its PPGTT.
struct Storer {
    driver: Driver,
    context: Context,
    address: u64,
}

impl Storer {
    fn new() -> (Machine, Self) {
        let (mut machine, mut driver) = seat();
        let frame = driver.frames(1);
        let address = driver.map(&mut machine, frame, 1);
        let context = driver.context(&mut machine, Engine::Bcs, 4);
        let storer = Self {
            driver,
            context,
            address,
        };
        (machine, storer)
    }

    fn request(&mut self, machine: &mut Machine) {
        let commands = store(false, self.address, 1);
        self.driver.request(machine, &mut self.context, &commands);
    }

    /// One submission, counted.
    fn submit_counted(&mut self, machine: &mut Machine) {
        self.request(machine);
        submit(machine, &self.driver, &self.context);
        settle(machine, &self.driver);
    }

    /// So many, uncounted.
    fn submit(&mut self, machine: &mut Machine, often: u32) {
        for _ in 0..often {
            self.request(machine);
            let descriptor = self.context.descriptor();
            self.driver.port(machine, Engine::Bcs, descriptor, 0);
            settle(machine, &self.driver);
        }
    }

    /// A page directory entry.
    fn directory(&self, index: u64) -> u64 {
        (self.driver.root + 2) * 4096 + index * 8
    }

    /// An entry of the only table.
    fn entry(&self, index: u64) -> u64 {
        (self.driver.root + 3) * 4096 + index * 8
    }

    fn poke(&self, machine: &mut Machine, address: u64, entry: u64) {
        machine.poke(self.driver.domain, address, &entry.to_le_bytes());
    }
}

/// The first write to each of many quiet tables: it is carried out and unprotects the table.
pub fn trapped_writes() -> impl FnMut(u32) -> u64 {
    let (mut machine, mut storer) = Storer::new();
    move |rounds| {
        let first = storer.driver.frames(rounds.into());
        for table in 0..u64::from(rounds) {
            let entry = storer.directory(1 + table);
            storer.poke(&mut machine, entry, ((first + table) * 4096) | 3);
        }
        storer.submit(&mut machine, QUIET);
        let domain = storer.driver.domain;
        for table in first..first + u64::from(rounds) {
            assert!(machine.domain(domain).is_protected(table));
            let access = Access {
                space: Space::Memory(table * 4096 + 8),
                size: 8,
                write: Some((first * 4096) | 3),
            };
            measured::access(&mut machine, domain, access);
            assert!(!machine.domain(domain).is_protected(table));
        }
        rounds.into()
    }
}

/// Submissions that differ in nothing but the number of pages that were mapped before.
pub fn mappings() -> impl FnMut(u32) -> u64 {
    let (mut machine, mut storer) = Storer::new();
    let pages = storer.driver.frames(1);
    move |rounds| {
        for page in 0..256 {
            let entry = storer.entry(256 + page);
            storer.poke(&mut machine, entry, 0);
        }
        storer.submit(&mut machine, QUIET);
        for page in 0..u64::from(rounds) {
            let entry = storer.entry(256 + page);
            storer.poke(&mut machine, entry, (pages * 4096) | 3);
        }
        storer.submit_counted(&mut machine);
        check(&mut machine, &storer.driver, Engine::Bcs);
        rounds.into()
    }
}

/// Submissions of one store, after one entry of the last-level table was changed, or none.
pub fn changes(changed: bool) -> impl FnMut(u32) -> u64 {
    let (mut machine, mut storer) = Storer::new();
    let frame = storer.driver.frames(2);
    storer.submit(&mut machine, QUIET);
    let mut round = 0;
    move |rounds| {
        for _ in 0..rounds {
            if changed {
                round += 1;
                let entry = storer.entry(300);
                storer.poke(&mut machine, entry, ((frame + round % 2) * 4096) | 3);
            }
            storer.submit_counted(&mut machine);
        }
        check(&mut machine, &storer.driver, Engine::Bcs);
        rounds.into()
    }
}
