//! What happens once everything is up.

use boot::Config;
use log::info;

use crate::power::{self, ExitReason};
use crate::{frames, heap, scenario, wait};

/// Serves for ever, or until what the command line asks for is done.
pub fn run(config: &Config) -> ! {
    if let Some(scenario) = config.scenario {
        scenario::run(scenario);
    }
    let counts = frames::counts();
    if let Some(heap) = heap::statistics() {
        info!(
            "status: heap {heap}; {} of {} page frames free",
            counts.free, counts.total
        );
    }
    if config.exit {
        info!("done");
        power::exit(ExitReason::Done);
    }
    loop {
        wait::for_event(None);
    }
}
