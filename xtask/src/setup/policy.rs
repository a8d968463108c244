//! The FLASK policy: that of Xen's source plus the modules in `policy/`.
//!
//! It is a multiboot module of its own, so changing it never rebuilds Xen. Each `policy/NAME.te` is
//! a module, with `NAME.if` (interfaces) and `NAME.cons` (constraints) beside it where there are any.

use crate::cache::Product;
use crate::command;
use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::paths;
use crate::progress::Progress;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Compiles the policy if it is not there; its path.
pub fn compile(cache: &Path, flask: &Product) -> Outcome<PathBuf> {
    let ours = modules(&paths::root().join("policy"))?;
    let base = flask.folder().to_string_lossy();
    let mut inputs: Vec<&[u8]> = vec![base.as_bytes()];
    for (name, text) in &ours {
        inputs.push(name.as_bytes());
        inputs.push(text);
    }
    let product = Product::new(cache, "policy", &inputs);
    if !product.is_ready() {
        let names: Vec<_> = enabled(&ours).collect();
        let step = Progress::new(1).step(&format!("FLASK policy: with {}", names.join(" ")));
        product.build(|folder, log| build(&ours, flask, folder, log))?;
        step.done();
    }
    Ok(product.folder().join("xenpolicy"))
}

/// The files of our policy, sorted by name.
fn modules(folder: &Path) -> Outcome<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).at("read", folder)? {
        let path = entry.at("read", folder)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let name = path.file_name().and_then(|name| name.to_str());
        if let (Some("te" | "if" | "cons"), Some(name)) = (extension, name) {
            files.push((name.to_owned(), fs::read(&path).at("read", &path)?));
        }
    }
    files.sort();
    if files.is_empty() {
        let folder = folder.display();
        return Err(Failure::new(format!(
            "{folder} has no policy module (*.te)"
        )));
    }
    Ok(files)
}

fn enabled(ours: &[(String, Vec<u8>)]) -> impl Iterator<Item = &str> {
    ours.iter().filter_map(|(name, _)| name.strip_suffix(".te"))
}

fn build(ours: &[(String, Vec<u8>)], flask: &Product, folder: &Path, log: &Path) -> Outcome<()> {
    let tree = folder.join("policy-source");
    let mut copy = command::command("cp")?;
    copy.arg("--recursive")
        .arg(flask.folder().join("policy-source"))
        .arg(&tree);
    command::run(&mut copy, log)?;
    let policy = tree.join("tools/flask/policy");
    for (name, text) in ours {
        let path = policy.join("modules").join(name);
        fs::write(&path, text).at("write", &path)?;
    }
    let list = policy.join("modules/modules.conf");
    let mut text = fs::read_to_string(&list).at("read", &list)?;
    for name in enabled(ours) {
        text += &format!("\n{name} = on\n");
    }
    fs::write(&list, text).at("write", &list)?;

    let mut make = command::command("make")?;
    make.arg("-C")
        .arg(&policy)
        .args(["-f", "Makefile.common", "XEN_FULLVERSION=gsd"])
        .arg(format!("FLASK_BUILD_DIR={}", policy.display()))
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL");
    command::run(&mut make, log)?;
    let built = policy.join("xenpolicy-gsd");
    fs::rename(&built, folder.join("xenpolicy")).at("find", &built)?;
    fs::remove_dir_all(&tree).at("remove", &tree)
}
