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

# check NAME COMMAND…: ok when the command succeeds; its last line of output is the reason if not.
check() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        ok "$name"
    else
        fail "$name" "'$*': $(echo "$output" | tail -n 1)"
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
    local tries=$(($1 * 5))
    shift
    while ! "$@" > /dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.2
    done
}

# wait_line DOMAIN PATTERN SECONDS: waits for a line on the domain's console (basic regexp).
wait_line() { wait_for "$3" grep -q -e "$2" "/var/log/xen/guest-$1.log"; }

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
        tail -c 200000 "$file"
        echo
        echo "=== end"
        : > "$file"
    done
}

# destroy_all: leaves nothing but Dom0 for the next scenario.
destroy_all() {
    local name
    for name in $(xl list | awk 'NR > 1 && $2 != 0 { print $1 }'); do
        xl destroy "$name"
    done
    rm -f /var/log/xen/guest-*.log /var/log/xen/qemu-dm-*.log* /var/log/xen/xl-*.log*
}
