//! i915's clients that Debian packages: programs of intel-gpu-tools, and the libraries they load.
//!
//! Debian ships no tests of intel-gpu-tools, but its benchmarks, which submit work to every engine by
//! the same interface as real drivers. Of the packages they depend on, only the ELF files that the
//! programs name, directly or not, are kept (`DT_NEEDED`): a guest gets them in its initrd.

use super::archive;
use super::archive::Archive;
use super::resolved::Resolved;
use crate::cache::Product;
use crate::command;
use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Raise it when something below changes what is built.
const RECIPE: &str = "1";

/// The package they are in.
pub const PACKAGE: &str = "intel-gpu-tools";

/// Where they are in it.
const FOLDER: &str = "usr/libexec/igt-gpu-tools/benchmarks";
const PROGRAMS: [&str; 8] = [
    "gem_blt",
    "gem_busy",
    "gem_create",
    "gem_exec_ctx",
    "gem_exec_nop",
    "gem_latency",
    "gem_prw",
    "gem_wsim",
];

/// What programs name as their interpreter; it finds libraries in `LIBRARIES` by itself.
const LOADER: &str = "lib64/ld-linux-x86-64.so.2";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// `root`: the programs and libraries under their usual paths.
pub fn product(cache: &Path, resolved: &Resolved) -> Product {
    let packages = resolved.files.join("\n");
    let programs = PROGRAMS.join("\n");
    let inputs = [RECIPE, &packages, &programs];
    Product::new(cache, "clients", &inputs.map(str::as_bytes))
}

/// Downloads, unpacks, and keeps what is needed.
pub fn build(archive: &Archive, resolved: &Resolved, folder: &Path, log: &Path) -> Outcome<()> {
    let downloads = archive.download(&[PACKAGE], log)?;
    let tree = folder.join("tree");
    for name in &resolved.files {
        archive::unpack(&downloads.join(name), &tree, log)?;
    }
    let mut libraries = BTreeMap::new();
    for name in [LIBRARIES, "usr/lib64", "lib64", "lib/x86_64-linux-gnu"] {
        for entry in fs::read_dir(tree.join(name))
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            libraries.entry(name).or_insert(entry.path());
        }
    }
    let root = folder.join("root");
    let keep = |from: &Path, to: &str| {
        let to = root.join(to);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).at("create", parent)?;
        }
        // Follows links: a library is kept under the name that is asked for.
        fs::copy(from, &to).map(drop).at("copy", from)
    };
    let mut names = Vec::new();
    for program in PROGRAMS {
        let path = tree.join(FOLDER).join(program);
        keep(&path, &format!("{FOLDER}/{program}"))?;
        names.extend(needed(&path, log)?);
    }
    let library = |name: &str| {
        let found: Option<&PathBuf> = libraries.get(name);
        found.ok_or_else(|| Failure::new(format!("no package of {PACKAGE} has {name}")))
    };
    for name in closure(names, |name| needed(library(name)?, log))? {
        let place = format!("{LIBRARIES}/{name}");
        keep(
            library(&name)?,
            if LOADER.ends_with(&name) {
                LOADER
            } else {
                &place
            },
        )?;
    }
    for program in PROGRAMS {
        resolves(&root, program, log)?;
    }
    fs::remove_dir_all(&tree).at("remove", &tree)
}

/// The libraries that an ELF file names.
fn needed(file: &Path, log: &Path) -> Outcome<Vec<String>> {
    let mut readelf = command::command("readelf")?;
    Ok(names(&command::text(readelf.arg("-d").arg(file), log)?))
}

/// From readelf's table: ` 0x… (NEEDED)   Shared library: [libc.so.6]`.
fn names(table: &str) -> Vec<String> {
    table
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned()))
        .collect()
}

/// `names` and all that they need, each once.
fn closure(
    mut names: Vec<String>,
    needed: impl Fn(&str) -> Outcome<Vec<String>>,
) -> Outcome<Vec<String>> {
    let mut all: Vec<String> = Vec::new();
    while let Some(name) = names.pop() {
        if !all.contains(&name) {
            names.extend(needed(&name)?);
            all.push(name);
        }
    }
    all.sort();
    Ok(all)
}

/// Lets the loader that was kept find everything, without running the program.
fn resolves(root: &Path, program: &str, log: &Path) -> Outcome<()> {
    let mut loader = std::process::Command::new(root.join(LOADER));
    loader
        .args(["--inhibit-cache", "--library-path"])
        .arg(root.join(LIBRARIES))
        .arg("--list")
        .arg(root.join(FOLDER).join(program));
    let list = command::text(&mut loader, log)?;
    let outside = list.lines().find(|line| is_outside(line, root));
    match outside {
        None => Ok(()),
        Some(line) => Err(Failure::new(format!("{program}: {}", line.trim())).with_log(log)),
    }
}

/// `name => path (address)`: whether it was found elsewhere, or nowhere.
fn is_outside(line: &str, root: &Path) -> bool {
    let found = line.split_once(" => ").map(|(_, found)| found);
    found.is_some_and(|found| !Path::new(found).starts_with(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_needed_libraries_are_read_from_the_table() {
        let table = "\
Dynamic section at offset 0x2d68 contains 29 entries:
 0x0000000000000001 (NEEDED)             Shared library: [libigt.so.0]
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
 0x000000000000000e (SONAME)             Library soname: [libx.so.1]
 0x000000000000000c (INIT)               0x1000
";
        assert_eq!(names(table), ["libigt.so.0", "libc.so.6"]);
        assert!(names("").is_empty());
    }

    #[test]
    fn what_is_needed_by_what_is_needed_comes_too_and_circles_end() {
        let needed = |name: &str| {
            let names: &[&str] = match name {
                "a" => &["b", "c"],
                "b" => &["a", "c"],
                "c" => &[],
                _ => return Err(Failure::new("unknown")),
            };
            Ok(names.iter().map(|&name| name.to_owned()).collect())
        };
        let all = closure(vec!["a".to_owned()], needed).expect("all are known");
        assert_eq!(all, ["a", "b", "c"]);
        assert!(closure(vec!["d".to_owned()], needed).is_err());
    }

    #[test]
    fn a_library_of_the_host_or_none_is_noticed() {
        let root = Path::new("/cache/root");
        let inside = "\tlibc.so.6 => /cache/root/usr/lib/libc.so.6 (0x00007f)";
        assert!(!is_outside(inside, root));
        assert!(!is_outside("\tlinux-vdso.so.1 (0x00007ffd)", root));
        assert!(is_outside("\tlibc.so.6 => /lib/libc.so.6 (0x00007f)", root));
        assert!(is_outside("\tlibx.so.6 => not found", root));
    }
}
