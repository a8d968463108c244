//! Everything slow, built once into the cache: hypervisors, Dom0 root, kernel, FLASK policy.
//!
//! What the archive offered when it was last asked is written down (`resolved`); products are keyed by
//! it, so that later runs need no network. `setup --refresh` asks the archive again.

mod archive;
mod dom0;
mod hypervisor;
mod kernel;
mod policy;
mod resolved;
mod sources;

use crate::cache::Product;
use crate::failure::At;
use crate::failure::Outcome;
use crate::host;
use crate::paths;
use crate::progress::Progress;
use archive::Archive;
use resolved::Resolved;
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
}

/// All of them, in the order they are built.
pub const ALL: [Part; 4] = [Part::Stock, Part::Dom0, Part::Kernel, Part::Flask];

/// The products, ready to be used (those that were asked for).
#[derive(Debug)]
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
    pub kernel: PathBuf,
    /// The folder that has that kernel's `modules.dep`.
    pub modules: PathBuf,
}

/// Builds what is missing of `parts`; with `refresh`, from the newest packages.
pub fn ensure(parts: &[Part], refresh: bool) -> Outcome<Products> {
    let cache = paths::cache()?;
    let _lock = lock(&cache)?;
    let known = Resolved::read(&cache).filter(|_| !refresh);
    let resolved = match known {
        Some(known)
            if parts
                .iter()
                .all(|part| product(&cache, &known, *part).is_ready()) =>
        {
            known
        }
        _ => build(&cache, parts)?,
    };
    let flask = product(&cache, &resolved, Part::Flask);
    let policy = if parts.contains(&Part::Flask) {
        host::require(host::HYPERVISOR)?;
        policy::compile(&cache, &flask)?
    } else {
        PathBuf::new()
    };
    let stock = product(&cache, &resolved, Part::Stock);
    let dom0 = product(&cache, &resolved, Part::Dom0);
    let kernel = product(&cache, &resolved, Part::Kernel);
    Ok(Products {
        stock: stock.folder().join("xen"),
        flask: flask.folder().join("xen"),
        policy,
        root: dom0.folder().join("root.ext4"),
        busybox: dom0.folder().join("busybox"),
        kernel: kernel.folder().join("vmlinuz"),
        modules: kernel::modules_folder(kernel.folder())?,
    })
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

fn product(cache: &Path, resolved: &Resolved, part: Part) -> Product {
    match part {
        Part::Stock => hypervisor::stock(cache, resolved),
        Part::Flask => hypervisor::flask(cache, resolved),
        Part::Dom0 => dom0::product(cache, resolved),
        Part::Kernel => kernel::product(cache, resolved),
    }
}

/// Asks the archive and builds what is missing.
fn build(cache: &Path, parts: &[Part]) -> Outcome<Resolved> {
    let mut progress = Progress::new(parts.len() + 2);
    println!("setting up the test bed in {} (once)", cache.display());

    let step = progress.step("host packages");
    let mut needs = [host::ARCHIVE, host::ROOTS, host::QEMU].concat();
    if parts.contains(&Part::Flask) {
        needs.extend(host::HYPERVISOR);
    }
    host::require(&needs)?;
    step.done();

    let logs = cache.join("logs");
    fs::create_dir_all(&logs).at("create", &logs)?;
    let log = logs.join("archive.log");
    fs::write(&log, "").at("write", &log)?;
    let step = progress.step(&format!("package lists of Debian {}", archive::SUITE));
    let archive = Archive::open(cache, &log)?;
    let resolved = Resolved::ask(&archive)?;
    step.done_with(&resolved.summary());
    for note in &resolved.notes {
        println!("      {note}");
    }

    for part in parts {
        let product = product(cache, &resolved, *part);
        let what = match part {
            Part::Stock => "Xen, Debian's build".to_owned(),
            Part::Flask => "Xen with FLASK: compiling".to_owned(),
            Part::Dom0 => format!("Dom0 root: {} packages", resolved.dom0.len()),
            Part::Kernel => format!("kernel and modules: {}", resolved.kernel),
        };
        let step = progress.step(&what);
        if product.is_ready() {
            step.done_with("already there");
            continue;
        }
        product.build(|folder, log| match part {
            Part::Stock => hypervisor::unpack(&archive, &resolved, folder, log),
            Part::Flask => hypervisor::compile(&archive, &resolved, folder, log),
            Part::Dom0 => dom0::build(&archive, &resolved, folder, log),
            Part::Kernel => kernel::build(&archive, &resolved, folder, log),
        })?;
        step.done();
    }
    archive.clean(&log)?;
    resolved.write(cache)?;
    Ok(resolved)
}
