# Large pages in PPGTTs (gpuctl --huge-gtt): a guest that may use them beside one that may not. On Gen9 i915
# has 64 KiB ones only (`GEN9_DEFAULT_PAGE_SIZES`).
# stages: none
# timeout: 1500
# checks: 190

sizes=(--low-gm 64 --high-gm 256)
steps='load store copy maps chain pages clean'
start_service system_u:system_r:gpusvc_t || return 1
before=$(resources)
for guest in large small; do
    # Below 512 MiB Linux does not make huge pages.
    i915_config $guest 6.12 "$steps" -e 's#^memory .*#memory = 768#'
done
check large-done works large 1000 "${sizes[@]}" --huge-gtt &
check small-done works small 1000 "${sizes[@]}"
wait
for guest in large small; do
    relay_checks $guest
    figures $guest
done
for guest in large small; do
    check $guest-gone wait_gone $guest 60
done

# shadowed NAME: what the service domain said that the guest, now gone, had of large pages.
shadowed() {
    tr -d '\r' < /var/log/xen/guest-gpu-service.log |
        sed -n "s/.*large pages: d$(cat "/tmp/$1.domid") //p"
}
echo "FIGURE pages-large $(shadowed large)"
echo "FIGURE pages-small $(shadowed small)"
check large-pages-used says '^0 of 2 MiB, [1-9][0-9]* tables of 64 KiB$' shadowed large
check no-large-pages-without-the-flag says '^0 of 2 MiB, 0 tables of 64 KiB$' shadowed small
check contract-kept contract_kept 8
check nothing-untracked inoffensive 2
resources_are nothing-left "$before"
check service-alive service_says ready
