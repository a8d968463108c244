# i915's own live tests on a vGPU; `cargo xtask selftests` reads their results from the consoles.
# stages: none
# needs: selftests
# timeout: 14400
# checks: 3

# A guest that does nothing with its vGPU for so many seconds hangs.
patience=180
# After so many seconds nothing new begins, and the test that runs is cut off; and how many seconds one
# test may take.
read -r limit each < /payload/selftests/limits
guests=0
skip=
end=no
mapfile -t groups < /payload/selftests/groups
start_service system_u:system_r:gpusvc_t || return 1
before=$(resources)

# ran GUEST NAME: the tests of the group that the guest has begun, one a line.
ran() {
    console "$1" | tr -d '\r' |
        sed -n "/^SELFTEST $2 begin/,\$ s#.*i915: Running [^/]*/\\([^ ]*\\)\$#\\1#p"
}
ended() { console "$1" | grep -a -q "^SELFTEST $2 end"; }
steps() { console "$1" | grep -a -c 'SELFTEST \|i915: Running \|failed with error'; }

# use: what the service domain has done for the guest so far.
use() {
    service_status
    grep -a '^  \(accesses\|work\) ' /var/log/xen/guest-gpu-service.log | tail -n 2
}

# follow GUEST FAULTS: waits until it has ended. What ends it early is told at the end of its console,
# which is the reader's: `hang`, `slow` (a test takes too long), `cut` (the time is over), `lost` (the
# emulator's fault, of which there were FAULTS before).
follow() {
    local now seen=-1 begun=$SECONDS alive=$SECONDS used=
    until domain_gone "$1"; do
        now=$(steps "$1")
        [ "$now" = "$seen" ] || begun=$SECONDS alive=$SECONDS
        seen=$now
        if [ $((SECONDS - alive)) -gt $patience ]; then
            now=$(use)
            [ "$now" = "$used" ] && end=hang
            used=$now alive=$SECONDS
        fi
        [ $((SECONDS - begun)) -le "$each" ] || end=slow
        [ $SECONDS -le "$limit" ] || end=cut
        if [ $end = no ]; then
            sleep 3
            continue
        fi
        service_status
        xl destroy "$1"
        wait_gone "$1" 30
    done
    [ "$(emulator_faults)" = "$2" ] || end=lost
    # A line of its own, also when the guest ended in the middle of one.
    [ $end = no ] || printf '\nSELFTEST - %s\n' $end >> "/var/log/xen/guest-$1.log"
}

# A group in which a guest ended goes on in the next one, without the tests that have begun.
while [ ${#groups[@]} -gt 0 ] && [ $guests -lt 100 ] && [ $end != cut ]; do
    guests=$((guests + 1))
    guest=selftest-$guests
    first=${groups[0]}
    end=no
    list=$(IFS=,; echo "${groups[*]}")
    guest_config "$guest" labelled "" \
        -e 's#"/payload/guest-kernel"#"/payload/selftests/kernel"#' \
        -e 's#"/payload/guest-initrd"#"/payload/selftests/initrd"#' \
        -e 's#^memory .*#memory = 1024#' -e 's# quiet # loglevel=7 printk.time=1 #' \
        -e "s# test=# groups=$list st_filter=$(cat /payload/selftests/filter) skip=$skip#"
    faults=$(emulator_faults)
    if ! gpuctl create "/tmp/$guest.cfg" --low-gm 128 --high-gm 512; then
        fail guest-created "$guest"
        return 1
    fi
    follow "$guest" "$faults"
    while [ ${#groups[@]} -gt 0 ] && ended "$guest" "${groups[0]#*:}"; do
        groups=("${groups[@]:1}")
    done
    stamp "SELFTESTS $guest has ended: $end, ${#groups[@]} groups are left"
    [ ${#groups[@]} -gt 0 ] || break
    [ "$first" = "${groups[0]}" ] || skip=
    mapfile -t tests < <(ran "$guest" "${groups[0]#*:}")
    # What the emulator ended runs again.
    [ $end != lost ] || unset "tests[-1]"
    if [ ${#tests[@]} -gt 0 ]; then
        skip=${skip:+$skip,}$(IFS=,; echo "${tests[*]/#/!}")
    elif [ $end != lost ]; then
        groups=("${groups[@]:1}")
        skip=
    fi
done
[ $end = cut ] || check groups-done test ${#groups[@]} -eq 0
resources_are nothing-left "$before"
check service-alive service_says ready
