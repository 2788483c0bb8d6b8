#!/usr/bin/env python3
"""Tiny random models of every family and their logits, as the tests of kvr-models read them.

    families.py FOLDER [NAME ...]        (pip install torch transformers)

Writes FOLDER/<name>/{config.json,model.safetensors,golden.safetensors}: `tokens` [T] i32 and `logits` [T, vocabulary]
f32 of one pass in float32 with eager attention, from weights in float16. They are larger than transformers' initial ones,
and norms and biases are not at their neutral values, so that a forgotten one shows. A name's `edit` changes config.json
after it was saved, to what other programs write.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file

SIZES = dict(
    vocab_size=64, hidden_size=48, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0,
)
TOKENS = 48
LONG = dict(long_factor=[1.0 + 0.4 * i for i in range(6)], short_factor=[1.0 + 0.03 * i for i in range(6)])


def rope(kind, **more):
    return dict(rope_type=kind, rope_theta=10_000.0, **more)


def old_rope(config, **scaling):
    """As programs before transformers 5 wrote it."""
    parameters = config.pop("rope_parameters", None) or {}
    theta = parameters.get("rope_theta")
    if theta is not None:
        config["rope_theta"] = theta
    config["rope_scaling"] = scaling or None


def both_types(config):
    old_rope(config, type="linear", rope_type="linear", factor=2.0)
    config["rms_norm_eps"] = "1e-5"
    config["max_position_embeddings"] = 128.0
    config["eos_token_id"] = [2, 3]


def gemma3_as_on_the_hub(config):
    for key in ("layer_types", "_sliding_window_pattern", "rope_parameters"):
        config.pop(key, None)
    config["sliding_window_pattern"] = 2
    config["rope_theta"] = 50_000.0
    config["rope_local_base_freq"] = 500.0
    config["rope_scaling"] = dict(rope_type="linear", factor=4.0)


def inside_a_model_for_images(config):
    """As Gemma 3 is published from 4B on."""
    text = dict(config)
    config.clear()
    for key in ("vocab_size", "tie_word_embeddings"):
        config[key] = text[key]
    config.update(model_type="gemma3", architectures=["Gemma3ForConditionalGeneration"], text_config=text, vision_config={})


# name: (class prefix, settings, tokens, edit of config.json)
MODELS = {
    "llama-biases": ("Llama", dict(attention_bias=True, mlp_bias=True), TOKENS, None),
    "llama-pairs": (
        "Llama", dict(attention_bias=True), TOKENS, lambda config: config.update(kvr_channel_order="pairs"),
    ),
    "llama-linear-old": ("Llama", dict(rope_parameters=rope("linear", factor=2.0), rms_norm_eps=1e-5), TOKENS, both_types),
    "llama-dynamic": ("Llama", dict(max_position_embeddings=32, rope_parameters=rope("dynamic", factor=2.0)), TOKENS, None),
    "llama-dynamic-short": ("Llama", dict(rope_parameters=rope("dynamic", factor=2.0)), TOKENS, None),
    "llama-longrope": (
        "Llama",
        dict(rope_parameters=rope("longrope", factor=4.0, original_max_position_embeddings=32, **LONG)), TOKENS, None,
    ),
    "llama-yarn-mscale": (
        "Llama",
        dict(rope_parameters=rope(
            "yarn", factor=4.0, original_max_position_embeddings=32, mscale=0.7, mscale_all_dim=0.4,
            beta_fast=8.0, beta_slow=2.0, truncate=False,
        )), TOKENS, None,
    ),
    "llama-yarn-attention": (
        "Llama",
        dict(rope_parameters=rope(
            "yarn", factor=8.0, original_max_position_embeddings=16, attention_factor=1.3,
        )), TOKENS, None,
    ),
    "mistral-head-dim": ("Mistral", dict(head_dim=16, sliding_window=7, tie_word_embeddings=True), TOKENS, None),
    "mistral-no-window": ("Mistral", dict(sliding_window=None), TOKENS, None),
    "qwen2-window": (
        "Qwen2",
        dict(use_sliding_window=True, sliding_window=9, max_window_layers=1, tie_word_embeddings=True), TOKENS,
        lambda config: config.pop("layer_types"),
    ),
    "qwen2-yarn": (
        "Qwen2",
        dict(rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=32)), TOKENS,
        lambda config: old_rope(config, type="yarn", factor=4.0, original_max_position_embeddings=32),
    ),
    "qwen3-tied": ("Qwen3", dict(head_dim=16, tie_word_embeddings=True, attention_bias=True), TOKENS, None),
    "qwen3-window": (
        "Qwen3", dict(head_dim=16, use_sliding_window=True, sliding_window=5, max_window_layers=2), TOKENS, None,
    ),
    "phi3-short": (
        "Phi3",
        dict(original_max_position_embeddings=64, rope_parameters=rope("longrope", **LONG)), TOKENS, None,
    ),
    "phi4-partial-longrope": (
        "Phi3",
        dict(
            hidden_size=64, original_max_position_embeddings=32, sliding_window=20, tie_word_embeddings=True,
            rope_parameters=rope("longrope", partial_rotary_factor=0.75, **LONG),
        ), TOKENS, None,
    ),
    "phi3-su-old": (
        "Phi3",
        dict(original_max_position_embeddings=32, rope_parameters=rope("longrope", **LONG)), TOKENS,
        lambda config: old_rope(config, type="su", **LONG),
    ),
    "gemma2-plain": (
        "Gemma2",
        dict(head_dim=16, query_pre_attn_scalar=24, sliding_window=11, attn_logit_softcapping=None), TOKENS,
        lambda config: config.pop("layer_types"),
    ),
    "gemma2-capped": ("Gemma2", dict(
        head_dim=16, query_pre_attn_scalar=16, sliding_window=11, attn_logit_softcapping=2.0, final_logit_softcapping=4.0,
        attention_bias=True,
    ), TOKENS, None),
    "gemma3-hub": (
        "Gemma3Text",
        dict(head_dim=16, query_pre_attn_scalar=24, sliding_window=6, final_logit_softcapping=5.0), TOKENS,
        gemma3_as_on_the_hub,
    ),
    "gemma3-mixed": (
        "Gemma3Text",
        dict(
            head_dim=16, query_pre_attn_scalar=16, sliding_window=6,
            layer_types=["full_attention", "sliding_attention", "full_attention"],
            rope_parameters={
                "full_attention": dict(rope_type="linear", factor=8.0, rope_theta=1e6),
                "sliding_attention": dict(rope_type="default", rope_theta=2_000.0),
            },
        ), TOKENS, None,
    ),
    "gemma3-nested": (
        "Gemma3Text", dict(head_dim=16, sliding_window=6, query_pre_attn_scalar=16), TOKENS, inside_a_model_for_images,
    ),
    "gemma3-norms-with-one": (
        "Gemma3Text", dict(head_dim=16, sliding_window=6, query_pre_attn_scalar=16), TOKENS,
        lambda config: config.update(kvr_norm_includes_one=True),
    ),
    "smollm3-pairs": ("SmolLM3", dict(), TOKENS, lambda config: config.update(kvr_channel_order="pairs")),
    "smollm3-interval": (
        "SmolLM3", dict(no_rope_layer_interval=2), TOKENS, lambda config: config.pop("no_rope_layers"),
    ),
    "smollm3-window": (
        "SmolLM3",
        dict(
            no_rope_layers=[0, 1, 1], use_sliding_window=True, sliding_window=8, attention_bias=True, mlp_bias=True,
            tie_word_embeddings=False,
        ), TOKENS, None,
    ),
}


def with_images(tensors, _):
    """A model for images and text: its text part under another prefix, and a tensor of the other part."""
    text = {f"language_model.{key}": value for key, value in tensors.items()}
    return {**text, "vision_tower.post_layernorm.weight": torch.ones(4)}


def in_pairs(tensors, config):
    """Queries and keys in the order of GGUF files, where RoPE rotates channels 2j and 2j + 1."""
    for name, value in tensors.items():
        if ".q_proj." in name or ".k_proj." in name:
            heads = config.num_attention_heads if ".q_proj." in name else config.num_key_value_heads
            halves = value.reshape(heads, 2, -1, *value.shape[1:])
            tensors[name] = halves.transpose(1, 2).reshape(value.shape).contiguous()
    return tensors


def with_one(tensors, _):
    """Gemma's norms as GGUF files have them: 1 + w, in f32."""
    return {name: 1 + value.float() if value.dim() == 1 else value for name, value in tensors.items()}


# What is done to the weights after the pass.
REWRITTEN = {
    "gemma3-nested": with_images, "llama-pairs": in_pairs, "smollm3-pairs": in_pairs, "gemma3-norms-with-one": with_one,
}

# transformers 5.24 refuses these spellings of what it reads otherwise, so they are edited after the pass.
UNREADABLE = {"llama-linear-old", "phi3-su-old", *REWRITTEN}


def change(folder, edit):
    file = folder / "config.json"
    config = json.loads(file.read_text())
    edit(config)
    file.write_text(json.dumps(config, indent=2) + "\n")


def weights(model):
    """Weights with gains that keep activations of order one, and nothing at its neutral value."""
    for name, value in model.named_parameters():
        if value.dim() == 1:
            neutral = 1.0 if name.endswith("weight") and "Gemma" not in type(model).__name__ else 0.0
            value.data = neutral + 0.2 * torch.randn_like(value)
        else:
            value.data = torch.randn_like(value) * value.shape[-1] ** -0.5


def make(folder, name):
    family, settings, tokens, edit = MODELS[name]
    torch.manual_seed(sum(map(ord, name)))
    config = getattr(transformers, f"{family}Config")(**{**SIZES, **settings})
    config._attn_implementation = "eager"
    classes = f"{family.removesuffix('Text')}ForCausalLM"
    model = getattr(transformers, classes)(config).eval()
    weights(model)
    path = folder / name
    model.half().save_pretrained(path)
    (path / "generation_config.json").unlink(missing_ok=True)
    if edit and name not in UNREADABLE:
        change(path, edit)
    load = getattr(transformers, classes).from_pretrained
    model = load(path, attn_implementation="eager", dtype=torch.float32).eval()
    ids = torch.randint(3, SIZES["vocab_size"], (1, tokens))
    with torch.no_grad():
        logits = model(ids).logits[0]
    save_file({"tokens": ids[0].to(torch.int32), "logits": logits.contiguous()}, path / "golden.safetensors")
    if edit and name in UNREADABLE:
        change(path, edit)
    if name in REWRITTEN:
        file = path / "model.safetensors"
        save_file(REWRITTEN[name](load_file(file), config), file)
    print(f"{name}: logits within ±{logits.abs().max():.2f}")


def main():
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    for name in sys.argv[2:] or MODELS:
        make(folder, name)


if __name__ == "__main__":
    main()
