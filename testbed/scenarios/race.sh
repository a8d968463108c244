# Guests with two vCPUs whose processors write entries of the global GTT at once, in pages that open and close.
# stages: none
# timeout: 900
# checks: 15

start_service system_u:system_r:gpusvc_t || return 1
before=$(resources)
for guest in race-1 race-2; do
    guest_config $guest labelled "race 3 race 3 race 3" -e 's#^vcpus .*#vcpus = 2#'
    check $guest-done works $guest 400 --low-gm 16 --high-gm 64 && stamp "$guest is done"
    relay_checks $guest
    console $guest | tr -d '\r' | grep -a 'the second processor'
    check $guest-raced says '^3$' grep -a -c '^CHECK guest-race ok' /var/log/xen/guest-$guest.log
    check $guest-gone wait_gone $guest 60
done
check nothing-untracked inoffensive 2
resources_are nothing-left "$before"
check service-alive service_says ready
