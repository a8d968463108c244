//! Writes an initramfs: the cpio "newc" format of the kernel's buffer-format.rst, uncompressed.
//!
//! Per entry: "070701", thirteen fields of eight hex digits, the name with its NUL, and the data; name
//! and data are padded to four bytes. "TRAILER!!!" ends the archive.

use crate::failure::At;
use crate::failure::Outcome;
use std::fs;
use std::path::Path;

/// An archive under construction.
#[derive(Debug, Default)]
pub struct Cpio {
    bytes: Vec<u8>,
    inode: u32,
}

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

impl Cpio {
    /// Adds a folder; the ones above it must be there.
    pub fn folder(&mut self, name: &str) {
        self.entry(name, FOLDER, &[]);
    }

    /// Adds an executable file. (So are all files of an initramfs of ours; it harms nothing.)
    pub fn file(&mut self, name: &str, data: &[u8]) {
        self.entry(name, PROGRAM, data);
    }

    /// Adds everything below a folder of the host, sorted by name, without links and permissions.
    pub fn tree(&mut self, root: &Path) -> Outcome<()> {
        self.below(root, "")
    }

    fn below(&mut self, folder: &Path, prefix: &str) -> Outcome<()> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).at("read", folder)? {
            names.push(entry.at("read", folder)?.file_name());
        }
        names.sort();
        for name in names {
            let path = folder.join(&name);
            let inside = format!("{prefix}{}", name.to_string_lossy());
            if path.is_dir() {
                self.folder(&inside);
                self.below(&path, &format!("{inside}/"))?;
            } else {
                self.file(&inside, &fs::read(&path).at("read", &path)?);
            }
        }
        Ok(())
    }

    /// The archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, data: &[u8]) {
        self.inode += 1;
        let size = |length: usize| u32::try_from(length).expect("an initramfs of less than 4 GiB");
        let fields = [
            self.inode,
            mode,
            0, // owner
            0, // group
            1, // links
            0, // time: the same inputs give the same archive
            size(data.len()),
            0, // device
            0,
            0, // special file's device
            0,
            size(name.len() + 1),
            0, // checksum, of another format
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(data);
        self.pad();
    }

    fn pad(&mut self) {
        let length = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(length, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Cpio;
    use proptest::prelude::*;
    use std::fs;

    /// A plain reader: names and data up to the trailer.
    fn read(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut entries = Vec::new();
        let mut at = 0;
        loop {
            assert_eq!(&archive[at..at + 6], b"070701");
            let field = |index: usize| {
                let start = at + 6 + index * 8;
                let digits = std::str::from_utf8(&archive[start..start + 8]).expect("digits");
                usize::from_str_radix(digits, 16).expect("hex")
            };
            let (size, name_size) = (field(6), field(11));
            let name = &archive[at + 110..at + 110 + name_size - 1];
            let name = String::from_utf8(name.to_vec()).expect("name");
            let data = (at + 110 + name_size).next_multiple_of(4);
            if name == "TRAILER!!!" {
                assert_eq!(data, archive.len());
                return entries;
            }
            entries.push((name, archive[data..data + size].to_vec()));
            at = (data + size).next_multiple_of(4);
        }
    }

    #[test]
    fn a_tree_comes_with_its_folders_before_what_is_in_them() {
        let root = std::env::temp_dir().join(format!("xtask-cpio-{}", std::process::id()));
        fs::create_dir_all(root.join("usr/bin")).expect("temporary folder");
        for name in ["usr/bin/b", "usr/a", "z"] {
            fs::write(root.join(name), name).expect("write");
        }
        let mut cpio = Cpio::default();
        cpio.tree(&root).expect("readable");
        fs::remove_dir_all(&root).expect("remove");
        let entries = read(&cpio.finish());
        let names: Vec<_> = entries.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["usr", "usr/a", "usr/bin", "usr/bin/b", "z"]);
        assert_eq!(entries[3].1, b"usr/bin/b");
    }

    proptest! {
        #[test]
        fn what_is_packed_is_read_back(
            files in proptest::collection::vec(("[a-z]{1,9}", any::<Vec<u8>>()), 0..6)
        ) {
            let mut cpio = Cpio::default();
            cpio.folder("bin");
            for (name, data) in &files {
                cpio.file(name, data);
            }
            let mut expected = vec![("bin".to_owned(), Vec::new())];
            expected.extend(files);
            prop_assert_eq!(read(&cpio.finish()), expected);
        }
    }
}
