#!/bin/sh
# Tests attention on matrix units on software Vulkan. Mesa has them in software from 25.2 on, so a Debian that has such
# a Mesa is unpacked beside the build, and the tests run on its libraries. Needs root, and debootstrap or apt-get.
#
#     scripts/matrix-tests.sh
set -eu
root=$(pwd)/target/mesa
if [ ! -e "$root/usr/share/vulkan/icd.d/lvp_icd.json" ]; then
    if ! command -v debootstrap >/dev/null; then
        apt-get update
        DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends debootstrap
    fi
    rm -rf "$root"
    mkdir -p "$root"
    debootstrap --variant=minbase --include=libvulkan1 trixie "$root" http://deb.debian.org/debian
    echo "deb http://deb.debian.org/debian trixie-backports main" >"$root/etc/apt/sources.list.d/backports.list"
    chroot "$root" apt-get update
    chroot "$root" apt-get install --yes --no-install-recommends -t trixie-backports mesa-vulkan-drivers
fi
libraries=$root/usr/lib/x86_64-linux-gnu
export VK_DRIVER_FILES="$root/usr/share/vulkan/icd.d/lvp_icd.json"
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$root/usr/lib64/ld-linux-x86-64.so.2 --library-path $libraries"
cargo nextest run --release -p kvr-policy --run-ignored only -E 'test(matrix_units)'
