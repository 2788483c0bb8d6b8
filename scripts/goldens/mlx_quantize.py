"""mlx_quantize.safetensors: what `mx.quantize` makes of f16 rows.

`rows` [24, 128] f32 (exact f16 values); for bits 2, 3, 4, 6, 8 and groups of 32, 64, 128: `m<bits>g<group>`
with `.codes` u32 words, `.scales` and `.biases` f16. Everything comes out bit for bit.

    pip install mlx==0.32.4 mlx-cpu==0.32.4 numpy==2.4.6 safetensors==0.8.0
    python scripts/goldens/mlx_quantize.py [--check]
"""

import mlx.core as mx
import numpy as np

import common

SEED = 5


def rows():
    """Normal rows of many magnitudes; four special ones."""
    mx.random.seed(SEED)
    rows = mx.random.normal((24, 128)) * mx.exp(mx.random.normal((24, 1)) * 2)
    rows[3] = mx.abs(rows[3])  # one sign only
    rows[4] = -mx.abs(rows[4])
    rows[5] = 0.0
    rows[6, 7] = 900.0  # one outlier
    return rows.astype(mx.float16)


def main():
    args = common.arguments(__doc__).parse_args()
    x = rows()
    tensors = {"rows": np.array(x.astype(mx.float32))}
    for bits in (2, 3, 4, 6, 8):
        for group in (32, 64, 128):
            parts = mx.quantize(x, group_size=group, bits=bits)
            for name, part in zip(("codes", "scales", "biases"), parts):
                tensors[f"m{bits}g{group}.{name}"] = np.array(part)
    path = args.out or common.committed("mlx_quantize.safetensors")
    common.finish(path, tensors, {"mlx": mx.__version__}, args)


if __name__ == "__main__":
    main()
