//! Finds the Debian mirror that this machine uses, in its own apt sources.
//!
//! Both formats of sources.list(5): one line per entry, and deb822 paragraphs. The suites named there
//! do not matter: the test bed takes its own suite from the same places.

use crate::failure::Failure;
use crate::failure::Outcome;
use std::fs;
use std::path::Path;

/// Where Debian's packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The archive itself.
    pub main: String,
    /// Security updates, if this machine takes them.
    pub security: Option<String>,
}

/// One place and one suite.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    uri: String,
    suite: String,
    has_main: bool,
}

/// Suites of Debian, by code name and by role; not one of them has a dash in it.
const SUITES: [&str; 11] = [
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "bullseye",
];

impl Mirror {
    /// The machine's mirror; `GSD_MIRROR` and `GSD_SECURITY_MIRROR` have precedence.
    pub fn of_this_machine() -> Outcome<Self> {
        let given = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(main) = given("GSD_MIRROR") {
            return Ok(Self {
                main,
                security: given("GSD_SECURITY_MIRROR"),
            });
        }
        let mut entries = Vec::new();
        for (is_list, text) in source_files(Path::new("/etc/apt")) {
            entries.extend(if is_list {
                one_line(&text)
            } else {
                deb822(&text)
            });
        }
        Self::among(&entries).ok_or_else(|| {
            Failure::new(
                "no Debian mirror in /etc/apt/sources.list or sources.list.d; set GSD_MIRROR to \
                 the URI of one (and GSD_SECURITY_MIRROR to that of its security archive)",
            )
        })
    }

    fn among(entries: &[Entry]) -> Option<Self> {
        // Other projects' repositories also call their suites "stable": theirs does not end in
        // /debian. (mirror+file:…/debian.list does as well as http://…/debian/.)
        let place = |entry: &&Entry, name: &str| {
            let last = entry.uri.trim_end_matches('/').rsplit('/').next();
            last.is_some_and(|last| last.trim_end_matches(".list") == name)
        };
        let is_archive = |entry: &&Entry| entry.has_main && SUITES.contains(&entry.suite.as_str());
        let main = entries
            .iter()
            .filter(is_archive)
            .find(|entry| place(entry, "debian"))
            .or_else(|| entries.iter().find(is_archive))?;
        let security = entries.iter().filter(|entry| entry.has_main).find(|entry| {
            let suite = entry.suite.as_str();
            suite
                .strip_suffix("-security")
                .or(suite.strip_suffix("/updates"))
                .is_some_and(|release| SUITES.contains(&release))
        });
        Some(Self {
            main: main.uri.clone(),
            security: security.map(|entry| entry.uri.clone()),
        })
    }
}

/// The texts of sources.list and sources.list.d; true for the one-line format.
fn source_files(etc: &Path) -> Vec<(bool, String)> {
    let mut files = vec![etc.join("sources.list")];
    let folder = fs::read_dir(etc.join("sources.list.d"));
    files.extend(folder.into_iter().flatten().flatten().map(|f| f.path()));
    files.sort();
    files
        .iter()
        .filter_map(|path| {
            let is_list = match path.extension()?.to_str()? {
                "list" => true,
                "sources" => false,
                _ => return None,
            };
            Some((is_list, fs::read_to_string(path).ok()?))
        })
        .collect()
}

/// `deb [options] URI suite component…`
fn one_line(text: &str) -> Vec<Entry> {
    text.lines()
        .filter_map(|line| {
            let line = line.split('#').next().unwrap_or_default().trim();
            let rest = line.strip_prefix("deb")?;
            if !rest.starts_with([' ', '\t', '[']) {
                return None; // deb-src
            }
            let rest = rest.trim_start();
            let rest = match rest.strip_prefix('[') {
                Some(options) => options.split_once(']')?.1,
                None => rest,
            };
            let mut words = rest.split_whitespace();
            let uri = words.next()?;
            let suite = words.next()?;
            usable(uri).then(|| Entry {
                uri: uri.to_owned(),
                suite: suite.to_owned(),
                has_main: words.any(|component| component == "main"),
            })
        })
        .collect()
}

/// Paragraphs of `Field: value`, with continuation lines and comments anywhere.
fn deb822(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut paragraph: Vec<(String, String)> = Vec::new();
    // The blank line at the end closes the last paragraph.
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            entries.extend(from_paragraph(&paragraph));
            paragraph.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = paragraph.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((field, value)) = line.split_once(':') {
            paragraph.push((field.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    entries
}

fn from_paragraph(paragraph: &[(String, String)]) -> Vec<Entry> {
    let words = |name: &str| -> Vec<&str> {
        paragraph
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.split_whitespace().collect())
            .unwrap_or_default()
    };
    let off = ["no", "false", "without", "off", "disable"];
    if !words("types").contains(&"deb") || words("enabled").iter().any(|word| off.contains(word)) {
        return Vec::new();
    }
    let has_main = words("components").contains(&"main");
    let mut entries = Vec::new();
    for uri in words("uris").into_iter().filter(|uri| usable(uri)) {
        for suite in words("suites") {
            entries.push(Entry {
                uri: uri.to_owned(),
                suite: suite.to_owned(),
                has_main,
            });
        }
    }
    entries
}

/// A disc does not have another suite.
fn usable(uri: &str) -> bool {
    !uri.starts_with("cdrom:") && uri.contains(":/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "\
Types: deb
# A comment in the middle of a paragraph.
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.example/debian-security
Suites:
  bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc: def
 -----END PGP PUBLIC KEY BLOCK-----
";

    fn mirror(main: &str, security: Option<&str>) -> Option<Mirror> {
        Some(Mirror {
            main: main.to_owned(),
            security: security.map(str::to_owned),
        })
    }

    #[test]
    fn deb822_paragraphs_with_comments_and_continuations_are_read() {
        assert_eq!(
            Mirror::among(&deb822(DEB822)),
            mirror(
                "http://mirror.example/debian",
                Some("http://mirror.example/debian-security")
            )
        );
    }

    #[test]
    fn one_line_entries_with_options_are_read() {
        let text = "\
# deb http://old.example/debian bookworm main
deb-src http://mirror.example/debian trixie main
deb [arch=amd64 signed-by=/x.gpg] https://mirror.example/debian/ trixie main contrib # note
deb http://security.example/ trixie-security main
";
        assert_eq!(
            Mirror::among(&one_line(text)),
            mirror(
                "https://mirror.example/debian/",
                Some("http://security.example/")
            )
        );
    }

    #[test]
    fn other_projects_are_not_taken_for_debian() {
        let text = "\
deb https://tools.example/apt stable main
deb https://cloud.example/apt cloud-sdk-bookworm main
deb http://mirror.example/debian bookworm main
";
        assert_eq!(
            Mirror::among(&one_line(text)),
            mirror("http://mirror.example/debian", None)
        );
        let only_others = "deb https://cloud.example/apt cloud-sdk-bookworm main";
        assert_eq!(Mirror::among(&one_line(only_others)), None);
    }

    #[test]
    fn disabled_paragraphs_source_only_ones_and_discs_do_not_count() {
        let disabled = DEB822.replace("Suites: bookworm b", "Enabled: no\nSuites: bookworm b");
        assert_eq!(Mirror::among(&deb822(&disabled)), None);
        let sources = DEB822.replace("Types: deb\n", "Types: deb-src\n");
        assert_eq!(Mirror::among(&deb822(&sources)), None);
        let disc = "deb cdrom:[Debian GNU/Linux 12]/ bookworm main";
        assert_eq!(Mirror::among(&one_line(disc)), None);
    }

    #[test]
    fn mirror_lists_are_passed_on_to_apt() {
        let text = DEB822.replace(
            "http://mirror.example/debian\n",
            "mirror+file:///etc/apt/mirrors/debian.list\n",
        );
        let found = Mirror::among(&deb822(&text)).expect("a mirror");
        assert_eq!(found.main, "mirror+file:///etc/apt/mirrors/debian.list");
    }
}
