"""mini/golden.safetensors: what transformers and tokenizers make of the built-in model `mini`.

`tokens` [2, 256] i32 (two windows of WikiText-2's validation text, the first token BOS), `logits`
[2, 256, 4096] f32, `nll` [2, 255] f32 of every token but the first, and `text_token_ids`: the ids of the
text's first 20,000 characters, BOS first. Tokens come out exactly, logits and losses to 2e-5: other
processors add in other orders, and near 17, the largest logit, float32 is 2e-6 apart.

    pip install torch==2.15.0 transformers==5.23.0 tokenizers==0.23.3 safetensors==0.8.0
    python scripts/goldens/mini_logits.py [--check] [--text FOLDER]
"""

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

import common

STARTS = [1000, 4000]
WINDOW = 256
CHARACTERS = 20_000
TOLERANCE = 2e-5


@torch.no_grad()
def main():
    args = common.arguments(__doc__, text=True).parse_args()
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(str(common.MINI / "tokenizer.json"))
    model = AutoModelForCausalLM.from_pretrained(
        common.MINI, attn_implementation="eager", dtype=torch.float32
    ).eval()
    text = (args.text / "wiki.valid.raw").read_text()
    ids = np.array(tokenizer.encode(text).ids, np.int32)
    tokens = np.stack([ids[start : start + WINDOW] for start in STARTS])
    tokens[:, 0] = model.config.bos_token_id
    batch = torch.from_numpy(tokens).long()
    logits = model(batch).logits
    # Flat: along a strided axis torch adds 4,096 exponentials less exactly, by 4e-5.
    predicted, target = logits[:, :-1].flatten(0, 1), batch[:, 1:].flatten()
    nll = torch.nn.functional.cross_entropy(predicted, target, reduction="none")
    tensors = {
        "tokens": tokens,
        "logits": logits.numpy(),
        "nll": nll.view(len(batch), -1).numpy(),
        "text_token_ids": np.array(tokenizer.encode(text[:CHARACTERS]).ids, np.int32),
    }
    source = (
        f"{common.versions('transformers', 'torch')}, float32, eager; text_token_ids = ids of the text's "
        f"first {CHARACTERS:,} characters, BOS added"
    )
    path = args.out or common.committed("mini/golden.safetensors")
    common.finish(path, tensors, {"source": source}, args, TOLERANCE)


if __name__ == "__main__":
    main()
