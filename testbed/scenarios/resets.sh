# What i915 does about hangs, on 6.12 and then on 6.1: resets of one engine and of the whole GPU; the
# module unloaded and loaded. On 6.12 also contexts closed while their batches run, and the copy that the
# driver makes of a hung engine.
# A quiet machine is needed: the kernel's patience with requests is twenty seconds of real time.
# stages: none
# needs: kernel-6.1
# timeout: 2400
# checks: 340

# How many accesses through the aperture the guest has made.
aperture() {
    local before
    before=$(stat -c %s /var/log/xen/guest-gpu-service.log)
    printf 'status\n' > "$(xenstore-read "/local/domain/$service/console/tty")"
    line_after "$before" gpu-service ' aperture' 30 | sed 's/.* \([0-9]*\) aperture/\1/'
}
figure() { console "$1" | tr -d '\r' | sed -n "s/^FIGURE $2 //p"; }

# Batches that never end are all that the service domain complained about.
only_hangs() {
    local log=/var/log/xen/guest-gpu-service.log
    ! grep ' warn ' "$log" | grep -v 'over its time budget' && grep -q 'over its time budget' "$log"
}

start_service system_u:system_r:gpusvc_t || return 1
before=$(resources)
for kernel in 6.12 6.1; do
    guest="resets-$kernel"
    steps="nocapture hangs wholeresets reload clean"
    [ $kernel = 6.1 ] || steps="contexts captured $steps"
    i915_config "$guest" $kernel "load $steps"
    check "$kernel-created" boots "$guest" --low-gm 64 --high-gm 256 || return 1
    stamp "$guest runs"
    if [ $kernel = 6.12 ]; then
        check contexts-are-done wait_line "$guest" '^GUEST step captured' 300
        start=$(aperture)
        check a-hang-is-copied wait_line "$guest" '^GUEST step nocapture' 700
        pages=$(figure "$guest" i915-copy-pages)
        echo "FIGURE aperture-accesses-of-a-copied-page $((($(aperture) - start) / pages))"
    fi
    check "$kernel-done" wait_line "$guest" '^GUEST end' 700 && stamp "$guest is done"
    relay_checks "$guest"
    figures "$guest"
    check "$kernel-gone" wait_gone "$guest" 60
    resources_are "$kernel-leaves-nothing" "$before"
done
check contract-kept contract_kept 8
check nothing-untracked grep -c 'offences: .* 0 untracked' /var/log/xen/guest-gpu-service.log
check nothing-but-hangs only_hangs
check service-alive service_says ready
