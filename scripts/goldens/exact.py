"""exact.tsv: perplexity of `mini` with keys and values rounded exactly as each format says.

Keys (after RoPE) and values go through gguf's reference quantisers and back; query, scores and the rest
stay in float32. Protocol `llama-cpp`: the text tokenised once, windows of 512, the first token replaced by
BOS where the model has one, positions 256..510 scored. With `--gguf` the rows of smollm2.tsv instead: a
llama GGUF, its weights decoded by gguf, its keys rounded in Hugging Face's order of channels (`halves`) or
the file's own (`pairs`).

    pip install torch==2.15.0 transformers==5.23.0 tokenizers==0.23.3 gguf==0.19.0 safetensors==0.8.0
    python scripts/goldens/exact.py [--check] [--text FOLDER]
    pip install accelerate==1.15.0               (transformers reads GGUFs through it)
    python scripts/goldens/exact.py --gguf FILE.gguf --windows 20 --order pairs q8_0:q4_0 ...
"""

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AttentionInterface, AutoModelForCausalLM

import common

CONTEXT = 512
PAIRS = ["f32:f32", "f16:f16", "bf16:bf16", "q8_0:q8_0", "q8_0:q4_0", "q4_0:q8_0", "q4_0:q4_0", "q5_1:q5_0"]
COMMENT = (
    "torch 2.15, float32: keys (after RoPE) and values rounded to the format and back with gguf's reference "
    "quantisers, query and scores in f32; windows of 512, first token replaced by BOS, positions 256..510 scored"
)
HEADER = ["text", "ctx", "chunks", "k", "v", "scored", "ppl"]
# Relative. Sums in another order move a value across a rounding edge now and then: 1.2e-5 was seen.
TOLERANCE = 2e-5


def rounded(x, name):
    """`x` [..., D] as the format `name` gives it back."""
    if name == "f32":
        return x
    kind = gguf.GGMLQuantizationType[name.upper()]
    rows = x.float().reshape(-1, x.shape[-1]).numpy()
    back = gguf.dequantize(gguf.quantize(rows, kind), kind).reshape(x.shape)
    return torch.from_numpy(back).to(x.dtype)


def attention_of(keys, values, order):
    """Causal attention over rounded keys and values: q [B, Hq, S, D], k and v [B, Hkv, S, D]."""

    def attend(module, q, k, v, mask, scaling, **_):
        d = k.shape[-1]
        channels = torch.arange(d)
        if order == "pairs":  # channel 2j of the file is j here, 2j + 1 is j + D/2
            channels = channels.view(2, d // 2).T.flatten()
        k = rounded(k[..., channels], keys)[..., channels.argsort()]
        v = rounded(v, values)
        out = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=scaling, enable_gqa=True
        )
        return out.transpose(1, 2).contiguous(), None

    return attend


@torch.no_grad()
def perplexity(model, windows, keys, values, order):
    """exp of the mean loss over the second halves of `windows` [N, S], and the number of scored tokens."""
    AttentionInterface.register("rounded", attention_of(keys, values, order))
    model.set_attn_implementation("rounded")
    half, total = CONTEXT // 2, 0.0
    for window in windows:
        hidden = model.model(window[None], use_cache=False).last_hidden_state[0, half:-1]
        losses = torch.nn.functional.cross_entropy(
            model.lm_head(hidden), window[half + 1 :], reduction="none"
        )
        total += losses.double().sum().item()
    scored = len(windows) * (CONTEXT - half - 1)
    return np.exp(total / scored), scored


def tokenizer_of(path):
    """SmolLM2's tokenizer out of its GGUF: byte-level pairs, every digit for itself."""
    fields = gguf.GGUFReader(path).fields
    tokens, merges = (fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "merges"))
    ids, pairs = {token: i for i, token in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges]
    tokenizer = Tokenizer(models.BPE(ids, pairs))
    levels = [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(levels)
    return tokenizer


def main():
    parser = common.arguments(__doc__, text=True)
    parser.add_argument("--gguf", type=common.Path, help="a llama GGUF without BOS, as SmolLM2's")
    parser.add_argument("--windows", type=int, default=100)
    parser.add_argument("--order", choices=["halves", "pairs"], default="halves")
    parser.add_argument("--double", action="store_true", help="compute in float64")
    parser.add_argument("pairs", nargs="*", default=PAIRS, help="keys:values")
    args = parser.parse_args()
    torch.set_num_threads(1)
    text = (args.text / "wiki.test.raw").read_text()
    load, dtype = AutoModelForCausalLM.from_pretrained, torch.float64 if args.double else torch.float32
    if args.gguf:
        model = load(args.gguf.parent, dtype=dtype, gguf_file=args.gguf.name)
        tokenizer, bos = tokenizer_of(args.gguf), None
    else:
        model = load(common.MINI, dtype=dtype)
        tokenizer = Tokenizer.from_file(str(common.MINI / "tokenizer.json"))
        bos = model.config.bos_token_id
    ids = tokenizer.encode(text).ids[: args.windows * CONTEXT]
    windows = torch.tensor(ids).view(args.windows, CONTEXT)
    if bos is not None:
        windows[:, 0] = bos
    rows = []
    for pair in args.pairs:
        keys, values = pair.split(":")
        ppl, scored = perplexity(model, windows, keys, values, args.order)
        rows.append(["wiki.test.raw", CONTEXT, len(windows), keys, values, scored, f"{ppl:.5f}"])
        print(args.order, *rows[-1], sep="\t", flush=True)
    if not args.gguf:
        path = args.out or common.committed("exact.tsv")
        common.finish_table(path, COMMENT, HEADER, rows, args, TOLERANCE)


if __name__ == "__main__":
    main()
