//! Which versions of Debian's packages the test bed is made of.
//!
//! Packages that are asked for together are a set, with a file of its own (`resolved-<set>` in the
//! cache): what is asked for rarely does not renew the rest, and the rest does not need its suite.

use super::archive::Archive;
use super::archive::Package;
use super::archive::SourceFile;
use super::clients;
use super::dom0;
use super::emulator;
use super::hypervisor;
use super::selftests;
use crate::cache::hash;
use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Raise it when the file's format or the way of choosing changes.
const FORMAT: &str = "3";

/// Debian's package that depends on its newest kernel.
const NEWEST_KERNEL: &str = "linux-image-amd64";

/// Packages that are asked for together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// What every run is made of: hypervisor, Dom0's root, kernel.
    System,
    /// Programs for guests that use their vGPU.
    Clients,
    /// The source of the driver with its own tests.
    Driver,
    /// An older kernel for guests, and a hypervisor that is too old for us.
    Bookworm,
    /// The source of the emulator.
    Emulator,
}

impl Set {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::System,
        Self::Clients,
        Self::Driver,
        Self::Bookworm,
        Self::Emulator,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Clients => "clients",
            Self::Driver => "driver",
            Self::Bookworm => "bookworm",
            Self::Emulator => "emulator",
        }
    }

    /// The suite it comes from.
    pub fn suite(self) -> &'static str {
        match self {
            Self::System | Self::Clients | Self::Driver => "trixie",
            Self::Bookworm | Self::Emulator => "bookworm",
        }
    }

    /// The packages that are asked for.
    fn packages(self) -> Vec<&'static str> {
        match self {
            Self::System => [&[hypervisor::PACKAGE, NEWEST_KERNEL], dom0::PACKAGES].concat(),
            Self::Clients => vec![clients::PACKAGE],
            Self::Driver => vec![selftests::PACKAGE],
            Self::Bookworm => vec![hypervisor::OLD_PACKAGE, NEWEST_KERNEL],
            Self::Emulator => vec![emulator::PACKAGE],
        }
    }

    /// A file is used only by those who would ask for the same packages in the same way.
    fn format(self) -> String {
        let packages = self.packages().join(" ");
        let inputs = [FORMAT, self.suite(), &packages];
        format!("{:016x}", hash(&inputs.map(str::as_bytes)))
    }

    fn path(self, cache: &Path) -> PathBuf {
        cache.join(format!("resolved-{}", self.name()))
    }

    /// Chooses versions: the newest of everything, except that the source of the hypervisor that we
    /// compile must be there too.
    pub fn ask(self, archive: &Archive) -> Outcome<Resolved> {
        let mut resolved = Resolved::default();
        match self {
            Self::System => {
                resolved.choose_xen(archive)?;
                resolved.choose_kernel(archive)?;
                resolved.files = archive.plan(dom0::PACKAGES)?;
            }
            Self::Clients => resolved.files = archive.plan(&[clients::PACKAGE])?,
            Self::Driver => {
                let source = archive.newest(selftests::PACKAGE)?;
                resolved.packages.push(source);
            }
            Self::Bookworm => {
                let xen = archive.newest(hypervisor::OLD_PACKAGE)?;
                resolved.packages.push(xen);
                resolved.choose_kernel(archive)?;
            }
            Self::Emulator => {
                let package = archive.newest(emulator::PACKAGE)?;
                let version = source_version(&package.version);
                resolved.sources = archive.source(emulator::SOURCE, version)?;
                resolved.packages.push(package);
            }
        }
        Ok(resolved)
    }

    /// What `write` kept, if it is of this format.
    pub fn read(self, cache: &Path) -> Option<Resolved> {
        let text = fs::read_to_string(self.path(cache)).ok()?;
        Resolved::parse(&self.format(), &text)
    }

    /// The same, of a set that was written.
    pub fn known(self, cache: &Path) -> Outcome<Resolved> {
        let path = self.path(cache);
        self.read(cache)
            .ok_or_else(|| Failure::new(format!("{} cannot be read", path.display())))
    }

    /// Lets the archive be asked anew, for each set when something of it is needed next.
    pub fn forget(cache: &Path) -> Outcome<()> {
        for set in Self::ALL {
            let path = set.path(cache);
            if path.exists() {
                fs::remove_file(&path).at("remove", &path)?;
            }
        }
        Ok(())
    }

    /// Keeps it for the next run.
    pub fn write(self, cache: &Path, resolved: &Resolved) -> Outcome<()> {
        let path = self.path(cache);
        let new = path.with_extension("new");
        fs::write(&new, resolved.text(&self.format())).at("write", &new)?;
        fs::rename(&new, &path).at("write", &path)
    }
}

/// What the archive offered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolved {
    /// Packages that are unpacked one by one.
    pub packages: Vec<Package>,
    /// Files of the source that we compile: one of the hypervisor, without which there is none with
    /// FLASK; all of the emulator.
    pub sources: Vec<SourceFile>,
    /// File names of packages that belong together, with all they depend on.
    pub files: Vec<String>,
    /// What is worth telling about the choice; not kept.
    pub notes: Vec<String>,
}

impl Resolved {
    fn choose_xen(&mut self, archive: &Archive) -> Outcome<()> {
        let versions = archive.versions(hypervisor::PACKAGE)?;
        let mut version = versions[0].clone();
        for candidate in versions {
            let source = archive
                .upstream("xen", source_version(&candidate))
                .and_then(|file| archive.fetch(&file).map(|_| file));
            match source {
                Ok(file) => {
                    version = candidate;
                    self.sources.push(file);
                    break;
                }
                Err(_) => self.notes.push(format!(
                    "the source of xen {candidate} cannot be downloaded"
                )),
            }
        }
        if self.sources.is_empty() {
            let spare = self.spare_source(archive, &version);
            self.sources.extend(spare);
        }
        archive.pin("xen", &version)?;
        self.packages.push(Package {
            name: hypervisor::PACKAGE.to_owned(),
            version,
        });
        Ok(())
    }

    fn choose_kernel(&mut self, archive: &Archive) -> Outcome<()> {
        let kernel = archive.first_dependency(NEWEST_KERNEL)?;
        self.packages.push(archive.newest(&kernel)?);
        Ok(())
    }

    /// The package whose name begins so.
    pub fn package(&self, prefix: &str) -> Outcome<&Package> {
        self.packages
            .iter()
            .find(|package| package.name.starts_with(prefix))
            .ok_or_else(|| Failure::new(format!("no package {prefix}… was chosen")))
    }

    /// The older source of the same series, where the newest one is announced but not there (yet).
    fn spare_source(&mut self, archive: &Archive, newest: &str) -> Option<SourceFile> {
        let newest = archive.upstream("xen", source_version(newest)).ok()?;
        let spare = newest.beside(hypervisor::SPARE_SOURCE, hypervisor::SPARE_HASH)?;
        archive.fetch(&spare).ok()?;
        self.notes.push(format!("{} is used instead", spare.name));
        Some(spare)
    }

    /// For one line.
    pub fn summary(&self) -> String {
        if self.packages.is_empty() {
            return format!("{} packages", self.files.len());
        }
        let names = self.packages.iter();
        let names: Vec<_> = names
            .map(|one| format!("{} {}", one.name, one.version))
            .collect();
        names.join(", ")
    }

    fn text(&self, format: &str) -> String {
        let mut text = format!("format {format}\n");
        for Package { name, version } in &self.packages {
            text += &format!("package {name} {version}\n");
        }
        for file in &self.sources {
            text += &format!("source {} {} {}\n", file.uri, file.name, file.hash);
        }
        for name in &self.files {
            text += &format!("file {name}\n");
        }
        text + "end\n"
    }

    fn parse(format: &str, text: &str) -> Option<Self> {
        let mut resolved = Self::default();
        let mut lines = text.lines();
        if lines.next()?.strip_prefix("format ") != Some(format) {
            return None;
        }
        for line in lines.by_ref() {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["package", name, version] => resolved.packages.push(Package {
                    name: (*name).to_owned(),
                    version: (*version).to_owned(),
                }),
                ["source", uri, name, hash] => {
                    resolved.sources.push(SourceFile {
                        uri: (*uri).to_owned(),
                        name: (*name).to_owned(),
                        hash: (*hash).to_owned(),
                    });
                }
                ["file", name] => resolved.files.push((*name).to_owned()),
                ["end"] => return lines.next().is_none().then_some(resolved),
                _ => return None,
            }
        }
        None
    }
}

/// A rebuild of a binary package (`+b1`) has its source's version in front.
fn source_version(version: &str) -> &str {
    match version.rsplit_once("+b") {
        Some((source, rebuild)) if rebuild.bytes().all(|byte| byte.is_ascii_digit()) => source,
        _ => version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Resolved {
        let package = |name: &str, version: &str| Package {
            name: name.to_owned(),
            version: version.to_owned(),
        };
        Resolved {
            packages: vec![
                package(hypervisor::PACKAGE, "4.20.3+127-gc42374a105-0+deb13u1"),
                package("linux-image-6.12.1-amd64", "6.12.1-1"),
            ],
            sources: vec![SourceFile {
                uri: "http://m.example/x.orig.tar.xz".to_owned(),
                name: "x.orig.tar.xz".to_owned(),
                hash: "SHA256:12".to_owned(),
            }],
            files: vec!["bash_5_amd64.deb".to_owned(), "sed_4_amd64.deb".to_owned()],
            notes: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let with_source = example();
        let read = Resolved::parse("f", &with_source.text("f"));
        assert_eq!(read, Some(with_source.clone()));
        let without = Resolved {
            sources: Vec::new(),
            files: Vec::new(),
            ..with_source
        };
        let read = Resolved::parse("f", &without.text("f"));
        assert_eq!(read, Some(without));
    }

    #[test]
    fn another_format_a_cut_file_or_noise_is_not_taken() {
        let text = example().text("f");
        assert_eq!(Resolved::parse("g", &text), None);
        for (end, _) in text.match_indices('\n').rev().skip(1) {
            assert_eq!(Resolved::parse("f", &text[..=end]), None);
        }
        assert_eq!(Resolved::parse("f", &text.replace("end", "noise")), None);
        assert_eq!(Resolved::parse("f", &(text + "file x\n")), None);
        assert_eq!(Resolved::parse("f", ""), None);
    }

    #[test]
    fn a_package_is_found_by_how_its_name_begins() {
        let resolved = example();
        let kernel = resolved.package("linux-image-").expect("chosen");
        assert_eq!(kernel.version, "6.12.1-1");
        assert!(resolved.package("linux-source-").is_err());
    }

    #[test]
    fn a_rebuilt_package_comes_from_the_source_it_was_rebuilt_from() {
        assert_eq!(source_version("4.20.3-1+b1"), "4.20.3-1");
        assert_eq!(
            source_version("4.20.3+127-0+deb13u1"),
            "4.20.3+127-0+deb13u1"
        );
    }
}
