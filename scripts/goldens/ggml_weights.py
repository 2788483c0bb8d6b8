"""Writes crates/kernels/tests/goldens/ggml_weights.safetensors: rows of every ggml type that models
come in, and what the `gguf` package decodes them to.

    pip install gguf==0.19.0 safetensors && python scripts/goldens/ggml_weights.py

Codes are random bytes, so that every code and every packed scale occurs. Half-precision scales are
random and finite, with zero, negative zero, subnormal and the largest values among them.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize
from safetensors.numpy import save_file

PATH = "crates/kernels/tests/goldens/ggml_weights.safetensors"

# Values of a row, and where its blocks keep half-precision scales.
TYPES = {
    Type.F32: (64, []),
    Type.F16: (64, []),
    Type.BF16: (64, []),
    Type.Q4_0: (384, [0]),
    Type.Q4_1: (384, [0, 2]),
    Type.Q5_0: (384, [0]),
    Type.Q5_1: (384, [0, 2]),
    Type.Q8_0: (384, [0]),
    Type.Q2_K: (1024, [80, 82]),
    Type.Q3_K: (1024, [108]),
    Type.Q4_K: (1024, [0, 2]),
    Type.Q5_K: (1024, [0, 2]),
    Type.Q6_K: (1024, [208]),
    Type.IQ4_NL: (384, [0]),
    Type.IQ4_XS: (1024, [0]),
    Type.MXFP4: (384, []),
}
EDGES = np.array([0.0, -5e-5, 65504.0, -0.0, 6e-8, 1.0], np.float16)


def halves(rng, count):
    """Finite scales: edge cases first, then either sign and ordinary sizes."""
    values = (rng.standard_normal(count) * 0.02).astype(np.float16)
    edges = EDGES[: max(count - 1, 1)]
    values[: len(edges)] = edges
    return values.view(np.uint8).reshape(count, 2)


def packed_row(rng, kind):
    width, scales = TYPES[kind]
    values, size = GGML_QUANT_SIZES[kind]
    if kind == Type.F32:
        return np.append(rng.standard_normal(width - 2), [0.0, -1e-40]).astype(np.float32)
    if kind == Type.F16:
        return np.append(rng.standard_normal(width - len(EDGES)), EDGES).astype(np.float16)
    if kind == Type.BF16:
        rows = np.append(rng.standard_normal(width - 2), [0.0, -1e-40]).astype(np.float32)
        return (rows.view(np.uint32) >> 16).astype(np.uint16)
    blocks = rng.integers(0, 256, (width // values, size), dtype=np.uint8)
    for at in scales:
        blocks[:, at : at + 2] = halves(rng, len(blocks))
    if kind == Type.MXFP4:
        # Exponents of 2: the two that are subnormal, the largest that is finite, ordinary ones.
        blocks[:, 0] = [0, 1, 2, 250, *rng.integers(110, 128, len(blocks) - 4)]
    return blocks


def main():
    rng = np.random.default_rng(7)
    out = {}
    for kind in TYPES:
        packed = np.ascontiguousarray(packed_row(rng, kind)).view(np.uint8).reshape(1, -1)
        values = dequantize(packed, kind).astype(np.float32).reshape(-1)
        assert np.isfinite(values).all(), kind
        out[f"{kind.name}.bytes"] = packed.reshape(-1)
        out[f"{kind.name}.values"] = values
    Path(PATH).parent.mkdir(parents=True, exist_ok=True)
    save_file(out, PATH, {"gguf": version("gguf")})


if __name__ == "__main__":
    main()
