# The test bed itself: xl, the image as a PVH domain, an HVM guest with either Linux up to userland.
# stages: none
# needs: kernel-6.1
# timeout: 300
# checks: 11

check xl-list xl list
if [ "$FLASK" = yes ]; then
    check flask-enforces sh -c 'flask-getenforce | grep -q Enforcing'
fi

cat > /tmp/image.cfg <<'CFG'
name = "image"
type = "pvh"
kernel = "/payload/image"
memory = 32
vcpus = 1
on_crash = "preserve"
CFG
check pvh-created xl create /tmp/image.cfg && stamp "PVH domain created"
check pvh-speaks wait_line image 'gpu-service-domain' 30

for suffix in "" -6.1; do
    cat > /tmp/guest.cfg << CFG
name = "guest$suffix"
type = "hvm"
kernel = "/payload/guest-kernel$suffix"
ramdisk = "/payload/guest-initrd$suffix"
extra = "console=hvc0 quiet nokaslr mitigations=off tsc=reliable pci=noearly"
memory = 384
vcpus = 1
vga = "none"
vnc = 0
nographic = 1
xen_platform_pci = 0
device_model_args = ["-device", "xen-platform,addr=3"]
CFG
    check "hvm-created-paused$suffix" xl create -p /tmp/guest.cfg
    check "hvm-unpaused$suffix" xl unpause "guest$suffix" && stamp "HVM guest$suffix unpaused"
    check "hvm-userland$suffix" wait_line "guest$suffix" '^GUEST userland' 120 &&
        stamp "HVM guest$suffix in userland"
    check "hvm-ended$suffix" wait_gone "guest$suffix" 20
done
