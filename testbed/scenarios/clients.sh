# Debian's packaged clients of i915 (intel-gpu-tools' benchmarks) on a vGPU, kernel 6.12.
# stages: none
# needs: clients
# timeout: 1500
# checks: 42

start_service system_u:system_r:gpusvc_t || return 1
before=$(resources)
cat /payload/i915-initrd /payload/clients > /tmp/clients-initrd
i915_config clients 6.12 "load clients clean" \
    -e 's#^ramdisk .*#ramdisk = "/tmp/clients-initrd"#' -e 's#^memory .*#memory = 512#'
check clients-done works clients 900 --low-gm 64 --high-gm 256 && stamp "clients are done"
relay_checks clients
figures clients
service_status
check clients-gone wait_gone clients 60
check contract-kept contract_kept 4
check nothing-untracked inoffensive 1
resources_are nothing-left "$before"
check service-alive service_says ready
