//! Version probing and step-wise mapping.

use super::*;
use crate::fake::{Arena, FakeXen};

const SLICE: Slice = Slice {
    first_gfn: 0xe_0000,
    first_mfn: 0xd_0000,
    frames: 150,
};

#[test]
fn a_slice_is_mapped_in_as_many_steps_as_xen_wants() {
    let xen = FakeXen::new(Arena::new(1).window());
    let mut aperture = Aperture::new(&xen);
    aperture
        .change(DomainId(5), Change::Map, SLICE)
        .expect("mapped");
    assert_eq!(
        xen.state.borrow().domctl_calls,
        [
            (5, 0xe_0000, 0xd_0000, 150, 1),
            (5, 0xe_0040, 0xd_0040, 86, 1),
            (5, 0xe_0080, 0xd_0080, 22, 1),
        ]
    );
    aperture
        .change(DomainId(5), Change::Unmap, Slice { frames: 0, ..SLICE })
        .expect("nothing to do");
    assert_eq!(xen.state.borrow().domctl_calls.len(), 3);
}

#[test]
fn every_known_version_is_found_and_remembered() {
    for version in VERSIONS {
        let xen = FakeXen::new(Arena::new(1).window());
        xen.state.borrow_mut().domctl_version = version;
        let mut aperture = Aperture::new(&xen);
        let one = Slice { frames: 1, ..SLICE };
        aperture
            .change(DomainId(5), Change::Map, one)
            .expect("mapped");
        let calls = xen.state.borrow().calls;
        aperture
            .change(DomainId(5), Change::Unmap, one)
            .expect("unmapped");
        assert_eq!(
            xen.state.borrow().calls,
            calls + 1,
            "{version:#x} was remembered"
        );
    }
}

#[test]
fn an_unknown_version_is_an_error_naming_it() {
    let xen = FakeXen::new(Arena::new(1).window());
    xen.state.borrow_mut().domctl_version = 0x99;
    let error = Aperture::new(&xen)
        .change(DomainId(5), Change::Map, SLICE)
        .expect_err("unknown");
    let text = error.to_string();
    assert!(
        text.contains("XEN_DOMCTL_memory_mapping") && text.contains("0x15 to 0x18"),
        "{text}"
    );
}

#[test]
fn a_refusal_half_way_says_how_much_is_mapped() {
    let xen = FakeXen::new(Arena::new(1).window());
    xen.refuse_nth(2, Errno::EPERM);
    let error = Aperture::new(&xen)
        .change(DomainId(5), Change::Map, SLICE)
        .expect_err("refused");
    assert!(
        matches!(error, ApertureError::Stopped { done: 64, .. }),
        "{error}"
    );
    xen.refuse_nth(1, Errno::EPERM);
    let error = Aperture::new(&xen)
        .change(DomainId(5), Change::Map, SLICE)
        .expect_err("refused");
    assert!(
        error.to_string().contains("I/O-memory permission"),
        "{error}"
    );
}

#[test]
fn progress_that_makes_no_sense_ends_the_loop() {
    let xen = FakeXen::new(Arena::new(1).window());
    xen.state.borrow_mut().domctl_answer = Some(1_000);
    let error = Aperture::new(&xen)
        .change(DomainId(5), Change::Map, SLICE)
        .expect_err("nonsense");
    assert_eq!(
        error,
        ApertureError::Nonsense {
            domain: DomainId(5),
            done: 1_000
        }
    );
}
