"""block_formats.safetensors: rows as ggml's own block formats hold them, and read back.

`x` [52, 64] f32; for each format `<format>.bytes` [52, bytes of a row] u8 (ggml's blocks, scales between
the codes) and `<format>.dequantized` [52, 64] f32.

    pip install gguf==0.19.0 numpy==2.4.6 safetensors==0.8.0
    python scripts/goldens/block_formats.py [--check]
"""

import gguf
import numpy as np

import common

SEED = 7
FORMATS = ["f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]


def rows():
    """16 normal rows, 16 of magnitudes from e^-8 to e^8, 16 with an outlier channel, 4 special ones."""
    random = np.random.default_rng(SEED)
    normal = random.standard_normal((16, 64))
    wide = random.standard_normal((16, 64)) * np.exp(random.uniform(-8, 8, (16, 1)))
    outlier = random.standard_normal((16, 64))
    outlier[:, 5] *= 60
    special = np.zeros((4, 64))
    special[2:] = random.standard_normal((2, 64))
    special[2] = 1e-7  # its scale underflows in f16
    special[3, 3] = -4 * np.abs(special[3]).max()  # ggml's 4-bit scale follows the sign of the largest
    return np.concatenate([normal, wide, outlier, special]).astype(np.float32)


def main():
    args = common.arguments(__doc__).parse_args()
    x = rows()
    tensors = {"x": x}
    for name in FORMATS:
        kind = gguf.GGMLQuantizationType[name.upper()]
        blocks = gguf.quantize(x, kind)
        tensors[f"{name}.bytes"] = blocks.view(np.uint8).reshape(len(x), -1)
        tensors[f"{name}.dequantized"] = gguf.dequantize(blocks, kind).reshape(x.shape)
    path = args.out or common.committed("block_formats.safetensors")
    source = f"gguf 0.19.0 reference quantisers, numpy seed {SEED}"
    common.finish(path, tensors, {"source": source}, args)


if __name__ == "__main__":
    main()
