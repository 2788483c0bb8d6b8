"""fp4.safetensors: rows as ggml's 4-bit floating-point formats hold them, and read back.

`x` [52, 64] f32; for mxfp4 and nvfp4 `<format>.bytes` [52, bytes of a row] u8 and
`<format>.dequantized` [52, 64] f32. gguf quantises and reads mxfp4; it reads nvfp4 and rounds its
scales, and which codes are nearest is computed here.

    pip install gguf==0.19.0 numpy==2.4.6 safetensors==0.8.0
    python scripts/goldens/fp4.py [--check]
"""

import gguf
import numpy as np
from gguf.quants import NVFP4

import common

SEED = 7


def rows():
    """16 normal rows, 16 of magnitudes from e^-4 to e^4, 16 with an outlier channel, 4 special ones."""
    random = np.random.default_rng(SEED)
    normal = random.standard_normal((16, 64))
    wide = random.standard_normal((16, 64)) * np.exp(random.uniform(-4, 4, (16, 1)))
    outlier = random.standard_normal((16, 64))
    outlier[:, 5] *= 60
    special = np.zeros((4, 64))
    special[1] = 1e-7  # its scale in E4M3 is 0
    special[2] = np.arange(64) / 8 - 4  # halves between codes, which go to the smaller one
    special[3] = 5000 * random.standard_normal(64)  # beyond the largest scale in E4M3
    return np.concatenate([normal, wide, outlier, special]).astype(np.float32)


def nvfp4(x):
    """Blocks of 64 values: four scales, then 32 bytes of codes, 8 for each 16 values."""
    groups = x.reshape(-1, 16)
    scales = NVFP4.fp32_to_ue4m3(np.abs(groups).max(axis=1) / np.float32(6))
    doubled = np.array(NVFP4.kvalues, np.float32)  # twice the value of each code
    halves = NVFP4.ue4m3_to_fp32(scales).astype(np.float32)[:, None, None]
    codes = np.abs(halves * doubled - groups[:, :, None]).argmin(axis=2).astype(np.uint8)
    codes = codes[:, :8] | codes[:, 8:] << 4
    return np.concatenate([scales.reshape(-1, 4), codes.reshape(-1, 32)], axis=1)


def main():
    args = common.arguments(__doc__).parse_args()
    x = rows()
    kinds = gguf.GGMLQuantizationType
    blocks = {"mxfp4": gguf.quantize(x, kinds.MXFP4), "nvfp4": nvfp4(x)}
    tensors = {"x": x}
    for name, packed in blocks.items():
        packed = packed.view(np.uint8).reshape(len(x), -1)
        tensors[f"{name}.bytes"] = packed
        values = gguf.dequantize(packed, kinds[name.upper()])
        tensors[f"{name}.dequantized"] = values.reshape(x.shape).astype(np.float32)
    path = args.out or common.committed("fp4.safetensors")
    source = f"gguf 0.19.0 and scripts/goldens/fp4.py, numpy seed {SEED}"
    common.finish(path, tensors, {"source": source}, args)


if __name__ == "__main__":
    main()
