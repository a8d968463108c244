//! The nodes that the toolstack and the service have for each other (docs/xenstore.md).
//!
//! They may hold anything: every value is bounded and parsed, and what does not parse is answered
//! with the node's name.

use alloc::format;
use alloc::string::{String, ToString};

use mediator::{Display, DomainId, VgpuConfig};
use xen::xenstore::XenstoreError;

const ROOT: &str = "data/gpu";
/// Where the guests' nodes are.
pub const VGPUS: &str = "data/gpu/vgpu";
/// Longest value that is looked at, bytes.
const VALUE_LIMIT: usize = 32;

/// A guest's nodes, in the order in which they are read.
const NODES: [&str; 8] = [
    "state", "command", "low-gm", "high-gm", "fences", "weight", "display", "huge-gtt",
];

/// A node and its value.
pub type Write = (String, String);

/// What the toolstack wants for a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The guest.
    pub domain: DomainId,
    /// How it is called in the log.
    pub name: &'static str,
    /// What it means, or why it is refused.
    pub order: Result<Order, String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// The guest gets a vGPU of these sizes.
    Attach(VgpuConfig),
    /// Its vGPU is taken away.
    Detach,
}

/// What is known of a guest's nodes.
pub struct Nodes {
    /// The guest.
    pub domain: DomainId,
    /// By [`NODES`]; `None` where there is no such node.
    values: [Option<String>; NODES.len()],
    read: usize,
}

/// What is to be done with a guest's nodes.
pub enum Next {
    /// This one is read next.
    Read(&'static str),
    /// All that matter have been read.
    Command(Command),
    /// There is no command, or one that was answered already.
    Nothing,
}

impl Nodes {
    /// Nothing yet.
    pub fn of(domain: DomainId) -> Self {
        Self {
            domain,
            values: [const { None }; NODES.len()],
            read: 0,
        }
    }

    /// What to do with what has been read.
    pub fn next(&self) -> Next {
        let [state, command, ..] = &self.values;
        if state.is_some() {
            return Next::Nothing;
        }
        match (command.as_deref(), NODES.get(self.read)) {
            (None, Some(name)) if self.read < 2 => Next::Read(name),
            (None, _) => Next::Nothing,
            (Some("attach"), Some(name)) => Next::Read(name),
            (Some(command), _) => Next::Command(self.command(command)),
        }
    }

    /// Takes in the node read last. A value that is too long or no text becomes something that no
    /// command or number is.
    pub fn take(&mut self, reply: Result<&[u8], XenstoreError>) -> Result<(), XenstoreError> {
        let value = match reply {
            Ok(bytes) => {
                let part = bytes.get(..VALUE_LIMIT);
                let mut value = String::from_utf8_lossy(part.unwrap_or(bytes)).into_owned();
                if bytes.len() > VALUE_LIMIT {
                    value.push_str("...");
                }
                Some(value)
            }
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        if let Some(place) = self.values.get_mut(self.read) {
            *place = value;
        }
        self.read += 1;
        Ok(())
    }

    fn command(&self, command: &str) -> Command {
        let (name, order) = match command {
            "attach" => ("attach", self.sizes().map(Order::Attach)),
            "detach" => ("detach", Ok(Order::Detach)),
            other => {
                let other = other.escape_debug();
                let reason = format!("command: \"{other}\" is unknown");
                ("unknown command", Err(reason))
            }
        };
        Command {
            domain: self.domain,
            name,
            order,
        }
    }

    /// The sizes asked for, or which node is wrong.
    fn sizes(&self) -> Result<VgpuConfig, String> {
        let [_, _, sizes @ .., display, huge_gtt] = &self.values;
        let mut numbers = [0; 4];
        for ((number, value), name) in numbers.iter_mut().zip(sizes).zip(&NODES[2..]) {
            let digits = value
                .as_deref()
                .filter(|v| v.bytes().all(|byte| byte.is_ascii_digit()));
            *number = digits
                .and_then(|value| value.parse().ok())
                .ok_or_else(|| format!("{name}: missing, or not a number"))?;
        }
        let [low_mib, high_mib, fences, weight] = numbers;
        match display.as_deref() {
            None | Some("none") => {}
            Some(other) => {
                let other = other.escape_debug();
                return Err(format!(
                    "display: \"{other}\" is not supported, only \"none\""
                ));
            }
        }
        let huge_gtt = match huge_gtt.as_deref() {
            None | Some("0") => false,
            Some("1") => true,
            Some(_) => return Err("huge-gtt: neither 0 nor 1".into()),
        };
        Ok(VgpuConfig {
            low_mib,
            high_mib,
            fences,
            weight,
            display: Display::None,
            huge_gtt,
        })
    }
}

/// What is left to give, for `gpuctl` and people.
pub fn free((low, high, fences): (u32, u32, u32)) -> [Write; 3] {
    [
        ("free-low-gm", low),
        ("free-high-gm", high),
        ("free-fences", fences),
    ]
    .map(|(name, number)| (node(name), number.to_string()))
}

/// The path of a node of the service.
pub fn node(name: &str) -> String {
    format!("{ROOT}/{name}")
}

/// The path of a node of a guest.
pub fn vgpu_node(domain: DomainId, name: &str) -> String {
    format!("{VGPUS}/{}/{name}", domain.0)
}

/// The guest whose `command` node a path names.
pub fn command_of(path: &str) -> Option<DomainId> {
    let (number, name) = path
        .strip_prefix(VGPUS)?
        .strip_prefix('/')?
        .split_once('/')?;
    (name == "command").then(|| number.parse().ok().map(DomainId))?
}
