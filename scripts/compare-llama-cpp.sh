#!/usr/bin/env bash
# Perplexity of `mini` on the first 100 windows of 512 tokens: llama.cpp and kvr in turn, wall

#
# Usage: compare-llama-cpp.sh LLAMA_PERPLEXITY KVR MINI_F32.gguf WIKI_TEST_RAW [THREADS]
set -euo pipefail
llama=$1 kvr=$2 model=$3 text=$4 threads=${5:-2}
export LLAMA_ATTN_ROT_DISABLE=1 LC_ALL=C

seconds() {
    local start end
    start=$(date +%s.%N)
    "$@" >/dev/null 2>&1
    end=$(date +%s.%N)
    echo "$end - $start" | bc
}

median() { sort -n | sed -n 2p; }

printf 'keys\tvalues\tllama_cpp_s\tkvr_s\tratio\n'
for pair in f16:f16 q8_0:q8_0 q8_0:q4_0 q4_0:q8_0 q4_0:q4_0; do
    keys=${pair%:*} values=${pair#*:}
    theirs='' ours=''
    for _ in 1 2 3; do
        theirs+="$(seconds "$llama" -m "$model" -f "$text" -c 512 -b 512 -ub 512 -t "$threads" \
            -fa on -ctk "$keys" -ctv "$values" --chunks 100)"$'\n'
        ours+="$(seconds "$kvr" eval --backend cpu --threads "$threads" --dataset "$text" \
            --chunks 100 --policy "$pair")"$'\n'
    done
    a=$(printf %s "$theirs" | median) b=$(printf %s "$ours" | median)
    printf '%s\t%s\t%s\t%s\t%s\n' "$keys" "$values" "$a" "$b" "$(echo "scale=2; $a / $b" | bc)"
done
