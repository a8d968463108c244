//! Debian's kernels, for Dom0 and for Linux guests: an image, and its modules with `modules.dep`.

use super::archive::Archive;
use super::archive::Package;
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

/// A kernel that is ready to be used.
#[derive(Debug, Clone, Default)]
pub struct Kernel {
    /// The bzImage.
    pub image: PathBuf,
    /// The folder that has `modules.dep`.
    pub modules: PathBuf,
}

impl Kernel {
    /// Where a product has them.
    pub fn of(product: &Product, package: &Package) -> Self {
        let folder = product.folder();
        Self {
            image: folder.join("vmlinuz"),
            modules: folder.join("lib/modules").join(release(package)),
        }
    }
}

/// What `uname -r` says.
fn release(package: &Package) -> &str {
    let name = &package.name;
    name.strip_prefix("linux-image-").unwrap_or(name)
}

/// `vmlinuz`, `config` and `lib/modules/<release>`.
pub fn product(cache: &Path, package: &Package) -> Product {
    let inputs = [
        RECIPE.as_bytes(),
        package.name.as_bytes(),
        package.version.as_bytes(),
    ];
    Product::new(cache, "kernel", &inputs)
}

/// Unpacks the package; depmod, which its scripts would have run, is run on the unpacked tree.
pub fn build(archive: &Archive, package: &Package, folder: &Path, log: &Path) -> Outcome<()> {
    let tree = folder.join("tree");
    archive.unpack(package, &tree, log)?;
    let release = release(package);
    let vmlinuz = tree.join(format!("boot/vmlinuz-{release}"));
    fs::rename(&vmlinuz, folder.join("vmlinuz")).at("find", &vmlinuz)?;
    let config = tree.join(format!("boot/config-{release}"));
    fs::rename(&config, folder.join("config")).at("find", &config)?;
    let modules = ["usr/lib/modules", "lib/modules"]
        .map(|name| tree.join(name))
        .into_iter()
        .find(|path| path.is_dir())
        .ok_or_else(|| Failure::new(format!("{} has no modules", package.name)))?;
    let lib = folder.join("lib");
    fs::create_dir_all(&lib).at("create", &lib)?;
    fs::rename(&modules, lib.join("modules")).at("move", &modules)?;
    let mut depmod = command::command("depmod")?;
    command::run(depmod.arg("-b").arg(folder).arg(release), log)?;
    fs::remove_dir_all(&tree).at("remove", &tree)
}
