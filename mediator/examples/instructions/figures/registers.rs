//! One register, again and again.

use gpu::Engine;

use super::{access, seat};
use crate::driver::USER_INTERRUPT;

/// Reads while nothing runs.
pub fn reads(offset: u32) -> impl FnMut(u32) -> u64 {
    let (mut machine, driver) = seat();
    move |rounds| {
        (0..rounds).for_each(|_| access(&mut machine, &driver, offset, 4, None));
        rounds.into()
    }
}

/// Reads while the blitter has the guest's work: some of its registers are the hardware's then.
pub fn busy_reads(offset: u32) -> impl FnMut(u32) -> u64 {
    let (mut machine, mut driver) = seat();
    let mut context = driver.context(&mut machine, Engine::Bcs, 1);
    driver.request(&mut machine, &mut context, &[USER_INTERRUPT]);
    // Nobody serves the machine, so it is never through.
    driver.port(&mut machine, Engine::Bcs, context.descriptor(), 0);
    move |rounds| {
        (0..rounds).for_each(|_| access(&mut machine, &driver, offset, 4, None));
        rounds.into()
    }
}

/// Writes of the same value.
pub fn writes(offset: u32, value: u32) -> impl FnMut(u32) -> u64 {
    let (mut machine, driver) = seat();
    move |rounds| {
        (0..rounds).for_each(|_| access(&mut machine, &driver, offset, 4, Some(value.into())));
        rounds.into()
    }
}
