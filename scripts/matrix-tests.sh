#!/bin/sh
# Tests attention on matrix units on software Vulkan, with the libraries of a newer Debian (newer-mesa.sh; x86-64).
#
#     scripts/matrix-tests.sh
set -eu
scripts/newer-mesa.sh
root=$(pwd)/target/mesa
export KVR_NEEDS_MATRICES=1
export VK_DRIVER_FILES="$root/usr/share/vulkan/icd.d/lvp_icd.json"
libraries=$root/usr/lib/x86_64-linux-gnu
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$root/usr/lib64/ld-linux-x86-64.so.2 --library-path $libraries"
cargo test --release --workspace --exclude candle-reference --test it -- matrix_units
