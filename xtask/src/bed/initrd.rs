//! The initrds of Dom0 and of the Linux guests: busybox, an init script, a few kernel modules.

use super::cpio::Cpio;
use super::modules::Dependencies;
use super::modules::name;
use crate::command;
use crate::failure::At;
use crate::failure::Outcome;
use crate::paths;
use crate::setup::Kernel;
use crate::setup::Products;
use std::fs;
use std::path::Path;

/// The disks, their file system (which wants crc32c by softdep only), and Xen's device files.
const DOM0: &[&str] = &[
    "virtio_blk",
    "crc32c_generic",
    "ext4",
    "xen-privcmd",
    "xenfs",
    "xen-gntdev",
    "xen-evtchn",
];
/// What a program in a guest needs to own a PCI device and its interrupt.
const GUEST: &[&str] = &["vfio_iommu_type1", "vfio-pci"];

/// What drives the vGPU.
const I915: &[&str] = &["i915"];

/// Dom0's: mounts its root and unpacks the payload.
pub fn dom0(products: &Products, log: &Path) -> Outcome<Vec<u8>> {
    let cpio = pack(products, &products.kernel, "dom0-initrd", DOM0, log)?;
    Ok(cpio.finish())
}

/// That of guests with this kernel: runs `test_program`.
pub fn guest(
    products: &Products,
    kernel: &Kernel,
    test_program: &Path,
    log: &Path,
) -> Outcome<Vec<u8>> {
    let mut cpio = pack(products, kernel, "guest-init", GUEST, log)?;
    let program = fs::read(test_program).at("read", test_program)?;
    cpio.file("guest-test", &program);
    Ok(cpio.finish())
}

/// Of guests that use Debian's own driver, with the program that uses it.
pub fn i915(products: &Products, kernel: &Kernel, program: &Path, log: &Path) -> Outcome<Vec<u8>> {
    let mut cpio = pack(products, kernel, "i915-init", I915, log)?;
    let program = fs::read(program).at("read", program)?;
    cpio.file("guest-render", &program);
    Ok(cpio.finish())
}

/// Of guests whose i915 tests itself.
pub fn selftests(products: &Products, kernel: &Kernel, log: &Path) -> Outcome<Vec<u8>> {
    Ok(pack(products, kernel, "selftests-init", I915, log)?.finish())
}

/// i915's clients and a workload for one of them, to be appended to a guest's: the kernel unpacks one
/// archive after the other.
pub fn clients(root: &Path) -> Outcome<Vec<u8>> {
    let mut cpio = Cpio::default();
    cpio.tree(root)?;
    let workload = paths::root().join("testbed/mixed.wsim");
    cpio.file("mixed.wsim", &fs::read(&workload).at("read", &workload)?);
    Ok(cpio.finish())
}

fn pack(
    products: &Products,
    kernel: &Kernel,
    init: &str,
    modules: &[&str],
    log: &Path,
) -> Outcome<Cpio> {
    let mut cpio = Cpio::default();
    for folder in ["bin", "dev", "modules", "proc", "root", "sys", "tmp"] {
        cpio.folder(folder);
    }
    let busybox = fs::read(&products.busybox).at("read", &products.busybox)?;
    cpio.file("bin/busybox", &busybox);
    let init = paths::root().join("testbed").join(init);
    cpio.file("init", &fs::read(&init).at("read", &init)?);

    let list = kernel.modules.join("modules.dep");
    let list = fs::read_to_string(&list).at("read", &list)?;
    let mut order = String::new();
    for path in Dependencies::parse(&list).load_order(modules)? {
        let file = format!("{}.ko", name(path));
        order += &format!("{file}\n");
        let data = decompressed(&kernel.modules.join(path), log)?;
        cpio.file(&format!("modules/{file}"), &data);
    }
    cpio.file("modules/order", order.as_bytes());
    Ok(cpio)
}

/// busybox's insmod takes plain modules only.
fn decompressed(module: &Path, log: &Path) -> Outcome<Vec<u8>> {
    let program = match module.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(module).at("read", module),
    };
    command::output(command::command(program)?.arg("-dc").arg(module), log)
}
