//! Stages in QEMU: the image alone, as Dom0 of Xen, and the whole chain.

use super::Summary;
use super::host_side::passed_tests;
use crate::bed::chain;
use crate::bed::chain::Options;
use crate::bed::image;
use crate::bed::machine;
use crate::bed::machine::Ending;
use crate::bed::report::Check;
use crate::bed::report::Report;
use crate::bed::scenario::Scenario;
use crate::command;
use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::host;
use crate::setup;
use crate::setup::Part;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;

/// One boot of the image alone; it takes seconds.
const LIMIT: Duration = Duration::from_secs(180);

/// The image's way out: 0x10 becomes status 33.
const EXIT_DEVICE: [&str; 2] = ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"];

/// A machine that boots the image itself, with the given command line.
pub fn plain_machine(image: &Path, command_line: &str) -> Outcome<Command> {
    let mut qemu = command::command("qemu-system-x86_64")?;
    qemu.args(["-accel", "tcg", "-machine", "q35", "-m", "32M"])
        .args(["-nodefaults", "-nographic", "-no-reboot"])
        .args(EXIT_DEVICE)
        .arg("-kernel")
        .arg(image)
        .args(["-append", command_line]);
    Ok(qemu)
}

pub fn qemu(folder: &Path) -> Outcome<Summary> {
    host::require(host::QEMU)?;
    let image = image::image(true, &folder.join("build.log"))?;
    let mut machine = plain_machine(&image, "loopback=2 exit")?;
    machine.args(["-serial", "stdio"]);
    let serial = folder.join("serial.log");
    let ending = machine::run(&mut machine, &serial, LIMIT, |_| None)?;
    ending.expect(machine::SUCCESS)?;
    let first = first_access(&image, folder)?;
    println!("FIGURE start-to-first-access {:.3}", first.as_secs_f64());

    // The kernel's own tests boot the image of the dev profile, and make it fail on purpose.
    let log = folder.join("cargo.log");
    let mut cargo = command::cargo();
    command::run(cargo.args(["test", "--package", "kernel"]), &log)?;
    let tests = passed_tests(&fs::read_to_string(&log).at("read", &log)?);
    Ok(Summary::note(format!(
        "loopback guests done in {:.1} s, first access after {:.3} s, {tests} tests",
        ending.time.as_secs_f64(),
        first.as_secs_f64()
    )))
}

/// From starting QEMU to a guest's first served access, as the serial line tells it: the median
/// of a few boots. For docs/performance.md; how long it takes on a busy machine proves nothing.
fn first_access(image: &Path, folder: &Path) -> Outcome<Duration> {
    const BOOTS: usize = 5;
    let mut times = Vec::new();
    for boot in 0..BOOTS {
        let mut machine = plain_machine(image, "loopback=1 exit")?;
        machine.args(["-serial", "stdio"]);
        let serial = folder.join(format!("first-access-{boot}.log"));
        let started = Instant::now();
        let mut first = None;
        let ending = machine::run(&mut machine, &serial, LIMIT, |line| {
            if line.contains("first access served") {
                first.get_or_insert(started.elapsed());
            }
            None
        })?;
        ending.expect(machine::SUCCESS)?;
        let missing = || Failure::new("no guest said that it was served").with_log(&serial);
        times.push(first.ok_or_else(missing)?);
    }
    times.sort_unstable();
    Ok(times[BOOTS / 2])
}

/// Checks that `scenario=dom0` makes. Fewer mean that one has vanished; raise it with each new one.
const DOM0_CHECKS: usize = 68;

pub fn dom0(folder: &Path) -> Outcome<Summary> {
    let products = setup::ensure(&[Part::Stock, Part::OldXen], false)?;
    let image = image::image(true, &folder.join("build.log"))?;
    let serial = folder.join("serial.log");
    let mut qemu = dom0_machine(&products.stock, &image, "scenario=dom0 exit")?;
    let (mut report, ending) = dom0_checks(&mut qemu, &serial)?;
    judge(&report.checks).map_err(|failure| failure.with_log(&serial))?;
    ending.expect(machine::SUCCESS)?;

    let serial = folder.join("old-xen.log");
    let mut qemu = dom0_machine(&products.old_xen, &image, "scenario=dom0 exit")?;
    let (old, ending) = dom0_checks(&mut qemu, &serial)?;
    ending.expect(machine::FAILED)?;
    let refusal = old_xen(&old.checks).map_err(|failure| failure.with_log(&serial))?;
    report.checks.push(refusal);

    let mut qemu = dom0_machine(&products.stock, &image, "loopback=2 exit")?;
    let serial = folder.join("loopback.log");
    let ending = machine::run(&mut qemu, &serial, LIMIT, |_| None)?;
    ending.expect(machine::SUCCESS)?;
    Ok(Summary {
        note: "Debian's Xen, one that is too old, then loopback guests".to_owned(),
        checks: report.checks,
        ..Summary::default()
    })
}

/// Boots the image as Dom0 and collects the results of its scenario.
fn dom0_checks(qemu: &mut Command, serial: &Path) -> Outcome<(Report, Ending)> {
    let mut report = Report::default();
    report.line("T 0 SCENARIO dom0 start");
    let ending = machine::run(qemu, serial, LIMIT, |line| {
        report.line(line.strip_prefix("(d0) ").unwrap_or(line));
        None
    })?;
    Ok((report, ending))
}

/// On a Xen that is too old everything works but what it refuses, and the image names that.
fn old_xen(checks: &[Check]) -> Outcome<Check> {
    let mut failed = checks.iter().filter(|check| check.failure.is_some());
    let (Some(only), None) = (failed.next(), failed.next()) else {
        let count = checks
            .iter()
            .filter(|check| check.failure.is_some())
            .count();
        return Err(Failure::new(format!(
            "{count} checks failed on the old Xen, not one"
        )));
    };
    let said = only.failure.as_deref().unwrap_or_default();
    let words = [
        "Xen 4.17 refuses XENMEM_acquire_resource",
        "needs 4.19 or newer",
    ];
    if only.name != "dom0/version-new-enough" || !words.iter().all(|words| said.contains(words)) {
        return Err(Failure::new(format!(
            "{} said on the old Xen: {said}",
            only.name
        )));
    }
    Ok(Check {
        name: "dom0/old-xen-named".to_owned(),
        failure: None,
    })
}

/// Fails if a check failed or is missing.
fn judge(checks: &[Check]) -> Outcome<()> {
    let failed: Vec<&str> = checks
        .iter()
        .filter(|check| check.failure.is_some())
        .map(|check| check.name.as_str())
        .collect();
    if !failed.is_empty() {
        return Err(Failure::new(format!("failed: {}", failed.join(", "))));
    }
    if checks.len() < DOM0_CHECKS {
        return Err(Failure::new(format!(
            "{} checks of at least {DOM0_CHECKS}",
            checks.len()
        )));
    }
    Ok(())
}

/// A machine that boots the image as PVH Dom0 of this Xen, with the given command line.
fn dom0_machine(xen: &Path, image: &Path, command_line: &str) -> Outcome<Command> {
    let Some(image) = image.to_str().filter(|path| !path.contains([',', ' '])) else {
        return Err(Failure::new(
            "QEMU cannot take the image's path: blank or comma",
        ));
    };
    let mut qemu = machine::qemu()?;
    // A PVH Dom0 must have an IOMMU. Our console is port 0xE9 or console_io: guest_loglvl.
    qemu.args(["-cpu", "max", "-machine", "q35", "-device", "amd-iommu"])
        .args(["-m", "1G"])
        .args(EXIT_DEVICE)
        .arg("-kernel")
        .arg(xen)
        .args([
            "-append",
            "console=com1 com1=115200,8n1 loglvl=warning guest_loglvl=all dom0=pvh \
             dom0_mem=256M",
        ])
        .args(["-initrd", &format!("{image} {command_line}")]);
    Ok(qemu)
}

pub fn xen(folder: &Path) -> Outcome<Summary> {
    whole_chain("xen", false, folder)
}

pub fn flask(folder: &Path) -> Outcome<Summary> {
    whole_chain("flask", true, folder)
}

pub fn i915(folder: &Path) -> Outcome<Summary> {
    whole_chain("i915", true, folder)
}

fn whole_chain(stage: &str, flask: bool, folder: &Path) -> Outcome<Summary> {
    let scenarios = Scenario::of_stage(stage)?;
    if scenarios.is_empty() {
        return Err(Failure::new(format!(
            "no scenario in testbed/scenarios says `# stages: {stage}`"
        )));
    }
    let hypervisor = if flask { Part::Flask } else { Part::Stock };
    let products = chain::products(hypervisor, &scenarios)?;
    let options = Options { flask, live: false };
    let report = chain::run(&products, &scenarios, options, folder)?;
    Ok(Summary {
        note: format!("{} scenarios", scenarios.len()),
        checks: report.checks,
        files: report.files,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(count: usize) -> Vec<Check> {
        let check = |number| Check {
            name: format!("dom0/{number}"),
            failure: None,
        };
        (0..count).map(check).collect()
    }

    #[test]
    fn a_check_that_vanished_or_failed_is_a_failure() {
        assert!(judge(&checks(DOM0_CHECKS)).is_ok());
        let missing = judge(&checks(DOM0_CHECKS - 1)).expect_err("one is missing");
        assert!(missing.message.contains("checks of at least"));
        let mut wrong = checks(DOM0_CHECKS);
        wrong[7].failure = Some("why".to_owned());
        let failed = judge(&wrong).expect_err("one failed");
        assert!(failed.message.contains("dom0/7"));
    }

    #[test]
    fn an_old_xen_must_be_named_and_nothing_else_may_fail() {
        let mut all = checks(3);
        assert!(old_xen(&all).is_err());
        all[1] = Check {
            name: "dom0/version-new-enough".to_owned(),
            failure: Some(
                "Xen 4.17 refuses XENMEM_acquire_resource to us: needs 4.19 or newer".to_owned(),
            ),
        };
        assert!(old_xen(&all).is_ok());
        all[2].failure = Some("why".to_owned());
        assert!(old_xen(&all).is_err());
        all[2].failure = None;
        all[1].failure = Some("too old".to_owned());
        assert!(old_xen(&all).is_err());
    }
}
