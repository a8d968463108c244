# Debian's unmodified i915 on a vGPU: probe, render node, work, resets.
# stages: none
# timeout: 400
# checks: 10

gpuctl=/payload/gpuctl
start_service || return 1
before=$(resources)
i915_config guest plain "load"
check guest-created $gpuctl create /tmp/guest.cfg --low-gm 64 --high-gm 384 && stamp "guest created"
check guest-done wait_line guest '^GUEST end' 300 && stamp "guest is done"
relay_checks guest
figures guest
printf 'status\n' > "$(xenstore-read "/local/domain/$service/console/tty")"
sleep 2
check guest-gone wait_gone guest 30
resources_are nothing-left "$before"
check service-alive service_says ready
