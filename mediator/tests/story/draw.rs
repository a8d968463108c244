//! Guests draw, and what they drew is compared pixel by pixel with a plain hand.

use gpu::Engine;
use proptest::prelude::*;

use crate::driver::{Driver, Machine, clean, copy, fill, machine, serve, settle, store};

/// A picture of 64 by 64 pixels: four pages.
const SIDE: usize = 64;
const PITCH: u32 = SIDE as u32 * 4;
const PAGES: u64 = 4;

/// A guest with a picture, and what it should look like.
struct Painter {
    driver: Driver,
    context: crate::driver::Context,
    frame: u64,
    surface: u64,
    expected: Vec<u32>,
}

impl Painter {
    fn new(machine: &mut Machine, domain: u16) -> Self {
        let mut driver = Driver::new(machine, domain);
        let frame = driver.frames(PAGES);
        let surface = driver.map(machine, frame, PAGES);
        let context = driver.context(machine, Engine::Bcs, 4);
        Self {
            driver,
            context,
            frame,
            surface,
            expected: vec![0; SIDE * SIDE],
        }
    }

    /// Queues a rectangle.
    fn fill(&mut self, machine: &mut Machine, [x, y, width, height]: [usize; 4], colour: u32) {
        let corners = [x, y, x + width, y + height].map(|value| value as u32);
        let command = fill(self.surface, PITCH, corners, colour);
        self.driver.request(machine, &mut self.context, &command);
        for row in y..y + height {
            self.expected[row * SIDE + x..row * SIDE + x + width].fill(colour);
        }
    }

    /// Queues a copy from the upper left corner.
    fn copy(&mut self, machine: &mut Machine, [x, y, width, height]: [usize; 4]) {
        let corners = [x, y, x + width, y + height].map(|value| value as u32);
        let command = copy((self.surface, self.surface), PITCH, corners, [0, 0]);
        self.driver.request(machine, &mut self.context, &command);
        for row in 0..height {
            for column in 0..width {
                self.expected[(y + row) * SIDE + x + column] = self.expected[row * SIDE + column];
            }
        }
    }

    /// Submits if a driver may: the running context again is everyday traffic.
    fn submit(&mut self, machine: &mut Machine) {
        self.driver.events(machine, Engine::Bcs);
        if self.driver.may_submit(Engine::Bcs) {
            let descriptor = self.context.descriptor();
            self.driver.submit(machine, Engine::Bcs, descriptor, 0);
        }
    }

    fn check(&mut self, machine: &mut Machine) {
        self.driver.all_done(machine, Engine::Bcs);
        let mut bytes = vec![0; SIDE * SIDE * 4];
        for (page, bytes) in (self.frame..).zip(bytes.chunks_mut(4096)) {
            machine.peek(self.driver.domain, page * 4096, bytes);
        }
        let pixels = bytes
            .chunks(4)
            .map(|p| u32::from_le_bytes([p[0], p[1], p[2], p[3]]));
        let wrong = pixels
            .zip(&self.expected)
            .position(|(pixel, expected)| pixel != *expected);
        assert_eq!(wrong, None, "a pixel of {}", self.driver.domain);
    }
}

#[test]
fn one_guest_draws_with_breadcrumbs_and_messages() {
    let mut machine = machine();
    machine.mediator.host_mut().gpu.set_quantum(300);
    let mut painter = Painter::new(&mut machine, 1);
    painter.fill(&mut machine, [3, 4, 20, 10], 0x00ff_8040);
    painter.fill(&mut machine, [0, 0, 8, 8], 0x1234_5678);
    painter.copy(&mut machine, [32, 32, 8, 8]);
    painter.submit(&mut machine);
    settle(&mut machine);
    painter.check(&mut machine);
    let guest = painter.driver.domain;
    assert!(
        !machine.domain(guest).messages.is_empty(),
        "it was interrupted"
    );
    let identity = machine.read(guest, 0x44308);
    assert_eq!(
        identity >> 16 & 0x101,
        0x101,
        "user interrupt and context switch"
    );
    let counters = *machine.vgpu(guest).counters();
    assert_eq!(
        (counters.submissions, counters.completions, counters.refused),
        (1, 1, 0)
    );
    assert!(counters.gpu_time > 0 && counters.scanned_bytes > 100);
    clean(&machine);
}

#[test]
fn all_engines_of_two_guests_work_at_once() {
    let mut machine = machine();
    let mut drivers = [1, 2].map(|domain| Driver::new(&mut machine, domain));
    let mut places = Vec::new();
    for driver in &mut drivers {
        for engine in Engine::ALL {
            let frame = driver.frames(1);
            let address = driver.map(&mut machine, frame, 1);
            let mut context = driver.context(&mut machine, engine, 1);
            let value = 0x100 * u32::from(driver.domain.0) + engine.index() as u32;
            driver.request(&mut machine, &mut context, &store(false, address, value));
            driver.submit(&mut machine, engine, context.descriptor(), 0);
            places.push((driver.domain, frame, value));
        }
    }
    settle(&mut machine);
    for driver in &mut drivers {
        Engine::ALL
            .into_iter()
            .for_each(|engine| driver.all_done(&mut machine, engine));
    }
    for (domain, frame, value) in places {
        let mut bytes = [0; 4];
        machine.peek(domain, frame * 4096, &mut bytes);
        assert_eq!(u32::from_le_bytes(bytes), value, "{domain}");
    }
    clean(&machine);
}

#[test]
fn seven_guests_take_turns_on_one_engine() {
    let mut machine = machine();
    machine.mediator.host_mut().gpu.set_quantum(300);
    let mut painters: Vec<Painter> = (1..8).map(|d| Painter::new(&mut machine, d)).collect();
    for round in 0..6 {
        for painter in &mut painters {
            let colour = u32::from(painter.driver.domain.0) << 8 | round;
            painter.fill(&mut machine, [round as usize * 8, 0, 8, 60], colour);
            painter.submit(&mut machine);
        }
        settle(&mut machine);
    }
    for painter in &mut painters {
        painter.submit(&mut machine);
    }
    settle(&mut machine);
    let mut times = Vec::new();
    for painter in &mut painters {
        painter.check(&mut machine);
        times.push(machine.vgpu(painter.driver.domain).counters().gpu_time);
    }
    let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(
        *most < least * 2,
        "the same work takes about the same time: {times:?}"
    );
    clean(&machine);
}

#[derive(Debug, Clone)]
enum Act {
    Fill(usize, [usize; 4], u32),
    Copy(usize, [usize; 4]),
    Serve(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let rectangle = || {
        (0..SIDE, 0..SIDE).prop_flat_map(|(x, y)| {
            (1..=SIDE - x, 1..=SIDE - y).prop_map(move |(width, height)| [x, y, width, height])
        })
    };
    prop_oneof![
        4 => (0usize..2, rectangle(), any::<u32>()).prop_map(|(g, r, c)| Act::Fill(g, r, c)),
        2 => (0usize..2, (32..SIDE, 32..SIDE, 1usize..32, 1usize..32))
            .prop_map(|(g, (x, y, w, h))| Act::Copy(g, [x, y, w.min(SIDE - x), h.min(SIDE - y)])),
        3 => (1u8..6).prop_map(Act::Serve),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn two_guests_that_draw_at_once_get_their_own_pictures(
        acts in prop::collection::vec(act(), 1..40),
    ) {
        let mut machine = machine();
        machine.mediator.host_mut().gpu.set_quantum(300);
        let mut painters = [1, 2].map(|domain| Painter::new(&mut machine, domain));
        for act in acts {
            match act {
                Act::Fill(guest, rectangle, colour) => {
                    painters[guest].fill(&mut machine, rectangle, colour);
                    painters[guest].submit(&mut machine);
                }
                Act::Copy(guest, rectangle) => {
                    painters[guest].copy(&mut machine, rectangle);
                    painters[guest].submit(&mut machine);
                }
                Act::Serve(rounds) => (0..rounds).for_each(|_| _ = serve(&mut machine)),
            }
        }
        for _ in 0..2 {
            settle(&mut machine);
            painters.iter_mut().for_each(|painter| painter.submit(&mut machine));
        }
        settle(&mut machine);
        painters.iter_mut().for_each(|painter| painter.check(&mut machine));
        clean(&machine);
    }
}
