#!/usr/bin/env python3
"""Tokens per second of TinyLlama's shape with random f16 weights: llama-bench and kvr bench speed, in turn.

    compare_speed.py LLAMA_BENCH RANDOM.gguf KVR [THREADS] > results/cpu-speed/<date>-llama-cpp.tsv

RANDOM.gguf comes from random_gguf.py. One run of each program for each line, one after the other, the first tokens of
a run discarded by both; ratio is how much faster kvr is.
"""

import json
import subprocess
import sys

PAIRS = [("f16", "f16", "fp16"), ("q8_0", "q8_0", "k8v8"), ("q8_0", "q4_0", "k8v4")]
# Tokens held before, tokens of prefill, tokens decoded, pairs: llama.cpp needs minutes for quantised long prompts.
RUNS = [(0, 512, 32, PAIRS), (2048, 512, 32, PAIRS), (0, 4096, 0, [PAIRS[0], PAIRS[2]]), (8192, 512, 32, [PAIRS[0], PAIRS[2]])]


def llama(program, model, threads, keys, values, depth, prompt, decode):
    command = [program, "-m", model, "-t", threads, "-fa", "1", "-ctk", keys, "-ctv", values, "-d", str(depth)]
    command += ["-p", str(prompt), "-n", str(decode), "-r", "1", "-o", "json", *([] if depth == 0 and decode else ["--no-warmup"])]
    rows = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {"prefill" if row["n_gen"] == 0 else "decode": row["avg_ts"] for row in rows}


def kvr(program, threads, policy, depth, prompt, decode):
    command = [program, "bench", "speed", "--backend", "cpu", "--threads", threads, "--model", "random:tinyllama"]
    command += ["--policy", policy, "--depth", str(depth), "--prompt", str(prompt), "--decode", str(max(decode, 1))]
    command += ["--rounds", "1", "--format", "json"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    speed = json.loads(output)[0]
    return {"prefill": speed["prefill_tok_s"], "decode": speed["decode_tok_s"]}


def main():
    bench, model, program = sys.argv[1:4]
    threads = sys.argv[4] if len(sys.argv) > 4 else "2"
    print("cache\theld\tprefill\tdecode\twhat\tllama_cpp_tok_s\tkvr_tok_s\tratio", flush=True)
    for depth, prompt, decode, pairs in RUNS:
        for keys, values, policy in pairs:
            theirs = llama(bench, model, threads, keys, values, depth, prompt, decode)
            ours = kvr(program, threads, policy, depth, prompt, decode)
            for what, speed in theirs.items():
                line = f"{keys}/{values}\t{depth}\t{prompt}\t{decode}\t{what}"
                print(f"{line}\t{speed:.1f}\t{ours[what]:.1f}\t{ours[what] / speed:.2f}", flush=True)


main()
