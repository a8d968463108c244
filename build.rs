//! Link arguments for the freestanding kernel image (used by `kernel/Cargo.toml` only).
//!
//! `rustc-link-arg-bins` reaches the `kernel` binary alone, so the host libraries, their unit
//! tests and this script itself keep the platform's ordinary link line.

use std::env;
use std::path::Path;

fn main() {
    let manifest_dir = env::var("CARGO_MANIFEST_DIR").expect("set by cargo");
    let root = Path::new(&manifest_dir)
        .parent()
        .expect("kernel/ has a parent");
    let script = root.join("boot/link.ld");
    println!("cargo::rerun-if-changed={}", script.display());

    // `x86_64-unknown-none` drives lld directly; hosted targets go through the C compiler.
    let hosted = env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none");
    let link = |arg: &str| {
        let prefix = if hosted { "-Wl," } else { "" };
        println!("cargo::rustc-link-arg-bins={prefix}{arg}");
    };
    if hosted {
        for arg in ["-nostdlib", "-nostartfiles", "-static", "-no-pie"] {
            println!("cargo::rustc-link-arg-bins={arg}");
        }
    } else {
        link("--no-pie");
    }
    link("--build-id=none");
    link("--gc-sections");
    link("-znoexecstack");
    link(&format!("-T{}", script.display()));
}
