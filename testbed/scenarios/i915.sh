# Debian's unmodified i915 on a vGPU, 6.12 and 6.1 at once: probe, render node, work on all engines.
# stages: i915
# needs: kernel-6.1
# timeout: 900
# checks: 90

gpuctl=/payload/gpuctl
sizes=(--low-gm 64 --high-gm 256)
steps='load info store registers fences contexts clean'
start_service system_u:system_r:gpusvc_t || return 1
before=$(resources)
for kernel in 6.12 6.1; do
    i915_config "i915-$kernel" "$kernel" "$steps"
    check "$kernel-created" boots "i915-$kernel" "${sizes[@]}" || return 1
    stamp "i915-$kernel runs"
done
for kernel in 6.12 6.1; do
    check "$kernel-done" wait_line "i915-$kernel" '^GUEST end' 800 && stamp "i915-$kernel is done"
    relay_checks "i915-$kernel"
    figures "i915-$kernel"
done
for kernel in 6.12 6.1; do
    check "$kernel-gone" wait_gone "i915-$kernel" 60
done
check contract-kept contract_kept 8
check nothing-untracked inoffensive 2
resources_are nothing-left "$before"
check service-alive service_says ready
