//! The command line, read once into a value.

use core::time::Duration;

use crate::error::{Error, Result};
use crate::sizes::{self, Sizes};

/// Name that `service-domain.cfg` gives the service domain.
pub const DEFAULT_SERVICE: &str = "gpu-service";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Print the manual.
    Help,
    /// Print the version.
    Version,
    /// Create a guest paused, attach a vGPU, let it run.
    Create {
        /// Its xl configuration file.
        config: String,
        /// What the vGPU is to have.
        sizes: Sizes,
        /// Passed on to `xl create`.
        xl: Vec<String>,
    },
    /// Give a paused guest a vGPU.
    Attach {
        /// Name or number.
        domain: String,
        /// What the vGPU is to have.
        sizes: Sizes,
    },
    /// Take a guest's vGPU away.
    Detach {
        /// Name or number.
        domain: String,
    },
    /// Show the service domain and its vGPUs.
    List,
}

/// The whole command line.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    /// What to do.
    pub command: Command,
    /// The service domain's name or number.
    pub service: String,
    /// How long to wait for its answers.
    pub timeout: Duration,
}

/// Reads the arguments after the program's name.
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Arguments> {
    let mut arguments = arguments.into_iter();
    let mut words = Vec::new();
    let mut xl = Vec::new();
    let mut service = DEFAULT_SERVICE.to_owned();
    let mut timeout = Duration::from_secs(60);
    let mut base = Sizes::default();
    // Single sizes apply on top of a type wherever --type stands.
    let mut changes: Vec<(String, String)> = Vec::new();
    let mut huge_gtt = false;

    while let Some(argument) = arguments.next() {
        let (option, attached) = match argument.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option, Some(value.to_owned())),
            _ => (argument.as_str(), None),
        };
        let mut value = || {
            let next = attached.clone().or_else(|| arguments.next());
            next.ok_or_else(|| Error::Usage(format!("{option} needs a value")))
        };
        match option {
            "-h" | "--help" | "help" => return Ok(only(Command::Help)),
            "-V" | "--version" => return Ok(only(Command::Version)),
            "--" => xl.extend(arguments.by_ref()),
            "--service" => service = value()?,
            "--timeout" => {
                timeout = Duration::from_secs(sizes::count(option, &value()?)?.into());
            }
            "--type" => base = sizes::preset(&value()?)?,
            "--low-gm" | "--high-gm" | "--fences" | "--weight" | "--display" => {
                changes.push((option.to_owned(), value()?));
            }
            "--huge-gtt" if attached.is_none() => huge_gtt = true,
            _ if option.starts_with('-') => {
                return Err(Error::Usage(format!("unknown option {argument}")));
            }
            _ => words.push(argument),
        }
    }

    base.huge_gtt = huge_gtt;
    let changed = !changes.is_empty() || base != Sizes::default();
    for (option, value) in changes {
        match option.as_str() {
            "--low-gm" => base.low_gm = sizes::mebibytes(&option, &value)?,
            "--high-gm" => base.high_gm = sizes::mebibytes(&option, &value)?,
            "--fences" => base.fences = sizes::count(&option, &value)?,
            "--weight" => base.weight = sizes::count(&option, &value)?,
            _ => base.display = sizes::display(&value)?,
        }
    }

    let mut words = words.into_iter();
    let verb = words
        .next()
        .ok_or_else(|| Error::Usage("what shall be done?".into()))?;
    let mut operand = |what: &str| {
        words
            .next()
            .ok_or_else(|| Error::Usage(format!("gpuctl {verb} needs {what}")))
    };
    let command = match verb.as_str() {
        "create" => {
            let config = operand("the guest's configuration file")?;
            Command::Create {
                config,
                sizes: base,
                xl: core::mem::take(&mut xl),
            }
        }
        "attach" => Command::Attach {
            domain: operand("a domain")?,
            sizes: base,
        },
        "detach" if !changed => Command::Detach {
            domain: operand("a domain")?,
        },
        "list" if !changed => Command::List,
        "detach" | "list" => {
            return Err(Error::Usage(format!("gpuctl {verb} takes no sizes")));
        }
        _ => return Err(Error::Usage(format!("unknown command {verb}"))),
    };
    if let Some(surplus) = words.next().or_else(|| xl.into_iter().next()) {
        return Err(Error::Usage(format!(
            "gpuctl {verb}: what is \"{surplus}\" for?"
        )));
    }
    Ok(Arguments {
        command,
        service,
        timeout,
    })
}

fn only(command: Command) -> Arguments {
    Arguments {
        command,
        service: DEFAULT_SERVICE.into(),
        timeout: Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(line: &str) -> Result<Arguments> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn single_sizes_change_the_chosen_type_in_any_order() {
        for text in [
            "attach h1 --fences 8 --type i915-GVTg_V5_4 --high-gm=1G",
            "--high-gm 1G attach --type=i915-GVTg_V5_4 h1 --fences=8",
        ] {
            let Ok(Arguments {
                command: Command::Attach { domain, sizes },
                ..
            }) = line(text)
            else {
                panic!("{text} is understood");
            };
            assert_eq!(domain, "h1");
            assert_eq!((sizes.low_gm, sizes.high_gm, sizes.fences), (128, 1024, 8));
        }
    }

    #[test]
    fn create_hands_what_follows_two_dashes_to_xl() {
        let parsed = line("create guest.cfg --service 3 -- name=\"x\" --quiet");
        let Ok(Arguments {
            command: Command::Create { config, xl, .. },
            service,
            ..
        }) = parsed
        else {
            panic!("understood");
        };
        assert_eq!((config.as_str(), service.as_str()), ("guest.cfg", "3"));
        assert_eq!(xl, ["name=\"x\"", "--quiet"]);
    }

    #[test]
    fn what_makes_no_sense_is_a_usage_error_not_a_guess() {
        for text in [
            "",
            "atach h1",
            "attach",
            "attach h1 h2",
            "attach h1 --low-gm",
            "attach h1 --low-gm lots",
            "attach h1 -- more",
            "attach h1 --force",
            "detach h1 --low-gm 64",
            "detach h1 --huge-gtt",
            "attach h1 --huge-gtt=yes",
            "list h1",
            "attach h1 --timeout soon",
        ] {
            assert!(matches!(line(text), Err(Error::Usage(_))), "{text}");
        }
    }
}
