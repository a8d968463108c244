//! The command line, parsed once into a typed configuration.
//!
//! Words are separated by blanks. A word that is unknown, has a bad value, or is given twice is
//! kept as a [`Complaint`] for the console and changes nothing, so that a typing error never
//! keeps a machine from booting and never goes unseen.

use arrayvec::ArrayVec;
use core::fmt;
use log::LevelFilter;

/// Most built-in test guests.
pub const LOOPBACK_LIMIT: u8 = 16;

/// Complaints kept; more are only counted.
const COMPLAINT_LIMIT: usize = 8;
/// Bytes kept of a word complained about.
const WORD_LIMIT: usize = 40;

/// Which GPU to drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gpu {
    /// The software one.
    Model,
    /// The PCI device assigned to this domain.
    Pci,
}

/// What a test wants to see happen instead of normal service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Write to an address nothing is mapped at.
    Fault,
    /// Read through a null pointer.
    Null,
    /// Run off the end of the boot stack.
    Overflow,
    /// Panic.
    Panic,
    /// Execute data.
    Nx,
    /// Write to code.
    Wx,
    /// Allocate until the heap is empty.
    Memory,
    /// Torture red zones and xmm registers with timer interrupts.
    SelfTest,
    /// Exercise hypercalls as Dom0 of a real Xen.
    Dom0,
}

impl Scenario {
    /// Every scenario and its word.
    pub const ALL: [(&'static str, Self); 9] = [
        ("fault", Self::Fault),
        ("null", Self::Null),
        ("overflow", Self::Overflow),
        ("panic", Self::Panic),
        ("nx", Self::Nx),
        ("wx", Self::Wx),
        ("memory", Self::Memory),
        ("selftest", Self::SelfTest),
        ("dom0", Self::Dom0),
    ];
}

/// Where the console speaks, as far as the places exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sinks {
    /// The 16550 at COM1.
    pub serial: bool,
    /// Port 0xE9.
    pub port_e9: bool,
    /// Xen's console ring.
    pub xen: bool,
}

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `log=error|warn|info|debug|trace`
    pub log: LevelFilter,
    /// `gpu=model|pci`
    pub gpu: Gpu,
    /// `gtt=512|1024|2048|4096`: MiB that the global GTT maps.
    pub gtt_mib: u32,
    /// `loopback=N`: built-in test guests.
    pub loopback: u8,
    /// `scenario=WORD`
    pub scenario: Option<Scenario>,
    /// `exit`: leave through isa-debug-exit when the loopback guests or the scenario are done.
    pub exit: bool,
    /// `console=serial,e9,xen`
    pub sinks: Sinks,
    /// `record=BYTES`: memory to record the mediator's boundary in; 0 for none.
    pub record: usize,
    /// Words that meant nothing, in order.
    pub complaints: ArrayVec<Complaint, COMPLAINT_LIMIT>,
    /// Complaints beyond those.
    pub more_complaints: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log: LevelFilter::Info,
            gpu: Gpu::Model,
            gtt_mib: 1024,
            loopback: 0,
            scenario: None,
            exit: false,
            sinks: Sinks {
                serial: true,
                port_e9: true,
                xen: true,
            },
            record: 0,
            complaints: ArrayVec::new(),
            more_complaints: 0,
        }
    }
}

/// What is wrong with a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No such word.
    Unknown,
    /// The word is known; this says what may follow its `=`.
    BadValue {
        /// The values it takes.
        expected: &'static str,
    },
    /// Given before; the first one counts.
    Repeated,
}

/// A word of the command line that meant nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    word: ArrayVec<u8, WORD_LIMIT>,
    cut: bool,
    /// What is wrong with it.
    pub trouble: Trouble,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.cut { "..." } else { "" };
        write!(f, "\"{}{more}\": ", self.word.escape_ascii())?;
        match self.trouble {
            Trouble::Unknown => write!(f, "unknown word, ignored"),
            Trouble::BadValue { expected } => write!(f, "ignored, expected {expected}"),
            Trouble::Repeated => write!(f, "given twice, the first counts"),
        }
    }
}

impl Config {
    /// Parses any byte string.
    pub fn parse(command_line: &[u8]) -> Self {
        let mut config = Self::default();
        let mut seen = Seen::default();
        let words = command_line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        for word in words {
            if let Err(trouble) = config.word(word, &mut seen) {
                config.complain(word, trouble);
            }
        }
        config
    }

    fn word(&mut self, word: &[u8], seen: &mut Seen) -> Result<(), Trouble> {
        let mut halves = word.splitn(2, |&byte| byte == b'=');
        let name = halves.next().unwrap_or(word);
        let value = halves.next();
        match name {
            b"log" => {
                let level = choose(value, "error, warn, info, debug or trace", &LEVELS)?;
                seen.first(0)?;
                self.log = level;
            }
            b"gpu" => {
                let gpu = choose(
                    value,
                    "model or pci",
                    &[("model", Gpu::Model), ("pci", Gpu::Pci)],
                )?;
                seen.first(1)?;
                self.gpu = gpu;
            }
            b"gtt" => {
                let sizes = [("512", 512), ("1024", 1024), ("2048", 2048), ("4096", 4096)];
                let size = choose(value, "512, 1024, 2048 or 4096 (MiB)", &sizes)?;
                seen.first(2)?;
                self.gtt_mib = size;
            }
            b"loopback" => {
                let count = value
                    .and_then(|value| core::str::from_utf8(value).ok())
                    .and_then(|value| value.parse().ok())
                    .filter(|&count| count <= LOOPBACK_LIMIT)
                    .ok_or(Trouble::BadValue {
                        expected: "a number from 0 to 16",
                    })?;
                seen.first(3)?;
                self.loopback = count;
            }
            b"scenario" => {
                let scenario = choose(
                    value,
                    "fault, null, overflow, panic, nx, wx, memory, selftest or dom0",
                    &Scenario::ALL,
                )?;
                seen.first(4)?;
                self.scenario = Some(scenario);
            }
            b"console" => {
                let sinks = sinks(value).ok_or(Trouble::BadValue {
                    expected: "a list of serial, e9 and xen",
                })?;
                seen.first(5)?;
                self.sinks = sinks;
            }
            b"exit" => {
                if value.is_some() {
                    return Err(Trouble::BadValue {
                        expected: "no value",
                    });
                }
                seen.first(6)?;
                self.exit = true;
            }
            b"record" => {
                let size = value.and_then(bytes).ok_or(Trouble::BadValue {
                    expected: "bytes, like 65536, 512K or 8M",
                })?;
                seen.first(7)?;
                self.record = size;
            }
            _ => return Err(Trouble::Unknown),
        }
        Ok(())
    }

    fn complain(&mut self, word: &[u8], trouble: Trouble) {
        let kept = word.iter().copied().take(WORD_LIMIT).collect();
        let complaint = Complaint {
            word: kept,
            cut: word.len() > WORD_LIMIT,
            trouble,
        };
        if self.complaints.try_push(complaint).is_err() {
            self.more_complaints = self.more_complaints.saturating_add(1);
        }
    }
}

const LEVELS: [(&str, LevelFilter); 5] = [
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

/// Which words came already, one bit each.
#[derive(Default)]
struct Seen(u8);

impl Seen {
    fn first(&mut self, bit: u8) -> Result<(), Trouble> {
        if self.0 & (1 << bit) != 0 {
            return Err(Trouble::Repeated);
        }
        self.0 |= 1 << bit;
        Ok(())
    }
}

fn choose<T: Copy>(
    value: Option<&[u8]>,
    expected: &'static str,
    choices: &[(&str, T)],
) -> Result<T, Trouble> {
    let value = value.ok_or(Trouble::BadValue { expected })?;
    let found = choices.iter().find(|(word, _)| word.as_bytes() == value);
    found
        .map(|&(_, choice)| choice)
        .ok_or(Trouble::BadValue { expected })
}

/// A size; K and M count as 1024 and its square.
fn bytes(value: &[u8]) -> Option<usize> {
    let (digits, shift) = match value {
        [digits @ .., b'K'] => (digits, 10),
        [digits @ .., b'M'] => (digits, 20),
        _ => (value, 0),
    };
    let number = digits.iter().try_fold(0usize, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    });
    number
        .filter(|_| !digits.is_empty())?
        .checked_mul(1 << shift)
}

fn sinks(value: Option<&[u8]>) -> Option<Sinks> {
    let mut sinks = Sinks {
        serial: false,
        port_e9: false,
        xen: false,
    };
    for word in value?.split(|&byte| byte == b',') {
        match word {
            b"serial" => sinks.serial = true,
            b"e9" => sinks.port_e9 = true,
            b"xen" => sinks.xen = true,
            _ => return None,
        }
    }
    Some(sinks)
}

#[cfg(test)]
mod tests;
