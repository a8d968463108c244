//! Xen: Debian's own build, and the same version built with FLASK.
//!
//! Debian ships Xen without XSM. Ours is defconfig plus the options below, from the upstream tarball of
//! Debian's source package. LIVEPATCH must stay: without it `xsm_ops` is init data, and GCC 12
//! moves a load of it behind the point where that is gone (fatal page fault at the first domain).

use super::archive::Archive;
use super::archive::Package;
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

/// Debian's package of the hypervisor.
pub const PACKAGE: &str = "xen-hypervisor-4.20-amd64";
/// A release that refuses what we need (`xen::detect::Version::REQUIRED`).
pub const OLD_PACKAGE: &str = "xen-hypervisor-4.17-amd64";

/// An upstream tarball that Debian's pool keeps: for days on which the index already names a newer
/// one that mirrors do not have. The tools of a series work with every hypervisor of it.
pub const SPARE_SOURCE: &str = "xen_4.20.3+127-gc42374a105.orig.tar.xz";
/// Of the file as the pool has it now; the signed index names it no more.
pub const SPARE_HASH: &str =
    "SHA256:df0831854a55a8f31cb3cb85036f2edc928e2ef098d77f815f5714bfafac68f3";

const OPTIONS: [&str; 5] = [
    "CONFIG_XSM=y",
    "CONFIG_XSM_FLASK=y",
    "CONFIG_XSM_FLASK_POLICY=y",
    "CONFIG_XSM_FLASK_DEFAULT=y",
    "CONFIG_LIVEPATCH=y",
];

/// Debian's build.
pub fn stock(cache: &Path, package: &Package) -> Product {
    let inputs = [RECIPE.as_bytes(), package.version.as_bytes()];
    Product::new(cache, "xen-stock", &inputs)
}

/// The build with FLASK, and the sources of its policy.
pub fn flask(cache: &Path, resolved: &Resolved) -> Product {
    let source = resolved.sources.first().map_or("", |file| &file.hash);
    let options = OPTIONS.join("\n");
    let inputs = [RECIPE.as_bytes(), source.as_bytes(), options.as_bytes()];
    Product::new(cache, "xen-flask", &inputs)
}

/// `folder/xen` from the package.
pub fn unpack(archive: &Archive, package: &Package, folder: &Path, log: &Path) -> Outcome<()> {
    let tree = folder.join("tree");
    archive.unpack(package, &tree, log)?;
    let boot = tree.join("boot");
    let image = fs::read_dir(&boot)
        .at("read", &boot)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "gz"))
        .ok_or_else(|| Failure::new(format!("{} has no /boot/*.gz", package.name)))?;
    // QEMU takes the ELF file, not its compressed form.
    let elf = command::output(command::command("gzip")?.arg("-dc").arg(&image), log)?;
    let path = folder.join("xen");
    fs::write(&path, elf).at("write", &path)?;
    fs::remove_dir_all(&tree).at("remove", &tree)
}

/// `folder/xen` compiled, and `folder/policy-source`.
pub fn compile(archive: &Archive, resolved: &Resolved, folder: &Path, log: &Path) -> Outcome<()> {
    let Some(source) = resolved.sources.first() else {
        return Err(Failure::new(format!(
            "no version of Xen's source can be downloaded: {}",
            resolved.notes.join("; ")
        )));
    };
    let tarball = archive.fetch(source)?;
    let build = folder.join("build");
    fs::create_dir_all(&build).at("create", &build)?;
    let mut tar = command::command("tar")?;
    tar.args(["--extract", "--strip-components=1", "--file"])
        .arg(&tarball)
        .arg("--directory")
        .arg(&build);
    command::run(&mut tar, log)?;

    make(&build, &["defconfig"], log)?;
    let config = build.join("xen/.config");
    let mut text = fs::read_to_string(&config).at("read", &config)?;
    text += &(OPTIONS.join("\n") + "\n");
    fs::write(&config, text).at("write", &config)?;
    make(&build, &["olddefconfig"], log)?;
    let text = fs::read_to_string(&config).at("read", &config)?;
    for option in OPTIONS {
        if !text.lines().any(|line| line == option) {
            return Err(Failure::new(format!(
                "Xen's configuration dropped {option}"
            )));
        }
    }
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
    // Compilers newer than this Xen find something new to warn about.
    let arguments = [
        &format!("-j{processors}"),
        "EXTRA_CFLAGS_XEN_CORE=-Wno-error",
    ];
    make(&build, &arguments, log)?;

    let keep = |from: &str, to: &str| {
        let to = folder.join(to);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).at("create", parent)?;
        }
        fs::rename(build.join(from), &to).at("write", &to)
    };
    keep("xen/xen", "xen")?;
    // The policy's makefile reads the hypervisor's classes by this relative path.
    keep("tools/flask/policy", "policy-source/tools/flask/policy")?;
    keep("xen/xsm/flask/policy", "policy-source/xen/xsm/flask/policy")?;
    fs::remove_dir_all(&build).at("remove", &build)
}

fn make(build: &Path, arguments: &[&str], log: &Path) -> Outcome<()> {
    let mut make = command::command("make")?;
    make.arg("-C").arg(build.join("xen")).args(arguments);
    // Ours, if make runs us, is not for Xen.
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    command::run(&mut make, log)
}
