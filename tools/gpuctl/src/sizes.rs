//! What a vGPU is asked to have: free-form sizes, with the four GVT-g types as presets.

use crate::error::{Error, Result};

/// One vGPU's share, as written to `data/gpu/vgpu/<domid>/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    /// Global graphics memory the guest's CPU reaches through BAR2, MiB.
    pub low_gm: u32,
    /// Global graphics memory only the GPU reaches, MiB.
    pub high_gm: u32,
    /// Fence registers.
    pub fences: u32,
    /// Share of GPU time, relative to the other vGPUs.
    pub weight: u32,
    /// `none`, or the one screen's size as `WIDTHxHEIGHT`.
    pub display: String,
    /// Whether the guest is told that it may use 64 KiB and 2 MiB pages.
    pub huge_gtt: bool,
}

/// One of the types an administrator may know from GVT-g.
pub struct Preset {
    /// Its name under `mdev_supported_types`.
    pub name: &'static str,
    /// Low graphics memory, MiB.
    pub low_gm: u32,
    /// High graphics memory, MiB.
    pub high_gm: u32,
    /// Weight.
    pub weight: u32,
}

/// All four; each has four fences (Linux 6.12 `gvt/vgpu.c`, `intel_vgpu_configs`).
pub const PRESETS: [Preset; 4] = [
    Preset {
        name: "i915-GVTg_V5_8",
        low_gm: 64,
        high_gm: 384,
        weight: 2,
    },
    Preset {
        name: "i915-GVTg_V5_4",
        low_gm: 128,
        high_gm: 512,
        weight: 4,
    },
    Preset {
        name: "i915-GVTg_V5_2",
        low_gm: 256,
        high_gm: 1024,
        weight: 8,
    },
    Preset {
        name: "i915-GVTg_V5_1",
        low_gm: 512,
        high_gm: 2048,
        weight: 16,
    },
];

impl Preset {
    /// The sizes it stands for.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            low_gm: self.low_gm,
            high_gm: self.high_gm,
            fences: 4,
            weight: self.weight,
            display: "none".into(),
            huge_gtt: false,
        }
    }
}

impl Default for Sizes {
    fn default() -> Self {
        PRESETS[0].sizes()
    }
}

/// The sizes of a preset by its name.
pub fn preset(name: &str) -> Result<Sizes> {
    let found = PRESETS.iter().find(|preset| preset.name == name);
    found.map(Preset::sizes).ok_or_else(|| {
        let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
        Error::Usage(format!(
            "--type {name}: no such type; there are {}",
            names.join(", ")
        ))
    })
}

/// MiB from `384`, `384M`, `384MiB`, `1G` or `1GiB`.
pub fn mebibytes(option: &str, text: &str) -> Result<u32> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" | "M" | "MB" | "MiB" => Some(1),
        "G" | "GB" | "GiB" => Some(1024),
        _ => None,
    };
    factor
        .and_then(|factor| number.parse::<u32>().ok()?.checked_mul(factor))
        .ok_or_else(|| {
            Error::Usage(format!(
                "{option} {text}: a size is a number of MiB, or like 1G"
            ))
        })
}

/// A plain number.
pub fn count(option: &str, text: &str) -> Result<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.ok_or_else(|| Error::Usage(format!("{option} {text}: not a number")))
}

/// `none` or `WIDTHxHEIGHT`.
pub fn display(text: &str) -> Result<String> {
    let side = |side: &str| side.parse::<u16>().is_ok_and(|pixels| pixels > 0);
    let good = text == "none"
        || text
            .split_once('x')
            .is_some_and(|(width, height)| side(width) && side(height));
    if good {
        Ok(text.into())
    } else {
        Err(Error::Usage(format!(
            "--display {text}: say none, or a size like 1920x1080"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_come_in_mebibytes_or_gibibytes_and_overflow_is_refused() {
        for (text, size) in [
            ("384", Some(384)),
            ("384MiB", Some(384)),
            ("1G", Some(1024)),
            ("0", Some(0)),
            ("4194304G", None),
            ("-1", None),
            ("1.5G", None),
            ("G", None),
            ("", None),
        ] {
            assert_eq!(mebibytes("--low-gm", text).ok(), size, "{text}");
        }
    }

    #[test]
    fn a_preset_is_known_by_its_name_only() {
        assert_eq!(
            preset("i915-GVTg_V5_1").map(|sizes| sizes.high_gm).ok(),
            Some(2048)
        );
        assert!(preset("i915-gvtg_v5_1").is_err());
    }

    #[test]
    fn a_display_is_none_or_two_sides() {
        assert!(display("none").is_ok() && display("1920x1080").is_ok());
        for wrong in ["", "x", "0x5", "1920", "1920x", "1920x1080x1", "70000x1"] {
            assert!(display(wrong).is_err(), "{wrong}");
        }
    }
}
