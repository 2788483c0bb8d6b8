"""What the generators of goldens share: where files lie, their arguments, writing and comparing.

Every generator writes a file, or with `--check` compares what it computed with the file and prints the
largest difference; it then exits with 1 if that is above the generator's tolerance.
"""

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
MINI = ROOT / "crates/models/mini"
WIKITEXT = SHARED / "data/wikitext-2"


def committed(name):
    """The golden of this name, in whichever crate its test lives."""
    found = sorted(ROOT.glob(f"crates/*/tests/goldens/{name}"))
    if len(found) != 1:
        sys.exit(f"{name}: expected one such golden under crates/*/tests/goldens, found {len(found)}")
    return found[0]


def versions(*packages):
    """Names and versions of installed packages, for a file's metadata."""
    return ", ".join(f"{name} {version(name)}" for name in packages)


def arguments(doc, text=False):
    """A parser with what every generator takes; `text` adds the folder of WikiText-2."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="the file to write; the committed golden by default")
    parser.add_argument("--check", action="store_true", help="compare with the file, write nothing")
    if text:
        parser.add_argument("--text", type=Path, default=WIKITEXT, help="the folder of WikiText-2's files")
    return parser


def read_safetensors(path):
    """Tensors by name as numpy arrays, and the file's own metadata."""
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    kinds = {"F32": "<f4", "F16": "<f2", "I32": "<i4", "U32": "<u4", "U8": "u1"}
    tensors = {}
    for name, info in header.items():
        if name != "__metadata__":
            begin, end = (start + at for at in info["data_offsets"])
            values = np.frombuffer(data[begin:end], kinds[info["dtype"]])
            tensors[name] = values.reshape(info["shape"])
    return tensors, header.get("__metadata__")


def finish(path, tensors, metadata, args, tolerance=0.0):
    """Writes `tensors` to `path`, or compares them with what is there."""
    if not args.check:
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(t) for name, t in tensors.items()}, path, metadata)
        return
    held, _ = read_safetensors(path)
    if held.keys() != tensors.keys():
        sys.exit(f"{path}: names differ: {sorted(held.keys() ^ tensors.keys())}")
    worst = max((difference(held[name], tensors[name]), name) for name in held)
    print(f"{path}: largest difference {worst[0]:.3g} ({worst[1]}), tolerance {tolerance:.3g}")
    if not worst[0] <= tolerance:
        sys.exit(1)


def difference(held, made):
    """The largest difference; infinite where shapes or types differ."""
    if held.shape != made.shape or held.dtype != made.dtype:
        return float("inf")
    return float(np.abs(held.astype(np.float64) - made.astype(np.float64)).max(initial=0.0))


def finish_table(path, comment, header, rows, args, tolerance):
    """Writes a table of tabs, or compares its last column, relatively, with the file's."""
    lines = ["\t".join(map(str, row)) for row in [header, *rows]]
    if not args.check:
        path.write_text("\n".join([f"# {comment}", *lines]) + "\n")
        return
    held = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    cells = [(a.rsplit("\t", 1), b.rsplit("\t", 1)) for a, b in zip(held[1:], lines[1:])]
    if held[0] != lines[0] or len(held) != len(lines) or any(a[0] != b[0] for a, b in cells):
        sys.exit(f"{path}: other columns or rows")
    worst = max(abs(float(b[1]) / float(a[1]) - 1) for a, b in cells)
    print(f"{path}: largest relative difference {worst:.3g}, tolerance {tolerance:.3g}")
    if not worst <= tolerance:
        sys.exit(1)
