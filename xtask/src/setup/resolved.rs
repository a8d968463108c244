//! Which versions of Debian's packages the test bed is made of.

use super::archive;
use super::archive::Archive;
use super::archive::SourceFile;
use super::dom0;
use super::hypervisor;
use crate::cache::hash;
use crate::failure::At;
use crate::failure::Outcome;
use std::fs;
use std::path::Path;

/// Raise it when the file's format or the way of choosing changes.
const FORMAT: &str = "2";

/// A file is used only by those who would ask for the same packages in the same way.
fn format() -> String {
    let packages = dom0::PACKAGES.join(" ");
    let inputs = [FORMAT, archive::SUITE, hypervisor::PACKAGE, &packages];
    format!("{:016x}", hash(&inputs.map(str::as_bytes)))
}

/// What the archive offered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolved {
    /// Version of the package `xen`, of the hypervisor and Dom0's tools alike.
    pub xen: String,
    /// Its source; without one there is no hypervisor with FLASK.
    pub source: Option<SourceFile>,
    /// Name of the kernel's package.
    pub kernel: String,
    /// Its version.
    pub kernel_version: String,
    /// File names of the packages of Dom0's root.
    pub dom0: Vec<String>,
    /// What is worth telling about the choice; not kept.
    pub notes: Vec<String>,
}

impl Resolved {
    /// Chooses versions: the newest of everything, except that Xen's source must be there too.
    pub fn ask(archive: &Archive) -> Outcome<Self> {
        let mut resolved = Self::default();
        let versions = archive.versions(hypervisor::PACKAGE)?;
        for version in &versions {
            let source = archive
                .upstream("xen", source_version(version))
                .and_then(|file| archive.fetch(&file).map(|_| file));
            match source {
                Ok(file) => {
                    resolved.xen.clone_from(version);
                    resolved.source = Some(file);
                    break;
                }
                Err(_) => resolved
                    .notes
                    .push(format!("the source of xen {version} cannot be downloaded")),
            }
        }
        if resolved.xen.is_empty() {
            resolved.xen = versions.into_iter().next().unwrap_or_default();
            resolved.source = resolved.spare_source(archive);
        }
        archive.pin("xen", &resolved.xen)?;
        resolved.kernel = archive.first_dependency("linux-image-amd64")?;
        let mut versions = archive.versions(&resolved.kernel)?;
        resolved.kernel_version = versions.swap_remove(0);
        resolved.dom0 = archive.plan(dom0::PACKAGES)?;
        Ok(resolved)
    }

    /// The older source of the same series, where the newest one is announced but not there (yet).
    fn spare_source(&mut self, archive: &Archive) -> Option<SourceFile> {
        let newest = archive.upstream("xen", source_version(&self.xen)).ok()?;
        let spare = newest.beside(hypervisor::SPARE_SOURCE, hypervisor::SPARE_HASH)?;
        archive.fetch(&spare).ok()?;
        self.notes.push(format!("{} is used instead", spare.name));
        Some(spare)
    }

    /// For one line.
    pub fn summary(&self) -> String {
        format!("xen {}, {}", self.xen, self.kernel)
    }

    /// What `write` kept, if it is of this format.
    pub fn read(cache: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(cache.join("resolved")).ok()?)
    }

    /// Keeps it for the next run.
    pub fn write(&self, cache: &Path) -> Outcome<()> {
        let path = cache.join("resolved");
        let new = cache.join("resolved.new");
        fs::write(&new, self.text()).at("write", &new)?;
        fs::rename(&new, &path).at("write", &path)
    }

    fn text(&self) -> String {
        let mut text = format!("format {}\nxen {}\n", format(), self.xen);
        if let Some(file) = &self.source {
            text += &format!("source {} {} {}\n", file.uri, file.name, file.hash);
        }
        text += &format!("kernel {} {}\n", self.kernel, self.kernel_version);
        for name in &self.dom0 {
            text += &format!("dom0 {name}\n");
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut resolved = Self::default();
        let mut same_format = false;
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["format", format] => same_format = *format == self::format(),
                ["xen", version] => resolved.xen = (*version).to_owned(),
                ["source", uri, name, hash] => {
                    resolved.source = Some(SourceFile {
                        uri: (*uri).to_owned(),
                        name: (*name).to_owned(),
                        hash: (*hash).to_owned(),
                    });
                }
                ["kernel", name, version] => {
                    resolved.kernel = (*name).to_owned();
                    resolved.kernel_version = (*version).to_owned();
                }
                ["dom0", name] => resolved.dom0.push((*name).to_owned()),
                _ => return None,
            }
        }
        let complete = same_format
            && !resolved.xen.is_empty()
            && !resolved.kernel.is_empty()
            && !resolved.dom0.is_empty();
        complete.then_some(resolved)
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
        Resolved {
            xen: "4.20.3+127-gc42374a105-0+deb13u1".to_owned(),
            source: Some(SourceFile {
                uri: "http://m.example/x.orig.tar.xz".to_owned(),
                name: "x.orig.tar.xz".to_owned(),
                hash: "SHA256:12".to_owned(),
            }),
            kernel: "linux-image-6.12.1".to_owned(),
            kernel_version: "6.12.1-1".to_owned(),
            dom0: vec!["bash_5_amd64.deb".to_owned(), "sed_4_amd64.deb".to_owned()],
            notes: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let with_source = example();
        assert_eq!(
            Resolved::parse(&with_source.text()),
            Some(with_source.clone())
        );
        let without = Resolved {
            source: None,
            ..with_source
        };
        assert_eq!(Resolved::parse(&without.text()), Some(without.clone()));
    }

    #[test]
    fn another_format_a_cut_file_or_noise_is_not_taken() {
        let text = example().text();
        assert_eq!(Resolved::parse(&text.replace("format ", "format 0")), None);
        assert_eq!(
            Resolved::parse(&format!("format {}\nxen 4.20\n", format())),
            None
        );
        assert_eq!(Resolved::parse(&(text + "noise\n")), None);
        assert_eq!(Resolved::parse(""), None);
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
