#!/bin/sh
# Tests attention on the CPU as processors run it that have AVX2 but no AVX-512, and neither, under qemu's emulation
# (Debian's package qemu-user; x86-64). Without these, only the widest instructions of one machine are tested.
#
#     scripts/cpu-tests.sh
set -eu
# No adapter: software Vulkan compiles its shaders for the CPU that it finds, which is not what is tested here.
export VK_DRIVER_FILES=/dev/null
# In CI a test that skips for want of an adapter fails; here it may.
unset CI
for cpu in Haswell-noTSX,-pcid,-x2apic,-tsc-deadline,-invpcid Nehalem; do
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="qemu-x86_64 -cpu $cpu"
    cargo test --release --workspace --exclude candle-reference --test it -- on_the_cpu
done
