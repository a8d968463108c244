//! One register, again and again.

use gpu::Engine;
use gpu::spec::registers::FENCE;

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

/// Writes that make a fence whole: the lower half after the upper one, as i915 does.
pub fn fences_on() -> impl FnMut(u32) -> u64 {
    let (mut machine, driver) = seat();
    let [first, _] = machine.first(driver.domain);
    // One row of X tiles at the start of the guest's low graphics memory, and the valid bit.
    let lower = first << 12 | 1;
    let upper = first << 12 | 3;
    move |rounds| {
        for _ in 0..rounds {
            machine.write(driver.domain, FENCE, 0);
            machine.write(driver.domain, FENCE + 4, upper);
            access(&mut machine, &driver, FENCE, 4, Some(lower.into()));
        }
        assert_eq!(machine.vgpu(driver.domain).counters().violations, 0);
        rounds.into()
    }
}
