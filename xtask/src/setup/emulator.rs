//! QEMU, Debian's version, with two faults of its emulated processors mended that end guests of an
//! emulated Xen in triple faults, the more the busier the machine. Both are in every release so far.
//!
//! * Each FPU instruction that leaves no exception pending clears IGNNE in `hflags2` of the *first*
//!   processor, whichever executes it, by an unprotected read and write. If the first processor is
//!   leaving a guest at that moment it gets bits back that it has cleared: with nested paging still on
//!   it fetches the hypervisor's next instruction through the guest's tables, leaves "the guest" once
//!   more, and the hypervisor's registers are in the guest's state (`RIP: e008:…`). Seen: VMEXIT
//!   for HLT begins with hflags2 0x14b and ends with 0x40.
//! * VMRUN that injects an external interrupt delivers it at once and leaves `exception_index` set. A
//!   request to leave the execution loop that comes before the next intercept then has the same vector
//!   delivered once more, whatever the guest's interrupt flag says. Seen: vector 0xf3 in a kernel's
//!   entry code with RFLAGS 0x86.

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

/// A faulty place: the file, what is there once, and what is to be there.
struct Mend {
    file: &'static str,
    faulty: &'static str,
    mended: &'static str,
}

const MENDS: [Mend; 2] = [
    Mend {
        file: "target/i386/tcg/sysemu/fpu_helper.c",
        faulty: "    env->hflags2 &= ~HF2_IGNNE_MASK;\n",
        mended: "    if (env->hflags2 & HF2_IGNNE_MASK) { env->hflags2 &= ~HF2_IGNNE_MASK; }\n",
    },
    Mend {
        file: "target/i386/tcg/sysemu/svm_helper.c",
        faulty: "do_interrupt_x86_hardirq(env, vector, 1);\n",
        mended: "do_interrupt_x86_hardirq(env, vector, 1);\n            cs->exception_index = -1;\n",
    },
];

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
    let mends = MENDS.map(|mend| mend.mended).concat();
    let inputs = [RECIPE, &hashes, &options, &mends];
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
    for mend in MENDS {
        let path = source.join(mend.file);
        let text = mend.apply(&fs::read_to_string(&path).at("read", &path)?)?;
        fs::write(&path, text).at("write", &path)?;
    }

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

impl Mend {
    /// The source file with the fault mended.
    fn apply(&self, text: &str) -> Outcome<String> {
        match text.split_once(self.faulty) {
            Some((before, behind)) if !behind.contains(self.faulty) => {
                Ok(format!("{before}{}{behind}", self.mended))
            }
            _ => Err(Failure::new(format!(
                "{} of this QEMU is not as we know it: see whether the fault is still there",
                self.file
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_faulty_place_must_be_there_once() {
        for mend in MENDS {
            let place = format!("{{\n{}}}\n", mend.faulty);
            let text = mend.apply(&place).expect("the place");
            assert_eq!(text, format!("{{\n{}}}\n", mend.mended));
            assert!(mend.apply("{\n}\n").is_err());
            assert!(mend.apply(&(place.clone() + &place)).is_err());
        }
    }
}
