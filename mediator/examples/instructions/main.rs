//! Instructions on the mediator's hot paths, counted by callgrind: `cargo xtask bench`.
//!
//! Every figure has a machine of its own, is run once to warm up, then N and 2N times; the
//! difference is what N times cost, and nothing else. `cargo xtask bench` counts only what happens
//! in `measured` (`--toggle-collect`), and starts a new count at each `boundary`
//! (`--dump-before`). The lines printed here say which count is which:
//!
//! ```text
//! COUNT|NAME|PER|GOAL|UNITS      an N run; the next line is its 2N run
//! ```

#[path = "../../tests/common/mod.rs"]
#[expect(dead_code, reason = "figures use a part of it")]
mod common;
#[path = "../../tests/story/driver.rs"]
#[expect(dead_code, reason = "figures use a part of it")]
mod driver;
mod figures;
#[path = "../../../drivers/gpu/tests/linux/mod.rs"]
#[expect(dead_code, reason = "the driver uses the judge of events alone")]
mod linux;
mod measured;

fn main() {
    let mut count = 0;
    for figure in figures::ALL {
        let mut run = (figure.prepare)();
        run(figure.rounds);
        boundary();
        count += 1;
        for rounds in [figure.rounds, 2 * figure.rounds] {
            let units = run(rounds);
            boundary();
            count += 1;
            let goal = figure
                .goal
                .map_or_else(String::new, |goal| goal.to_string());
            println!("{count}|{}|{}|{goal}|{units}", figure.name, figure.per);
        }
    }
}

/// Ends a count.
#[inline(never)]
fn boundary() {
    std::hint::black_box(());
}
