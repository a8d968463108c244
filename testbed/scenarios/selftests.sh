# i915's own live tests on a vGPU; `cargo xtask selftests` reads their results from the consoles.
# stages: none
# needs: selftests
# timeout: 14400
# checks: 3

# A guest in which nothing begins or ends for so many seconds hangs.
patience=600
guests=0
skip=
mapfile -t groups < /payload/selftests/groups
start_service || return 1
before=$(resources)

# ran GUEST NAME: the tests of the group that the guest has begun, one a line.
ran() {
    console "$1" | tr -d '\r' |
        sed -n "/^SELFTEST $2 begin/,\$ s#.*i915: Running [^/]*/\\([^ ]*\\)\$#\\1#p"
}
ended() { console "$1" | grep -a -q "^SELFTEST $2 end"; }
steps() { console "$1" | grep -a -c 'SELFTEST \|i915: Running '; }

# follow GUEST: waits until it has ended or hangs.
follow() {
    local now seen=-1 since=$SECONDS
    until domain_gone "$1"; do
        now=$(steps "$1")
        [ "$now" = "$seen" ] || since=$SECONDS
        seen=$now
        if [ $((SECONDS - since)) -gt $patience ]; then
            echo "SELFTEST: nothing new from $1 in $patience s"
            xl destroy "$1"
        fi
        sleep 2
    done
}

# A group in which a guest ended goes on in the next one, without the tests that have begun.
while [ ${#groups[@]} -gt 0 ] && [ $guests -lt 100 ]; do
    guests=$((guests + 1))
    guest=selftest-$guests
    first=${groups[0]}
    list=$(IFS=,; echo "${groups[*]}")
    guest_config "$guest" plain "" \
        -e 's#"/payload/guest-kernel"#"/payload/selftests/kernel"#' \
        -e 's#"/payload/guest-initrd"#"/payload/selftests/initrd"#' \
        -e 's#^memory .*#memory = 1024#' -e 's# quiet # loglevel=7 #' \
        -e "s# test=# groups=$list st_filter=$(cat /payload/selftests/filter) skip=$skip#"
    if ! $gpuctl create "/tmp/$guest.cfg" --low-gm 128 --high-gm 512; then
        fail guest-created "$guest"
        return 1
    fi
    follow "$guest"
    while [ ${#groups[@]} -gt 0 ] && ended "$guest" "${groups[0]#*:}"; do
        groups=("${groups[@]:1}")
    done
    stamp "SELFTESTS $guest has ended, ${#groups[@]} groups are left"
    [ "$first" = "${groups[0]}" ] || skip=
    tests=$(ran "$guest" "${groups[0]#*:}" | sed 's/^/!/' | paste -s -d,)
    if [ -n "$tests" ]; then
        skip=${skip:+$skip,}$tests
    else
        groups=("${groups[@]:1}")
        skip=
    fi
done
check groups-done test ${#groups[@]} -eq 0
resources_are nothing-left "$before"
check service-alive service_says ready
