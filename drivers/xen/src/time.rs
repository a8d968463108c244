//! System time: nanoseconds since Xen booted, from the TSC and Xen's record.
//!
//! `ns = system_time + ((tsc - tsc_timestamp) << tsc_shift) * tsc_to_system_mul >> 32`; the record
//! is consistent while `version` is even and the same before and after reading (`xen/xen.h`).

use core::mem::offset_of;

use crate::abi::shared_info::{VcpuInfo, VcpuTimeInfo};
use crate::shared::SharedPage;

/// How often a record that Xen is just updating is read again.
const ATTEMPTS: usize = 64;

/// From counter ticks to nanoseconds: `(ticks << shift) * multiplier >> 32`; the shift may be
/// negative.
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

    /// Nanoseconds in `ticks`; the largest number if they do not fit.
    pub fn nanoseconds(self, ticks: u64) -> u64 {
        // Xen keeps the shift small; a larger one would be nonsense and must not panic.
        let ticks = match self.shift {
            left @ 0.. => u128::from(ticks) << left.min(63),
            right => u128::from(ticks >> right.unsigned_abs().min(63)),
        };
        let product = ticks.checked_mul(u128::from(self.multiplier));
        product
            .and_then(|product| u64::try_from(product >> 32).ok())
            .unwrap_or(u64::MAX)
    }
}

/// A consistent copy of a vCPU's time record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRecord {
    tsc_timestamp: u64,
    system_time: u64,
    scale: Scale,
}

impl TimeRecord {
    /// Reads the record of vCPU `vcpu` (below 32); `None` if Xen has not written one yet.
    pub fn read<P: SharedPage>(shared_info: &P, vcpu: usize) -> Option<Self> {
        let base = vcpu * size_of::<VcpuInfo>() + offset_of!(VcpuInfo, time);
        let version = || shared_info.load_u32(base + offset_of!(VcpuTimeInfo, version));
        for _ in 0..ATTEMPTS {
            let before = version();
            if before & 1 == 1 {
                continue;
            }
            let record = Self {
                tsc_timestamp: shared_info.load_u64(base + offset_of!(VcpuTimeInfo, tsc_timestamp)),
                system_time: shared_info.load_u64(base + offset_of!(VcpuTimeInfo, system_time)),
                scale: Scale {
                    multiplier: shared_info
                        .load_u32(base + offset_of!(VcpuTimeInfo, tsc_to_system_mul)),
                    shift: shared_info.load_u8(base + offset_of!(VcpuTimeInfo, tsc_shift)) as i8,
                },
            };
            if version() == before {
                return (record.scale.multiplier != 0).then_some(record);
            }
        }
        None
    }

    /// System time when the TSC reads `tsc`.
    pub fn nanoseconds(&self, tsc: u64) -> u64 {
        // A domain's TSC starts at its creation, and the stamp may lie before that: it wraps. A
        // stamp ahead of `tsc` comes from reading the TSC first; its moment is near enough.
        let elapsed = tsc.wrapping_sub(self.tsc_timestamp).cast_signed().max(0);
        let since = self.scale.nanoseconds(elapsed.cast_unsigned());
        self.system_time.wrapping_add(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::TestPage;
    use proptest::prelude::*;

    fn page(version: u32, mul: u32, shift: i8) -> TestPage {
        let page = TestPage::new();
        let base = size_of::<VcpuInfo>() + offset_of!(VcpuInfo, time);
        page.store_u32(base, version);
        page.store_u64(base + 8, 1_000);
        page.store_u64(base + 16, 5_000_000);
        page.store_u32(base + 24, mul);
        page.store_u8(base + 28, shift as u8);
        page
    }

    #[test]
    fn time_advances_by_the_scaled_tsc() {
        // One half tick per nanosecond after the shift: 2 GHz.
        let record = TimeRecord::read(&page(2, 1 << 31, 0), 1).expect("consistent");
        assert_eq!(record.nanoseconds(1_000), 5_000_000);
        assert_eq!(record.nanoseconds(3_000), 5_001_000);
        assert_eq!(
            record.nanoseconds(10),
            5_000_000,
            "a TSC behind the record is its moment"
        );
        let halved = TimeRecord::read(&page(2, 1 << 31, -1), 1).expect("consistent");
        assert_eq!(halved.nanoseconds(5_000), 5_001_000);
    }

    #[test]
    fn a_stamp_from_before_the_domains_tsc_began_counts_on_through_zero() {
        // As real Xen gave it to a PVH Dom0.
        let record = TimeRecord {
            tsc_timestamp: 18_446_744_073_637_785_230,
            system_time: 900_601_925,
            scale: Scale {
                multiplier: 3_308_728_095,
                shift: -1,
            },
        };
        assert_eq!(record.nanoseconds(774_297_928), 900_601_925 + 325_892_675);
    }

    #[test]
    fn a_record_being_written_is_not_used() {
        assert_eq!(TimeRecord::read(&page(3, 1 << 31, 0), 1), None);
        let moving = page(2, 1 << 31, 0);
        let base = size_of::<VcpuInfo>() + offset_of!(VcpuInfo, time);
        let mut version = 2;
        let page = moving.mutate_on_load(move |page, offset| {
            if offset == base + 16 {
                version += 2;
                page.poke_u32(base, version);
            }
        });
        assert_eq!(
            TimeRecord::read(&page, 1),
            None,
            "bounded, however long Xen keeps writing"
        );
    }

    #[test]
    fn a_record_never_written_is_none() {
        assert_eq!(TimeRecord::read(&TestPage::new(), 1), None);
    }

    proptest! {
        #[test]
        fn a_second_of_ticks_is_a_second(hertz in 1_000u64..1 << 40, seconds in 0u64..1000) {
            let scale = Scale::of_frequency(hertz);
            let nanoseconds = scale.nanoseconds(hertz * seconds);
            // The multiplier has 32 significant bits, and a right shift loses ticks below one.
            let error = nanoseconds.abs_diff(seconds * 1_000_000_000);
            prop_assert!(error <= 2 + seconds, "off by {} ns at {} Hz", error, hertz);
        }

        #[test]
        fn no_scale_and_no_count_overflow(multiplier: u32, shift: i8, a: u64, b: u64) {
            let scale = Scale { multiplier, shift };
            let (few, many) = (a.min(b), a.max(b));
            prop_assert!(scale.nanoseconds(few) <= scale.nanoseconds(many));
        }

        #[test]
        fn any_frequency_gives_a_scale(hertz: u64) {
            prop_assert!(Scale::of_frequency(hertz).multiplier >= 1 << 31 || hertz > 1 << 60);
        }

        #[test]
        fn wherever_the_stamp_lies_time_runs_on_from_it(stamp: u64, ticks in 0u64..1 << 62) {
            let record = TimeRecord {
                tsc_timestamp: stamp,
                system_time: 7,
                scale: Scale::of_frequency(1_000_000_000),
            };
            let time = record.nanoseconds(stamp.wrapping_add(ticks));
            prop_assert!(time.abs_diff(7 + ticks) <= 1 + (ticks >> 31), "{} of {}", time, ticks);
        }
    }
}
