"""Tiny models with random weights, in Hugging Face's layout, and the logits that transformers gives them.

Folders <name>/ with config.json (read, it decides the shapes), model.safetensors and golden.safetensors:
`tokens` [96] i32, `logits` [96, vocabulary] f32 of one pass over them. One seed makes all of them in this
order, so a model depends on those before it; weights and tokens come out bit for bit, logits to 1e-5
(float32, other orders of adding on other processors).

    pip install torch==2.15.0 transformers==5.23.0 safetensors==0.8.0
    python scripts/goldens/tiny_models.py [--check] [--folder FOLDER]

`--folder` holds the seven models; by default the repository's own, which are the first three. A folder of
another model (gemma2, gemma3, smollm3, llama-yarn, phi3-partial: transformers 5.2.0; of phi3-longrope the
whole pass too) has weights that this seed did not make: `--only NAME` computes the logits of what is there.
"""

import torch
from transformers import AutoConfig, AutoModelForCausalLM

import common

SEED = 11
NAMES = ["llama-gqa", "llama-mha-tied", "llama3-rope", "mistral", "qwen2", "qwen3", "phi3"]
TOLERANCE = 1e-5


def random_model(config):
    """Weights of deviation 0.08; norms between 0.5 and 1.5, biases of 0.3, so that they are seen."""
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.copy_(torch.rand(weight.shape) + 0.5)
            else:
                scale = 0.3 if name.endswith("bias") else 0.08
                weight.copy_(scale * torch.randn(weight.shape))
    tokens = torch.randint(3, config.vocab_size, (96,))
    tokens[0] = config.bos_token_id
    return model, tokens


@torch.no_grad()
def golden(model, tokens):
    """The tensors of golden.safetensors, and how far decoding token by token is from one pass."""
    full = model(tokens[None]).logits[0]
    cache, steps = None, []
    for token in tokens:
        step = model(token.view(1, 1), past_key_values=cache, use_cache=True)
        cache = step.past_key_values
        steps.append(step.logits[0, 0])
    noise = (torch.stack(steps) - full).abs().max().item()
    return {"tokens": tokens.int().numpy(), "logits": full.numpy()}, noise


def make(folder, args, random):
    config = AutoConfig.from_pretrained(folder)
    weights = folder / "model.safetensors"
    if random:
        model, tokens = random_model(config)
        held = {name: p.detach().numpy() for name, p in model.named_parameters()}
        common.finish(weights, held, {"format": "pt"}, args)
    else:
        model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
        tokens = common.read_safetensors(folder / "golden.safetensors")[0]["tokens"]
        tokens = torch.from_numpy(tokens.copy()).long()
    tensors, noise = golden(model, tokens)
    metadata = {
        "source": f"{common.versions('transformers', 'torch')}, float32 eager",
        "cached_vs_full_max_abs_diff": f"{noise:.2e}",
    }
    common.finish(folder / "golden.safetensors", tensors, metadata, args, TOLERANCE)


def main():
    parser = common.arguments(__doc__)
    parser.add_argument("--folder", type=common.Path, help="where the models' folders lie")
    parser.add_argument("--only", metavar="NAME", help="compute logits of the weights that are there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    folder = args.folder or common.committed("llama-gqa/config.json").parent.parent
    if args.only:
        make(folder / args.only, args, random=False)
        return
    for name in NAMES:
        if (folder / name).is_dir():
            make(folder / name, args, random=True)


if __name__ == "__main__":
    main()
