//! A guest that goes on working while another one misbehaves.

use gpu::Engine;

use crate::driver::{Context, Driver, Machine};

/// A guest that goes on working while another one misbehaves.
pub struct Bystander {
    pub driver: Driver,
    contexts: Vec<Context>,
}

impl Bystander {
    pub fn new(machine: &mut Machine) -> Self {
        let mut driver = Driver::new(machine, 2);
        let contexts = Engine::ALL
            .map(|engine| driver.context(machine, engine, 4))
            .into();
        Self { driver, contexts }
    }

    /// One request on each engine.
    pub fn work(&mut self, machine: &mut Machine) {
        for context in &mut self.contexts {
            let engine = context.engine;
            self.driver.request(machine, context, &[]);
            self.driver.events(machine, engine);
            self.driver.submit(machine, engine, context.descriptor(), 0);
        }
    }

    pub fn done(&mut self, machine: &mut Machine) {
        for engine in Engine::ALL {
            self.driver.all_done(machine, engine);
        }
    }
}
