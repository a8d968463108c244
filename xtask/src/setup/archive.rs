//! Packages of one of the test bed's Debian suites, through an apt of our own.
//!
//! Everything apt keeps (configuration, lists, status, archives) is in a folder of the cache, one for
//! each suite, so that the machine's own apt stays as it is and nobody needs to be root. The status
//! file is empty: apt then plans a whole system. Signatures are checked against
//! debian-archive-keyring.

use super::sources::Mirror;
use crate::command;
use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const HELPER: &str = "/usr/lib/apt/apt-helper";

/// A package in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// An apt that knows one suite only.
#[derive(Debug)]
pub struct Archive {
    suite: &'static str,
    folder: PathBuf,
    log: PathBuf,
}

/// A file of a source package, as the signed index describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it is.
    pub uri: String,
    /// Its name.
    pub name: String,
    /// `SHA256:…`, as apt writes it.
    pub hash: String,
}

impl SourceFile {
    /// Another file of the same folder of the archive's pool.
    pub fn beside(&self, name: &str, hash: &str) -> Option<Self> {
        let (folder, _) = self.uri.rsplit_once('/')?;
        Some(Self {
            uri: format!("{folder}/{}", name.replace('+', "%2b")),
            name: name.to_owned(),
            hash: hash.to_owned(),
        })
    }
}

impl Archive {
    /// Prepares the private apt in the cache and gets the package lists.
    pub fn open(suite: &'static str, cache: &Path, log: &Path) -> Outcome<Self> {
        let archive = Self {
            suite,
            folder: cache.join(format!("apt-{suite}")),
            log: log.to_path_buf(),
        };
        archive.configure(&Mirror::of_this_machine()?)?;
        command::run(archive.apt("apt-get")?.arg("update"), log).map_err(|failure| Failure {
            message: format!(
                "{} (does the mirror have {suite}? GSD_MIRROR names another; a signature \
                     that cannot be checked: upgrade the package debian-archive-keyring)",
                failure.message
            ),
            ..failure
        })?;
        Ok(archive)
    }

    fn configure(&self, mirror: &Mirror) -> Outcome<()> {
        for folder in [
            "etc/sources.list.d",
            "etc/preferences.d",
            "state/lists/partial",
            "cache/archives/partial",
        ] {
            let folder = self.folder.join(folder);
            fs::create_dir_all(&folder).at("create", &folder)?;
        }
        let write = |name: &str, text: &str| {
            let path = self.folder.join(name);
            fs::write(&path, text).at("write", &path)
        };
        write("state/status", "")?;
        write(
            "etc/sources.list.d/suite.sources",
            &sources(self.suite, mirror),
        )?;
        write("etc/preferences", "")?;

        let dump = command::text(command::command("apt-config")?.arg("dump"), &self.log)?;
        let mut text = network_settings(&dump);
        let folder = self.folder.display();
        for (name, value) in [
            ("Dir::Etc", format!("{folder}/etc")),
            ("Dir::Etc::netrc", "/etc/apt/auth.conf".to_owned()),
            ("Dir::Etc::netrcparts", "/etc/apt/auth.conf.d".to_owned()),
            ("Dir::State", format!("{folder}/state")),
            ("Dir::State::status", format!("{folder}/state/status")),
            ("Dir::Cache", format!("{folder}/cache")),
            ("APT::Architecture", "amd64".to_owned()),
            ("APT::Architectures", "amd64".to_owned()),
            // The cache may be in a home folder that the user _apt cannot enter.
            ("APT::Sandbox::User", "root".to_owned()),
            ("APT::Install-Recommends", "false".to_owned()),
            ("Acquire::Languages", "none".to_owned()),
            // Else a mirror that cannot be reached is only a warning.
            ("APT::Update::Error-Mode", "any".to_owned()),
            ("Acquire::Retries", "3".to_owned()),
        ] {
            let _ = writeln!(text, "{name} \"{value}\";");
        }
        write("apt.conf", &text)
    }

    fn apt(&self, program: &str) -> Outcome<Command> {
        let mut command = command::command(program)?;
        command.env("APT_CONFIG", self.folder.join("apt.conf"));
        Ok(command)
    }

    fn ask(&self, program: &str, arguments: &[&str]) -> Outcome<String> {
        command::text(self.apt(program)?.args(arguments), &self.log)
    }

    /// The versions of a package, newest first.
    pub fn versions(&self, package: &str) -> Outcome<Vec<String>> {
        let table = self.ask("apt-cache", &["madison", package])?;
        let mut versions: Vec<String> = table
            .lines()
            .filter_map(|line| Some(line.split('|').nth(1)?.trim().to_owned()))
            .collect();
        versions.dedup();
        if versions.is_empty() {
            let suite = self.suite;
            return Err(Failure::new(format!("{suite} has no package {package}")));
        }
        Ok(versions)
    }

    /// The package in its newest version.
    pub fn newest(&self, package: &str) -> Outcome<Package> {
        Ok(Package {
            name: package.to_owned(),
            version: self.versions(package)?.swap_remove(0),
        })
    }

    /// The first package that `package` depends on.
    pub fn first_dependency(&self, package: &str) -> Outcome<String> {
        let text = self.ask("apt-cache", &["show", "--no-all-versions", package])?;
        text.lines()
            .find_map(|line| line.strip_prefix("Depends: ")?.split([' ', ',']).next())
            .map(str::to_owned)
            .ok_or_else(|| Failure::new(format!("{package} of {} depends on nothing", self.suite)))
    }

    /// The tarballs of a source package's version, upstream's first.
    pub fn source(&self, source: &str, version: &str) -> Outcome<Vec<SourceFile>> {
        let wanted = format!("{source}={version}");
        let list = self.ask("apt-get", &["source", "--print-uris", &wanted])?;
        let files = list.lines().filter_map(file_line);
        let mut files: Vec<_> = files.filter(|file| file.name.contains(".tar.")).collect();
        files.retain(|file| !file.name.ends_with(".asc"));
        files.sort_by_key(|file| !file.name.contains(".orig.tar."));
        if !files
            .first()
            .is_some_and(|file| file.name.contains(".orig.tar."))
        {
            return Err(Failure::new(format!("{wanted} has no upstream tarball")));
        }
        Ok(files)
    }

    /// The upstream tarball alone.
    pub fn upstream(&self, source: &str, version: &str) -> Outcome<SourceFile> {
        Ok(self.source(source, version)?.swap_remove(0))
    }

    /// Downloads a file of a source package, unless it is there; apt checks its hash.
    pub fn fetch(&self, file: &SourceFile) -> Outcome<PathBuf> {
        let folder = self.folder.join("sources");
        fs::create_dir_all(&folder).at("create", &folder)?;
        let path = folder.join(&file.name);
        if !path.is_file() {
            let mut helper = self.apt(HELPER)?;
            helper.arg("download-file").arg(&file.uri).arg(&path);
            command::run(helper.arg(&file.hash), &self.log)?;
        }
        Ok(path)
    }

    /// From now on every package built from `source` comes in this version.
    pub fn pin(&self, source: &str, version: &str) -> Outcome<()> {
        let path = self.folder.join("etc/preferences");
        let text = format!("Package: src:{source}\nPin: version {version}\nPin-Priority: 1001\n");
        fs::write(&path, text).at("write", &path)
    }

    /// The files of the packages and of everything they depend on.
    pub fn plan(&self, packages: &[&str]) -> Outcome<Vec<String>> {
        let mut arguments = vec!["install", "-y", "--print-uris"];
        arguments.extend(packages);
        let list = self.ask("apt-get", &arguments)?;
        let mut files: Vec<_> = list.lines().filter_map(file_line).map(|f| f.name).collect();
        files.sort();
        if files.is_empty() {
            return Err(Failure::new("apt planned nothing").with_log(&self.log));
        }
        Ok(files)
    }

    /// Downloads what `plan` named; the folder they are in.
    pub fn download(&self, packages: &[&str], log: &Path) -> Outcome<PathBuf> {
        let mut install = self.apt("apt-get")?;
        install.args(["install", "-y", "--download-only"]);
        command::run(install.args(packages), log)?;
        Ok(self.folder.join("cache/archives"))
    }

    /// Downloads one package alone and unpacks it into `folder`.
    pub fn unpack(&self, package: &Package, folder: &Path, log: &Path) -> Outcome<()> {
        let downloads = folder.with_extension("download");
        fs::create_dir_all(&downloads).at("create", &downloads)?;
        let mut download = self.apt("apt-get")?;
        download
            .args(["download", &format!("{}={}", package.name, package.version)])
            .current_dir(&downloads);
        command::run(&mut download, log)?;
        for file in fs::read_dir(&downloads).at("read", &downloads)? {
            let file = file.at("read", &downloads)?.path();
            unpack(&file, folder, log)?;
        }
        fs::remove_dir_all(&downloads).at("remove", &downloads)
    }

    /// Removes the downloaded packages.
    pub fn clean(&self, log: &Path) -> Outcome<()> {
        command::run(self.apt("apt-get")?.arg("clean"), log)
    }
}

/// Unpacks a .deb without running anything of it.
pub fn unpack(package: &Path, folder: &Path, log: &Path) -> Outcome<()> {
    let mut unpack = command::command("dpkg-deb")?;
    command::run(unpack.arg("--extract").arg(package).arg(folder), log)
}

/// A suite at the mirror, in deb822 format.
fn sources(suite: &str, mirror: &Mirror) -> String {
    let paragraph = |uri: &str, suites: &str| {
        format!(
            "Types: deb deb-src\nURIs: {uri}\nSuites: {suites}\nComponents: main\n\
             Signed-By: {KEYRING}\n\n"
        )
    };
    let mut text = paragraph(&mirror.main, &format!("{suite} {suite}-updates"));
    if let Some(security) = &mirror.security {
        text += &paragraph(security, &format!("{suite}-security"));
    }
    text
}

/// How this machine's apt reaches the network: proxies, certificates, time-outs; nothing else of it.
fn network_settings(dump: &str) -> String {
    const KEPT: [&str; 6] = [
        "Acquire::http::",
        "Acquire::https::",
        "Acquire::ForceIPv",
        "Acquire::Queue-Mode",
        "Acquire::Check-Valid-Until",
        "Acquire::Max-FutureTime",
    ];
    dump.lines()
        .filter(|line| KEPT.iter().any(|name| line.starts_with(name)))
        .fold(String::new(), |text, line| text + line + "\n")
}

/// `'URI' NAME SIZE HASH`, as `--print-uris` writes it.
fn file_line(line: &str) -> Option<SourceFile> {
    let (uri, rest) = line.strip_prefix('\'')?.split_once('\'')?;
    let mut words = rest.split_whitespace();
    Some(SourceFile {
        uri: uri.to_owned(),
        name: words.next()?.to_owned(),
        hash: words.nth(1).unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_print_uris_are_read_and_others_are_not() {
        let line = "'http://m.example/x_1%2b2.orig.tar.xz' x_1+2.orig.tar.xz 49 SHA256:ab12";
        let file = file_line(line).expect("a file");
        assert_eq!(file.uri, "http://m.example/x_1%2b2.orig.tar.xz");
        assert_eq!(file.name, "x_1+2.orig.tar.xz");
        assert_eq!(file.hash, "SHA256:ab12");
        assert_eq!(file_line("Need to get 63 MB of archives."), None);
        let plain = file_line("'http://m.example/a.deb' a_1_amd64.deb 12 ").expect("a file");
        assert_eq!(
            (plain.name.as_str(), plain.hash.as_str()),
            ("a_1_amd64.deb", "")
        );
    }

    #[test]
    fn another_file_of_the_pool_is_found_beside_the_first() {
        let file = file_line("'http://m.example/pool/x/x_2.orig.tar.xz' x_2.orig.tar.xz 49 ");
        let older = file.expect("a file").beside("x_1+1.tar.xz", "SHA256:ab");
        let older = older.expect("a folder");
        assert_eq!(older.uri, "http://m.example/pool/x/x_1%2b1.tar.xz");
        assert_eq!(older.name, "x_1+1.tar.xz");
        assert_eq!(older.hash, "SHA256:ab");
    }

    #[test]
    fn of_the_machines_apt_only_the_way_to_the_network_is_taken_over() {
        let dump = "\
APT::Update::Post-Invoke-Success:: \"something\";
Acquire::http::Proxy \"http://proxy.example:3128\";
Acquire::IndexTargets::deb::Contents-deb \"yes\";
DPkg::Post-Invoke:: \"rm -f x\";
";
        assert_eq!(
            network_settings(dump),
            "Acquire::http::Proxy \"http://proxy.example:3128\";\n"
        );
    }

    #[test]
    fn without_security_updates_there_is_one_paragraph() {
        let mut mirror = Mirror {
            main: "http://m.example/debian".to_owned(),
            security: None,
        };
        assert_eq!(sources("bookworm", &mirror).matches("Types:").count(), 1);
        mirror.security = Some("http://s.example/".to_owned());
        assert!(sources("bookworm", &mirror).contains("Suites: bookworm-security\n"));
    }
}
