# What i915.sh leaves out of guest-render, on one kernel: the checks that take long. Hangs are in
# resets.sh. `many:5000` is 10,000 submissions: half of them on one engine after the other, half on all.
# A quiet machine is needed: the kernel's patience with requests is twenty seconds of real time.
# stages: none
# timeout: 1500
# checks: 100

start_service system_u:system_r:gpusvc_t || return 1
before=$(resources)
i915_config render 6.12 "load contexts spin copy maps chain big many:5000 clean"
check render-done works render 1200 --low-gm 64 --high-gm 256 && stamp "render is done"
relay_checks render
figures render
service_status
check render-gone wait_gone render 60
check contract-kept contract_kept 4
check nothing-untracked inoffensive 1
resources_are nothing-left "$before"
check service-alive service_says ready
