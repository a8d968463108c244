//! Which kernel modules to load, and in which order, for those that are wanted.
//!
//! depmod's `modules.dep`: one line per module, `path: path…`, naming everything it depends on.

use crate::failure::Failure;
use crate::failure::Outcome;
use std::collections::HashMap;

/// `modules.dep`, read.
#[derive(Debug)]
pub struct Dependencies<'a> {
    /// Path and needs, by name.
    modules: HashMap<String, (&'a str, Vec<&'a str>)>,
}

impl<'a> Dependencies<'a> {
    /// Reads the text of `modules.dep`.
    pub fn parse(text: &'a str) -> Self {
        let modules = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(path, needs)| (name(path), (path, needs.split_whitespace().collect())))
            .collect();
        Self { modules }
    }

    /// The paths of `wanted` and of all they need, each once, a module after those it needs.
    pub fn load_order(&self, wanted: &[&str]) -> Outcome<Vec<&'a str>> {
        let mut order = Vec::new();
        for module in wanted {
            self.visit(module, &mut order, &mut Vec::new())?;
        }
        Ok(order)
    }

    fn visit(
        &self,
        module: &str,
        order: &mut Vec<&'a str>,
        above: &mut Vec<String>,
    ) -> Outcome<()> {
        let key = name(module);
        let Some((path, needs)) = self.modules.get(&key) else {
            return Err(Failure::new(format!("the kernel has no module {module}")));
        };
        if above.contains(&key) {
            return Err(Failure::new(format!("module {module} depends on itself")));
        }
        if order.contains(path) {
            return Ok(());
        }
        above.push(key);
        for need in needs {
            self.visit(need, order, above)?;
        }
        above.pop();
        order.push(path);
        Ok(())
    }
}

/// The module's name: no folder, no `.ko`, no compression; `-` and `_` are the same to the kernel.
pub fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let name = file.split(".ko").next().unwrap_or(file);
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "\
kernel/fs/ext4/ext4.ko.xz: kernel/lib/crc16.ko.xz kernel/fs/mbcache.ko.xz kernel/fs/jbd2/jbd2.ko.xz
kernel/fs/jbd2/jbd2.ko.xz:
kernel/fs/mbcache.ko.xz:
kernel/lib/crc16.ko.xz:
kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/pci/vfio-pci-core.ko.xz kernel/drivers/vfio/vfio.ko.xz
kernel/drivers/vfio/pci/vfio-pci-core.ko.xz: kernel/drivers/vfio/vfio.ko.xz
kernel/drivers/vfio/vfio.ko.xz:
";

    #[test]
    fn a_module_comes_after_those_it_needs_and_each_comes_once() {
        let modules = Dependencies::parse(TEXT);
        let order = modules
            .load_order(&["vfio_pci", "ext4", "vfio"])
            .expect("known");
        let names: Vec<_> = order.iter().map(|path| name(path)).collect();
        assert_eq!(
            names,
            [
                "vfio",
                "vfio_pci_core",
                "vfio_pci",
                "crc16",
                "mbcache",
                "jbd2",
                "ext4"
            ]
        );
    }

    #[test]
    fn an_unknown_module_and_a_circle_are_named() {
        let unknown = Dependencies::parse(TEXT).load_order(&["i916"]);
        assert!(unknown.expect_err("unknown").message.contains("i916"));
        let circle = Dependencies::parse("a.ko: b.ko\nb.ko: a.ko\n");
        assert!(circle.load_order(&["a"]).is_err());
    }

    proptest! {
        #[test]
        fn every_order_loads_needs_first(
            needs in proptest::collection::vec(proptest::collection::vec(0_usize..20, 0..4), 20)
        ) {
            // Module n may need lower numbers only, so there are no circles.
            let text: String = needs
                .iter()
                .enumerate()
                .map(|(module, needs)| {
                    let lower = needs.iter().filter(|need| **need < module);
                    let words: String = lower.map(|need| format!(" k/m{need}.ko")).collect();
                    format!("k/m{module}.ko:{words}\n")
                })
                .collect();
            let modules = Dependencies::parse(&text);
            let order = modules.load_order(&["m19", "m7", "m18"]).expect("no circles");
            for (place, path) in order.iter().enumerate() {
                for need in &modules.modules[&name(path)].1 {
                    prop_assert!(order[..place].contains(need));
                }
                prop_assert!(!order[..place].contains(path));
            }
        }
    }
}
