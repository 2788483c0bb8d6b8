#!/usr/bin/env python3
"""Attention of one layer on one CPU thread: llama.cpp's flash attention and kvr's, in turn.

    compare_attention.py TEST_BACKEND_OPS KVR [ROUNDS] > results/cpu-attention/<date>-llama-cpp.tsv

TEST_BACKEND_OPS is llama.cpp's tests/test-backend-ops with these cases first in make_test_cases_perf(), built with
GGML_NATIVE=ON (a build takes half of the cores as threads, so two cores give one thread):

    for (auto p : std::vector<std::array<ggml_type, 2>>{{GGML_TYPE_F16, GGML_TYPE_F16}, {GGML_TYPE_Q8_0, GGML_TYPE_Q8_0},
            {GGML_TYPE_Q8_0, GGML_TYPE_Q4_0}, {GGML_TYPE_Q4_0, GGML_TYPE_Q8_0}, {GGML_TYPE_Q4_0, GGML_TYPE_Q4_0}})
        for (auto s : std::vector<std::array<int, 2>>{{8192, 1}, {32768, 1}, {8192, 512}})
            test_cases.emplace_back(new test_flash_attn_ext(64, 64, 4, {8, 1}, s[0], s[1], true, false, 0, 0,
                                                            GGML_PREC_F32, p[0], p[1]));
    return test_cases;

Prints medians over the rounds, in microseconds, and how much faster kvr is.
"""

import json
import re
import statistics
import subprocess
import sys
import tempfile

POLICIES = {"f16/f16": "fp16", "q8_0/q8_0": "k8v8", "q8_0/q4_0": "k8v4", "q4_0/q8_0": "k4v8", "q4_0/q4_0": "k4v4"}
CASE = re.compile(r"kv=(\d+),nb=(\d+),.*type_K=(\w+),type_V=(\w+),.*?([\d.]+) us/run")


def theirs(program):
    out = subprocess.run(
        [program, "perf", "-o", "FLASH_ATTN_EXT", "-b", "CPU"], capture_output=True, text=True, check=True
    ).stdout
    for line in out.splitlines():
        if found := CASE.search(line):
            held, queries, keys, values, us = found.groups()
            yield (f"{keys}/{values}", int(queries), int(held)), float(us)


def ours(program):
    for queries, held in [("1", "8192,32768"), ("512", "8192")]:
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            command = [program, "bench", "attention", "--backend", "cpu", "--threads", "1", "--out", file.name]
            command += ["--queries", queries, "--held", held, "--rounds", "3"]
            command += ["--policy", ",".join(POLICIES.values())]
            subprocess.run(command, capture_output=True, check=True)
            for row in json.load(open(file.name)):
                pair = next(pair for pair, policy in POLICIES.items() if policy == row["policy"])
                yield (pair, row["queries"], row["held"]), row["microseconds"]


def main():
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    samples = {}
    for _ in range(rounds):
        for side, times in ((0, theirs(sys.argv[1])), (1, ours(sys.argv[2]))):
            for case, us in times:
                samples.setdefault(case, ([], []))[side].append(us)
    print("cache\tqueries\theld\tllama_cpp_us\tkvr_us\tratio")
    for (pair, queries, held), sides in sorted(samples.items(), key=lambda x: (x[0][1], x[0][2], list(POLICIES).index(x[0][0]))):
        a, b = (statistics.median(side) for side in sides)
        print(f"{pair}\t{queries}\t{held}\t{a:.0f}\t{b:.0f}\t{a / b:.2f}")


main()
