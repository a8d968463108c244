//! Stages in QEMU: the image alone, as Dom0 of Xen, and the whole chain.

use super::Summary;
use super::host_side::passed_tests;
use crate::bed::chain;
use crate::bed::chain::Options;
use crate::bed::image;
use crate::bed::machine;
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

    // The kernel's own tests boot the image of the dev profile, and make it fail on purpose.
    let log = folder.join("cargo.log");
    let mut cargo = command::cargo();
    command::run(cargo.args(["test", "--package", "kernel"]), &log)?;
    let tests = passed_tests(&fs::read_to_string(&log).at("read", &log)?);
    Ok(Summary::note(format!(
        "loopback guests done in {:.1} s, {tests} tests",
        ending.time.as_secs_f64()
    )))
}

pub fn dom0(folder: &Path) -> Outcome<Summary> {
    let products = setup::ensure(&[Part::Stock], false)?;
    let image = image::image(true, &folder.join("build.log"))?;
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
        .arg(&products.stock)
        .args([
            "-append",
            "console=com1 com1=115200,8n1 loglvl=warning guest_loglvl=all dom0=pvh \
             dom0_mem=256M",
        ])
        .args(["-initrd", &format!("{image} scenario=dom0 exit")]);
    let serial = folder.join("serial.log");
    let ending = machine::run(&mut qemu, &serial, LIMIT, |_| None)?;
    ending.expect(machine::SUCCESS)?;
    Ok(Summary::note("Debian's Xen"))
}

pub fn xen(folder: &Path) -> Outcome<Summary> {
    whole_chain("xen", false, folder)
}

pub fn flask(folder: &Path) -> Outcome<Summary> {
    whole_chain("flask", true, folder)
}

fn whole_chain(stage: &str, flask: bool, folder: &Path) -> Outcome<Summary> {
    let scenarios = Scenario::of_stage(stage)?;
    if scenarios.is_empty() {
        return Err(Failure::new(format!(
            "no scenario in testbed/scenarios says `# stages: {stage}`"
        )));
    }
    let hypervisor = if flask { Part::Flask } else { Part::Stock };
    let products = setup::ensure(&[hypervisor, Part::Dom0, Part::Kernel], false)?;
    let options = Options { flask, live: false };
    let report = chain::run(&products, &scenarios, options, folder)?;
    Ok(Summary {
        note: format!("{} scenarios", scenarios.len()),
        checks: report.checks,
        files: report.files,
    })
}
