//! Debian's kernel, for Dom0 and for Linux guests: `vmlinuz`, and its modules with `modules.dep`.

use super::archive::Archive;
use super::resolved::Resolved;
use crate::cache::Product;
use crate::command;
use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Raise it when something below changes what is built.
const RECIPE: &str = "1";

/// `vmlinuz` and `lib/modules/<release>`.
pub fn product(cache: &Path, resolved: &Resolved) -> Product {
    let inputs = [
        RECIPE.as_bytes(),
        resolved.kernel.as_bytes(),
        resolved.kernel_version.as_bytes(),
    ];
    Product::new(cache, "kernel", &inputs)
}

/// Unpacks the package; depmod, which its scripts would have run, is run on the unpacked tree.
pub fn build(archive: &Archive, resolved: &Resolved, folder: &Path, log: &Path) -> Outcome<()> {
    let tree = folder.join("tree");
    archive.unpack(&resolved.kernel, &resolved.kernel_version, &tree, log)?;
    let release = resolved
        .kernel
        .strip_prefix("linux-image-")
        .unwrap_or(&resolved.kernel);
    let vmlinuz = tree.join(format!("boot/vmlinuz-{release}"));
    fs::rename(&vmlinuz, folder.join("vmlinuz")).at("find", &vmlinuz)?;
    let config = tree.join(format!("boot/config-{release}"));
    fs::rename(&config, folder.join("config")).at("find", &config)?;
    let modules = ["usr/lib/modules", "lib/modules"]
        .map(|name| tree.join(name))
        .into_iter()
        .find(|path| path.is_dir())
        .ok_or_else(|| Failure::new(format!("{} has no modules", resolved.kernel)))?;
    let lib = folder.join("lib");
    fs::create_dir_all(&lib).at("create", &lib)?;
    fs::rename(&modules, lib.join("modules")).at("move", &modules)?;
    let mut depmod = command::command("depmod")?;
    command::run(depmod.arg("-b").arg(folder).arg(release), log)?;
    fs::remove_dir_all(&tree).at("remove", &tree)
}

/// The only folder in `lib/modules` of the product.
pub fn modules_folder(product: &Path) -> Outcome<PathBuf> {
    let modules = product.join("lib/modules");
    let Ok(mut entries) = fs::read_dir(&modules) else {
        // Not asked for, or not there: whoever uses it says so.
        return Ok(modules);
    };
    entries
        .next()
        .and_then(Result::ok)
        .map(|entry| entry.path())
        .ok_or_else(|| Failure::new(format!("{} is empty", modules.display())))
}
