#!/bin/sh
# Unpacks a Debian whose software Vulkan has matrix units (Mesa 25.2 or later) into target/mesa, once. Nothing of this
# system changes but for debootstrap, which is installed where it is missing. Needs root.
set -eu
root=$(pwd)/target/mesa
if [ -e "$root/complete" ]; then exit 0; fi
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
touch "$root/complete"
