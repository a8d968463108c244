//! A guest's kernel with i915's own tests: Debian's source of the driver, unmodified.
//!
//! Debian's kernels are built without them. Ours is `tinyconfig` plus what an HVM guest needs, plus the
//! driver as a module with `DRM_I915_SELFTEST` and the assertions of `DRM_I915_DEBUG_GEM`. What the
//! tests depend on is as in Debian's configuration: timer frequency, preemption, PAT, huge pages.
//! Each group of tests is a parameter of the module, `igt__<line>__live_<group>`, where the line is
//! that of `selftests/i915_live_selftests.h`: they are read from the module that was built.

use super::archive::Archive;
use super::archive::Package;
use super::kernel::Kernel;
use crate::cache::Product;
use crate::command;
use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Raise it when something below changes what is built.
const RECIPE: &str = "1";

/// Debian's package of the source.
pub const PACKAGE: &str = "linux-source-6.12";

/// What `tinyconfig` lacks: for an HVM guest of Xen with an initrd, then for the driver.
const CONFIG: &str = "\
64BIT SMP X86_LOCAL_APIC X86_X2APIC MTRR X86_PAT ACPI PCI PCI_MSI PCI_QUIRKS PM FW_LOADER \
HYPERVISOR_GUEST PARAVIRT XEN XEN_PVHVM_GUEST HVC_XEN HVC_XEN_FRONTEND TTY PRINTK \
BLK_DEV_INITRD DEVTMPFS PROC_FS SYSFS SHMEM TMPFS BINFMT_ELF BINFMT_SCRIPT MODULES MODULE_UNLOAD \
POSIX_TIMERS FUTEX MULTIUSER HIGH_RES_TIMERS EPOLL EVENTFD SIGNALFD TIMERFD MEMFD_CREATE \
HZ_250 PREEMPT_VOLUNTARY TRANSPARENT_HUGEPAGE TRANSPARENT_HUGEPAGE_ALWAYS MMU_NOTIFIER \
EXPERT DEBUG_KERNEL BUG DEBUG_BUGVERBOSE KALLSYMS DETECT_HUNG_TASK MAGIC_SYSRQ \
DRM DRM_I915_WERROR DRM_I915_SELFTEST DRM_I915_DEBUG_GEM DRM_I915_CAPTURE_ERROR DRM_I915_USERPTR";
/// Options that are not `y`.
const OTHERS: [&str; 4] = [
    "CONFIG_DRM_I915=m",
    "# CONFIG_CPU_MITIGATIONS is not set",
    "# CONFIG_DRM_FBDEV_EMULATION is not set",
    "# CONFIG_DRM_I915_COMPRESS_ERROR is not set",
];

/// How many files are compiled, about: for those who wait.
const FILES: usize = 1560;

/// `vmlinuz`, `modules`, `config` and `groups`.
pub fn product(cache: &Path, package: &Package) -> Product {
    let options = options().join("\n");
    let inputs = [RECIPE, &package.version, &options];
    Product::new(cache, "selftests", &inputs.map(str::as_bytes))
}

/// The driver's own tests, and which of them to run.
#[derive(Debug)]
pub struct Selftests {
    /// The kernel they are in.
    pub kernel: Kernel,
    /// The groups, in the driver's order.
    pub groups: Vec<Group>,
    /// The driver's `st_filter`: tests, or with an exclamation mark those that are not to run.
    pub filter: String,
    /// After so many seconds the run is cut off.
    pub seconds: u32,
    /// And a single test after so many.
    pub each: u32,
}

/// A group of tests: a parameter of the module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// Its line in `i915_live_selftests.h`.
    pub line: u32,
    /// Its name there.
    pub name: String,
}

impl Selftests {
    /// What a product has.
    pub fn of(product: &Product) -> Outcome<Self> {
        let list = product.folder().join(GROUPS);
        let list = fs::read_to_string(&list).at("read", &list)?;
        Ok(Self {
            kernel: Kernel {
                image: product.folder().join("vmlinuz"),
                modules: product.folder().join("modules"),
            },
            groups: list.lines().filter_map(Group::parse).collect(),
            filter: String::new(),
            seconds: 0,
            each: 0,
        })
    }

    /// Only the groups with these names, in this order; all of them when there are none.
    pub fn choose(&mut self, names: &[String]) -> Outcome<()> {
        for name in names {
            if self.groups.iter().all(|group| group.name != *name) {
                let known: Vec<_> = self.groups.iter().map(|group| &*group.name).collect();
                let known = known.join(" ");
                return Err(Failure::new(format!("no group {name}; there are: {known}")));
            }
        }
        if !names.is_empty() {
            self.groups.retain(|group| names.contains(&group.name));
            let place = |group: &Group| names.iter().position(|name| *name == group.name);
            self.groups.sort_by_key(place);
        }
        Ok(())
    }
}

impl Group {
    /// `LINE:NAME`.
    fn parse(text: &str) -> Option<Self> {
        let (line, name) = text.split_once(':')?;
        Some(Self {
            line: line.parse().ok()?,
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.name)
    }
}

/// The file that lists the groups of tests, one a line, in the driver's order.
const GROUPS: &str = "groups";

/// The lines of `.config` that must be there.
fn options() -> Vec<String> {
    let yes = CONFIG.split(' ').map(|name| format!("CONFIG_{name}=y"));
    yes.chain(OTHERS.map(str::to_owned)).collect()
}

/// Unpacks the source, configures, compiles, keeps the kernel and its modules.
pub fn build(archive: &Archive, package: &Package, folder: &Path, log: &Path) -> Outcome<()> {
    let tree = folder.join("tree");
    archive.unpack(package, &tree, log)?;
    let source = folder.join("source");
    fs::create_dir_all(&source).at("create", &source)?;
    let tarball = tree.join(format!("usr/src/{PACKAGE}.tar.xz"));
    let mut tar = command::command("tar")?;
    tar.args(["--extract", "--strip-components=1", "--file"])
        .arg(&tarball)
        .arg("--directory")
        .arg(&source);
    command::run(&mut tar, log)?;
    fs::remove_dir_all(&tree).at("remove", &tree)?;

    configure(&source, log)?;
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
    let jobs = format!("-j{processors}");
    let compile = make(&source, &[&jobs, "bzImage", "modules"])?;
    compile_counted(compile, log)?;
    let install = folder.join("install");
    let place = format!("INSTALL_MOD_PATH={}", install.display());
    command::run(&mut make(&source, &[&place, "modules_install"])?, log)?;

    let image = source.join("arch/x86/boot/bzImage");
    fs::rename(&image, folder.join("vmlinuz")).at("find", &image)?;
    let config = source.join(".config");
    fs::rename(&config, folder.join("config")).at("find", &config)?;
    let modules = install.join("lib/modules");
    let release = fs::read_dir(&modules)
        .at("read", &modules)?
        .flatten()
        .next();
    let release = release.ok_or_else(|| Failure::new("no modules were installed"))?;
    fs::rename(release.path(), folder.join("modules")).at("move", &modules)?;
    // A link to the source, which will be gone.
    let link = folder.join("modules/build");
    fs::remove_file(&link).at("remove", &link)?;
    let driver = folder.join("modules/kernel/drivers/gpu/drm/i915/i915.ko");
    let groups = groups(&fs::read(&driver).at("read", &driver)?);
    let text: String = groups.iter().map(|group| format!("{group}\n")).collect();
    if text.is_empty() {
        return Err(Failure::new("the driver was built without its tests"));
    }
    let list = folder.join(GROUPS);
    fs::write(&list, text).at("write", &list)?;
    fs::remove_dir_all(&install).at("remove", &install)?;
    fs::remove_dir_all(&source).at("remove", &source)
}

fn configure(source: &Path, log: &Path) -> Outcome<()> {
    command::run(&mut make(source, &["tinyconfig"])?, log)?;
    let path = source.join(".config");
    let mut text = fs::read_to_string(&path).at("read", &path)?;
    let wanted = options();
    // The last of several lines counts.
    text += &(wanted.join("\n") + "\n");
    fs::write(&path, text).at("write", &path)?;
    command::run(&mut make(source, &["olddefconfig"])?, log)?;
    let text = fs::read_to_string(&path).at("read", &path)?;
    let dropped = dropped(&wanted, &text);
    if dropped.is_empty() {
        return Ok(());
    }
    let dropped = dropped.join(", ");
    Err(Failure::new(format!("Linux' configuration dropped {dropped}")).with_log(log))
}

/// The wanted lines that the configuration does not have. An option that is not even offered is off.
fn dropped<'a>(wanted: &'a [String], config: &str) -> Vec<&'a str> {
    let has = |line: &str| config.lines().any(|other| other == line);
    let is_off = |line: &str| {
        let name = line
            .strip_prefix("# ")
            .and_then(|line| line.split(' ').next());
        name.is_some_and(|name| !config.contains(&format!("\n{name}=")))
    };
    wanted
        .iter()
        .map(String::as_str)
        .filter(|line| !has(line) && !is_off(line))
        .collect()
}

/// Compiling takes long: the machine's owner goes first.
fn make(source: &Path, arguments: &[&str]) -> Outcome<Command> {
    let mut make = command::command("nice")?;
    make.args(["-n", "15", "make", "ARCH=x86_64", "-C"])
        .arg(source)
        .args(arguments)
        // Ours, if make runs us, is not for Linux.
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        // The same source gives the same kernel.
        .env("KBUILD_BUILD_TIMESTAMP", "@0")
        .env("KBUILD_BUILD_USER", "gpu-service-domain")
        .env("KBUILD_BUILD_HOST", "testbed");
    Ok(make)
}

/// Runs make and tells how far it is, in tenths.
fn compile_counted(mut make: Command, log: &Path) -> Outcome<()> {
    let mut files = 0;
    command::run_lines(&mut make, log, |line| {
        let is_file = line.trim_start().starts_with("CC ");
        if is_file {
            files += 1;
            if files % (FILES / 10) == 0 {
                crate::progress::so_far(&format!("{} %", (files * 100 / FILES).min(99)));
            }
        }
    })
}

/// The parameters that choose groups of live tests, from the module's `.modinfo`, by line.
fn groups(module: &[u8]) -> Vec<Group> {
    const KEY: &[u8] = b"parmtype=igt__";
    let mut groups: Vec<_> = module
        .split(|byte| *byte == 0)
        .filter_map(|text| {
            let text = std::str::from_utf8(text.strip_prefix(KEY)?).ok()?;
            let (line, name) = text.strip_suffix(":bool")?.split_once("__live_")?;
            Group::parse(&format!("{line}:{name}"))
        })
        .collect();
    groups.sort();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_from_the_module_in_the_order_of_their_lines() {
        let module = b"\x7fELF\0license=GPL\0parmtype=igt__21__live_gt_lrc:bool\0\
            parmtype=igt__9__live_uncore:bool\0parmtype=igt__9__mock_vma:bool\0\
            parm=mock_selftests:Run\0parmtype=igt__7__live_x:int\0\xff\xfe";
        let names: Vec<_> = groups(module).iter().map(Group::to_string).collect();
        assert_eq!(names, ["9:uncore", "21:gt_lrc"]);
    }

    #[test]
    fn an_option_that_was_dropped_is_named_and_one_not_offered_is_off() {
        let wanted: Vec<_> = ["CONFIG_A=y", "CONFIG_B=m", "# CONFIG_C is not set"]
            .map(str::to_owned)
            .to_vec();
        let config = "#\nCONFIG_A=y\nCONFIG_B=m\n";
        assert!(dropped(&wanted, config).is_empty());
        let config = "#\nCONFIG_A=y\nCONFIG_B=y\nCONFIG_C=y\n";
        assert_eq!(
            dropped(&wanted, config),
            ["CONFIG_B=m", "# CONFIG_C is not set"]
        );
    }
}
