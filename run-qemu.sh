#!/bin/sh
# Builds the image and boots it in QEMU (software emulation), serial line on the terminal.
#
#   ./run-qemu.sh [--release] [QEMU ARGUMENTS...]   the image alone; two loopback guests draw
#   ./run-qemu.sh --xen [--flask] [--scenario NAME] real Xen, a Linux Dom0, a guest with a vGPU
#
# Exit status 0: all went well. GSD_CMDLINE sets the image's command line (default "loopback=2 exit";
# without "exit" its shell stays; leave QEMU with Ctrl-a x).
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# cargo finds the alias `xtask` by the current folder.
cd "$here"
xen=no
release=
for argument; do
    shift
    case $argument in
        --xen) xen=yes ;;
        --release) release=--release ;;
        *) set -- "$@" "$argument" ;;
    esac
done
if [ "$xen" = yes ]; then
    exec cargo xtask xen "$@"
fi
exec cargo xtask boot $release "$@"
