//! Where things are: the repository, the cache, and the output of runs.

use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use std::env;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// The repository: the folder above this package.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) if !folder.is_empty() => {
            let folder = PathBuf::from(folder);
            // Relative to where the user stands, as for cargo itself.
            std::path::absolute(&folder).unwrap_or(folder)
        }
        _ => root().join("target"),
    }
}

/// Logs and inputs of the runs of one stage; emptied when the stage starts.
pub fn fresh_output(stage: &str) -> Outcome<PathBuf> {
    let folder = output(stage);
    if folder.exists() {
        fs::remove_dir_all(&folder).at("empty", &folder)?;
    }
    fs::create_dir_all(&folder).at("create", &folder)?;
    Ok(folder)
}

/// Logs and inputs of the runs of one stage.
pub fn output(stage: &str) -> PathBuf {
    target().join("testbed").join(stage)
}

/// What `setup` builds lives here, outside the repository: `GSD_CACHE`, else the user's cache folder.
pub fn cache() -> Outcome<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let folder = if let Some(folder) = set("GSD_CACHE") {
        PathBuf::from(folder)
    } else if let Some(folder) = set("XDG_CACHE_HOME") {
        PathBuf::from(folder).join("gpu-service-domain")
    } else if let Some(home) = set("HOME") {
        PathBuf::from(home).join(".cache/gpu-service-domain")
    } else {
        return Err(Failure::new(
            "no place for the cache: set GSD_CACHE (or HOME)",
        ));
    };
    let folder = std::path::absolute(&folder).at("name", &folder)?;
    fs::create_dir_all(&folder).at("create", &folder)?;
    Ok(folder)
}
