//! The Xenstore nodes between gpuctl and a service domain; `docs/xenstore.md` is their contract.

/// Where everything of one service domain is.
pub fn gpu(service: u32) -> String {
    format!("/local/domain/{service}/data/gpu")
}

/// One word about the service domain itself: `state`, `reason`, `version`, `free-…`.
pub fn of_service(service: u32, name: &str) -> String {
    format!("{}/{name}", gpu(service))
}

/// The directory of all vGPUs.
pub fn vgpus(service: u32) -> String {
    format!("{}/vgpu", gpu(service))
}

/// Everything about one guest's vGPU.
pub fn vgpu(service: u32, guest: u32) -> String {
    format!("{}/{guest}", vgpus(service))
}

/// One word about one guest's vGPU.
pub fn of_vgpu(service: u32, guest: u32, name: &str) -> String {
    format!("{}/{name}", vgpu(service, guest))
}
