//! What was built once: a folder per product and inputs, complete or not there at all.

use crate::failure::At;
use crate::failure::Outcome;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// A product is known by its name and a hash of everything it was made from.
#[derive(Debug, Clone)]
pub struct Product {
    name: &'static str,
    folder: PathBuf,
}

impl Product {
    /// The product `name` made from `inputs`, whether or not it is there.
    pub fn new(cache: &Path, name: &'static str, inputs: &[&[u8]]) -> Self {
        let key = hash(inputs);
        Self {
            name,
            folder: cache.join(format!("{name}-{key:016x}")),
        }
    }

    /// Its folder; complete when `is_ready`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it was built.
    pub fn is_ready(&self) -> bool {
        self.folder.is_dir()
    }

    /// The log of its building.
    pub fn log(&self) -> PathBuf {
        self.folder
            .with_file_name("logs")
            .join(format!("{}.log", self.name))
    }

    /// Builds it: `recipe` fills an empty folder, which gets its final name only when that worked.
    pub fn build(&self, recipe: impl FnOnce(&Path, &Path) -> Outcome<()>) -> Outcome<()> {
        let log = self.log();
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder).at("create", folder)?;
        }
        fs::write(&log, "").at("write", &log)?;
        // The cache is locked: what is there was left by an interrupted run.
        let partial = self.folder.with_file_name(format!("{}.partial", self.name));
        if partial.exists() {
            fs::remove_dir_all(&partial).at("empty", &partial)?;
        }
        fs::create_dir_all(&partial).at("create", &partial)?;
        let result = recipe(&partial, &log)
            .and_then(|()| fs::rename(&partial, &self.folder).at("name", &self.folder));
        if result.is_err() {
            // The log stays; what was half built would only take space.
            let _ = fs::remove_dir_all(&partial);
        }
        result
    }
}

/// FNV-1a over the inputs, each with its length before it: the same on every machine and compiler.
pub fn hash(inputs: &[&[u8]]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            state = (state ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    for input in inputs {
        eat(&(input.len() as u64).to_le_bytes());
        eat(input);
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("temporary folder");
        folder
    }

    #[test]
    fn inputs_do_not_run_into_each_other() {
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"ab"]), hash(&[b"ab", b""]));
        assert_eq!(hash(&[b"ab", b"c"]), hash(&[b"ab", b"c"]));
    }

    #[test]
    fn a_recipe_that_fails_leaves_no_product_but_its_log() {
        let cache = scratch("failed-product");
        let product = Product::new(&cache, "thing", &[b"1"]);
        let result = product.build(|folder, log| {
            fs::write(folder.join("half"), "x").expect("write");
            fs::write(log, "why it failed").expect("write");
            Err(Failure::new("no"))
        });
        assert!(result.is_err() && !product.is_ready());
        let left: Vec<_> = fs::read_dir(&cache)
            .expect("cache")
            .map(|entry| entry.expect("entry").file_name())
            .collect();
        assert_eq!(left, ["logs"]);
        assert_eq!(fs::read(product.log()).expect("log"), b"why it failed");
        fs::remove_dir_all(&cache).expect("remove");
    }

    #[test]
    fn what_an_interrupted_run_left_does_not_get_into_the_product() {
        let cache = scratch("interrupted-product");
        let left = cache.join("thing.partial/old");
        fs::create_dir_all(&left).expect("create");
        let product = Product::new(&cache, "thing", &[b"1"]);
        product.build(|_, _| Ok(())).expect("recipe works");
        assert!(product.is_ready() && !product.folder().join("old").exists());
        assert!(!cache.join("thing.partial").exists());
        fs::remove_dir_all(&cache).expect("remove");
    }

    #[test]
    fn a_product_is_whole_and_found_again_by_the_same_inputs_only() {
        let cache = scratch("whole-product");
        let product = Product::new(&cache, "thing", &[b"1"]);
        product
            .build(|folder, _| fs::write(folder.join("file"), "x").at("write", folder))
            .expect("recipe works");
        assert!(Product::new(&cache, "thing", &[b"1"]).is_ready());
        assert!(!Product::new(&cache, "thing", &[b"2"]).is_ready());
        assert!(product.folder().join("file").is_file());
        fs::remove_dir_all(&cache).expect("remove");
    }
}
