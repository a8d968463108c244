//! System time: nanoseconds since Xen booted, from the TSC and Xen's record.
//!
//! `ns = system_time + ((tsc - tsc_timestamp) << tsc_shift) * tsc_to_system_mul >> 32`; the record
//! is consistent while `version` is even and the same before and after reading (`xen/xen.h`).

use core::mem::offset_of;

use crate::abi::shared_info::{VcpuInfo, VcpuTimeInfo};
use crate::shared::SharedPage;

/// How often a record that Xen is just updating is read again.
const ATTEMPTS: usize = 64;

/// A consistent copy of a vCPU's time record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRecord {
    tsc_timestamp: u64,
    system_time: u64,
    tsc_to_system_mul: u32,
    tsc_shift: i8,
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
                tsc_to_system_mul: shared_info
                    .load_u32(base + offset_of!(VcpuTimeInfo, tsc_to_system_mul)),
                tsc_shift: shared_info.load_u8(base + offset_of!(VcpuTimeInfo, tsc_shift)) as i8,
            };
            if version() == before {
                return (record.tsc_to_system_mul != 0).then_some(record);
            }
        }
        None
    }

    /// System time when the TSC reads `tsc`.
    pub fn nanoseconds(&self, tsc: u64) -> u64 {
        // A domain's TSC starts at its creation, and the stamp may lie before that: it wraps. A
        // stamp ahead of `tsc` comes from reading the TSC first; its moment is near enough.
        let elapsed = (tsc.wrapping_sub(self.tsc_timestamp) as i64).max(0) as u128;
        // Xen keeps the shift small; a larger one would be nonsense and must not panic.
        let shift = u32::from(self.tsc_shift.unsigned_abs()).min(63);
        let scaled = if self.tsc_shift < 0 {
            elapsed >> shift
        } else {
            elapsed << shift.min(32)
        };
        let nanoseconds = scaled.wrapping_mul(u128::from(self.tsc_to_system_mul)) >> 32;
        self.system_time.wrapping_add(nanoseconds as u64)
    }

    /// TSC ticks per second, for clocks that run without Xen afterwards.
    pub fn ticks_per_second(&self) -> u64 {
        let per_tick = u128::from(self.tsc_to_system_mul.max(1));
        let ticks = (1_000_000_000_u128 << 32) / per_tick;
        let shift = u32::from(self.tsc_shift.unsigned_abs()).min(31);
        (if self.tsc_shift < 0 {
            ticks << shift
        } else {
            ticks >> shift
        }) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::TestPage;

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
        assert_eq!(record.ticks_per_second(), 2_000_000_000);
        let halved = TimeRecord::read(&page(2, 1 << 31, -1), 1).expect("consistent");
        assert_eq!(halved.nanoseconds(5_000), 5_001_000);
        assert_eq!(halved.ticks_per_second(), 4_000_000_000);
    }

    #[test]
    fn a_stamp_from_before_the_domains_tsc_began_counts_on_through_zero() {
        // As real Xen gave it to a PVH Dom0.
        let record = TimeRecord {
            tsc_timestamp: 18_446_744_073_637_785_230,
            system_time: 900_601_925,
            tsc_to_system_mul: 3_308_728_095,
            tsc_shift: -1,
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
}
