# The same i915 guest ten times in a row, each ending in a reboot, with work in each: nothing of the
# service domain's stays with it.
# stages: none
# timeout: 3600
# checks: 280

start_service system_u:system_r:gpusvc_t || return 1
before=$(resources)
# Free page frames and the heap: what the first guest made the service domain set aside for all, the
# tenth must find there.
memory() {
    local before
    before=$(stat -c %s /var/log/xen/guest-gpu-service.log)
    printf 'status\n' > "$(xenstore-read "/local/domain/$service/console/tty")"
    # How often memory was allocated is at the end of the line; it may grow.
    line_after "$before" gpu-service '^memory:' 30 | sed 's/, [0-9]* allocations$//'
}
i915_config reboots 6.12 "load store clean" -e 's#^\(extra .*\)"$#\1 end=reboot"#'
for round in 1 2 3 4 5 6 7 8 9 10; do
    check "boot-$round" boots reboots --low-gm 64 --high-gm 256 || return 1
    check "boot-$round-done" wait_line reboots '^GUEST end' 200
    relay_checks reboots
    check "boot-$round-gone" wait_gone reboots 60
    stamp "boot $round is done"
    resources_are "boot-$round-leaves-nothing" "$before"
    [ "$round" -gt 1 ] || first=$(memory)
    cat /var/log/xen/guest-reboots.log >> /var/log/xen/reboots.log
    rm /var/log/xen/guest-reboots.log
done
last=$(memory)
echo "after the first: $first"
echo "after the last:  $last"
check memory-is-as-after-the-first test "$last" = "$first"
check contract-kept contract_kept 40
check nothing-untracked inoffensive 10
check service-alive service_says ready
