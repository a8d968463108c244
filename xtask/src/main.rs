//! `cargo xtask`: sets up the test bed and runs every ring of tests.
//!
//! Only std and our own crates, and only programs of Debian: a fresh machine needs git, curl, gcc
//! and stable Rust.

#![forbid(unsafe_code)]

mod bed;
mod bench;
mod cache;
mod command;
mod failure;
mod host;
mod paths;
mod progress;
mod selftests;
mod setup;
mod stages;
mod traces;

use crate::bed::chain;
use crate::bed::image;
use crate::bed::machine;
use crate::bed::scenario::Scenario;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::setup::Part;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  setup [--refresh] [PART...]
                            Build everything slow, once, into the cache: Debian's Xen, Xen with
                            FLASK, Dom0's root, kernel, policy; or only the parts named.
                            --refresh takes newer packages.
  test [STAGE...]           Run stages of tests, all of them when none is named.
  xen [--flask] [--scenario NAME]...
                            One run of the whole chain on real Xen, shown as it goes; the
                            scenario `chain`, or `flask`, unless others are named.
  selftests [--only GROUP]... [--filter FILTER] [--minutes NUMBER] [--each SECONDS] [--live] [--renew]
                            i915's own live tests on a vGPU, against docs/fidelity.md; --filter is
                            the driver's st_filter, --minutes cuts the run off, --each a test,
                            --live shows the consoles as they grow, --renew writes what ended into
                            the table.
  bench [--renew]           Count instructions on the mediator's hot paths, against the baseline;
                            --renew writes the baseline anew.
  boot [--release] [QEMU ARGUMENTS...]
                            Boot the image in plain QEMU (run-qemu.sh does this).
  trace PATH [--text] [--into FOLDER]
                            Take recordings of the mediator's boundary out of a console log, or
                            out of all logs of a folder, into mediator/tests/traces/LABEL.trace;
                            --text, or a PATH that is a trace, shows every record.
  renew-dependencies        Write xtask/image-dependencies.txt anew.
  help                      This, and the stages and scenarios.

ENVIRONMENT
  GSD_CACHE                 the cache; default ${XDG_CACHE_HOME:-~/.cache}/gpu-service-domain
  GSD_CMDLINE               the image's command line for `boot`; default \"loopback=2 exit\"
  GSD_XEN_ARGS              more words for Xen's command line in the whole chain; guest_loglvl=all
                            shows what domains write to port 0xE9
  GSD_MIRROR, GSD_SECURITY_MIRROR
                            Debian mirror and security archive; default: this machine's
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[][..]),
    };
    let result = match command {
        "setup" => set_up(rest),
        "test" => stages::chosen(rest).map(|stages| exit_code(stages::run(&stages))),
        "xen" => xen(rest),
        "selftests" => selftests::run(rest),
        "bench" => bench::bench(rest),
        "boot" => boot(rest),
        "trace" => traces::trace(rest).map(|()| ExitCode::SUCCESS),
        "renew-dependencies" => stages::renew_dependencies().map(|()| ExitCode::SUCCESS),
        "help" | "--help" | "-h" => help(),
        other => Err(Failure::new(format!(
            "no command {other}; cargo xtask help"
        ))),
    };
    result.unwrap_or_else(|failure| {
        failure.print();
        ExitCode::FAILURE
    })
}

fn exit_code(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn help() -> Outcome<ExitCode> {
    println!("{HELP}\nSTAGES");
    for stage in stages::STAGES {
        println!("  {:25} {}", stage.name, stage.about);
    }
    println!("\nPARTS (built when first needed)");
    println!("  {}", Part::ALL.map(Part::name).join(" "));
    println!("\nSCENARIOS (testbed/scenarios)");
    for scenario in Scenario::all()? {
        println!(
            "  {:25} stages: {}",
            scenario.name,
            scenario.stages.join(" ")
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn set_up(arguments: &[String]) -> Outcome<ExitCode> {
    let (refresh, names): (Vec<_>, Vec<_>) =
        arguments.iter().partition(|word| *word == "--refresh");
    let mut parts = setup::DEFAULT.to_vec();
    if !names.is_empty() {
        let named: Outcome<_> = names.iter().map(|name| Part::named(name)).collect();
        parts = named?;
    }
    setup::ensure(&parts, !refresh.is_empty())?;
    println!("the test bed is ready");
    Ok(ExitCode::SUCCESS)
}

fn xen(arguments: &[String]) -> Outcome<ExitCode> {
    let mut flask = false;
    let mut names = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match (word.as_str(), words.as_slice().first()) {
            ("--flask", _) => flask = true,
            ("--scenario", Some(name)) => {
                names.push(name.clone());
                words.next();
            }
            _ => {
                return Err(Failure::new(format!(
                    "xen takes --flask and --scenario NAME, not {word}"
                )));
            }
        }
    }
    if names.is_empty() {
        names.push(if flask { "flask" } else { "chain" }.to_owned());
    }
    let scenarios = Scenario::named(&names)?;
    let hypervisor = if flask { Part::Flask } else { Part::Stock };
    let products = chain::products(hypervisor, &scenarios)?;
    let folder = paths::fresh_output("live")?;
    let options = chain::Options { flask, live: true };
    let report = chain::run(&products, &scenarios, options, &folder)?;
    println!("logs are in {}", folder.display());
    let failed: Vec<_> = report
        .checks
        .iter()
        .filter(|check| check.failure.is_some())
        .collect();
    for check in &failed {
        println!(
            "failed: {}: {}",
            check.name,
            check.failure.as_deref().unwrap_or_default()
        );
    }
    println!(
        "{} passed, {} failed",
        report.checks.len() - failed.len(),
        failed.len()
    );
    Ok(exit_code(failed.is_empty()))
}

fn boot(arguments: &[String]) -> Outcome<ExitCode> {
    host::require(host::QEMU)?;
    let (release, arguments) = match arguments.split_first() {
        Some((word, rest)) if word == "--release" => (true, rest),
        _ => (false, arguments),
    };
    let log = paths::fresh_output("boot")?.join("build.log");
    let image = image::image(release, &log)?;
    let command_line = std::env::var("GSD_CMDLINE").unwrap_or_else(|_| "loopback=2 exit".into());
    let mut qemu = stages::plain_machine(&image, &command_line)?;
    qemu.args(["-serial", "mon:stdio"]).args(arguments);
    // The terminal is QEMU's now: the image's shell reads from it.
    let status = qemu
        .stdin(std::process::Stdio::inherit())
        .status()
        .map_err(|error| Failure::new(format!("cannot run QEMU: {error}")))?;
    match status.code() {
        Some(machine::SUCCESS) => Ok(ExitCode::SUCCESS),
        // Left by its own monitor, or a machine without the exit device's word.
        Some(0) => Ok(ExitCode::SUCCESS),
        Some(code) => {
            println!("QEMU ended with status {code}");
            Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
        }
        None => Err(Failure::new("QEMU was stopped by a signal")),
    }
}
