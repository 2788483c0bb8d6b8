#!/usr/bin/env bash
# llama_cpp.tsv and llama_cpp_kld.tsv: perplexity and divergence of `mini` under llama.cpp's cache types.
#
# Needs llama-perplexity of the source inside PyPI's llama-cpp-python 0.3.36, built for a CPU with AVX-512:
#   pip download --no-deps --no-binary :all: llama-cpp-python==0.3.36
#   tar xf llama_cpp_python-0.3.36.tar.gz
#   cmake -S llama_cpp_python-0.3.36/vendor/llama.cpp -B build -DCMAKE_BUILD_TYPE=Release -DLLAMA_CURL=OFF
#   cmake --build build --target llama-perplexity
# and mini in float32: scripts/mini_to_gguf.py mini.gguf f32 (gguf 0.19.0, numpy).
#
# Its CPU attention rounds the query to 8 bits where keys are quantised, and newer versions rotate keys
# and values before they are rounded: that is switched off. Base logits are stored in 16 bits.
#
# Usage: llama_cpp.sh LLAMA_PERPLEXITY MINI_F32.gguf WIKI_TEST_RAW OUT_FOLDER [THREADS]
set -euo pipefail
program=$1 model=$2 text=$3 out=$4 threads=${5:-2}
export LLAMA_ATTN_ROT_DISABLE=1 LC_ALL=C
base=$(mktemp)
trap 'rm -f "$base"' EXIT

# run CTX CHUNKS KEYS VALUES [OPTION...]: everything that the program says.
run() {
    local ctx=$1 chunks=$2 keys=$3 values=$4
    shift 4
    "$program" -m "$model" -f "$text" -c "$ctx" -b "$ctx" -ub 512 -t "$threads" -fa on \
        -ctk "$keys" -ctv "$values" --chunks "$chunks" "$@" 2>&1
}

{
    echo "# llama.cpp (llama-cpp-python 0.3.36's source), CPU, AVX-512, -fa on, -b max(ctx,512) -ub 512," \
        "weights of mini in f32, LLAMA_ATTN_ROT_DISABLE=1; first chunks of the text; perplexity ± stderr"
    printf 'text\tctx\tchunks\tk\tv\trotation\tppl\tstderr\n'
    for cell in 512:721:f32:f32 512:721:f16:f16 512:721:q8_0:q8_0 512:721:q8_0:q4_0 512:721:q4_0:q8_0 \
        512:721:q4_0:q4_0 2048:60:f32:f32 2048:60:q8_0:q4_0 2048:60:q4_0:q8_0 2048:60:q4_0:q4_0; do
        IFS=: read -r ctx chunks keys values <<<"$cell"
        run "$ctx" "$chunks" "$keys" "$values" |
            awk -v OFS='\t' -v cell="wiki.test.raw:$ctx:$chunks:$keys:$values:off" \
                '/Final estimate: PPL =/ { gsub(":", OFS, cell); print cell, $5, $7 }'
    done
} >"$out/llama_cpp.tsv"

# The statistics that --kl-divergence prints at its end, in the order of the table's columns.
statistics=(
    'Mean PPL(Q) ' 'Mean ln(PPL(Q)/PPL(base)) ' 'Mean    KLD' 'Maximum KLD' '99.9%   KLD' '99.0%   KLD'
    'Median  KLD' 'RMS Δp ' 'Same top p'
)
run 512 100 f32 f32 --kl-divergence-base "$base" >/dev/null
{
    echo "# llama.cpp --kl-divergence against its own f32/f32 run: mini, wiki.test.raw, ctx 512, first 100" \
        "chunks, rotation off; KLD in nats; base logits stored in 16 bits (noise floor about 1e-5)"
    printf 'k\tv\tppl\tln_ppl_ratio\tln_ppl_ratio_stderr\tkld_mean\tkld_stderr\tkld_max\tkld_p99.9\tkld_p99'
    printf '\tkld_median\trms_dp_percent\tsame_top_percent\tsame_top_stderr\n'
    for pair in f16:f16 q8_0:q8_0 q8_0:q4_0 q4_0:q8_0 q4_0:q4_0; do
        said=$(run 512 100 "${pair%:*}" "${pair#*:}" --kl-divergence --kl-divergence-base "$base")
        row=${pair/:/$'\t'}
        for name in "${statistics[@]}"; do
            # "name : value ± error %": the value; the error too where the table has a column for it.
            read -r value error < <(grep -F "$name" <<<"$said" | sed 's/.*://; s/±//; s/%//g')
            row+=$'\t'$value
            case $name in *'ln(PPL'* | 'Mean    KLD' | 'Same top p') row+=$'\t'$error ;; esac
        done
        echo "$row"
    done
} >"$out/llama_cpp_kld.tsv"
