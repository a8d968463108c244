//! Draws rectangles for a long time and checks every one: the undisturbed neighbour.

use core::time::Duration;

use crate::checks::Workshop;
use crate::commands::{Commands, Rectangle};
use crate::driver::Driver;
use crate::machine::Machine;
use crate::report::{Outcome, Report};

/// Progress lines come this often.
const STEP: u32 = 10;

/// Draws `count` rectangles, or for ever if 0.
pub fn draw(machine: &mut dyn Machine, report: &mut Report, count: u32) {
    let mut drawn = 0;
    let mut longest = Duration::ZERO;
    let outcome = Driver::start(machine)
        .and_then(Workshop::new)
        .and_then(|mut workshop| {
            println!("GUEST draws");
            while count == 0 || drawn < count {
                let before = workshop.driver.machine.now();
                one(&mut workshop, drawn).map_err(|why| format!("rectangle {drawn}: {why}"))?;
                longest = longest.max(workshop.driver.machine.now() - before);
                drawn += 1;
                if drawn % STEP == 0 {
                    println!("GUEST drew {drawn}");
                }
            }
            workshop.pages_stayed()
        });
    println!("FIGURE longest-rectangle-ms {}", longest.as_millis());
    report.check("draw", outcome);
}

/// One rectangle somewhere, filled or copied, in one of the pictures.
fn one(workshop: &mut Workshop, number: u32) -> Outcome {
    let random = number.wrapping_mul(0x9e37_79b1) ^ number << 7;
    let at = Rectangle {
        left: random % 40,
        top: random >> 8 & 0x1f,
        width: 1 + (random >> 16 & 0xf),
        height: 1 + (random >> 24 & 7),
    };
    let [deep, rest @ ..] = &mut workshop.pictures;
    let (commands, picture) = match number % 4 {
        0 => (
            deep.copy(Commands::new(), at, &workshop.source, (number % 20, 1)),
            0,
        ),
        1 => (deep.fill(Commands::new(), at, random), 0),
        other => {
            let picture = rest.get_mut(other as usize - 2).ok_or("no such picture")?;
            (
                picture.fill(Commands::new(), at, random),
                other as usize - 1,
            )
        }
    };
    let inside = commands.end();
    workshop.write_batch(workshop.batch, &inside)?;
    let start = Commands::new().batch(false, workshop.batch.address);
    workshop.run(1, start)?;
    let picture = workshop.pictures.get(picture).ok_or("no such picture")?;
    picture.verify(workshop.driver.machine)
}
