//! The tar on Dom0's second disk: everything that changes from run to run.

use super::image;
use super::initrd;
use super::scenario::Scenario;
use crate::command;
use crate::failure::At;
use crate::failure::Outcome;
use crate::paths;
use crate::setup::Products;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Builds all programs of the chain and packs them into `folder/payload.tar`.
pub fn pack(
    products: &Products,
    scenarios: &[Scenario],
    folder: &Path,
    log: &Path,
) -> Outcome<PathBuf> {
    let tree = folder.join("payload");
    let root = paths::root();
    for name in ["configs", "scenarios"] {
        let path = tree.join(name);
        fs::create_dir_all(&path).at("create", &path)?;
    }
    let copy = |from: &Path, to: &str| {
        let to = tree.join(to);
        fs::copy(from, &to).map(drop).at("copy", from)
    };
    copy(&image::image(true, log)?, "image")?;
    copy(&image::gpuctl(log)?, "gpuctl")?;
    let guest_test = image::guest_test(log)?;
    let guest_render = image::guest_render(log)?;
    let kernels = [
        (Some(&products.kernel), ""),
        (products.kernel_6_1.as_ref(), "-6.1"),
    ];
    for (kernel, suffix) in kernels {
        let Some(kernel) = kernel else { continue };
        copy(&kernel.image, &format!("guest-kernel{suffix}"))?;
        let guest = tree.join(format!("guest-initrd{suffix}"));
        let initrd = initrd::guest(products, kernel, &guest_test, log)?;
        fs::write(&guest, initrd).at("write", &guest)?;
        let guest = tree.join(format!("i915-initrd{suffix}"));
        let initrd = initrd::i915(products, kernel, &guest_render, log)?;
        fs::write(&guest, initrd).at("write", &guest)?;
    }
    if let Some(tests) = &products.selftests {
        let folder = tree.join("selftests");
        fs::create_dir_all(&folder).at("create", &folder)?;
        copy(&tests.kernel.image, "selftests/kernel")?;
        let initrd = initrd::selftests(products, &tests.kernel, log)?;
        let groups: String = tests
            .groups
            .iter()
            .map(|group| format!("{group}\n"))
            .collect();
        let filter = format!("{}\n", tests.filter);
        let limits = format!("{} {}\n", tests.seconds, tests.each);
        for (name, data) in [
            ("initrd", initrd),
            ("groups", groups.into_bytes()),
            ("filter", filter.into_bytes()),
            ("limits", limits.into_bytes()),
        ] {
            let path = folder.join(name);
            fs::write(&path, data).at("write", &path)?;
        }
    }
    if let Some(clients) = &products.clients {
        let path = tree.join("clients");
        fs::write(&path, initrd::clients(clients)?).at("write", &path)?;
    }

    let testbed = root.join("testbed");
    copy(&testbed.join("dom0-init"), "dom0-init")?;
    copy(&testbed.join("lib.sh"), "lib.sh")?;
    for scenario in scenarios {
        let name = format!("scenarios/{}.sh", scenario.name);
        copy(&testbed.join(&name), &name)?;
    }
    copy(&root.join("service-domain.cfg"), "service-domain.cfg")?;
    let configs = root.join("configs");
    for entry in fs::read_dir(&configs).at("read", &configs)? {
        let path = entry.at("read", &configs)?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
            copy(&path, &format!("configs/{name}"))?;
        }
    }

    let archive = folder.join("payload.tar");
    let mut tar = command::command("tar")?;
    tar.args(["--create", "--owner=0", "--group=0", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(&tree)
        .arg(".");
    command::run(&mut tar, log)?;
    fs::remove_dir_all(&tree).at("remove", &tree)?;
    Ok(archive)
}
