# Recordings of both drivers' probes and first work, for mediator/tests/traces (docs/trace.md).
# stages: none
# needs: kernel-6.1
# timeout: 900
# checks: 10

gpuctl=/payload/gpuctl
for kernel in 6.12; do
    sed -i 's#^cmdline .*#cmdline = "gpu=model record=24M"#' /payload/service-domain.cfg
    start_service system_u:system_r:gpusvc_t || return 1
    i915_config "i915-$kernel" "$kernel" "window many:400"
    check "$kernel-created" $gpuctl create "/tmp/i915-$kernel.cfg" --low-gm 64 --high-gm 256 || return 1
    check "$kernel-done" wait_line "i915-$kernel" '^GUEST end' 300
    relay_checks "i915-$kernel"
    check "$kernel-gone" wait_gone "i915-$kernel" 60
    before=$(stat -c %s /var/log/xen/guest-gpu-service.log)
    printf 'trace dump many-%s\n' "$kernel" > "$(xenstore-read "/local/domain/$service/console/tty")"
    check "$kernel-recorded" line_after "$before" gpu-service 'TRACE-END ' 120
    xl destroy gpu-service
    cat /var/log/xen/guest-gpu-service.log > "/var/log/xen/recorded-$kernel.log"
done
