//! The root of Dom0: an ext4 image of a small Debian with Xen's tools and its QEMU.
//!
//! The packages are only unpacked; nothing of them is run, so it takes seconds and nobody needs to be
//! root. What their maintainer scripts would have done, and Dom0 needs, is done here. Our own files
//! come with the payload: changing them never rebuilds this image.

use super::archive;
use super::archive::Archive;
use super::resolved::Resolved;
use crate::cache::Product;
use crate::command;
use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Raise it when something below changes what is built.
const RECIPE: &str = "2";

/// apt adds what these depend on.
pub const PACKAGES: &[&str] = &[
    "base-files",
    "bash",
    "busybox-static",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "iproute2",
    "kmod",
    "mawk",
    "mount",
    "procps",
    "qemu-system-xen",
    "sed",
    "tar",
    "util-linux",
    "xen-utils-4.20",
    "xen-utils-common",
];

/// Sparse: only what is used takes space.
const IMAGE_SIZE: &str = "1G";

/// Takes time and space in the image, and nobody looks at it.
const LEFT_OUT: [&str; 5] = [
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/zoneinfo",
];

/// `root.ext4` and `busybox`.
pub fn product(cache: &Path, resolved: &Resolved) -> Product {
    let packages = resolved.files.join("\n");
    Product::new(cache, "dom0", &[RECIPE.as_bytes(), packages.as_bytes()])
}

/// Downloads, unpacks, completes, and makes the image.
pub fn build(archive: &Archive, resolved: &Resolved, folder: &Path, log: &Path) -> Outcome<()> {
    let downloads = archive.download(PACKAGES, log)?;
    let root = folder.join("root");
    // base-files has the links /bin -> usr/bin and the like, which must be there first.
    let (first, rest): (Vec<_>, Vec<_>) = resolved
        .files
        .iter()
        .partition(|name| name.starts_with("base-files_"));
    for name in first.into_iter().chain(rest) {
        archive::unpack(&downloads.join(name), &root, log)?;
    }
    if !root.join("bin").is_symlink() {
        return Err(Failure::new(
            "a package of Dom0's root is not for a merged /usr",
        ));
    }
    complete(&root)?;
    drop_set_id_bits(&root)?;

    let busybox = root.join("usr/bin/busybox");
    fs::copy(&busybox, folder.join("busybox")).at("copy", &busybox)?;
    let mut image = command::command("mke2fs")?;
    image
        .args(["-q", "-t", "ext4", "-m", "0", "-L", "dom0"])
        .args(["-O", "^has_journal", "-E", "root_owner=0:0", "-d"])
        .arg(&root)
        .arg(folder.join("root.ext4"))
        .arg(IMAGE_SIZE);
    command::run(&mut image, log)?;
    fs::remove_dir_all(&root).at("remove", &root)
}

/// The files belong to whoever built the image: as set-user-ID programs of theirs, mount and its like
/// would refuse to work for root.
fn drop_set_id_bits(folder: &Path) -> Outcome<()> {
    for entry in fs::read_dir(folder).at("read", folder)? {
        let path = entry.at("read", folder)?.path();
        // Does not follow links: they may lead out of the tree.
        let metadata = fs::symlink_metadata(&path).at("read", &path)?;
        if metadata.is_dir() {
            drop_set_id_bits(&path)?;
        } else if metadata.is_file() && metadata.permissions().mode() & 0o6000 != 0 {
            let mode = metadata.permissions().mode() & 0o777;
            fs::set_permissions(&path, Permissions::from_mode(mode)).at("change", &path)?;
        }
    }
    Ok(())
}

/// What the packages' scripts would have done.
fn complete(root: &Path) -> Outcome<()> {
    for name in LEFT_OUT {
        let path = root.join(name);
        if path.exists() {
            fs::remove_dir_all(&path).at("remove", &path)?;
        }
    }
    for (name, text) in [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"),
        ("etc/group", "root:x:0:\n"),
        ("etc/hosts", "127.0.0.1 localhost dom0\n"),
    ] {
        let path = root.join(name);
        fs::write(&path, text).at("write", &path)?;
    }
    for (name, target) in [
        ("usr/bin/awk", "mawk"),
        // libxl keeps its sockets and locks in /var/run/xen.
        ("var/run", "/run"),
        ("var/lock", "/run/lock"),
    ] {
        let path = root.join(name);
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(&path).at("remove", &path)?;
        }
        if !path.is_symlink() {
            symlink(target, &path).at("link", &path)?;
        }
    }
    for name in [
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "payload",
        "var/log/xen",
        "var/lib/xen",
    ] {
        let path = root.join(name);
        fs::create_dir_all(&path).at("create", &path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_user_id_programs_lose_the_bit_and_links_are_not_followed() {
        let name = format!("xtask-dom0-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let inside = folder.join("root/usr/bin");
        fs::create_dir_all(&inside).expect("temporary folder");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
        let (mount, outside) = (inside.join("mount"), folder.join("outside"));
        for path in [&mount, &outside] {
            fs::write(path, "").expect("write");
            fs::set_permissions(path, Permissions::from_mode(0o4755)).expect("set");
        }
        symlink(&outside, inside.join("link")).expect("link");
        drop_set_id_bits(&folder.join("root")).expect("walk");
        assert_eq!((mode(&mount), mode(&outside)), (0o755, 0o4755));
        fs::remove_dir_all(&folder).expect("remove");
    }
}
