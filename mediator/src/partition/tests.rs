use proptest::prelude::*;

use super::*;

fn asking(low_mib: u32, high_mib: u32, fences: u32) -> VgpuConfig {
    VgpuConfig {
        low_mib,
        high_mib,
        fences,
        ..VgpuConfig::default()
    }
}

fn gtt(mib: u32) -> Partition {
    Partition::new(mib * PAGES_PER_MIB).expect("large enough")
}

#[test]
fn refusals_carry_the_numbers() {
    let mut partition = gtt(1024);
    partition.allocate(&asking(128, 624, 4)).expect("fits");
    let refused = partition
        .allocate(&asking(64, 384, 4))
        .expect_err("does not fit");
    assert_eq!(
        refused,
        AttachError::NoHighGm {
            asked: 384,
            left: 128
        }
    );
    assert_eq!(refused.to_string(), "asked 384 MiB high GM, 128 MiB left");
    let refused = partition
        .allocate(&asking(129, 1, 4))
        .expect_err("does not fit");
    assert_eq!(refused.to_string(), "asked 129 MiB low GM, 128 MiB left");
    let refused = partition
        .allocate(&asking(1, 1, 25))
        .expect_err("does not fit");
    assert_eq!(refused.to_string(), "asked 25 fences, 24 left");
    let refused = partition
        .allocate(&asking(u32::MAX, 1, 1))
        .expect_err("does not fit");
    assert_eq!(
        refused,
        AttachError::NoLowGm {
            asked: u32::MAX,
            left: 128
        }
    );
    assert_eq!(
        partition.allocate(&asking(0, 1, 1)),
        Err(AttachError::ZeroLowGm)
    );
    let lazy = VgpuConfig {
        weight: 0,
        ..asking(1, 1, 1)
    };
    assert_eq!(partition.allocate(&lazy), Err(AttachError::ZeroWeight));
    assert_eq!(partition.free(), (128, 128, 24), "refusals took nothing");
}

#[test]
fn the_smallest_hole_that_fits_is_taken() {
    let mut partition = gtt(2048);
    let slices =
        [10, 4, 10, 2, 10].map(|mib| partition.allocate(&asking(mib, mib, 1)).expect("fits"));
    partition.release(&slices[1]);
    partition.release(&slices[3]);
    let small = partition.allocate(&asking(2, 2, 1)).expect("fits");
    assert_eq!(small.mappable, slices[3].mappable);
    let next = partition.allocate(&asking(3, 3, 1)).expect("fits");
    assert_eq!(next.mappable.first, slices[1].mappable.first);
}

#[test]
fn every_size_from_512_mib_to_4_gib_can_be_shared_and_tiny_ones_are_refused() {
    for mib in [512, 1024, 2048] {
        let mut partition = gtt(mib);
        assert_eq!(partition.free(), (256, mib - 256 - 16, 28));
        partition
            .allocate(&asking(256, mib - 272, 28))
            .expect("everything at once");
        assert_eq!(partition.free(), (0, 0, 0));
    }
    let partition = Partition::new(1 << 20).expect("4 GiB");
    assert_eq!(partition.host_region().end(), 1 << 20);
    let small = gtt(128);
    assert_eq!(small.free(), (112, 0, 28));
    assert!(Partition::new(16 * PAGES_PER_MIB).is_none());
    assert!(Partition::new(0).is_none());
}

#[test]
fn a_range_is_inside_only_with_both_ends_and_in_one_part() {
    let slice = Slice {
        mappable: Region {
            first: 16,
            count: 16,
        },
        nonmappable: Region {
            first: 32,
            count: 16,
        },
        fences: Fences::default(),
    };
    let at = GraphicsAddress;
    assert!(slice.contains(at(16 << 12), 16 << 12));
    assert!(slice.contains(at((48 << 12) - 1), 1));
    assert!(!slice.contains(at((16 << 12) - 1), 2));
    assert!(!slice.contains(at((32 << 12) - 4), 8), "across both parts");
    assert!(!slice.contains(at((48 << 12) - 4), 8));
    assert!(!slice.contains(at(16 << 12), 0));
    assert!(!slice.contains(at(u64::MAX), 2));
    assert!(!slice.contains(at(16 << 12), u64::MAX));
}

#[derive(Debug, Clone)]
enum Action {
    Attach(u32, u32, u32),
    Detach(usize),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let attach = (1u32..200, 0u32..600, 0u32..12)
        .prop_map(|(low, high, fences)| Action::Attach(low, high, fences));
    prop::collection::vec(
        prop_oneof![3 => attach, 2 => (0usize..16).prop_map(Action::Detach)],
        40,
    )
}

proptest! {
    #[test]
    fn slices_are_disjoint_inside_and_nothing_is_lost(
        mib in 512u32..2048, actions in actions(),
    ) {
        let mut partition = gtt(mib);
        let everything = partition.free();
        let mut held: Vec<(Slice, VgpuConfig)> = Vec::new();
        for action in actions {
            match action {
                Action::Attach(low, high, fences) => {
                    let config = asking(low, high, fences);
                    if let Ok(slice) = partition.allocate(&config) {
                        held.push((slice, config));
                    }
                }
                Action::Detach(which) if which < held.len() => {
                    let (slice, _) = held.swap_remove(which);
                    partition.release(&slice);
                }
                Action::Detach(_) => {}
            }
            let mut taken = vec![partition.host_region()];
            let mut fences = [false; 32];
            for (slice, config) in &held {
                taken.extend([slice.mappable, slice.nonmappable]);
                prop_assert_eq!(slice.mappable.count, config.low_mib * PAGES_PER_MIB);
                prop_assert_eq!(slice.nonmappable.count, config.high_mib * PAGES_PER_MIB);
                prop_assert!(slice.mappable.end() <= APERTURE_PAGES);
                for fence in slice.fences.first..slice.fences.first + slice.fences.count {
                    prop_assert!(!std::mem::replace(&mut fences[fence as usize], true));
                }
            }
            taken.retain(|region| region.count != 0);
            taken.sort_by_key(|region| region.first);
            for pair in taken.windows(2) {
                prop_assert!(pair[0].end() <= pair[1].first, "{:?}", pair);
            }
            prop_assert!(taken.iter().all(|region| region.end() <= mib * PAGES_PER_MIB));
            let (low, high, free_fences) = partition.free();
            let sum = |part: fn(&VgpuConfig) -> u32| held.iter().map(|(_, c)| part(c)).sum::<u32>();
            prop_assert_eq!(low + sum(|c| c.low_mib), everything.0);
            prop_assert_eq!(high + sum(|c| c.high_mib), everything.1);
            prop_assert_eq!(free_fences + sum(|c| c.fences), everything.2);
        }
        for (slice, _) in held {
            partition.release(&slice);
        }
        prop_assert_eq!(partition.free(), everything);
    }

    #[test]
    fn positions_and_indices_are_inverse(
        low in 1u32..64, high in 0u32..64, index in 0u32..(2048 << 8),
    ) {
        let mut partition = gtt(2048);
        partition.allocate(&asking(7, 9, 1)).expect("fits");
        let slice = partition.allocate(&asking(low, high, 1)).expect("fits");
        if let Some(position) = slice.position(GttIndex(index)) {
            prop_assert!(position < slice.pages());
            prop_assert_eq!(slice.index(position), GttIndex(index));
            prop_assert!(slice.contains(GttIndex(index).address(), PAGE_SIZE));
        } else {
            prop_assert!(!slice.contains(GttIndex(index).address(), 1));
        }
    }
}
