//! What the machine we run on must have: programs, files, and the Debian packages they come from.

use crate::failure::Failure;
use crate::failure::Outcome;
use std::env;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

/// A program (looked up in `PATH`), or a file when it starts with a slash, and its package.
const PACKAGES: [(&str, &str); 40] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("apt-get", "apt"),
    ("apt-cache", "apt"),
    ("apt-config", "apt"),
    ("dpkg-deb", "dpkg"),
    (
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
    ),
    ("mke2fs", "e2fsprogs"),
    ("tar", "tar"),
    ("gzip", "gzip"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
    ("depmod", "kmod"),
    ("make", "make"),
    ("gcc", "gcc"),
    ("/usr/include/stdio.h", "libc6-dev"),
    ("ld", "binutils"),
    ("strip", "binutils"),
    ("readelf", "binutils"),
    ("bc", "bc"),
    ("nice", "coreutils"),
    ("/usr/include/libelf.h", "libelf-dev"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("m4", "m4"),
    ("checkpolicy", "checkpolicy"),
    ("python3", "python3"),
    ("awk", "mawk"),
    ("valgrind", "valgrind"),
    ("getconf", "libc-bin"),
    ("git", "git"),
    ("patch", "patch"),
    ("ninja", "ninja-build"),
    ("meson", "meson"),
    ("pkg-config", "pkg-config"),
    ("/usr/include/glib-2.0/glib.h", "libglib2.0-dev"),
    ("/usr/include/pixman-1/pixman.h", "libpixman-1-dev"),
    ("/usr/include/zlib.h", "zlib1g-dev"),
    ("/usr/include/libfdt.h", "libfdt-dev"),
    ("/usr/include/xen/xen.h", "libxen-dev"),
    ("/usr/include/libdrm/i915_drm.h", "libdrm-dev"),
];

/// Booting the image in QEMU.
pub const QEMU: &[&str] = &["qemu-system-x86_64"];
/// Getting packages of the test bed's Debian suite.
pub const ARCHIVE: &[&str] = &[
    "apt-get",
    "apt-cache",
    "apt-config",
    "dpkg-deb",
    "/usr/share/keyrings/debian-archive-keyring.gpg",
];
/// Building the Dom0 root, the kernel product, initrds and the payload.
pub const ROOTS: &[&str] = &["mke2fs", "tar", "gzip", "xz", "depmod"];
/// Finding the libraries of the guests' programs.
pub const CLIENTS: &[&str] = &["readelf"];
/// Building the hypervisor and its policy.
pub const HYPERVISOR: &[&str] = &[
    "make",
    "gcc",
    "/usr/include/stdio.h",
    "ld",
    "flex",
    "bison",
    "m4",
    "checkpolicy",
    "python3",
    "awk",
    "xz",
    "tar",
];
/// Building a kernel; its objtool reads ELF files.
pub const LINUX: &[&str] = &[
    "make",
    "gcc",
    "/usr/include/stdio.h",
    "/usr/include/libelf.h",
    "ld",
    "flex",
    "bison",
    "bc",
    "awk",
    "xz",
    "tar",
    "nice",
    "depmod",
];
/// Building QEMU.
pub const EMULATOR: &[&str] = &[
    "gcc",
    "/usr/include/stdio.h",
    "ld",
    "strip",
    "make",
    "ninja",
    "meson",
    "pkg-config",
    "python3",
    "patch",
    "nice",
    "xz",
    "tar",
    "/usr/include/glib-2.0/glib.h",
    "/usr/include/pixman-1/pixman.h",
    "/usr/include/zlib.h",
    "/usr/include/libfdt.h",
];
/// What the host tests of the workspace use.
pub const TESTS: &[&str] = &[
    "gcc",
    "/usr/include/stdio.h",
    "/usr/include/xen/xen.h",
    "valgrind",
];
/// Counting instructions.
pub const BENCH: &[&str] = &["gcc", "/usr/include/stdio.h", "valgrind", "getconf"];
/// Measuring the image.
pub const IMAGE: &[&str] = &["strip"];

/// The path of a program, or of a file given by its full path.
pub fn find(name: &str) -> Option<PathBuf> {
    if name.starts_with('/') {
        let path = PathBuf::from(name);
        return path.exists().then_some(path);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    // mke2fs and depmod are in sbin, which is not in every user's PATH.
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into(), "/usr/bin".into()])
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// The packages of those names that are not there, sorted, each once.
fn missing_packages(names: &[&str]) -> Vec<&'static str> {
    let mut packages: Vec<_> = names
        .iter()
        .filter(|name| find(name).is_none())
        .map(|name| package(name))
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn package(name: &str) -> &'static str {
    PACKAGES
        .iter()
        .find(|(known, _)| *known == name)
        .map_or("(no Debian package known)", |(_, package)| package)
}

/// The failure that names what to install.
pub fn missing(names: &[&str]) -> Failure {
    let packages = missing_packages(names).join(" ");
    Failure::new(format!(
        "missing on this machine: {packages}\n       as root: apt-get install --no-install-recommends {packages}"
    ))
}

/// Makes sure that all of `names` are there: installs their packages when root, else says which.
pub fn require(names: &[&str]) -> Outcome<()> {
    let packages = missing_packages(names);
    if packages.is_empty() {
        return Ok(());
    }
    if !is_root() || find("apt-get").is_none() {
        return Err(missing(names));
    }
    println!("installing {} with apt-get", packages.join(" "));
    let log = crate::paths::cache()?
        .join("logs")
        .join("host-packages.log");
    if let Some(folder) = log.parent() {
        crate::failure::At::at(std::fs::create_dir_all(folder), "create", folder)?;
    }
    let mut install = apt_get();
    install
        .args(["install", "-y", "--no-install-recommends"])
        .args(&packages);
    if crate::command::run(&mut install, &log).is_err() {
        // Package lists that are missing or old are the usual reason.
        crate::command::run(apt_get().arg("update"), &log)?;
        let mut again = apt_get();
        again
            .args(["install", "-y", "--no-install-recommends"])
            .args(&packages);
        crate::command::run(&mut again, &log)?;
    }
    if missing_packages(names).is_empty() {
        Ok(())
    } else {
        Err(missing(names).with_log(&log))
    }
}

/// The machine's own apt, never asking.
fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C")
        // Somebody else's apt may be at work.
        .args(["-o", "DPkg::Lock::Timeout=600"])
        .stdin(Stdio::null());
    command
}

/// Whether we may install packages; the owner of our own /proc entry is our user.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(Path::new("/proc/self")).is_ok_and(|us| us.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_a_stage_needs_has_a_package() {
        for list in [
            QEMU, ARCHIVE, ROOTS, CLIENTS, HYPERVISOR, LINUX, EMULATOR, TESTS, BENCH, IMAGE,
        ] {
            for name in list {
                assert!(
                    PACKAGES.iter().any(|(known, _)| known == name),
                    "{name} has no package"
                );
            }
        }
    }

    #[test]
    fn what_is_there_is_found_and_what_is_not_is_named() {
        assert!(find("sh").is_some());
        assert!(find("/proc/self").is_some());
        assert!(find("no-such-program-anywhere").is_none());
        let failure = missing(&["no-such-program-anywhere"]);
        assert!(failure.message.contains("no Debian package known"));
    }
}
