"""kvpress/mini-<prompt>-<ratio>.safetensors: what kvpress's methods keep of a prompt of `mini`.

`tokens` (prompt and continuation), `kept.<method>` [layers, kv_heads, n] i32: the positions that are left,
in order, -1 where a head keeps fewer than others; `nll.<method>` of the continuation: its first token
predicted by the uncompressed prompt's last row, the rest in one pass over the compressed cache, absent where
kvpress can't go on (layers of different lengths, or no fake key for all queries of a head); `nll.full`.
`ratio` is the dropped share, as kvpress counts it.

    pip install kvpress==0.5.5 transformers==5.2.0 torch==2.15.0 safetensors==0.8.0
    python scripts/goldens/kvpress_kept.py [--check] [--text FOLDER]

`--out` is a folder here. Positions come out exactly, losses to 2e-5 (float32). `compactor` draws a random
sketch: its seed is set here.
"""

import kvpress
import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, DynamicCache

import common

# Prompt, dropped share, continuation, and the character of wiki.test.raw where the text begins.
CASES = [(384, 0.5, 128, 40_000), (700, 0.25, 64, 300_000)]
SEED = 0
TOLERANCE = 2e-5


def methods(ratio):
    """Presses by name; a wrapper gets one of its own."""
    snapkv = lambda: kvpress.SnapKVPress(ratio, window_size=32)
    expected = lambda: kvpress.ExpectedAttentionPress(ratio, epsilon=0.01)
    return {
        "knorm": kvpress.KnormPress(ratio),
        "snapkv": snapkv(),
        "streaming-llm": kvpress.StreamingLLMPress(ratio),
        "tova": kvpress.TOVAPress(ratio),
        "h2o": kvpress.ObservedAttentionPress(ratio),
        "expected-attention": kvpress.ExpectedAttentionPress(ratio),
        "keydiff": kvpress.KeyDiffPress(ratio),
        "lagkv": kvpress.LagKVPress(ratio),
        "pyramidkv": kvpress.PyramidKVPress(ratio, window_size=32),
        "cur": kvpress.CURPress(ratio),
        "chunkkv-snapkv": kvpress.ChunkKVPress(snapkv()),
        "adakv-snapkv": kvpress.AdaKVPress(snapkv()),
        "adakv-expected": kvpress.AdaKVPress(expected()),
        "criticalkv-snapkv": kvpress.CriticalKVPress(snapkv()),
        "criticaladakv-expected": kvpress.CriticalAdaKVPress(expected()),
        "compactor": kvpress.CompactorPress(ratio),
        "kvzip": kvpress.KVzipPress(ratio),
    }


def left(layer, module, whole):
    """Positions of each head that are left in a layer: the nearest of `whole` [Hkv, S, D] to its keys."""
    masked = getattr(module, "masked_key_indices", None)
    heads = []
    for head, (keys, before) in enumerate(zip(layer.keys[0], whole)):
        held = set(torch.cdist(keys, before).argmin(1).tolist())
        assert len(held) == len(keys), "two keys are alike"
        if masked is not None:
            held -= set(masked[2][masked[1] == head].tolist())
        heads.append(sorted(held))
    return heads


def run(model, press, prompt, after, whole):
    """Kept positions by layer and head, and the continuation's losses or None."""
    cache = DynamicCache()
    for layer in model.model.layers:
        layer.self_attn.masked_key_indices = None
    with press(model) if press else torch.no_grad():
        last = model(prompt[None], past_key_values=cache).logits[0, -1:]
    modules = [layer.self_attn for layer in model.model.layers]
    if whole is None:
        whole = [layer.keys[0].clone() for layer in cache.layers]
    kept = [left(*at) for at in zip(cache.layers, modules, whole)]
    positions = torch.arange(len(prompt), len(prompt) + len(after) - 1)[None]
    try:
        rest = model(after[None, :-1], past_key_values=cache, position_ids=positions).logits[0]
    except (RuntimeError, ValueError):
        return kept, None, whole
    losses = torch.nn.functional.cross_entropy(torch.cat([last, rest]), after, reduction="none")
    return kept, losses.numpy(), whole


@torch.no_grad()
def main():
    args = common.arguments(__doc__, text=True).parse_args()
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(common.MINI, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(common.MINI / "tokenizer.json"))
    text = (args.text / "wiki.test.raw").read_text()
    for prompt, ratio, more, start in CASES:
        piece = text[start : start + 8 * (prompt + more)]
        ids = tokenizer.encode(piece, add_special_tokens=False).ids
        ids = torch.tensor(ids[: prompt + more])
        tensors = {"tokens": ids.int().numpy()}
        model.set_attn_implementation("sdpa")
        _, tensors["nll.full"], whole = run(model, None, ids[:prompt], ids[prompt:], None)
        for name, press in methods(ratio).items():
            # Only eager attention gives its weights away; kvpress refuses it for head-wise methods.
            model.set_attn_implementation("eager" if name == "h2o" else "sdpa")
            torch.manual_seed(SEED)
            kept, losses, _ = run(model, press, ids[:prompt], ids[prompt:], whole)
            longest = max(len(head) for layer in kept for head in layer)
            padded = [[head + [-1] * (longest - len(head)) for head in layer] for layer in kept]
            tensors[f"kept.{name}"] = np.array(padded, np.int32)
            if losses is not None:
                tensors[f"nll.{name}"] = losses
        metadata = {"kvpress": "0.5.5", "transformers": "5.2.0", "prompt": str(prompt)}
        metadata |= {"ratio": str(ratio), "continuation": str(more)}
        name = f"mini-{prompt}-{ratio}.safetensors"
        path = args.out / name if args.out else common.committed(f"kvpress/{name}")
        common.finish(path, tensors, metadata, args, TOLERANCE)


if __name__ == "__main__":
    main()
