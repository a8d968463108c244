//! QEMU, Debian's version, with one fault of its emulated SVM mended.
//!
//! VMRUN that injects an external interrupt delivers it at once and leaves `exception_index` set
//! (`target/i386/tcg/sysemu/svm_helper.c`, in every release so far). A request to leave the execution
//! loop that comes before the next intercept then has the same vector delivered once more, whatever
//! the guest's interrupt flag says: in the first instructions of its kernel's entry code that ends the
//! guest. Such requests follow each interrupt of a device; they come late enough when the machine is
//! busy.

use super::archive::Archive;
use super::resolved::Resolved;
use crate::cache::Product;
use crate::command;
use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use std::fs;
use std::path::Path;

/// Raise it when something below changes what is built.
const RECIPE: &str = "1";

/// Debian's source package, and the package whose version it has.
pub const SOURCE: &str = "qemu";
pub const PACKAGE: &str = "qemu-system-x86";

/// The program.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// Where Debian has the firmware; the source package is without.
pub const FIRMWARE: [&str; 2] = ["/usr/share/qemu", "/usr/share/seabios"];

/// The faulty place, and what follows the call there.
const FILE: &str = "target/i386/tcg/sysemu/svm_helper.c";
const CALL: &str = "do_interrupt_x86_hardirq(env, vector, 1);\n";
const MENDED: &str = "            cs->exception_index = -1;\n";

const OPTIONS: [&str; 8] = [
    "--target-list=x86_64-softmmu",
    "--without-default-features",
    "--enable-system",
    "--enable-tcg",
    "--enable-fdt=system",
    "--disable-docs",
    "--disable-tools",
    "--disable-werror",
];

/// How many steps ninja makes, about: for those who wait.
const STEPS: usize = 1430;

/// `qemu-system-x86_64`.
pub fn product(cache: &Path, resolved: &Resolved) -> Product {
    let hashes = resolved.sources.iter().map(|file| file.hash.as_str());
    let hashes = hashes.collect::<Vec<_>>().join("\n");
    let options = OPTIONS.join("\n");
    let inputs = [RECIPE, &hashes, &options, MENDED];
    Product::new(cache, "qemu", &inputs.map(str::as_bytes))
}

/// Unpacks the source, applies Debian's patches and ours, compiles, keeps the program.
pub fn build(archive: &Archive, resolved: &Resolved, folder: &Path, log: &Path) -> Outcome<()> {
    let source = folder.join("source");
    fs::create_dir_all(&source).at("create", &source)?;
    for file in &resolved.sources {
        let tarball = archive.fetch(file)?;
        let mut tar = command::command("tar")?;
        // Upstream's tarball has one folder at the top, Debian's has only `debian`.
        if file.name.contains(".orig.tar.") {
            tar.arg("--strip-components=1");
        }
        tar.arg("--extract").arg("--file").arg(&tarball);
        command::run(tar.arg("--directory").arg(&source), log)?;
    }
    let patches = source.join("debian/patches");
    let series = patches.join("series");
    let series = fs::read_to_string(&series).at("read", &series)?;
    for name in series.lines().map(str::trim) {
        if !name.is_empty() && !name.starts_with('#') {
            let mut patch = command::command("patch")?;
            patch.args(["--strip=1", "--force", "--silent", "--directory"]);
            patch.arg(&source).arg("--input").arg(patches.join(name));
            command::run(&mut patch, log)?;
        }
    }
    let path = source.join(FILE);
    let text = mended(&fs::read_to_string(&path).at("read", &path)?)?;
    fs::write(&path, text).at("write", &path)?;

    let build = source.join("build");
    fs::create_dir_all(&build).at("create", &build)?;
    let mut configure = command::command("sh")?;
    configure.arg("../configure").args(OPTIONS);
    command::run(configure.current_dir(&build), log)?;
    let mut ninja = command::command("nice")?;
    ninja.args(["ninja", PROGRAM]).current_dir(&build);
    let mut steps = 0;
    command::run_lines(&mut ninja, log, |_| {
        steps += 1;
        if steps % (STEPS / 10) == 0 {
            crate::progress::so_far(&format!("{} %", (steps * 100 / STEPS).min(99)));
        }
    })?;
    let program = folder.join(PROGRAM);
    let mut strip = command::command("strip")?;
    strip.arg("-o").arg(&program).arg(build.join(PROGRAM));
    command::run(&mut strip, log)?;
    fs::remove_dir_all(&source).at("remove", &source)
}

/// The source file with the fault mended.
fn mended(text: &str) -> Outcome<String> {
    // The only call in VMRUN; others are in other files.
    match text.split_once(CALL) {
        Some((before, behind)) if !behind.contains(CALL) => {
            Ok(format!("{before}{CALL}{MENDED}{behind}"))
        }
        _ => Err(Failure::new(format!(
            "{FILE} of this QEMU is not as we know it: see whether it delivers injected \
             interrupts twice"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_must_be_there_once() {
        let place = format!("case INTR:\n            {CALL}            break;\n");
        let text = mended(&place).expect("the place");
        assert_eq!(
            text,
            format!("case INTR:\n            {CALL}{MENDED}            break;\n")
        );
        assert!(mended("case INTR:\n").is_err());
        assert!(mended(&(place.clone() + &place)).is_err());
    }
}
