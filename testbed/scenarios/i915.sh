# Debian's unmodified i915 on a vGPU, 6.12 and 6.1 at once: probe, render node, work, resets.
# stages: none
# needs: kernel-6.1
# timeout: 600
# checks: 10

gpuctl=/payload/gpuctl
sizes=(--low-gm 64 --high-gm 256)
steps=load
start_service system_u:system_r:gpusvc_t || return 1
before=$(resources)
for kernel in 6.12 6.1; do
    i915_config "i915-$kernel" "$kernel" "$steps"
    check "$kernel-created" $gpuctl create "/tmp/i915-$kernel.cfg" "${sizes[@]}" || return 1
    stamp "i915-$kernel runs"
done
for kernel in 6.12 6.1; do
    check "$kernel-done" wait_line "i915-$kernel" '^GUEST end' 500 && stamp "i915-$kernel is done"
    relay_checks "i915-$kernel"
    figures "i915-$kernel"
done
service_status
for kernel in 6.12 6.1; do
    check "$kernel-gone" wait_gone "i915-$kernel" 60
done
resources_are nothing-left "$before"
check service-alive service_says ready
