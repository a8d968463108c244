//! Free runs between taken ones: the smallest that is large enough.

use crate::MAX_VGPUS;
use arrayvec::ArrayVec;

use super::Region;

/// The tightest hole of `area` between `taken` that holds `count`, from its beginning, or the
/// size of the largest hole. Zero always fits, at the beginning of `area`.
pub(super) fn best(
    area: Region,
    taken: &ArrayVec<Region, MAX_VGPUS>,
    count: u32,
) -> Result<Region, u32> {
    if count == 0 {
        return Ok(Region {
            first: area.first,
            count: 0,
        });
    }
    let holes = holes(area, taken);
    let tightest = holes
        .iter()
        .filter(|hole| hole.count >= count)
        .min_by_key(|hole| hole.count);
    match tightest {
        Some(hole) => Ok(Region {
            first: hole.first,
            count,
        }),
        None => Err(largest(area, taken)),
    }
}

/// Size of the largest hole.
pub(super) fn largest(area: Region, taken: &ArrayVec<Region, MAX_VGPUS>) -> u32 {
    holes(area, taken)
        .iter()
        .map(|hole| hole.count)
        .max()
        .unwrap_or(0)
}

/// All holes, in order.
fn holes(area: Region, taken: &ArrayVec<Region, MAX_VGPUS>) -> ArrayVec<Region, { MAX_VGPUS + 1 }> {
    let mut holes = ArrayVec::new();
    let mut first = area.first;
    let behind = |first| {
        let taken = taken.iter().filter(|region| region.count != 0);
        let behind = taken.filter(|region| region.first >= first);
        behind.min_by_key(|region| region.first)
    };
    while let Some(region) = behind(first) {
        if region.first > first {
            holes.push(Region {
                first,
                count: region.first - first,
            });
        }
        first = region.end();
    }
    if area.end() > first {
        holes.push(Region {
            first,
            count: area.end() - first,
        });
    }
    holes
}
