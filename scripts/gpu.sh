#!/bin/sh
# Measures the kernels on the GPU of this machine (Vulkan or Metal): is every kernel right for every
# pair of formats, and how fast is it? Run it in the root of a checkout:
#
#     scripts/gpu.sh results/gpu-kernels/<date>-<revision>-<device>
#
# Where the program and its tests were built elsewhere, KVR and KVR_TESTS name them; KVR_POLICIES names other policies.
set -eu
out=$1
mkdir -p "$out"
if [ -z "${KVR:-}" ]; then
    cargo build --release -p kvr
    KVR=target/release/kvr
fi
tests() {
    if [ -n "${KVR_TESTS:-}" ]; then
        "$KVR_TESTS" "$@" --test-threads 1
    else
        cargo test --release -p kvr-policy --test it -- "$@" --test-threads 1
    fi
}
"$KVR" doctor >"$out/doctor.txt"
cat "$out/doctor.txt"
matrices=
if grep -q "with matrix units" "$out/doctor.txt"; then
    matrices=--matrices
    export KVR_NEEDS_MATRICES=1
fi
tests gpu matrix_units >"$out/tests.txt" 2>&1 || { cat "$out/tests.txt"; exit 1; }
grep "^test result" "$out/tests.txt"

# Perplexity here and on the CPU.
for backend in wgpu cpu; do
    HF_HUB_OFFLINE=1 "$KVR" eval --backend $backend --policy fp16,k8v4 --chunks 8 --format json >"$out/eval-$backend.json"
done
if [ -n "$matrices" ]; then
    HF_HUB_OFFLINE=1 "$KVR" eval --backend wgpu $matrices --policy fp16,k8v4 --chunks 8 --format json >"$out/eval-matrices.json"
fi

policies=${KVR_POLICIES:-fp16,k8v8,k8v4,k4v8,k4v4,a4g64}
attention() {
    name=$1
    shift
    "$KVR" bench attention --backend wgpu --policy "$policies" --out "$out/$name.json" "$@"
}
# Caches larger than the processor's, used in turn.
for model in tinyllama llama-3-8b; do
    attention "decode-$model-batch-8" --model $model --batch 8 --held 32768 --layers 4
    attention "decode-$model" --model $model --held 512,2048,8192,32768 --layers 4 --unfused
    attention "prefill-$model" --model $model --held 4096 --queries 4096 --layers 1 --rounds 3
    if [ -n "$matrices" ]; then
        attention "prefill-$model-matrices" $matrices --model $model --held 4096 --queries 4096 --layers 1 --rounds 3
    fi
done
"$KVR" bench speed --backend wgpu --model random:tinyllama --policy fp16,k8v4 --depth 0,2048,8192 --rounds 1 --decode 16 \
    --format json >"$out/speed-tinyllama.json"
