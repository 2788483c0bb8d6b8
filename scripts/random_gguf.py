#!/usr/bin/env python3
"""A GGUF of TinyLlama's shape with random f16 weights and no vocabulary, for llama-bench.

    random_gguf.py tinyllama-random.gguf        (needs numpy and gguf)

Speed does not depend on the weights' values; `kvr bench speed --model random:tinyllama` makes its own by a seed.
"""

import sys

import gguf
import numpy as np

LAYERS, HIDDEN, FEED_FORWARD, HEADS, KV_HEADS, VOCABULARY = 22, 2048, 5632, 32, 4, 32000


def main():
    writer = gguf.GGUFWriter(sys.argv[1], "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(16384)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("none")
    random = np.random.default_rng(0)

    def matrix(name, rows, columns):
        values = random.standard_normal((rows, columns), dtype=np.float32) / np.sqrt(columns, dtype=np.float32)
        writer.add_tensor(name, values.astype(np.float16))

    def ones(name):
        writer.add_tensor(name, np.ones(HIDDEN, dtype=np.float32))

    matrix("token_embd.weight", VOCABULARY, HIDDEN)
    matrix("output.weight", VOCABULARY, HIDDEN)
    ones("output_norm.weight")
    narrow = HIDDEN // HEADS * KV_HEADS
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        ones(f"{block}.attn_norm.weight")
        ones(f"{block}.ffn_norm.weight")
        matrix(f"{block}.attn_q.weight", HIDDEN, HIDDEN)
        matrix(f"{block}.attn_k.weight", narrow, HIDDEN)
        matrix(f"{block}.attn_v.weight", narrow, HIDDEN)
        matrix(f"{block}.attn_output.weight", HIDDEN, HIDDEN)
        matrix(f"{block}.ffn_gate.weight", FEED_FORWARD, HIDDEN)
        matrix(f"{block}.ffn_up.weight", FEED_FORWARD, HIDDEN)
        matrix(f"{block}.ffn_down.weight", HIDDEN, FEED_FORWARD)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
