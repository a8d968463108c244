//! Everything slow, built once into the cache: hypervisors, Dom0 root, kernels, FLASK policy.
//!
//! What the archive offered when it was last asked is written down (`resolved`); products are keyed by
//! it, so that later runs need no network. `setup --refresh` asks the archive again.

mod archive;
mod clients;
mod dom0;
mod emulator;
mod hypervisor;
mod kernel;
mod policy;
mod resolved;
mod selftests;
mod sources;

pub use emulator::FIRMWARE;
pub use kernel::Kernel;
pub use selftests::Selftests;

use crate::cache::Product;
use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::host;
use crate::paths;
use crate::progress::Progress;
use archive::Archive;
use resolved::Resolved;
use resolved::Set;
use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;

/// What a run may need from the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Debian's hypervisor.
    Stock,
    /// The same version, built with FLASK, and our policy.
    Flask,
    /// The root of Dom0.
    Dom0,
    /// The kernel of Dom0 and of Linux guests, with its modules.
    Kernel,
    /// The kernel of Debian bookworm, for guests.
    Kernel61,
    /// Programs for guests that use their vGPU through i915.
    Clients,
    /// A kernel whose i915 tests itself.
    Selftests,
    /// Debian bookworm's hypervisor, which is too old for us.
    OldXen,
    /// QEMU with its SVM mended.
    Emulator,
}

/// What `setup` builds when nothing is named, in this order. The others are built when a run first needs them.
pub const DEFAULT: [Part; 5] = [
    Part::Stock,
    Part::Dom0,
    Part::Kernel,
    Part::Flask,
    Part::Emulator,
];

/// The products, ready to be used: those that were asked for; the other paths are empty.
#[derive(Debug, Default)]
pub struct Products {
    /// Debian's hypervisor, an ELF file.
    pub stock: PathBuf,
    /// The hypervisor with FLASK.
    pub flask: PathBuf,
    /// The compiled policy: a multiboot module for the hypervisor with FLASK.
    pub policy: PathBuf,
    /// Dom0's root, an ext4 image.
    pub root: PathBuf,
    /// A static busybox.
    pub busybox: PathBuf,
    /// Debian's kernel.
    pub kernel: Kernel,
    /// Debian bookworm's kernel.
    pub kernel_6_1: Option<Kernel>,
    /// The root of i915's clients, with their libraries.
    pub clients: Option<PathBuf>,
    /// The kernel whose i915 tests itself.
    pub selftests: Option<Selftests>,
    /// Debian bookworm's hypervisor.
    pub old_xen: PathBuf,
    /// QEMU with its SVM mended.
    pub emulator: PathBuf,
}

impl Part {
    /// All of them, in the order they are built.
    pub const ALL: [Self; 9] = [
        Self::Stock,
        Self::Dom0,
        Self::Kernel,
        Self::Flask,
        Self::Kernel61,
        Self::Clients,
        Self::Selftests,
        Self::OldXen,
        Self::Emulator,
    ];

    /// What one types.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stock => "xen",
            Self::Flask => "xen-flask",
            Self::Dom0 => "dom0",
            Self::Kernel => "kernel",
            Self::Kernel61 => "kernel-6.1",
            Self::Clients => "clients",
            Self::Selftests => "selftests",
            Self::OldXen => "xen-4.17",
            Self::Emulator => "qemu",
        }
    }

    /// The part with this name.
    pub fn named(name: &str) -> Outcome<Self> {
        let found = Self::ALL.into_iter().find(|part| part.name() == name);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(" ");
            Failure::new(format!("no part {name}; there are: {known}"))
        })
    }

    /// Where its versions are written down.
    fn set(self) -> Set {
        match self {
            Self::Stock | Self::Flask | Self::Dom0 | Self::Kernel => Set::System,
            Self::Clients => Set::Clients,
            Self::Selftests => Set::Driver,
            Self::Kernel61 | Self::OldXen => Set::Bookworm,
            Self::Emulator => Set::Emulator,
        }
    }

    fn product(self, cache: &Path, resolved: &Resolved) -> Outcome<Product> {
        Ok(match self {
            Self::Stock | Self::OldXen => hypervisor::stock(cache, resolved.package(XEN)?),
            Self::Flask => hypervisor::flask(cache, resolved),
            Self::Dom0 => dom0::product(cache, resolved),
            Self::Clients => clients::product(cache, resolved),
            Self::Emulator => emulator::product(cache, resolved),
            Self::Selftests => selftests::product(cache, resolved.package(SOURCE)?),
            Self::Kernel | Self::Kernel61 => kernel::product(cache, resolved.package(LINUX)?),
        })
    }

    fn is_ready(self, cache: &Path) -> bool {
        let resolved = self.set().read(cache);
        resolved.is_some_and(|resolved| {
            let product = self.product(cache, &resolved);
            product.is_ok_and(|product| product.is_ready())
        })
    }

    /// What the machine must have besides what all need.
    fn host_needs(self) -> &'static [&'static str] {
        match self {
            Self::Flask => host::HYPERVISOR,
            Self::Clients => host::CLIENTS,
            Self::Selftests => host::LINUX,
            Self::Emulator => host::EMULATOR,
            _ => &[],
        }
    }

    /// For the line of its building.
    fn title(self, resolved: &Resolved) -> Outcome<String> {
        Ok(match self {
            Self::Stock => "Xen, Debian's build".to_owned(),
            Self::Flask => "Xen with FLASK: compiling".to_owned(),
            Self::Dom0 => format!("Dom0 root: {} packages", resolved.files.len()),
            Self::Kernel | Self::Kernel61 => {
                format!("kernel and modules: {}", resolved.package(LINUX)?.name)
            }
            Self::Clients => "i915's clients, from intel-gpu-tools".to_owned(),
            Self::Selftests => {
                let version = &resolved.package(SOURCE)?.version;
                format!("i915 with its own tests: compiling Linux {version}")
            }
            Self::OldXen => format!("an old Xen: {}", resolved.package(XEN)?.version),
            Self::Emulator => {
                let version = &resolved.package(emulator::PACKAGE)?.version;
                format!("QEMU {version}, mended: compiling")
            }
        })
    }

    fn build(self, archive: &Archive, resolved: &Resolved, to: &Path, log: &Path) -> Outcome<()> {
        match self {
            Self::Stock | Self::OldXen => {
                hypervisor::unpack(archive, resolved.package(XEN)?, to, log)
            }
            Self::Flask => hypervisor::compile(archive, resolved, to, log),
            Self::Dom0 => dom0::build(archive, resolved, to, log),
            Self::Clients => clients::build(archive, resolved, to, log),
            Self::Emulator => emulator::build(archive, resolved, to, log),
            Self::Selftests => selftests::build(archive, resolved.package(SOURCE)?, to, log),
            Self::Kernel | Self::Kernel61 => {
                kernel::build(archive, resolved.package(LINUX)?, to, log)
            }
        }
    }
}

/// How the names of packages begin.
const XEN: &str = "xen-hypervisor-";
const LINUX: &str = "linux-image-";
const SOURCE: &str = "linux-source-";

/// Builds what is missing of `parts`; with `refresh`, from the newest packages.
pub fn ensure(parts: &[Part], refresh: bool) -> Outcome<Products> {
    let cache = paths::cache()?;
    let _lock = lock(&cache)?;
    if refresh {
        Set::forget(&cache)?;
    }
    if !parts.iter().all(|part| part.is_ready(&cache)) {
        build(&cache, parts)?;
    }
    let mut products = Products::default();
    for part in parts {
        products.take(&cache, *part)?;
    }
    Ok(products)
}

impl Products {
    /// Fills in the paths of a part that is ready.
    fn take(&mut self, cache: &Path, part: Part) -> Outcome<()> {
        let resolved = part.set().known(cache)?;
        let product = part.product(cache, &resolved)?;
        let folder = product.folder();
        match part {
            Part::Stock => self.stock = folder.join("xen"),
            Part::OldXen => self.old_xen = folder.join("xen"),
            Part::Flask => {
                host::require(host::HYPERVISOR)?;
                self.flask = folder.join("xen");
                self.policy = policy::compile(cache, &product)?;
            }
            Part::Dom0 => {
                self.root = folder.join("root.ext4");
                self.busybox = folder.join("busybox");
            }
            Part::Emulator => self.emulator = folder.join(emulator::PROGRAM),
            Part::Clients => self.clients = Some(folder.join("root")),
            Part::Selftests => self.selftests = Some(Selftests::of(&product)?),
            Part::Kernel => self.kernel = Kernel::of(&product, resolved.package(LINUX)?),
            Part::Kernel61 => {
                self.kernel_6_1 = Some(Kernel::of(&product, resolved.package(LINUX)?));
            }
        }
        Ok(())
    }
}

/// One at a time: a second run waits for the first to finish building.
fn lock(cache: &Path) -> Outcome<File> {
    let path = cache.join("lock");
    let file = File::create(&path).at("create", &path)?;
    if file.try_lock().is_err() {
        println!("waiting for another run that uses {}", cache.display());
        file.lock().at("lock", &path)?;
    }
    Ok(file)
}

/// Asks the archive for the sets of which something is missing, and builds that.
fn build(cache: &Path, parts: &[Part]) -> Outcome<()> {
    let missing: Vec<_> = parts.iter().filter(|part| !part.is_ready(cache)).collect();
    let stale = Set::ALL.into_iter();
    let stale: Vec<_> = stale
        .filter(|set| missing.iter().any(|part| part.set() == *set))
        .collect();
    let wanted = |set: Set| parts.iter().filter(move |part| part.set() == set);
    let steps: usize = stale.iter().map(|set| 1 + wanted(*set).count()).sum();
    let mut progress = Progress::new(steps + 1);
    println!("setting up the test bed in {} (once)", cache.display());

    let step = progress.step("host packages");
    let mut needs = [host::ARCHIVE, host::ROOTS, host::QEMU].concat();
    needs.extend(missing.iter().flat_map(|part| part.host_needs()));
    host::require(&needs)?;
    step.done();

    let logs = cache.join("logs");
    fs::create_dir_all(&logs).at("create", &logs)?;
    for set in stale {
        let log = logs.join(format!("archive-{}.log", set.suite()));
        fs::write(&log, "").at("write", &log)?;
        let step = progress.step(&format!("package lists of Debian {}", set.suite()));
        let archive = Archive::open(set.suite(), cache, &log)?;
        let resolved = set.ask(&archive)?;
        step.done_with(&resolved.summary());
        for note in &resolved.notes {
            println!("      {note}");
        }
        for part in wanted(set) {
            let step = progress.step(&part.title(&resolved)?);
            let product = part.product(cache, &resolved)?;
            if product.is_ready() {
                step.done_with("already there");
                continue;
            }
            product.build(|folder, log| part.build(&archive, &resolved, folder, log))?;
            step.done();
        }
        archive.clean(&log)?;
        set.write(cache, &resolved)?;
    }
    Ok(())
}
