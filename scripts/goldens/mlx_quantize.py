"""Writes crates/policy/tests/goldens/mlx_quantize.safetensors: what `mx.quantize` makes of f16 rows.

    pip install "mlx[cpu]" && python scripts/mlx_goldens.py
"""

import mlx.core as mx

mx.random.seed(5)
rows = mx.random.normal((24, 128)) * mx.exp(mx.random.normal((24, 1)) * 2)
rows[3] = mx.abs(rows[3])  # one sign only
rows[4] = -mx.abs(rows[4])
rows[5] = 0.0
rows[6, 7] = 900.0  # one outlier
rows = rows.astype(mx.float16)
out = {"rows": rows.astype(mx.float32)}
for bits in (2, 3, 4, 6, 8):
    for group in (32, 64, 128):
        codes, scales, biases = mx.quantize(rows, group_size=group, bits=bits)
        key = f"m{bits}g{group}"
        out[f"{key}.codes"] = codes
        out[f"{key}.scales"] = scales
        out[f"{key}.biases"] = biases
mx.save_safetensors(
    "crates/policy/tests/goldens/mlx_quantize.safetensors", out, {"mlx": mx.__version__}
)
