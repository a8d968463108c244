//! The whole chain: Xen and a Linux Dom0 in QEMU, where scenarios start domains with xl and gpuctl.
//!
//! The emulated machine: AMD with nested pages (Debian's Xen has no shadow paging), family 23 (older
//! ones make Linux look for an AGP bridge, 15 s). QEMU splits `-initrd` at commas: there must be none in
//! Dom0's arguments.

use super::initrd;
use super::machine;
use super::payload;
use super::report::Report;
use super::scenario::Scenario;
use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::failure::printable;
use crate::setup;
use crate::setup::Part;
use crate::setup::Products;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Everything before the first scenario, on a slow machine.
const BOOT_LIMIT: Duration = Duration::from_secs(240);
/// What each scenario may take beyond its own limit: its logs are printed, its domains destroyed.
const AFTERWARDS: Duration = Duration::from_secs(60);

/// The serial log without the log files that Dom0 printed into it.
pub const STORY: &str = "story.log";

/// How a chain is run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The hypervisor with FLASK and our policy, instead of Debian's.
    pub flask: bool,
    /// For a person: everything that is said goes to the terminal, consoles as they grow.
    pub live: bool,
}

/// What a run on this hypervisor and with these scenarios needs from the cache.
pub fn products(hypervisor: Part, scenarios: &[Scenario]) -> Outcome<Products> {
    let mut parts = vec![hypervisor, Part::Dom0, Part::Kernel, Part::Emulator];
    for part in scenarios.iter().flat_map(|scenario| &scenario.needs) {
        if !parts.contains(part) {
            parts.push(*part);
        }
    }
    setup::ensure(&parts, false)
}

/// Boots, runs the scenarios, and writes all logs to `folder`. The report is judged.
pub fn run(
    products: &Products,
    scenarios: &[Scenario],
    options: Options,
    folder: &Path,
) -> Outcome<Report> {
    let log = folder.join("build.log");
    let payload = payload::pack(products, scenarios, folder, &log)?;
    let initrd = folder.join("dom0-initrd");
    fs::write(&initrd, initrd::dom0(products, &log)?).at("write", &initrd)?;

    let names: Vec<_> = scenarios.iter().map(|one| one.name.as_str()).collect();
    let mut arguments = format!(
        "console=hvc0 quiet nokaslr mitigations=off tsc=reliable panic=5 scenarios={}",
        names.join(":")
    );
    if options.flask {
        arguments += " flask=yes";
    }
    if options.live {
        arguments += " live";
    }
    let (xen, policy) = if options.flask {
        (&products.flask, Some(&products.policy))
    } else {
        (&products.stock, None)
    };
    let mut xen_arguments = "console=com1 com1=115200,8n1 dom0_mem=1024M sched=credit \
                             loglvl=warning guest_loglvl=warning"
        .to_owned();
    if options.flask {
        xen_arguments += " flask=enforcing";
    }
    if let Ok(more) = std::env::var("GSD_XEN_ARGS") {
        xen_arguments += " ";
        xen_arguments += &more;
    }
    // The policy is found by its magic number.
    let mut modules = format!(
        "{} {arguments},{}",
        escaped(&products.kernel.image)?,
        escaped(&initrd)?
    );
    if let Some(policy) = policy {
        modules += &format!(",{}", escaped(policy)?);
    }

    let mut qemu = machine::own_qemu(&products.emulator);
    qemu.args(["-cpu", "qemu64,family=23,+svm,+npt,+x2apic"])
        .args(["-smp", "2", "-m", "4G"])
        .arg("-kernel")
        .arg(xen)
        .args(["-append", &xen_arguments])
        .args(["-initrd", &modules]);
    for (file, mode) in [(&products.root, "snapshot=on"), (&payload, "readonly=on")] {
        let file = escaped(file)?;
        qemu.arg("-drive")
            .arg(format!("file={file},format=raw,if=virtio,{mode}"));
    }

    let all: Duration = scenarios.iter().map(|one| one.timeout + AFTERWARDS).sum();
    let mut report = Report::default();
    let serial = folder.join("serial.log");
    let mut story = String::new();
    let ending = machine::run(&mut qemu, &serial, BOOT_LIMIT, |line| {
        let was_in_file = report.is_in_file();
        let check = report.line(line).cloned();
        // The consoles were shown as they grew; the files are for later.
        if !was_in_file && !report.is_in_file() {
            let line = printable(line);
            if options.live {
                println!("{line}");
            } else if let Some(figure) = line.strip_prefix("FIGURE ") {
                println!("    figure {figure}");
            }
            story.push_str(&line);
            story.push('\n');
        }
        if let Some(check) = check.filter(|_| !options.live) {
            show(&check.name, check.failure.as_deref());
        }
        // dom0-init says so before the first scenario.
        let is_up = line.starts_with("T ") && line.trim_end().ends_with(" xl is usable");
        is_up.then_some(all)
    })?;
    for end in report.judge(scenarios) {
        show(&end.name, end.failure.as_deref());
    }
    let path = folder.join(STORY);
    fs::write(&path, story).at("write", &path)?;
    for (path, text) in &report.files {
        write_log(folder, path, text)?;
    }
    fs::remove_file(&payload).at("remove", &payload)?;
    ending.expect(0)?;
    Ok(report)
}

/// One line per result.
fn show(name: &str, failure: Option<&str>) {
    match failure {
        None => println!("    ok    {name}"),
        Some(why) => println!("    FAIL  {name}: {why}"),
    }
}

/// Dom0 chose the name: it must not lead out of the folder.
fn write_log(folder: &Path, name: &str, text: &str) -> Outcome<()> {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let parts: Vec<_> = name.split('/').collect();
    let [scenario, file] = parts.as_slice() else {
        return Ok(());
    };
    if !plain(scenario) || !plain(file) {
        return Ok(());
    }
    let folder = folder.join(scenario);
    fs::create_dir_all(&folder).at("create", &folder)?;
    let path = folder.join(file);
    fs::write(&path, text).at("write", &path)
}

/// A path inside an option of QEMU, which splits at commas and, here, at blanks.
fn escaped(path: &Path) -> Outcome<String> {
    match path.to_str() {
        Some(text) if !text.contains([',', ' ']) => Ok(text.to_owned()),
        _ => Err(Failure::new(format!(
            "{}: QEMU cannot take a path with a comma or a blank here; set GSD_CACHE or \
             CARGO_TARGET_DIR",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_named_by_dom0_stays_in_its_folder() {
        let folder = std::env::temp_dir().join(format!("xtask-chain-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("temporary folder");
        for name in [
            "../x", "a/../x", "/etc/x", "a/b/c", "a/.x", "a/", "x", "a/b c",
        ] {
            write_log(&folder, name, "text").expect("ignored");
        }
        assert_eq!(fs::read_dir(&folder).expect("folder").count(), 0);
        write_log(&folder, "smoke/guest-a.log", "text").expect("written");
        let text = fs::read_to_string(folder.join("smoke/guest-a.log")).expect("the log");
        assert_eq!(text, "text");
        fs::remove_dir_all(&folder).expect("remove");
    }

    #[test]
    fn a_path_that_qemu_would_split_is_refused() {
        assert!(escaped(Path::new("/a,b")).is_err());
        assert!(escaped(Path::new("/a b")).is_err());
        assert_eq!(escaped(Path::new("/a-b")).expect("plain"), "/a-b");
    }
}
