# What i915.sh leaves out of guest-render, on one kernel: the checks that take long. Hangs are in
# resets.sh.
# A quiet machine is needed: the kernel's patience with requests is twenty seconds of real time.
# stages: none
# timeout: 900
# checks: 10

gpuctl=/payload/gpuctl
start_service system_u:system_r:gpusvc_t || return 1
before=$(resources)
i915_config render 6.12 "load contexts spin copy big many:400"
check render-created $gpuctl create /tmp/render.cfg --low-gm 64 --high-gm 256 || return 1
stamp "render runs"
check render-done wait_line render '^GUEST end' 700 && stamp "render is done"
relay_checks render
figures render
service_status
check render-gone wait_gone render 60
resources_are nothing-left "$before"
check service-alive service_says ready
