# Words of the scenarios: bash functions, sourced by dom0-init and before each scenario.

# stamp WHAT…: a line with the seconds since Dom0's kernel started.
stamp() { echo "T $(cut -d' ' -f1 /proc/uptime) $*"; }

# ok NAME, fail NAME WHY…: one result of the scenario. Names have no blanks.
ok() { echo "CHECK $1 ok"; }
fail() {
    local name=$1
    shift
    echo "CHECK $name FAIL $*"
}

# check NAME COMMAND…: ok when the command succeeds; what it said is the reason if not.
check() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        ok "$name"
    else
        fail "$name" "'$*': $(echo "$output" | tr '\n' ' ' | cut -c 1-600)"
        return 1
    fi
}

# refused NAME COMMAND…: ok when the command fails.
refused() {
    local name=$1
    shift
    if "$@" > /dev/null 2>&1; then
        fail "$name" "'$*' succeeded"
        return 1
    fi
    ok "$name"
}

# wait_for SECONDS COMMAND…: tries the command five times a second until it succeeds.
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@" > /dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.2
    done
}

# wait_line DOMAIN PATTERN SECONDS: waits for a line on the domain's console (extended regexp).
wait_line() { line_after 0 "$@" > /dev/null; }

# line_after BYTES DOMAIN PATTERN SECONDS: prints the first such line behind the first BYTES.
line_after() {
    local lines tail line end=$((SECONDS + $4)) status=1
    exec {lines}< <(exec tail -c "+$(($1 + 1))" -F "/var/log/xen/guest-$2.log" 2> /dev/null)
    tail=$!
    while [ "$SECONDS" -lt "$end" ] && read -r -t "$((end - SECONDS))" -u "$lines" line; do
        if [[ $line =~ $3 ]]; then
            echo "${line%$'\r'}"
            status=0
            break
        fi
    done
    kill "$tail"
    exec {lines}<&-
    return $status
}

# wait_gone DOMAIN SECONDS: waits until Xen knows the domain no more.
wait_gone() { wait_for "$2" domain_gone "$1"; }
domain_gone() { ! xl domid "$1" > /dev/null 2>&1; }

# console DOMAIN: everything the domain has printed.
console() { cat "/var/log/xen/guest-$1.log"; }

# relay_checks DOMAIN: results that the guest printed on its console count, under DOMAIN:NAME.
relay_checks() { console "$1" | tr -d '\r' | sed -n "s/^CHECK \([^ ]*\) /CHECK $1:\1 /p"; }

# dump_logs SCENARIO: prints every log for the host to split into files, and removes it.
dump_logs() {
    local file
    xl dmesg --clear > /var/log/xen/xl-dmesg.log 2>&1
    xl list > /var/log/xen/xl-list.log 2>&1
    for file in /var/log/xen/*.log; do
        [ -s "$file" ] || continue
        echo "=== file $1/${file##*/}"
        # Room for a recording of a driver's probe (docs/trace.md).
        tail -c 2000000 "$file"
        echo
        echo "=== end"
        : > "$file"
    done
}

# destroy_all: leaves nothing but Dom0 for the next scenario.
destroy_all() {
    local id
    for id in $(other_domains); do
        xl destroy "$id" > /dev/null 2>&1
    done
    wait_for 10 no_other_domains || echo "testbed: still there: $(xl list | tail -n +3)"
    rm -f /var/log/xen/guest-*.log /var/log/xen/qemu-dm-*.log* /var/log/xen/xl-*.log*
}
other_domains() { xl list | awk 'NR > 1 && $2 != 0 { print $2 }'; }
no_other_domains() { [ -z "$(other_domains)" ]; }

# start_service [SECLABEL]: creates the service domain and waits until it serves. Sets $service, its
# number, and $gpu, its directory in Xenstore. Not for `check`, which would lose both.
start_service() {
    sed -e 's#^kernel .*#kernel = "/payload/image"#' /payload/service-domain.cfg > /tmp/service.cfg
    [ -z "$1" ] || echo "seclabel = \"$1\"" >> /tmp/service.cfg
    check service-created xl create /tmp/service.cfg || return 1
    service=$(xl domid gpu-service)
    gpu="/local/domain/$service/data/gpu"
    check service-serves wait_for 60 service_says ready && stamp "service domain serves"
}
service_says() { [ "$(xenstore-read "$gpu/state")" = "$1" ]; }

# resources: what the service domain holds for guests now, one line of its `status`.
resources() {
    local before
    before=$(stat -c %s /var/log/xen/guest-gpu-service.log)
    printf 'status\n' > "$(xenstore-read "/local/domain/$service/console/tty")"
    line_after "$before" gpu-service '^resources:' 30
}

# resources_are NAME WANTED: compares, giving the service domain a while to let go.
resources_are() {
    local now
    for _ in 1 2 3 4 5 6; do
        now=$(resources)
        [ "$now" = "$2" ] && ok "$1" && return
        sleep 0.5
    done
    fail "$1" "'$now', not '$2'"
}

# boots NAME SIZE…: gpuctl creates the guest, and its Linux comes up.
boots() {
    local name=$1
    shift
    gpuctl create "/tmp/$name.cfg" "$@" || return 1
    wait_for 150 is_up_or_gone "$name"
    ! domain_gone "$name"
}
# emulator_faults: how many domains ended with the hypervisor's own registers in their state.
emulator_faults() { xl dmesg | grep -c 'RIP: *e008:'; }
is_up_or_gone() {
    grep -q '^GUEST userland' "/var/log/xen/guest-$1.log" || domain_gone "$1"
}

# ends NAME SECONDS: the guest says in time that it has done its work.
ends() {
    wait_for "$2" is_done_or_gone "$1"
    grep -a -q '^GUEST end' "/var/log/xen/guest-$1.log"
}
is_done_or_gone() {
    grep -a -q '^GUEST end' "/var/log/xen/guest-$1.log" || domain_gone "$1"
}

# works NAME SECONDS SIZE…: boots the guest, and it does its work in time. Its number is in
# /tmp/NAME.domid.
works() {
    local name=$1 patience=$2
    shift 2
    boots "$name" "$@" || return 1
    xl domid "$name" > "/tmp/$name.domid"
    ends "$name" "$patience"
}

# contract_kept LINES: the service domain said LINES times or more what the drivers of guests that
# are gone submitted and were told, and nothing was lost or surplus.
contract_kept() {
    local log=/var/log/xen/guest-gpu-service.log
    grep 'contract: ' "$log" | grep -v 'lost 0 surplus 0' && return 1
    [ "$(grep -c 'contract: .* lost 0 surplus 0' "$log")" -ge "$1" ]
}

# inoffensive GUESTS: the service domain said of so many guests that are gone that they did nothing a
# driver may not do, and touched no register without a row.
inoffensive() {
    local log=/var/log/xen/guest-gpu-service.log
    grep 'offences: ' "$log" | grep -v ' 0 violations, 0 untracked' && return 1
    [ "$(grep -c 'offences: .* 0 violations, 0 untracked' "$log")" -ge "$1" ]
}

# guest_config NAME LABELLED WORDS [SED…]: /tmp/NAME.cfg for a guest whose test program runs WORDS.
guest_config() {
    local name=$1 base=guest words=${3// /+}
    [ "$2" = plain ] || base=guest-flask
    shift 3
    sed -e "s#^name .*#name = \"$name\"#" \
        -e 's#^kernel .*#kernel = "/payload/guest-kernel"#' \
        -e 's#^ramdisk .*#ramdisk = "/payload/guest-initrd"#' \
        -e 's#^memory .*#memory = 384#' \
        -e "s#^extra .*#extra = \"console=hvc0 quiet nokaslr mitigations=off tsc=reliable \
pci=noearly xen_emul_unplug=never test=$words\"#" \
        "$@" "/payload/configs/$base.cfg" > "/tmp/$name.cfg"
}

# exits STATUS COMMAND…: whether the command ends with this status. Shows what it said if not.
exits() {
    local want=$1 output status
    shift
    output=$("$@" 2>&1)
    status=$?
    [ "$status" = "$want" ] || echo "status $status, not $want: $(echo "$output" | tr '\n' ' ')"
    [ "$status" = "$want" ]
}

# says PATTERN COMMAND…: whether what the command prints matches. Shows it if not.
says() {
    local pattern=$1 output
    shift
    output=$("$@" 2>&1)
    echo "$output" | grep -q -e "$pattern" || {
        echo "said: $(echo "$output" | tr '\n' ' ')"
        return 1
    }
}

# ask DOMID COMMAND [NODE VALUE]…: a command to the service domain past gpuctl; its answer.
ask() {
    local node="$gpu/vgpu/$1" command=$2 pairs=()
    shift 2
    while [ $# -ge 2 ]; do
        pairs+=("$node/$1" "$2")
        shift 2
    done
    xenstore-rm "$node" 2> /dev/null
    xenstore-write "${pairs[@]}" "$node/command" "$command"
    wait_for 30 xenstore-read "$node/state" || echo "no answer"
    echo "$(xenstore-read "$node/state"): $(xenstore-read "$node/reason")"
}

# figures DOMAIN: the figures a guest measured.
figures() { console "$1" | tr -d '\r' | grep -a '^FIGURE '; }

# i915_config NAME KERNEL STEPS [SED…]: the same for a guest that runs Debian's i915 of 6.12 or 6.1.
i915_config() {
    local name=$1 suffix="-$2" steps=${3// /+} labelled=labelled
    shift 3
    [ "$suffix" != -6.12 ] || suffix=
    [ "$FLASK" = yes ] || labelled=plain
    guest_config "$name" $labelled "" -e "s# test=# do=$steps#" \
        -e "s#guest-kernel\"#guest-kernel$suffix\"#" \
        -e "s#^ramdisk .*#ramdisk = \"/payload/i915-initrd$suffix\"#" "$@"
}

# service_status: has the service domain print its `status` into its log, for whoever reads it.
service_status() {
    printf 'status\n' > "$(xenstore-read "/local/domain/$service/console/tty")"
    sleep 1
}
