//! From processor cycles to nanoseconds, in integers that cannot overflow.

/// Cycles to nanoseconds: `(cycles << shift) * multiplier / 2^32`, as in Xen's
/// `struct vcpu_time_info` (`public/xen.h`), whose shift may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// `tsc_to_system_mul`
    pub multiplier: u32,
    /// `tsc_shift`
    pub shift: i8,
}

impl Scale {
    /// The scale of a counter of `hertz`; 0 counts as 1.
    pub fn of_frequency(hertz: u64) -> Self {
        // multiplier = 10^9 * 2^32 / hertz, shifted until it fills its 32 bits.
        let mut shift = 0;
        let mut multiplier = (1_000_000_000u128 << 64) / u128::from(hertz.max(1));
        // The value is multiplier / 2^64 now; it shall be multiplier / 2^32 * 2^shift.
        while multiplier >= 1 << 64 {
            multiplier >>= 1;
            shift += 1;
        }
        while multiplier < 1 << 63 && shift > -31 {
            multiplier <<= 1;
            shift -= 1;
        }
        Self {
            multiplier: (multiplier >> 32) as u32,
            shift,
        }
    }

    /// Nanoseconds in `cycles`; the largest number if they do not fit.
    pub fn nanoseconds(self, cycles: u64) -> u64 {
        let cycles = match self.shift {
            left @ 0.. => u128::from(cycles) << left.min(63),
            right => u128::from(cycles >> right.unsigned_abs().min(63)),
        };
        let product = cycles.checked_mul(u128::from(self.multiplier));
        product
            .and_then(|product| u64::try_from(product >> 32).ok())
            .unwrap_or(u64::MAX)
    }
}
