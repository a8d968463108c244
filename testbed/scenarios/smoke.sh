# The test bed itself: xl, the image as a PVH domain, an HVM Linux guest up to userland; no gpuctl.
# stages: none
# timeout: 180
# checks: 7

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

cat > /tmp/guest.cfg <<'CFG'
name = "guest"
type = "hvm"
kernel = "/payload/guest-kernel"
ramdisk = "/payload/guest-initrd"
extra = "console=hvc0 quiet nokaslr mitigations=off tsc=reliable pci=noearly"
memory = 384
vcpus = 1
vga = "none"
vnc = 0
nographic = 1
xen_platform_pci = 0
device_model_args = ["-device", "xen-platform,addr=3"]
CFG
check hvm-created-paused xl create -p /tmp/guest.cfg && stamp "HVM guest created paused"
check hvm-unpaused xl unpause guest && stamp "HVM guest unpaused"
check hvm-userland wait_line guest '^GUEST userland' 120 && stamp "HVM guest in userland"
check hvm-ended wait_gone guest 20
