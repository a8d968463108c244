//! `scenario=dom0` where there is no Xen; on Xen it is the stage `dom0` of `cargo xtask test`.

#[expect(dead_code, reason = "shared with the other tests of the image")]
mod qemu;

use qemu::Machine;

/// `ExitReason::Failed`.
const FAILED: Option<i32> = Some(43);

#[test]
fn without_xen_it_says_so_and_fails() {
    let run = Machine::new().boot("scenario=dom0 exit");
    run.expect(FAILED, &["scenario=dom0: not on Xen"]);
    assert!(!run.log.contains("CHECK"), "nothing to check:\n{}", run.log);
}
