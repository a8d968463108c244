# Xen with FLASK: several guests at once, one misbehaves, one is destroyed, one has the wrong label.
# stages: flask
# timeout: 900
# checks: 40

gpuctl=/payload/gpuctl
# FLASK tells what it denies at a level that Xen does not print otherwise.
xl debug-keys +
sizes=(--low-gm 16 --high-gm 64)

start_service system_u:system_r:gpusvc_t || return 1
before=$(resources)
echo "before: $before"

guest_config painter labelled "draw 150"
check painter-created boots painter "${sizes[@]}" && stamp "painter runs"
# Its two vCPUs write GTT entries at once.
guest_config vandal labelled "race 3 misbehave 1" -e 's#^vcpus .*#vcpus = 2#'
check vandal-created boots vandal "${sizes[@]}" && stamp "vandal runs"

# Meanwhile: what must be refused, with the reason, and leaves no guest behind.
guest_config stranger plain ""
check wrong-label says 'EACCES' $gpuctl create /tmp/stranger.cfg "${sizes[@]}"
check wrong-label-undone wait_gone stranger 20
guest_config greedy labelled ""
check too-large says '4096 MiB' $gpuctl create /tmp/greedy.cfg --low-gm 16 --high-gm 4G
check too-large-undone wait_gone greedy 20
check too-many-fences exits 4 $gpuctl create /tmp/greedy.cfg "${sizes[@]}" --fences 33
check zero-sizes exits 4 $gpuctl create /tmp/greedy.cfg --low-gm 0 --high-gm 0
check absent says '^refused: ' ask 4242 attach low-gm 16 high-gm 64 fences 4 weight 2
check dom0 says '^refused: ' ask 0 attach low-gm 16 high-gm 64 fences 4 weight 2
check reserved-domid says '^refused: ' ask 32752 attach low-gm 16 high-gm 64 fences 4 weight 2
cat > /tmp/paravirtual.cfg <<'CFG'
name = "paravirtual"
type = "pv"
kernel = "/payload/guest-kernel"
memory = 160
seclabel = "system_u:system_r:vgpu_domU_t"
CFG
if check paravirtual-created xl create -p /tmp/paravirtual.cfg; then
    check paravirtual-explained exits 5 $gpuctl attach paravirtual "${sizes[@]}"
    check paravirtual says '^refused: ' \
        ask "$(xl domid paravirtual)" attach low-gm 16 high-gm 64 fences 4 weight 2
    xl destroy paravirtual
fi
for domain in 4242 0 32752; do xenstore-rm "$gpu/vgpu/$domain"; done
$gpuctl list

# A guest destroyed in the middle of its work, then one destroyed before it ran at all.
# It has two vCPUs, and is paused first, as often as not with a request under way.
guest_config victim labelled "draw 0" -e 's#^vcpus .*#vcpus = 2#'
check victim-created boots victim "${sizes[@]}" && stamp "victim runs"
check victim-draws wait_line victim '^GUEST drew' 120
for _ in 1 2 3 4 5; do
    check victim-paused xl pause victim
    check victim-unpaused xl unpause victim
done
pauses_over=$(stat -c %s /var/log/xen/guest-victim.log)
check victim-goes-on line_after "$pauses_over" victim '^GUEST drew' 60
# Xenstore stands still with commands that are to be read, each of them a second to wait for. Nobody who
# draws does.
xenstored=$(grep -lx 'o\?xenstored' /proc/[0-9]*/comm | head -1 | cut -d/ -f3)
for domain in {5001..5020}; do commands+=("$gpu/vgpu/$domain/command" detach); done
check commands-given xenstore-write "${commands[@]}"
check xenstore-stopped kill -STOP "$xenstored"
sleep 1
stopped=$(stat -c %s /var/log/xen/guest-victim.log)
check victim-draws-without-xenstore line_after "$stopped" victim '^GUEST drew' 8
kill -CONT "$xenstored"
check last-command-answered wait_for 30 xenstore-read "$gpu/vgpu/5020/state"
for domain in {5001..5020}; do xenstore-rm "$gpu/vgpu/$domain"; done
check victim-destroyed xl destroy victim
check victim-gone wait_gone victim 20
guest_config unborn labelled ""
check unborn-created xl create -p /tmp/unborn.cfg
check unborn-attached $gpuctl attach unborn "${sizes[@]}"
check unborn-destroyed xl destroy unborn
check unborn-gone wait_gone unborn 20

# Guests that reboot and crash after their work, both at once beside the others. Their consoles can go
# before their last lines are read; the service domain knows what they drew, xl how they ended.
declare -A number
for end in reboot crash; do
    guest_config $end labelled "draw 10" -e "s# test=# xen_legacy_crash end=$end test=#"
    check $end-created $gpuctl create /tmp/$end.cfg "${sizes[@]}"
    number[$end]=$(xl domid $end)
done
for end in reboot crash; do
    check $end-gone wait_gone $end 240
    check $end-drew grep -q "contract: d${number[$end]} bcs0 submissions 10 .* completed 10 lost 0" \
        /var/log/xen/guest-gpu-service.log
done
check reboot-reason grep -q 'reason code 1 ' /var/log/xen/xl-reboot.log
check crash-reason grep -q 'reason code 3 ' /var/log/xen/xl-crash.log

check vandal-done wait_line vandal '^GUEST end' 150
relay_checks vandal
figures vandal
check painter-done wait_line painter '^GUEST end' 150
relay_checks painter
figures painter
check painter-gone wait_gone painter 30
check vandal-gone wait_gone vandal 30
resources_are nothing-left "$before"
check no-zombies says '^2$' sh -c 'xl list | tail -n +2 | wc -l'
check service-alive service_says ready
# Xen's log agrees: the stranger was denied, and nothing that our policy is meant to allow.
denied() { xl dmesg | grep "avc: *denied.*gpusvc_t tcontext=[a-z_]*:[a-z_]*:$1 "; }
check denial-logged denied domU_t
check nothing-denied-to-us says '^$' denied vgpu_domU_t
