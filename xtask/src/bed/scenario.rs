//! The scenarios in `testbed/scenarios`, and what their headers say.

use crate::failure::At;
use crate::failure::Failure;
use crate::failure::Outcome;
use crate::paths;
use crate::setup::Part;
use std::fs;
use std::time::Duration;

/// A scenario: a shell script that Dom0 runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// The script's name without `.sh`.
    pub name: String,
    /// The stages that run it; `# stages: xen flask`.
    pub stages: Vec<String>,
    /// What it needs besides a hypervisor, Dom0 and its kernel; `# needs: kernel-6.1`.
    pub needs: Vec<Part>,
    /// How long it may take; `# timeout: 240`. dom0-init reads the same line.
    pub timeout: Duration,
    /// Fewer results than this are a failure; `# checks: 5`.
    pub checks: usize,
}

impl Scenario {
    /// All of them, sorted by name.
    pub fn all() -> Outcome<Vec<Self>> {
        let folder = paths::root().join("testbed/scenarios");
        let mut scenarios = Vec::new();
        for entry in fs::read_dir(&folder).at("read", &folder)? {
            let path = entry.at("read", &folder)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if let Some(name) = name.and_then(|name| name.strip_suffix(".sh")) {
                let text = fs::read_to_string(&path).at("read", &path)?;
                scenarios.push(Self::parse(name, &text)?);
            }
        }
        scenarios.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(scenarios)
    }

    /// Those of a stage.
    pub fn of_stage(stage: &str) -> Outcome<Vec<Self>> {
        let mut scenarios = Self::all()?;
        scenarios.retain(|scenario| scenario.stages.iter().any(|name| name == stage));
        Ok(scenarios)
    }

    /// Those with these names, in this order.
    pub fn named(names: &[String]) -> Outcome<Vec<Self>> {
        let all = Self::all()?;
        let mut chosen = Vec::new();
        for name in names {
            let Some(scenario) = all.iter().find(|scenario| scenario.name == *name) else {
                let known: Vec<_> = all.iter().map(|scenario| scenario.name.as_str()).collect();
                let known = known.join(", ");
                return Err(Failure::new(format!(
                    "no scenario {name}; there are: {known}"
                )));
            };
            chosen.push(scenario.clone());
        }
        Ok(chosen)
    }

    fn parse(name: &str, text: &str) -> Outcome<Self> {
        let mut scenario = Self {
            name: name.to_owned(),
            stages: Vec::new(),
            needs: Vec::new(),
            timeout: Duration::from_secs(240),
            checks: 0,
        };
        // dom0-init takes the name from a list separated by colons, on a line split at commas.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(Failure::new(format!(
                "scenario {name:?}: a name has letters, digits, - and _ only"
            )));
        }
        for line in text.lines() {
            let Some((key, value)) = line.strip_prefix("# ").and_then(|l| l.split_once(':')) else {
                continue;
            };
            let mut words = value.split_whitespace();
            let number = |word: Option<&str>| {
                word.and_then(|word| word.parse::<u32>().ok())
                    .ok_or_else(|| Failure::new(format!("scenario {name}: {line}: a number?")))
            };
            match key {
                "stages" => scenario.stages = words.map(str::to_owned).collect(),
                "needs" => scenario.needs = words.map(Part::named).collect::<Outcome<_>>()?,
                "timeout" => {
                    scenario.timeout = Duration::from_secs(number(words.next())?.into());
                }
                "checks" => scenario.checks = number(words.next())? as usize,
                _ => {}
            }
        }
        Ok(scenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_says_where_it_runs_how_long_and_what_it_must_show() {
        let text = "# Shows: this.\n# stages: xen flask\n# timeout: 90   generous\n\
                    # needs: kernel-6.1\n# checks: 5\nok a\n";
        let scenario = Scenario::parse("two-guests", text).expect("a good header");
        assert_eq!(scenario.stages, ["xen", "flask"]);
        assert_eq!(scenario.needs, [Part::Kernel61]);
        assert_eq!(scenario.timeout, Duration::from_secs(90));
        assert_eq!(scenario.checks, 5);
    }

    #[test]
    fn a_bad_number_name_or_need_is_refused() {
        assert!(Scenario::parse("a", "# needs: kernel-0.1\n").is_err());
        assert!(Scenario::parse("a", "# timeout: soon\n").is_err());
        assert!(Scenario::parse("a:b", "").is_err());
        assert!(Scenario::parse("a,b", "").is_err());
        assert!(Scenario::parse("", "").is_err());
    }

    #[test]
    fn the_scenarios_of_this_tree_have_good_headers() {
        let all = Scenario::all().expect("good headers");
        assert!(all.iter().any(|scenario| scenario.name == "smoke"));
        for scenario in all {
            for stage in &scenario.stages {
                assert!(
                    ["none", "xen", "flask", "i915"].contains(&stage.as_str()),
                    "{scenario:?}"
                );
            }
        }
    }
}
