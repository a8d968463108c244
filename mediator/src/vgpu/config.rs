//! What a vGPU is asked to be.

/// Which display the guest finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Display {
    /// All pipes fused off (SKL_DFSM): the driver registers a render node and no outputs.
    #[default]
    None,
}

/// What a vGPU is asked to be. Sizes are free; presets are the toolstack's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VgpuConfig {
    /// Low (mappable) graphics memory, MiB; at least 1.
    pub low_mib: u32,
    /// High (non-mappable) graphics memory, MiB.
    pub high_mib: u32,
    /// Fence registers.
    pub fences: u32,
    /// Share of GPU time relative to other vGPUs; at least 1.
    pub weight: u32,
    /// Outputs.
    pub display: Display,
    /// Whether the guest is told that it may use 64 KiB and 2 MiB pages (PVINFO, HUGE_GTT).
    pub huge_gtt: bool,
}

impl Default for VgpuConfig {
    /// The smallest that a desktop driver is comfortable with (GVT-g type "8").
    fn default() -> Self {
        Self {
            low_mib: 64,
            high_mib: 384,
            fences: 4,
            weight: 2,
            display: Display::None,
            huge_gtt: false,
        }
    }
}
