# The whole chain on stock Xen: service domain, gpuctl, one HVM guest that tests its vGPU by hand.
# stages: xen
# timeout: 900
# checks: 60

gpuctl=/payload/gpuctl
# What i915 gets by default; guest-test clears all of it entry by entry, as i915 6.1 does.
sizes=(--low-gm 64 --high-gm 384)

start_service || return 1
before=$(resources)
echo "before: $before"
check list-empty says 'no vGPUs' $gpuctl list

# What is no guest gets an explanation and the right status.
check attach-nobody exits 5 $gpuctl attach nobody
check attach-dom0 exits 5 $gpuctl attach Domain-0
check attach-service exits 5 $gpuctl attach gpu-service
check attach-no-sizes exits 2 $gpuctl attach guest --low-gm lots
check service-unknown exits 5 $gpuctl --service other list
check asked-absent says '^\(refused\|needs-target\): ' \
    ask 4242 attach low-gm 16 high-gm 64 fences 4 weight 2
check asked-missing-size says '^refused: .*high-gm' ask 4242 attach low-gm 16
check asked-malformed says '^refused: .*fences' \
    ask 4242 attach low-gm 16 high-gm 64 fences 4x weight 2
check asked-unknown says '^refused: ' ask 4242 explode
check asked-detach says '^refused: ' ask 4242 detach
xenstore-rm "$gpu/vgpu/4242"
resources_are nothing-left-by-refusals "$before"

# The three steps of `gpuctl create` singly, with a second attach and a detach in between.
guest_config guest plain "checks bench 100" \
    -e 's#^device_model_args .*#device_model_args = ["-device", "xen-platform,addr=3", "-device", "e1000,addr=6,mac=00:16:3e:00:00:01"]#'
check guest-created xl create -p /tmp/guest.cfg && stamp "guest created paused"
check attach $gpuctl attach guest "${sizes[@]}"
check attach-again exits 4 $gpuctl attach guest "${sizes[@]}"
check list says 'guest *attached *64 *384 *4' $gpuctl list
$gpuctl list
check asked-again says '^refused: .*already' \
    ask "$(xl domid guest)" attach low-gm 16 high-gm 64 fences 4 weight 2
check detach $gpuctl detach guest
resources_are nothing-left-by-detach "$before"
check reattach $gpuctl attach guest "${sizes[@]}"
check unpause xl unpause guest && stamp "guest runs"

# Stock Xen serves one guest for each service domain: the second one is told so and undone.
guest_config second plain ""
check second-guest exits 7 $gpuctl create /tmp/second.cfg "${sizes[@]}"
check second-guest-undone wait_gone second 20

check guest-tested wait_line guest '^GUEST end' 300 && stamp "guest is done"
relay_checks guest
figures guest
check guest-gone wait_gone guest 30
resources_are nothing-left-by-guest "$before"
check contract-kept contract_kept 1
check list-after says 'guest is gone' $gpuctl list
check service-alive service_says ready
